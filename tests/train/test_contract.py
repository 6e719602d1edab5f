# SPDX-License-Identifier: Apache-2.0
"""What every training in `train/` has to be: these tests find them, whatever they are.

A module or package of `train/` with `train` and `Options` is a system's. The name of the first argument of `train` says
what samples it takes (`tests/train/samples.py`). Options without a default have choices: each choice is trained; an
option for weights that has the name of a choice takes what the training of that choice has made.
"""

import dataclasses
import importlib
import inspect
import itertools
import json
import pkgutil
from pathlib import Path

import h5py
import numpy as np
import pytest

import train
from chain.runtime.options import MISSING, kinds
from chain.runtime.progress import Cancelled
from models import base
from models.base import SuperResolutionModel
from models.build import build
from models.description import FILE_NAME, WEIGHTS_NAME, read_description
from models.weights_file import load_weights
from tests.examples import slow
from tests.train.samples import SAMPLES
from tests.train.steps import steps
from train.callbacks import STATE_NAME, epochs_done
from train.options import UNSCORED_NAME, TrainingCommand, TrainingOptions, checkpoint_dir
from train.training import LOCK_NAME, Training

pytestmark = pytest.mark.keras

SMALL = {"depth": 8, "blocks": 1, "groups": 1}
"""Values of options that say what the network is."""
SHORT = {"epochs": 2, "steps_per_epoch": 1, "batch_size": 1, "learning_rate": 1e-3}


def systems():
    """Return the modules of all trainings."""
    modules = [importlib.import_module(f"train.{found.name}") for found in pkgutil.iter_modules(train.__path__)]
    return [module for module in modules if hasattr(module, "train") and hasattr(module, "Options")]


def cases():
    """Yield the module of each training with each choice of the options that have no default, in their order."""
    for module in systems():
        required = [
            field.name
            for field in dataclasses.fields(module.Options)
            if field.default is MISSING and field.name in kinds(module.Options)
        ]
        choices = [kinds(module.Options)[name].choices for name in required]
        assert all(choices), f"{module.__name__}: options without a default have choices"
        for values in itertools.product(*choices):
            yield module, dict(zip(required, values))


CASES = list(cases())
FIRST = [next(group) for _, group in itertools.groupby(CASES, key=lambda case: case[0])]
"""The first training of each system."""
SMALLEST = next(case for case in FIRST if case[0].Options.system == "spot7")
EVERYDAY = [case if case is SMALLEST else slow(case) for case in CASES]


def name_of(case):
    """Name a training in the names of tests."""
    return " ".join([case[0].__name__.removeprefix("train."), *case[1].values()])


def model_of(module):
    """Return a class of the system's models."""
    models = importlib.import_module(f"models.{module.Options.system}")
    return next(
        kind
        for _, kind in inspect.getmembers(models, inspect.isclass)
        if issubclass(kind, SuperResolutionModel) and getattr(kind, "system", "") == module.Options.system
    )


@pytest.fixture(scope="module", autouse=True)
def eager_steps():
    """Trace the steps of a system's first training, as programs do."""
    with steps(eager=False):
        yield


def state_of(folder):
    """Return all numbers of the state that a training has kept, by name."""
    numbers = {}
    with h5py.File(folder / STATE_NAME) as file:
        file.visititems(lambda name, item: numbers.update({name: item[()]} if isinstance(item, h5py.Dataset) else {}))
        for number, epoch in enumerate(json.loads(file.attrs["history"])):
            numbers.update({f"{name} of epoch {number}": value for name, value in epoch.items()})
    return numbers


def killed_at(folder):
    """Return what puts a new folder in its place, and is killed when it has put this one."""
    moved = base.replace_folder

    def kill(new, old):
        moved(new, old)
        if old == folder:
            raise KeyboardInterrupt

    return kill


class Trainings:
    """Makes samples and trainings, each once."""

    def __init__(self, folder):
        self.folder, self.samples, self.made = folder, {}, {}

    def samples_of(self, module):
        """Return the samples of a system, and the options that go with them."""
        name = next(iter(inspect.signature(module.train).parameters))
        assert name in SAMPLES, f"tests/train/samples.py: expected samples named {name}, as {module.__name__} takes"
        if module not in self.samples:
            folder = self.folder / module.Options.system
            folder.mkdir()
            self.samples[module] = SAMPLES[name](folder, model_of(module))
        return self.samples[module]

    def options(self, case, **others):
        """Return the options of a short training of a small network."""
        module, chosen = case
        earlier = {
            word: str(self.train(other)[0].path)
            for other in itertools.takewhile(lambda other: other != case, (c for c in CASES if c[0] is module))
            for word in other[1].values()
            if word in kinds(module.Options) and kinds(module.Options)[word].weights
        }
        if "init" in others and chosen == {"stage": "joint"}:
            earlier = {}  # --init holds what came before
        given = {**SHORT, **self.samples_of(module)[1], **chosen, **earlier, **others}
        own = module.Options(**given).network_arguments()
        small = {name: value for name, value in SMALL.items() if name in own and "init" not in others}
        sizes = kinds(module.Options)["size"].choices
        return module.Options(**{**small, "size": "small" if "small" in sizes else sizes[0], **given})

    def train(self, case):
        """Return a training that was cancelled after its first epoch, killed when its model was in place, and ended.

        And what was seen of it.
        """
        name = name_of(case)
        if name not in self.made:
            module, samples = case[0], self.samples_of(case[0])[0]
            options, folder = self.options(case), self.folder / f"{name} model"
            kept = checkpoint_dir(folder, options)
            with pytest.raises(Cancelled), steps(eager=case not in FIRST):
                module.train(samples, folder, options, cancelled=lambda: epochs_done(kept) == 1)
            seen = {"is_whole": folder.exists(), "options": options, "kept": kept}
            with pytest.raises(ValueError, match="begun with learning_rate 0.001"):
                module.train(samples, folder, dataclasses.replace(options, learning_rate=1e-2))
            told = [], []
            with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt), steps(eager=True):
                patched.setattr(base, "replace_folder", killed_at(folder))
                module.train(samples, folder, options, progress=lambda fraction, text: told[0].append(fraction))
            seen["is_scored"] = (folder / "scores.json").exists()
            with steps(eager=True):
                training = module.train(
                    samples, folder, options, progress=lambda fraction, text: told[1].append(fraction)
                )
            seen["told"] = told
            self.made[name] = (training, seen)
        return self.made[name]


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    return Trainings(tmp_path_factory.mktemp("trainings"))


@pytest.fixture(params=EVERYDAY, ids=name_of)
def case(request):
    return request.param


def test_there_are_trainings():
    assert {module.Options.system for module in systems()} >= {"spot7", "dsen2", "l1bsr", "deepsum"}


@pytest.mark.parametrize("module", systems(), ids=lambda module: module.__name__)
def test_its_options_and_its_function_are_like_the_others(module):
    assert issubclass(module.Options, TrainingOptions) and issubclass(module.Command, module.Options)
    assert issubclass(module.Command, TrainingCommand) and model_of(module).system == module.Options.system
    names = list(inspect.signature(module.train).parameters)
    assert names[1:] == ["model_dir", "options", "progress", "cancelled"]
    assert names[0] in {field.name for field in dataclasses.fields(module.Command)}


def test_a_training_that_was_cancelled_goes_on(case, trainings):
    training, seen = trainings.train(case)
    assert not seen["is_whole"] and not seen["kept"].exists()
    assert len(training.history) == SHORT["epochs"]
    assert all(told == sorted(told) for told in seen["told"]) and seen["told"][1][-1] == 1


def test_a_training_that_is_killed_when_its_model_is_in_place_goes_on(case, trainings):
    training, seen = trainings.train(case)
    assert not seen["is_scored"] and training.path.exists() and training.scores


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_training_that_went_on_has_the_weights_of_one_that_was_not_interrupted(case, trainings):
    """All of its state after two epochs: weights, the optimizer's variables, losses."""
    states = []
    for name, ends in (("resumed", (1, 2)), ("whole", (2,))):
        folder = trainings.folder / f"{name_of(case)} {name}"
        options = dataclasses.replace(trainings.options(case), epochs=3)
        kept = checkpoint_dir(folder, options)
        for end in ends:
            with pytest.raises(Cancelled), steps(eager=True):
                samples = trainings.samples_of(case[0])[0]
                case[0].train(samples, folder, options, cancelled=lambda kept=kept, end=end: epochs_done(kept) == end)
        states.append(state_of(kept))
    resumed, whole = states
    assert whole.keys() == resumed.keys() and len(whole) > 2
    for name, values in whole.items():
        np.testing.assert_allclose(resumed[name], values, rtol=1e-6, atol=1e-7, err_msg=name)


def test_what_it_returns_is_what_it_leaves(case, trainings):
    training, seen = trainings.train(case)
    assert isinstance(training, Training)
    assert json.loads((training.path / "run.json").read_text()) == json.loads(json.dumps(training.record, default=str))
    assert json.loads((training.path / "scores.json").read_text()) == json.loads(json.dumps(training.scores))
    recorded = training.record["arguments"]
    for name, value in case[1].items() | SHORT.items():
        assert recorded[name] == value
    assert recorded["model_dir"] == str(training.path) and training.record["patches"]
    assert all({"loss", "val_loss"} <= epoch.keys() for epoch in training.history)


def test_its_model_is_described_and_can_be_built(case, trainings):
    training, _ = trainings.train(case)
    assert (training.path / WEIGHTS_NAME).exists()
    if training.description is None:
        assert not (training.path / FILE_NAME).exists()
        return
    assert training.description == read_description(training.path)
    assert training.description.system == case[0].Options.system
    model = build(training.description)
    load_weights(model.model, training.path)


def test_a_model_is_not_replaced_unless_asked(case, trainings):
    training, seen = trainings.train(case)
    with pytest.raises(ValueError, match="^--model-dir: expected a folder that does not exist, or --overwrite"):
        case[0].train(trainings.samples_of(case[0])[0], training.path, seen["options"])


def test_its_weights_say_what_the_network_is(case, trainings):
    training, seen = trainings.train(case)
    options = trainings.options(case, size=None, init=str(training.path))
    described = options.description_of_start()
    assert described == training.description
    for name, argument in options.network_arguments().items():
        if described and type(described.arguments.get(argument)) is int:
            other = dataclasses.replace(options, **{name: described.arguments[argument] + 1})
            with pytest.raises(ValueError, match=f"^--{name}: expected .*, as --init .* has it, got "):
                other.description_of_start()


def test_a_training_that_was_killed_when_all_was_done_is_completed(case, trainings, monkeypatch):
    """What tells that it was goes last, after the lock."""
    training, seen = trainings.train(case)
    removed, unlink = [], Path.unlink
    monkeypatch.setattr(Path, "unlink", lambda path, **words: removed.append(path.name) or unlink(path, **words))
    folder = checkpoint_dir(training.path, seen["options"])
    folder.mkdir()
    (folder / UNSCORED_NAME).touch()
    again = case[0].train(trainings.samples_of(case[0])[0], training.path, seen["options"])
    assert again.record == json.loads((training.path / "run.json").read_text()) and again.path == training.path
    assert again.description == training.description and not folder.exists()
    assert removed[-2:] == [LOCK_NAME, UNSCORED_NAME]
