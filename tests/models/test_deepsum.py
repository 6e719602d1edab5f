# SPDX-License-Identifier: Apache-2.0
"""`DeepSUM` against values of the authors' graphs, and its parts in numpy."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.signal import correlate
from tensorflow import keras

from models.base import export, policy
from models.deepsum import SIZES, STATISTICS, VARIANTS, DeepSUM, load_part
from models.deepsum_layers import DynamicFilters, FillConcealed, PairConvolution
from models.layers import InstanceNormalization, ReflectPadding
from models.weights_file import load_weights, save_weights
from tests.examples import slow
from tests.weights.deepsum_files import deepsum_shapes, draw
from weights.formats.tensorflow1_checkpoint import find_layers

pytestmark = pytest.mark.keras

TINY = {"depth": 3}


def load(model, variables):
    """Give a Keras model variables of a checkpoint, by their names there."""
    layers = find_layers({name: array.shape for name, array in variables.items()}, variables.get).layers
    for name, weights in layers.items():
        model.get_layer(name).set_weights(weights)
    assert layers.keys() == {layer.name for layer in model.layers if layer.weights}


def randomize(model, seed=0):
    """Draw all weights, so that features keep their size."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        drawn = []
        for array in layer.get_weights():
            size = 1 / np.sqrt(np.prod(array.shape[:-1])) if array.ndim > 1 else 0.1
            drawn.append(rng.normal(size=array.shape) * size)
        if "_norm_" in layer.name:
            drawn[0] += 1
        layer.set_weights(drawn)


def scenes(batch=1, rows=12, columns=11, clear=0.7, seed=0):
    """Draw inputs of the model."""
    rng = np.random.default_rng(seed)
    frames = rng.uniform(4000, 12000, (batch, rows, columns, 9)).astype("f4")
    masks = (rng.uniform(size=frames.shape) < clear).astype("f4")
    return {"frames": tf.constant(frames), "masks": tf.constant(masks)}


@pytest.fixture(scope="module")
def vectors(shared_data):
    return dict(np.load(shared_data("deepsum_vectors") / "v9_full_random_weights.npz"))


@pytest.fixture(scope="module")
def variables(vectors):
    """The 60 variables of the vectors, by the rule in the facts about them."""
    drawn = draw(deepsum_shapes())
    assert list(drawn) == list(vectors["weight_names"])
    sums = [array.sum(dtype="f8") for array in drawn.values()]
    np.testing.assert_allclose(sums, vectors["weight_sum"], rtol=1e-9, atol=1e-9)
    return drawn


def inputs_of(vectors):
    """Turn standardised frames (batch, frames, rows, columns, 1) and their masks into inputs of the model."""
    mean, deviation, _ = STATISTICS["NIR"]
    frames = vectors["x"][..., 0].transpose(0, 2, 3, 1).astype("f8") * deviation + mean
    masks = vectors["mask_registered"][..., 0].transpose(0, 2, 3, 1)
    return {"frames": tf.constant(frames, tf.float32), "masks": tf.constant(masks, tf.float32)}


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_is_that_of_the_authors(vectors, variables, variant):
    """Both graphs have been given the same masks, those that are registered."""
    model = DeepSUM.from_bands(variant=variant)
    assert model.model.count_params() == 1045330 and len(model.model.weights) == 60
    load(model.model, variables)
    images, logits = model.training_model()(inputs_of(vectors))
    mean, _, deviation = STATISTICS["NIR"]
    output = vectors[f"{variant}_output"][:, 0]
    assert np.ptp(output) > 5
    np.testing.assert_allclose((images.numpy() - mean) / deviation, output, rtol=0, atol=1e-4)
    filters = tf.nn.softmax(logits).numpy().reshape(2, 8, 9, 9)
    np.testing.assert_allclose(filters, vectors[f"{variant}_filters"], rtol=0, atol=1e-5)
    if variant == "P":
        np.testing.assert_allclose(logits, vectors["P_logits_filters"], rtol=0, atol=1e-4)
        features = model.features_model()(vectors["x"][:1, 0])
        np.testing.assert_allclose(features, vectors["features_b0_t0"][0], rtol=0, atol=1e-4)


@pytest.mark.slow
def test_variants_differ(vectors, variables):
    """As the vectors have holes, each is far from the other's."""
    found = []
    for variant in VARIANTS:
        model = DeepSUM.from_bands(variant=variant)
        load(model.model, variables)
        found.append(model.model(inputs_of(vectors))["sr"].numpy())
    assert np.abs(found[0] - found[1]).max() > 1000


def convolved(image, kernel, bias, mode):
    """Convolve (rows, columns, bands), padding as numpy does."""
    side = kernel.shape[0] // 2
    padded = np.pad(image.astype("f8"), ((side, side), (side, side), (0, 0)), mode=mode)
    bands = [correlate(padded, kernel[..., k], "valid")[..., 0] for k in range(kernel.shape[3])]
    return np.stack(bands, axis=-1) + bias


def features_in_numpy(model, image, mode):
    for number in range(1, 9):
        image = convolved(image, *model.get_layer(f"sisr_{number}").get_weights(), mode)
        gamma, beta = model.get_layer(f"sisr_norm_{number}").get_weights()
        deviation = np.sqrt(image.var(axis=(0, 1)) + 1e-3)
        image = (image - image.mean(axis=(0, 1))) / deviation * gamma + beta
        image = np.where(image > 0, image, 0.2 * image)
    return image


@pytest.mark.parametrize("name, mode", [("features_model", "reflect"), ("sisrnet_model", "constant")])
def test_features_and_their_pre_training_in_numpy(name, mode):
    """The joint network mirrors borders, the pre-training has zeros beyond them, and a last layer of its own."""
    model = getattr(DeepSUM.from_bands(**TINY), name)()
    randomize(model)
    images = np.random.default_rng(0).normal(size=(2, 9, 14, 1))
    received = model(images.astype("f4")).numpy()
    for image, one in zip(images, received):
        wanted = features_in_numpy(model, image, mode)
        if name == "sisrnet_model":
            kernel, bias = model.get_layer("sisr_head").get_weights()
            wanted = wanted @ kernel[0, 0] + bias + image
        np.testing.assert_allclose(one, wanted, rtol=0, atol=1e-4)


def test_registration_in_numpy():
    model = DeepSUM.from_bands(**TINY).registration_model(frames=3)
    randomize(model)
    features = np.random.default_rng(0).normal(size=(2, 3, 8, 11, 3))
    received = model(features.astype("f4")).numpy()
    assert received.shape == (2, 2, 81) and np.ptp(received) > 0.1
    for scene, logits in zip(features, received):
        for frame, one in zip(scene[1:], logits):
            tensor = np.concatenate([frame, scene[0]], axis=-1)
            for number in range(1, 6):
                tensor = convolved(tensor, *model.get_layer(f"registration_{number}").get_weights(), "reflect")
                tensor = tensor if number == 5 else np.where(tensor > 0, tensor, 0.2 * tensor)
            np.testing.assert_allclose(one, tensor.mean(axis=(0, 1)), rtol=0, atol=1e-4)


def test_models_share_their_weights():
    model = DeepSUM.from_bands(**TINY)
    parts = [model.features_model(), model.sisrnet_model(), model.registration_model(), model.training_model()]
    whole = {id(weight) for weight in model.model.weights}
    shared = [{id(weight) for weight in part.weights} for part in parts]
    assert shared[3] == whole and len(whole) == 60
    assert shared[0] < shared[1] and shared[0] | shared[2] < whole and not shared[0] & shared[2]
    assert [len(ids) for ids in shared] == [32, 34, 10, 60] and len(shared[1] & whole) == 32
    again = model.sisrnet_model()
    assert {id(weight) for weight in again.weights} == shared[1]


def test_pre_trained_parts_are_loaded(tmp_path):
    source, target = (DeepSUM.from_bands(**TINY) for _ in range(2))
    for kind in ("sisrnet", "registration"):
        before = target.model.get_weights()
        part = getattr(source, f"{kind}_model")()
        randomize(part, seed=1)
        save_weights(part, tmp_path / kind)
        assert load_part(target, tmp_path / kind) == kind
        loaded = getattr(target, f"{kind}_model")()
        assert all(np.array_equal(*pair) for pair in zip(loaded.get_weights(), part.get_weights(), strict=True))
        kept = [
            np.array_equal(old, new)
            for old, new in zip(before, target.model.get_weights(), strict=True)
            if old.ndim > 1
        ]
        assert kept.count(False) == {"sisrnet": 8, "registration": 5}[kind]
    with pytest.raises(ValueError, match=r"^weights: expected registration_1/bias of shape \(8,\), got \(6,\)"):
        load_part(DeepSUM.from_bands(depth=4), tmp_path / "registration")
    save_weights(source.model, tmp_path / "whole")
    with pytest.raises(ValueError, match="^weights: expected fusion_1/bias of shape None"):
        load_part(target, tmp_path / "whole")
    with pytest.raises(ValueError, match="^weights: expected a readable HDF5 file"):
        load_part(target, tmp_path / "none")


def test_a_kernel_moves_a_displaced_frame_onto_the_reference():
    """A frame shows at (y, x) what the reference has at (y - dy, x - dx): row dy + 4, column dx + 4 of the kernel."""
    rng = np.random.default_rng(0)
    ground = rng.normal(size=(40, 40, 2))
    displacements = [(4, -3), (-2, 0), (0, 4)]
    frames = [ground[8:28, 8:30], *(ground[8 - y : 28 - y, 8 - x : 30 - x] for y, x in displacements)]
    kernels = np.zeros((1, 3, 9, 9), "f4")
    for number, (y, x) in enumerate(displacements):
        kernels[0, number, y + 4, x + 4] = 1
    moved = DynamicFilters(9)([np.stack(frames)[np.newaxis].astype("f4"), kernels.reshape(1, 3, 81)])[0]
    assert np.array_equal(moved[0], frames[0].astype("f4"))
    for frame in moved[1:]:
        np.testing.assert_allclose(frame[4:-4, 4:-4], frames[0][4:-4, 4:-4], rtol=0, atol=1e-5)


def test_dynamic_filters_are_scipys():
    rng = np.random.default_rng(0)
    frames, kernels = rng.normal(size=(2, 4, 7, 5, 3)), rng.normal(size=(2, 3, 9, 9))
    received = DynamicFilters(9)([frames.astype("f4"), kernels.reshape(2, 3, 81).astype("f4")])
    assert np.array_equal(received[:, 0], frames[:, 0].astype("f4"))
    for scene, frame, band in np.ndindex(2, 3, 3):
        padded = np.pad(frames[scene, frame + 1, ..., band], 4, mode="reflect")
        wanted = correlate(padded, kernels[scene, frame], "valid")
        np.testing.assert_allclose(received[scene, frame + 1, ..., band], wanted, rtol=0, atol=1e-4)


def test_concealed_pixels_are_filled_in_order():
    rng = np.random.default_rng(0)
    frames, clear = rng.normal(size=(2, 9, 6, 5, 2)).astype("f4"), rng.uniform(size=(2, 6, 5, 9)) < 0.3
    clear[0, 0, 0] = False
    received = FillConcealed()([frames, clear.astype("f4")]).numpy()
    for scene, frame, row, column in np.ndindex(frames.shape[:4]):
        mask = clear[scene, row, column]
        source = frame if mask[frame] or not mask.any() else int(np.flatnonzero(mask)[0])
        assert np.array_equal(received[scene, frame, row, column], frames[scene, source, row, column])


@pytest.mark.parametrize("shape", [(2, 7, 5, 3), (2, 4, 7, 5, 3)])
def test_instance_normalization(shape):
    layer = InstanceNormalization()
    images = np.random.default_rng(0).normal(3, 2, shape)
    layer.build(shape)
    layer.set_weights([np.array([1, 2, 0.5]), np.array([0, -1, 3])])
    mean, variance = (reduce(images, axis=(-3, -2), keepdims=True) for reduce in (np.mean, np.var))
    wanted = (images - mean) / np.sqrt(variance + 1e-3) * [1, 2, 0.5] + [0, -1, 3]
    np.testing.assert_allclose(layer(images.astype("f4")), wanted, rtol=0, atol=1e-5)


def test_padding_of_frames_is_numpys():
    frames = np.random.default_rng(0).normal(size=(2, 3, 4, 6, 2)).astype("f4")
    wanted = np.pad(frames, ((0, 0), (0, 0), (3, 3), (3, 3), (0, 0)), mode="reflect")
    assert np.array_equal(ReflectPadding(3)(frames), wanted)


@pytest.mark.parametrize(
    "layer", [DynamicFilters(9), PairConvolution(4, 3, "ones"), InstanceNormalization(1e-5)], ids=lambda one: one.name
)
def test_layers_are_made_again_of_their_configuration(layer):
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize(
    "statistics, variant",
    [
        ("NIR", "P"),
        ("RED", "C"),
        slow("NIR", "C"),
        slow("RED", "P"),
    ],
)
def test_statistics_are_those_of_the_inputs(variant, statistics):
    """Where the network adds nothing, and all is clear, the image is the mean of the frames, of any statistics."""
    names = ("mean", "deviation", "target_deviation")
    model = DeepSUM.from_bands(**TINY, variant=variant, **dict(zip(names, STATISTICS[statistics])))
    last = model.model.get_layer("fusion_last")
    last.set_weights([0 * array for array in last.get_weights()])
    kernel, bias = model.model.get_layer("registration_5").get_weights()
    bias[40] = 100  # the middle of 9 x 9: nothing moves
    model.model.get_layer("registration_5").set_weights([0 * kernel, bias])
    inputs = scenes(clear=1)
    received = model.model(inputs)["sr"].numpy()
    np.testing.assert_allclose(received[..., 0], inputs["frames"].numpy().mean(axis=-1), rtol=1e-6)


def test_statistics_of_the_bands():
    """The authors' configuration for RED is a copy of that for NIR; their graph has its own."""
    assert np.allclose(STATISTICS["NIR"], (7754.664, 2316.3408, 596.982), rtol=1e-6)
    assert np.allclose(STATISTICS["RED"], (4913.21728515625, 2468.337158203125, 490.3779296875), rtol=0)
    assert tuple(DeepSUM.from_bands(**TINY).arguments.values())[2:] == STATISTICS["NIR"]


def test_scenes_of_a_batch_do_not_mix():
    model = DeepSUM.from_bands(**TINY)
    randomize(model.model)
    inputs = scenes(batch=3, rows=5, columns=6)
    together = model.model(inputs)["sr"].numpy()
    for number in range(3):
        alone = model.model({name: tensor[number : number + 1] for name, tensor in inputs.items()})["sr"]
        np.testing.assert_allclose(together[number], alone[0], rtol=0, atol=0.05)
    assert np.ptp(together) > 1000


@pytest.mark.parametrize("variant", ["P", slow("C")])
def test_where_nothing_is_clear_nothing_is_filled(variant):
    model = DeepSUM.from_bands(**TINY, variant=variant)
    randomize(model.model)
    inputs = scenes(clear=0)
    unfilled = model.model(inputs)["sr"].numpy()
    clear = model.model({**inputs, "masks": tf.ones_like(inputs["masks"])})["sr"].numpy()
    assert np.isfinite(unfilled).all() and np.array_equal(unfilled, clear)
    masks = np.ones(inputs["masks"].shape, "f4")
    masks[..., 3] = 0
    filled = model.model({**inputs, "masks": tf.constant(masks)})["sr"].numpy()
    assert np.abs(filled - clear).max() > 1


def test_mixed_precision():
    """Inner convolutions have 16 bits; the image differs by a little of its deviation."""
    with policy("mixed_bfloat16"):
        mixed = DeepSUM.from_bands(depth=4)
    assert mixed.precision == "bfloat16"
    types = {layer.name: layer.compute_dtype for layer in mixed.model.layers if layer.weights}
    assert {name for name, dtype in types.items() if dtype == "bfloat16"} == {
        *(f"sisr_{number}" for number in range(2, 9)),
        *(f"registration_{number}" for number in range(2, 5)),
        *(f"fusion_{number}" for number in range(1, 5)),
    }
    model = DeepSUM.from_bands(depth=4)
    randomize(model.model)
    mixed.model.set_weights(model.model.get_weights())
    inputs = scenes()
    images = [one.model(inputs)["sr"] for one in (model, mixed)]
    assert images[1].dtype == tf.float32
    assert 0 < np.abs(images[0] - images[1]).max() < 0.2 * STATISTICS["NIR"][2]


def test_it_is_trained_with_its_logits():
    """Gradients reach all weights, through filters and fills; a step lowers the loss."""
    model = DeepSUM.from_bands(**TINY)
    trained = model.training_model()
    inputs = scenes(batch=2)

    def losses():
        images, logits = trained(inputs, training=True)
        classes = tf.zeros(logits.shape[:2], tf.int32)
        registration = tf.nn.sparse_softmax_cross_entropy_with_logits(classes, logits)
        return tf.reduce_mean(((images - 9000) / 1000) ** 2) + tf.reduce_mean(registration)

    with tf.GradientTape() as tape:
        before = losses()
    gradients = tape.gradient(before, trained.trainable_weights)
    assert len(gradients) == 60 and all(np.isfinite(gradient).all() for gradient in gradients)
    kernels = [gradient for gradient in gradients if len(gradient.shape) > 1]
    assert len(kernels) == 18 and all(np.abs(gradient).max() > 0 for gradient in kernels)
    keras.optimizers.SGD(1e-2).apply_gradients(zip(gradients, trained.trainable_weights))
    assert losses() < before


def test_it_starts_as_the_authors_did():
    """Truncated at two deviations, of the size that Glorot gives, by the authors' count of a pair's kernel."""
    model = DeepSUM.from_bands()
    for name, deviation in {"sisr_2": 0.047507, "fusion_1": 0.027428, "registration_1": np.sqrt(1.3 / 1728)}.items():
        kernel = model.model.get_layer(name).get_weights()[0]
        assert np.abs(kernel).max() <= 2 * deviation * 1.01
        assert kernel.std() == pytest.approx(0.8796 * deviation, rel=0.02)


def test_its_description_and_its_sizes():
    model = DeepSUM.from_bands(**SIZES["small"], variant="C")
    content = model.description()
    assert [(source["name"], len(source["bands"]), source["gsd"]) for source in content["sources"]] == [
        ("frames", 9, 100.0),
        ("masks", 9, 100.0),
    ]
    assert content["sources"][0]["bands"][::8] == ["frame1", "frame9"]
    assert content["sources"][1]["bands"][::8] == ["mask1", "mask9"]
    assert content["output"] == {"bands": ["sr"], "gsd": 100.0}
    assert content["whole_image"] and content["crop"] == 0 and content["shift"] == 0
    assert content["arguments"]["variant"] == "C" and content["arguments"]["depth"] == 16
    assert SIZES["paper"] == {"depth": 64}


@pytest.mark.slow
def test_its_export_is_the_network_that_its_description_builds(tmp_path):
    model = DeepSUM.from_bands(**SIZES["small"], variant="C")
    export(model, tmp_path / "model")
    network = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    assert set(network.structured_outputs) == {"sr", "sr_dn"}
    again = DeepSUM.from_bands(**model.description()["arguments"])
    load_weights(again.model, tmp_path / "model")
    inputs = scenes()
    np.testing.assert_allclose(network(**inputs)["sr"], again.model(inputs)["sr"], rtol=1e-5)


@pytest.mark.parametrize(
    "arguments", [{"variant": "A"}, {"depth": 0}, {"deviation": 0.0}, {"target_deviation": -1.0}], ids=str
)
def test_arguments_out_of_range(arguments):
    with pytest.raises(ValueError, match=f"^{next(iter(arguments))}: expected .*, got "):
        DeepSUM.from_bands(**arguments)
