# SPDX-License-Identifier: Apache-2.0
"""The losses of DeepSUM against values of the authors' graphs, and against their definitions."""

import numpy as np
import pytest
import tensorflow as tf

from datasets.deepsum.cmse import cmse_matrix
from models.deepsum import STATISTICS, DeepSUM
from tests.weights.deepsum_files import deepsum_shapes, draw
from train.deepsum.losses import cpsnr, filter_classes, registration_accuracy, registration_loss, shift_loss
from weights.formats.tensorflow1_checkpoint import NETWORKS, find_layers

pytestmark = pytest.mark.keras


@pytest.fixture(scope="module")
def vectors(shared_data):
    return dict(np.load(shared_data("deepsum_vectors") / "v9_full_random_weights.npz"))


def draw_images(rows=17, columns=14, clear=0.8, batch=3, seed=0):
    """Draw truths, images that are near the truths, displaced and brighter, and masks."""
    rng = np.random.default_rng(seed)
    truths = rng.normal(size=(batch, rows, columns, 1))
    images = np.stack([np.roll(truth, shift, (0, 1)) for truth, shift in zip(truths, ((1, -2), (0, 0), (-3, 3)))])
    images += 5 + 0.1 * rng.normal(size=images.shape)
    return truths, images, rng.uniform(size=truths.shape) < clear


def naive(truth, image, mask, border=3):
    """Compute the loss of one image (rows, columns, 1) as it is defined, in TensorFlow, position by position."""
    rows, columns = image.shape[0] - 2 * border, image.shape[1] - 2 * border
    inner, errors = image[border:-border, border:-border], []
    for u, v in np.ndindex(2 * border + 1, 2 * border + 1):
        part = np.s_[u : u + rows, v : v + columns]
        difference = (truth[part] - inner)[mask[part]]
        errors.append(tf.reduce_mean((difference - tf.reduce_mean(difference)) ** 2))
    return tf.reduce_min(tf.stack(errors))


@pytest.mark.parametrize("variant", ["P", "C"])
def test_loss_and_cpsnr_are_those_of_the_authors(vectors, variant):
    """Loss in units of the target's deviation, cPSNR and score of digital numbers."""
    mean, _, deviation = STATISTICS["NIR"]
    truths, images, mask = (vectors[name][:, 0] for name in ("y", f"{variant}_output", "mask_y"))
    loss = tf.reduce_mean(shift_loss(truths, images, mask))
    assert loss.numpy() == pytest.approx(vectors[f"{variant}_loss"], rel=1e-5)
    numbers = cpsnr(shift_loss(truths * deviation + mean, images * deviation + mean, mask)).numpy()
    assert numbers.mean() == pytest.approx(vectors[f"{variant}_psnr"], rel=1e-5)
    if variant == "P":
        score = (vectors["norm_baseline"][:, 0] / numbers).mean()
        assert score == pytest.approx(vectors["P_score"], rel=1e-5)


@pytest.mark.parametrize("border", [0, 1, 3])
def test_loss_and_its_gradient_are_those_of_the_definition(border):
    truths, images, masks = draw_images()
    tensor = tf.constant(images)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(tensor)
        losses = shift_loss(tf.constant(truths), tensor, tf.constant(masks), border)
        total = tf.reduce_sum(losses * [1.0, 2.0, 3.0])
        if border:
            wanted = [naive(*arrays, border) for arrays in zip(truths, tf.unstack(tensor), masks)]
        else:
            wanted = [tf.math.reduce_variance((truths[n] - tensor[n])[masks[n]]) for n in range(3)]
        wanted_total = tf.reduce_sum(tf.stack(wanted) * [1.0, 2.0, 3.0])
    np.testing.assert_allclose(losses, wanted, rtol=1e-10)
    gradient = tape.gradient(total, tensor).numpy()
    np.testing.assert_allclose(gradient, tape.gradient(wanted_total, tensor), rtol=1e-8, atol=1e-12)
    assert np.abs(gradient).max() > 0
    if border:
        assert not gradient[:, :border].any() and not gradient[:, :, -border:].any()


def test_a_displaced_and_brighter_image_is_right():
    """Displaced by 3 pixels at most, and by no more."""
    truth = np.random.default_rng(0).normal(size=(1, 20, 20, 1))
    clear = np.ones_like(truth)
    for shift, right in (((3, -3), True), ((0, 0), True), ((4, 0), False)):
        loss = shift_loss(truth, np.roll(truth, shift, (1, 2)) + 1000, clear).numpy()
        assert (loss[0] < 1e-20) == right and (right or loss[0] > 0.1)


def test_concealed_pixels_have_no_say():
    truths, images, masks = draw_images()
    wanted = shift_loss(truths, images, masks)
    np.testing.assert_array_equal(shift_loss(np.where(masks, truths, 1e6), images, masks), wanted)
    np.testing.assert_array_equal(shift_loss(truths, images, masks.astype("f8")), wanted)


def test_it_is_the_error_of_the_challenge():
    """In float64, of digital numbers, as the evaluation computes it."""
    truths, images, masks = draw_images()
    truths, images = 3000 + 1000 * truths, 3000 + 1000 * images
    losses = shift_loss(truths, images, masks).numpy()
    wanted = [cmse_matrix(*(array[n, ..., 0] for array in (truths, images, masks))).min() for n in range(3)]
    np.testing.assert_allclose(losses, wanted, rtol=1e-10)
    np.testing.assert_allclose(
        cpsnr(shift_loss(*(tf.constant(a, tf.float32) for a in (truths, images)), masks)),
        10 * np.log10(65535**2 / np.array(wanted)),
        rtol=1e-6,
    )


def test_small_errors_of_large_numbers_in_float32():
    """An error of 8 digital numbers, in images of 8000 that vary by 2000, is right to five digits."""
    rng = np.random.default_rng(0)
    truth = np.round(8000 + 2000 * rng.normal(size=(1, 96, 96, 1))).astype("f4")
    image = truth + np.round(8 * rng.normal(size=truth.shape)).astype("f4")
    clear = rng.uniform(size=truth.shape) < 0.9
    wanted = cmse_matrix(*(array[0, ..., 0] for array in (truth, image, clear))).min()
    assert 50 < wanted < 80
    assert shift_loss(truth, image, clear).numpy()[0] == pytest.approx(wanted, rel=1e-5)


def test_truths_without_a_clear_pixel():
    """A position without any does not count; a truth without any is an error of infinity, and teaches nothing."""
    truths, images, masks = draw_images(batch=3)
    masks[0] = False
    masks[0, :2, :2] = True  # seen from the first positions only
    masks[1] = False
    tensor = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        losses = shift_loss(truths, tensor, masks)
    gradient = tape.gradient(losses, tensor).numpy()
    assert np.isfinite(losses.numpy()[[0, 2]]).all() and losses.numpy()[1] == np.inf
    assert np.isfinite(gradient).all() and not gradient[1].any() and gradient[2].any()


def test_it_works_on_images_of_any_size_in_a_graph():
    spec = tf.TensorSpec((None, None, None, 1))
    function = tf.function(shift_loss, input_signature=[spec] * 3)
    for rows, columns in ((9, 20), (17, 14)):
        arrays = [array.astype("f4") for array in draw_images(rows, columns)]
        np.testing.assert_allclose(function(*arrays), shift_loss(*arrays), rtol=1e-5)


def test_gradients_of_all_weights_are_those_of_the_authors(vectors):
    """Through fills, filters and the best position. Biases before a normalisation, or of all pixels, have none."""
    variables = draw(deepsum_shapes())
    model = DeepSUM.from_bands()
    layers = find_layers({name: array.shape for name, array in variables.items()}, variables.get).layers
    for name, weights in layers.items():
        model.model.get_layer(name).set_weights(weights)
    mean, deviation, target_deviation = STATISTICS["NIR"]
    frames = vectors["x"][..., 0].transpose(0, 2, 3, 1) * deviation + mean
    masks = vectors["mask_registered"][..., 0].transpose(0, 2, 3, 1).astype("f4")
    trained = model.training_model()
    with tf.GradientTape() as tape:
        images, _ = trained({"frames": tf.constant(frames), "masks": tf.constant(masks)})
        truths = vectors["y"][:, 0] * target_deviation + mean
        losses = shift_loss(truths, images, vectors["mask_y"][:, 0]) / target_deviation**2
        loss = tf.reduce_mean(losses)
    assert loss.numpy() == pytest.approx(vectors["P_loss"], rel=1e-5)
    plan = list(NETWORKS["DeepSUM"][2](64))
    gradients = tape.gradient(loss, {ours: trained.get_layer(ours).trainable_weights for _, ours, _ in plan})
    norms = dict(zip(vectors["P_grad_names"], vectors["P_grad_l2"]))
    received = {
        f"{theirs}/{part}": np.linalg.norm(gradient.numpy().astype("f8"))
        for theirs, ours, parts in plan
        for part, gradient in zip(parts, gradients[ours])
        if part != "b" or theirs.startswith("Rconv")
    }
    assert len(norms) == 60 and len(received) == 47
    for name, norm in received.items():
        # Those of a normalisation are sums over all pixels that nearly cancel.
        assert norm == pytest.approx(norms[name], rel=3e-3 if "norm" in name else 1e-3), name


def test_classes_of_displacements_are_those_of_the_authors(vectors):
    classes = filter_classes(tf.constant(vectors["shifts"][:, 1:]))
    np.testing.assert_array_equal(classes, vectors["y_filters"].argmax(axis=-1))
    assert len(np.unique(classes)) > 5


def test_classes_of_displacements():
    displacements = np.array([[0, 0], [-4, -4], [4, 4], [0, 1], [1, 0]], "i4")
    assert filter_classes(displacements).numpy().tolist() == [40, 0, 80, 41, 49]
    with pytest.raises(tf.errors.InvalidArgumentError, match="displacements: expected at most 4 pixels"):
        filter_classes(tf.constant([[0, 5]]))


def test_registration_loss_and_accuracy():
    rng = np.random.default_rng(0)
    displacements, logits = rng.integers(-4, 5, (2, 8, 2)).astype("i4"), rng.normal(size=(2, 8, 81)).astype("f4")
    flat = logits.reshape(2, 8, 9, 9)
    for scene in range(2):
        for frame in range(3):
            row, column = displacements[scene, frame] + 4
            flat[scene, frame, row, column] = 9
    likelihoods = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    right = likelihoods.reshape(2, 8, 9, 9)[
        np.arange(2)[:, None], np.arange(8), displacements[..., 0] + 4, displacements[..., 1] + 4
    ]
    np.testing.assert_allclose(registration_loss(displacements, logits), -np.log(right).mean(axis=1), rtol=1e-5)
    accuracy = registration_accuracy(displacements, logits).numpy()
    others = (likelihoods.argmax(axis=-1) == filter_classes(displacements).numpy()).mean(axis=1)
    assert np.array_equal(accuracy, others.astype("f4")) and (accuracy >= 3 / 8).all() and (accuracy < 1).all()
