# SPDX-License-Identifier: Apache-2.0
"""Nadam against its formula of 2018 in numpy, plateaus against Keras' own callback, the cosine against its shape."""

import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow import keras

from tests.examples import slow
from train.optimizers import KERAS_3, Nadam, Plateau, PlateauRate, cosine
from train.supervised import Supervised

pytestmark = pytest.mark.keras


def nadam(variables, gradients, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, decay=0.004):
    """Compute what Keras 2.1.5 does with its variables, given the gradients of each step, in double precision."""
    variables = [np.array(variable, "float64") for variable in variables]
    means, squares = ([np.zeros_like(variable) for variable in variables] for _ in range(2))
    schedule = 1.0
    for step, gradient in enumerate(gradients, 1):
        cache, following = (beta_1 * (1 - 0.5 * 0.96 ** (number * decay)) for number in (step, step + 1))
        schedule *= cache
        for index, value in enumerate(np.array(part, "float64") for part in gradient):
            means[index] = beta_1 * means[index] + (1 - beta_1) * value
            squares[index] = beta_2 * squares[index] + (1 - beta_2) * value**2
            bar = (1 - cache) * value / (1 - schedule) + following * means[index] / (1 - schedule * following)
            variables[index] -= rate * bar / (np.sqrt(squares[index] / (1 - beta_2**step)) + epsilon)
    return variables


def steps(count, seed=0):
    rng = np.random.default_rng(seed)
    return [
        [rng.normal(0.1, 1, shape).astype("float32") * 10.0 ** rng.integers(-4, 2) for shape in ((3, 4), (5,))]
        for _ in range(count)
    ]


OTHERS = {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3, "schedule_decay": 1.0}


@pytest.mark.parametrize(
    "arguments, compiled",
    [
        ({}, True),
        (OTHERS, False),
        slow({}, False),
        slow(OTHERS, True),
    ],
)
def test_nadam_is_that_of_2018(arguments, compiled):
    start = [np.ones((3, 4), "float32"), np.arange(5, dtype="float32")]
    gradients = steps(50)
    variables = [(keras.Variable if KERAS_3 else tf.Variable)(value) for value in start]
    optimizer = Nadam(0.01, **arguments)
    optimizer.build(variables)

    def apply(*values):
        optimizer.apply_gradients(list(zip(values, variables)))

    apply = tf.function(apply) if compiled else apply
    for gradient in gradients:
        apply(*(tf.constant(value) for value in gradient))
    names = {"schedule_decay": "decay"}
    wanted = nadam(start, gradients, 0.01, **{names.get(name, name): value for name, value in arguments.items()})
    assert all(np.allclose(variable.numpy(), value, atol=2e-5) for variable, value in zip(variables, wanted))
    assert int(optimizer.iterations.numpy()) == 50


def test_the_schedule_matters():
    """A momentum that rises 250 times as fast, as later Keras has it, is told apart by the test above."""
    start, gradients = [np.ones((3, 4)), np.zeros(5)], steps(50)
    slow, fast = (nadam(start, gradients, 0.01, decay=decay) for decay in (0.004, 1.0))
    assert np.abs(slow[0] - fast[0]).max() > 1e-3


def test_nadam_trains_a_model_as_the_formula_says():
    """By way of `compile` and `fit`: a regression, whose gradients numpy knows."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 3)).astype("float32"), rng.normal(size=(8, 1)).astype("float32")
    inputs = keras.layers.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(1, name="dense")(inputs))
    model.compile(optimizer=Nadam(0.05), loss="mse")
    kernel, bias = (np.array(value, "float64") for value in model.get_weights())
    model.fit(x, y, batch_size=8, epochs=12, verbose=0)
    start, gradients = [kernel, bias], []
    for _ in range(12):
        now = nadam(start, gradients, 0.05) if gradients else start
        error = x @ now[0] + now[1] - y
        gradients.append([2 * x.T @ error / 8, 2 * error.mean(axis=0)])
    for received, wanted in zip(model.get_weights(), nadam(start, gradients, 0.05)):
        assert np.allclose(received, wanted, atol=1e-4)


def test_nadam_tells_its_arguments():
    optimizer = Nadam(0.02, beta_1=0.8, schedule_decay=0.01)
    config = json.loads(json.dumps(optimizer.get_config()))
    assert config["learning_rate"] == pytest.approx(0.02) and config["schedule_decay"] == 0.01
    again = Nadam.from_config(config)
    again.learning_rate.assign(0.5)
    assert float(optimizer.learning_rate.numpy()) == pytest.approx(0.02) and again.beta_1 == 0.8


def drive(callback, losses, rate, name="val_loss"):
    """Give a callback of Keras these losses, epoch by epoch; return the rate after each."""
    optimizer = keras.optimizers.SGD(rate)
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(optimizer=optimizer, loss="mse")
    callback.set_model(model)
    callback.on_train_begin()
    rates = []
    for epoch, loss in enumerate(losses):
        callback.on_epoch_begin(epoch)
        rates.append(float(optimizer.learning_rate.numpy()))
        callback.on_epoch_end(epoch, {name: loss})
    return [*rates[1:], float(optimizer.learning_rate.numpy())]


@settings(deadline=None, max_examples=40)
@given(
    losses=st.lists(st.sampled_from([1.0, 1.0 - 5e-7, 0.9, 0.5, 0.499, 0.2, 2.0]), min_size=1, max_size=60),
    patience=st.integers(1, 6),
    cooldown=st.integers(0, 8),
    factor=st.sampled_from([0.5, 0.1]),
    least=st.sampled_from([0.0, 1e-5, 3e-5, 1e-3]),
)
def test_plateaus_are_those_of_keras(losses, patience, cooldown, factor, least):
    plateau = Plateau(1e-4, factor=factor, patience=patience, cooldown=cooldown, least=least)
    callback = keras.callbacks.ReduceLROnPlateau(
        factor=factor, patience=patience, min_delta=1e-6, cooldown=cooldown, min_lr=least
    )
    received = [plateau.rate(losses[: index + 1]) for index in range(len(losses))]
    assert np.allclose(received, drive(callback, losses, 1e-4), rtol=1e-5, atol=0)
    assert plateau.rate([]) == 1e-4


def test_the_papers_plateau():
    """Halved after 5 epochs, then after 20 of rest and 5 more at the earliest, down to 1e-5."""
    plateau = Plateau(1e-4)
    rates = [plateau.rate([1.0] * count) for count in range(1, 101)]
    changes = [count for count, (before, after) in enumerate(zip(rates, rates[1:]), 2) if before != after]
    assert changes == [6, 30, 54, 78]
    assert [rates[count - 1] for count in changes] == pytest.approx([5e-5, 2.5e-5, 1.25e-5, 1e-5])
    falling = [1.0 / count for count in range(1, 101)]
    assert plateau.rate(falling) == 1e-4


def test_a_resumed_plateau_goes_on():
    """The rate follows from the history alone, wherever the training was interrupted."""
    losses = np.random.default_rng(0).uniform(0.5, 1, 60).tolist()

    class Keeping(PlateauRate):
        def on_epoch_end(self, epoch, logs=None):
            self.history.append(logs)

    plateau = Plateau(1e-4, patience=3, cooldown=4)
    whole = drive(Keeping(plateau, []), losses, 1e-4)
    for done in (1, 20, 37):
        history = [{"val_loss": loss} for loss in losses[:done]]
        assert drive(Keeping(plateau, history), losses[done:], 1e-4) == whole[done:]
    assert len(set(whole)) > 2


def test_cosine():
    """A line up to the rate in a twentieth of the steps, then a cosine down to zero."""
    schedule = cosine(0.01, 200)
    rates = np.array([float(schedule(step)) for step in range(201)])
    assert np.allclose(rates[:11], 0.001 * np.arange(11), atol=1e-8)
    assert np.allclose(rates[10:], 0.005 * (1 + np.cos(np.pi * np.arange(191) / 190)), atol=1e-6)
    assert float(cosine(0.01, 1)(0)) >= 0


def test_which_optimizer_has_callbacks():
    from train.spot7 import Options

    history = []
    (callback,) = Supervised(Options(optimizer="nadam", learning_rate=1e-4)).callbacks(history)
    assert callback.history is history and callback.plateau == Plateau(1e-4, 0.5, 5, 1e-6, 20, 1e-5)
    assert Supervised(Options(optimizer="adam", learning_rate=1e-4)).callbacks(history) == []
