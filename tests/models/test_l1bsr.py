# SPDX-License-Identifier: Apache-2.0
"""`REC` and `CSR` against values of the authors' networks, and against both networks in numpy."""

import json
import zlib

import numpy as np
import pytest
import tensorflow as tf
from osgeo import gdal
from scipy.signal import correlate
from tensorflow import keras

from models.flow_refinement import refine
from models.l1bsr import CSR, CSR_SIZES, GREEN, OTHERS, REC, REC_SIZES
from models.layers import PixelShuffle, ReflectPadding
from models.warp import standardize, warp
from tests.examples import slow
from weights.formats.torch_file import TorchFile

pytestmark = pytest.mark.keras

TINY = {"num_groups": 2, "num_blocks": 2, "depth": 6, "reduction": 3}


def layer_of(key):
    """Return the name of the layer that has the weights of a convolution of the authors' networks."""
    parts = key.split(".")
    if len(parts) == 1 or "conv" in parts[0]:
        part = {"convPool": "encode", "convBinl": "decode", "conv": "flow_"}[parts[0][:-1]] + parts[0][-1]
        return part if len(parts) == 1 else f"{part}_{parts[2][-1]}"
    if parts[0] in ("head", "tail"):
        return {"head.0": "head", "tail.0.0": "upsample", "tail.1": "last"}[key]
    if len(parts) == 2:
        return "body_last"
    group = f"group{int(parts[1]) + 1}"
    if len(parts) == 4:
        return f"{group}_last"
    ends = {"body.0": "1", "body.2": "2", "body.3.conv_du.0": "squeeze", "body.3.conv_du.2": "excite"}
    return f"{group}_block{int(parts[3]) + 1}_{ends['.'.join(parts[4:])]}"


def load(model, arrays):
    """Give a Keras model weights in torch's order; the shuffled features are ordered otherwise there."""
    keys = {key.rsplit(".", 1)[0] for key in arrays}
    for key in keys:
        kernel, bias = arrays[f"{key}.weight"], arrays[f"{key}.bias"]
        if layer_of(key) == "upsample":
            kernel, bias = (np.concatenate([array[part::4] for part in range(4)]) for array in (kernel, bias))
        model.get_layer(layer_of(key)).set_weights([kernel.transpose(2, 3, 1, 0), bias])
    assert {layer_of(key) for key in keys} == {layer.name for layer in model.layers if layer.weights}


def bands_last(array):
    return np.moveaxis(array, 1, -1)


def counts(crop):
    return {"x10": tf.constant(crop[np.newaxis].astype("float32"))}


def randomize(model, deviation):
    """Draw all weights, biases too, so that features are neither gone nor without bounds."""
    rng = np.random.default_rng(1)
    for layer in model.layers:
        layer.set_weights([rng.normal(0, deviation, weight.shape) for weight in layer.get_weights()])


def convolution(model, image, name, mode):
    """Convolve (rows, columns, bands) by the weights of a layer, padding as numpy does."""
    kernel, bias = model.get_layer(name).get_weights()
    side = kernel.shape[0] // 2
    padded = np.pad(image.astype("float64"), ((side, side), (side, side), (0, 0)), mode=mode)
    return (
        np.stack([correlate(padded, kernel[..., k], "valid")[..., 0] for k in range(kernel.shape[3])], axis=-1) + bias
    )


@pytest.fixture(scope="module")
def vectors(shared_data):
    return shared_data("l1bsr_vectors")


@pytest.fixture(scope="module")
def authors_csr(vectors):
    """`CSR` with the random weights of the vectors, in the form of the authors' file."""
    model = CSR.from_bands()
    load(model.model, TorchFile(vectors / "csr_random.pth.tar").root["state_dictCSR"])
    return model


@pytest.fixture(scope="module")
def authors_rec(vectors):
    """`REC` of the paper's size, with weights drawn by the rule of the vectors' README: all 1628 tensors by name."""
    arrays = np.load(vectors / "rec_full.npz")
    shapes = json.loads((vectors / "rec_full_keys.json").read_text())
    shapes = dict(shapes if isinstance(shapes, dict) else [(key, shape) for key, shape in shapes])
    weights = {}
    for key, shape in shapes.items():
        limit = 1 / np.sqrt(np.prod(shapes[f"{key.rsplit('.', 1)[0]}.weight"][1:]))
        drawn = np.random.RandomState(zlib.crc32(key.encode())).uniform(-limit, limit, size=shape)
        weights[key] = drawn.astype("float32")
    weights["tail.1.bias"] = np.array([1.5, 1.5, 1.5, 2.0], "float32")
    firsts = [weights[key].flat[0] for key in arrays["check_keys"]]
    assert len(firsts) == len(weights) == 1628 and np.array_equal(firsts, arrays["check_first"])
    sums = [weights[key].sum(dtype="float64") for key in arrays["check_keys"]]
    assert np.allclose(sums, arrays["check_sum"], rtol=0, atol=1e-9)
    model = REC.from_bands()
    load(model.model, weights)
    return model


@pytest.mark.parametrize("odd", ["", "odd_"])
def test_rec_is_that_of_the_authors(vectors, odd):
    """2 groups of 3 blocks, 64 features; 24 x 20 and 13 x 17 pixels."""
    model = REC.from_bands(num_groups=2, num_blocks=3)
    load(model.model, dict(np.load(vectors / "rec_small_2g3b_weights.npz")))
    arrays = np.load(vectors / "rec_small_2g3b_io.npz")
    image = model.model(counts(arrays[f"{odd}crop_uint16"]))["sr"].numpy()
    wanted = bands_last(arrays[f"{odd}out_f32"])
    assert image.shape == wanted.shape and np.abs(image / 400 - wanted).max() < 1e-5
    if not odd:
        assert np.abs(image / 400 - bands_last(arrays["out_f64"])).max() < 1e-5
        assert np.abs(np.trunc(image) - bands_last(arrays["out_uint16"]).astype(int)).max() <= 1


@pytest.mark.slow
def test_rec_of_the_papers_size_is_that_of_the_authors(vectors, authors_rec):
    arrays, model = np.load(vectors / "rec_full.npz"), authors_rec
    assert model.arguments == {**REC_SIZES["paper"], "registered": False, "sharp": False}
    assert len(model.model.weights) == 1628 and model.model.count_params() == 15445796
    names = {
        "mid_head": "head",
        "mid_g0_b0_ca": "group1_block1_weigh",
        "mid_g0_b0": "group1_block1_add",
        "mid_g0": "group1_add",
        "mid_g9": "group10_add",
        "mid_upsampled": "shuffle",
    }
    outputs = {key: model.model.get_layer(name).output for key, name in names.items()}
    outputs["sr"] = model.model.output["sr"]
    found = keras.Model(model.model.input, outputs)(counts(arrays["crop_uint16"]))
    for key in names:  # the largest feature is of 9
        assert np.abs(found[key][..., :8] - bands_last(arrays[key])).max() < 1e-5 * max(np.abs(arrays[key]).max(), 1)
    image = found["sr"].numpy()
    assert np.abs(image / 400 - bands_last(arrays["out_f64"])).max() < 1e-5
    assert np.abs(np.trunc(image) - bands_last(arrays["out_uint16"]).astype(int)).max() <= 1


def test_csr_is_that_of_the_authors(vectors, authors_csr):
    assert authors_csr.arguments == {**CSR_SIZES["paper"], "refinements": 0}
    assert len(authors_csr.model.weights) == 36 and authors_csr.model.count_params() == 4104674
    arrays = np.load(vectors / "csr_io.npz")
    images = counts(arrays["crop_uint16"])
    normalised = arrays["normalised"][:, 0].transpose(1, 2, 0)
    assert np.allclose(standardize(images["x10"])[0], normalised, rtol=1e-5, atol=1e-6)
    outputs = {name: tensor.numpy()[0] for name, tensor in authors_csr.model(images).items()}
    flows = np.stack(np.split(outputs["flow"], 3, axis=-1))
    assert np.ptp(flows) > 10 and np.abs(flows - bands_last(arrays["flow_f64"])).max() < 1e-3
    registered, written = outputs["sr"], arrays["registered_uint16"][:, 0].transpose(1, 2, 0)
    # A thousandth of a pixel, times the steepest slope of the image:
    assert np.abs(registered[..., list(OTHERS)] - arrays["warped_f32"][:, 0].transpose(1, 2, 0)).max() < 0.2
    assert np.abs(np.trunc(registered) - written.astype(int)).max() <= 1
    assert np.array_equal(registered[..., GREEN], arrays["crop_uint16"][..., GREEN])


def test_blocks_of_csr_are_those_of_the_authors(vectors):
    model = CSR.from_bands()
    load(model.model, TorchFile(vectors / "csr_random.pth.tar").root["state_dictCSR"])
    arrays = np.load(vectors / "csr_io.npz")
    pools, ups = (
        [layer.output for layer in model.model.layers if isinstance(layer, kind)]
        for kind in (keras.layers.MaxPooling2D, keras.layers.UpSampling2D)
    )
    outputs = {f"mid_convPool{number}": tensor for number, tensor in enumerate(pools, start=1)}
    outputs |= {f"mid_convBinl{number}": tensor for number, tensor in enumerate(ups, start=1)}
    outputs |= {f"mid_conv{number}": model.model.get_layer(f"flow_{number}").output for number in (1, 2)}
    found = keras.Model(model.model.input, outputs)(counts(arrays["crop_uint16"]))
    assert len(outputs) == 10
    for name, tensor in found.items():
        assert np.abs(tensor[:1, ..., :4] - bands_last(arrays[name])).max() < 1e-4 * np.abs(arrays[name]).max()


def test_a_pair_has_the_flow_of_the_authors(vectors, authors_csr):
    arrays = np.load(vectors / "csr_io.npz")
    pairs = authors_csr.pair_model()
    flow = pairs(bands_last(arrays["csr_input"])).numpy()
    assert np.abs(flow - bands_last(arrays["flow_f64"])).max() < 1e-3
    weights = {id(weight) for weight in authors_csr.model.trainable_weights}
    assert {id(weight) for weight in pairs.trainable_weights} == weights and len(weights) == 36


@pytest.mark.slow
def test_a_whole_image_is_registered_as_by_the_authors_program(vectors, shared_data, authors_csr):
    image = gdal.Open(str(shared_data("l1bsr") / "00.tif")).ReadAsArray().transpose(1, 2, 0)
    arrays = np.load(vectors / "e2e_00tif_full_image.npz")
    registered = np.trunc(authors_csr.model(counts(image))["sr"].numpy()[0].transpose(2, 0, 1))
    assert registered.shape == tuple(arrays["reg_shape"])
    window = arrays["reg_uint16_rows100_164_cols100_164"].astype(int)
    assert np.abs(registered[:, 100:164, 100:164] - window).max() <= 1
    assert np.allclose(registered.mean(axis=(1, 2)), arrays["reg_mean"], rtol=0, atol=0.1)


@pytest.mark.slow
def test_a_whole_image_is_super_resolved_as_by_the_authors_program(vectors, shared_data, authors_rec):
    image = gdal.Open(str(shared_data("l1bsr") / "00.tif")).ReadAsArray().transpose(1, 2, 0)
    arrays = np.load(vectors / "e2e_00tif_full_image.npz")
    compute = tf.function(authors_rec.model, autograph=False)  # frees features that are no longer needed
    made = np.trunc(compute(counts(image))["sr"].numpy()[0].transpose(2, 0, 1))
    assert made.shape == tuple(arrays["sr_shape"])
    window = arrays["sr_uint16_rows300_364_cols300_364"].astype(int)
    assert np.abs(made[:, 300:364, 300:364] - window).max() <= 1
    assert np.abs(made[:, :32, :32] - arrays["sr_uint16_corner"].astype(int)).max() <= 1
    assert np.allclose(made.mean(axis=(1, 2)), arrays["sr_mean"], rtol=0, atol=0.1)


def test_pixel_shuffle_is_torchs(vectors):
    arrays = np.load(vectors / "pixel_shuffle.npz")
    features = np.concatenate([arrays["inp"][:, part::4] for part in range(4)], axis=1)
    assert np.array_equal(PixelShuffle(2)(bands_last(features)), bands_last(arrays["out"]))


def test_reflect_padding_is_numpys():
    image = np.random.default_rng(0).uniform(size=(2, 3, 4, 2))
    wanted = np.pad(image, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    assert np.allclose(ReflectPadding(2)(image), wanted, atol=1e-6)


def test_rec_in_numpy():
    """Blocks with attention, skips of groups and of all, no skip of the image, counts / 400; zeros around."""
    model = REC.from_bands(**TINY)
    randomize(model.model, 0.15)
    image = np.random.default_rng(0).integers(50, 3000, (9, 12, 4))

    def convolved(tensor, name):
        return convolution(model.model, tensor, name, "constant")

    head = features = convolved(image / 400, "head")
    for group in ("group1", "group2"):
        start = features
        for block in (f"{group}_block1", f"{group}_block2"):
            branch = convolved(np.maximum(convolved(features, f"{block}_1"), 0), f"{block}_2")
            means = branch.mean(axis=(0, 1), keepdims=True)
            excited = convolved(np.maximum(convolved(means, f"{block}_squeeze"), 0), f"{block}_excite")
            features = features + branch / (1 + np.exp(-excited))
        features = start + convolved(features, f"{group}_last")
    features = convolved(head + convolved(features, "body_last"), "upsample")
    fine = features.reshape(9, 12, 2, 2, 6).transpose(0, 2, 1, 3, 4).reshape(18, 24, 6)
    wanted = 400 * convolved(fine, "last")
    outputs = model.model(counts(image))
    assert np.allclose(outputs["sr"][0], wanted, rtol=1e-4, atol=0.01) and np.ptp(wanted) > 100
    assert np.array_equal(outputs["sr_dn"], np.round(np.clip(outputs["sr"], 0, 65535)))


def test_csr_in_numpy():
    """No skips; mirrored convolutions, leaky activations, largest of four, linear interpolation, tanh."""
    model = CSR.from_bands(depth=2, max_flow=6.0)
    randomize(model.model, 0.35)
    pair = np.random.default_rng(0).normal(size=(32, 48, 2))

    def activated(tensor, name):
        tensor = convolution(model.model, tensor, name, "reflect")
        return np.where(tensor > 0, tensor, 0.2 * tensor)

    def doubled(tensor, axis):
        tensor = np.moveaxis(tensor, axis, 0)
        padded = np.concatenate([tensor[:1], tensor, tensor[-1:]])
        both = [0.75 * tensor + 0.25 * neighbour for neighbour in (padded[:-2], padded[2:])]
        return np.moveaxis(np.stack(both, axis=1).reshape(-1, *tensor.shape[1:]), 0, axis)

    tensor = pair
    for level in range(1, 5):
        tensor = activated(activated(tensor, f"encode{level}_1"), f"encode{level}_2")
        rows, columns, bands = tensor.shape
        tensor = tensor.reshape(rows // 2, 2, columns // 2, 2, bands).max(axis=(1, 3))
    for level in range(1, 5):
        tensor = activated(activated(tensor, f"decode{level}_1"), f"decode{level}_2")
        tensor = doubled(doubled(tensor, 0), 1)
    wanted = 6 * np.tanh(convolution(model.model, activated(tensor, "flow_1"), "flow_2", "reflect"))
    flow = model.pair_model()(pair[np.newaxis].astype("float32"))[0]
    assert np.allclose(flow, wanted, atol=1e-4) and np.abs(wanted).max() <= 6 and np.ptp(wanted) > 0.1


@pytest.mark.parametrize(
    "rows, columns",
    [(13, 17), *(slow(*sides) for sides in ((1, 1), (32, 33), (50, 64), (5, 80)))],
)
def test_csr_mirrors_what_is_no_multiple_of_16(rows, columns):
    """Statistics are those of the image before; flows are those of the larger image, cropped."""
    model = CSR.from_bands(depth=2)
    randomize(model.model, 0.35)
    image = np.random.default_rng(0).integers(50, 3000, (rows, columns, 4))
    outputs = {name: tensor.numpy() for name, tensor in model.model(counts(image)).items()}
    assert outputs["flow"].shape == (1, rows, columns, 6) and outputs["sr"].shape == (1, rows, columns, 4)
    bands = standardize(image[np.newaxis].astype("float32")).numpy()
    larger = [max(-(-size // 16) * 16, 32) for size in (rows, columns)]
    padding = ((0, 0), (0, larger[0] - rows), (0, larger[1] - columns), (0, 0))
    pairs = model.pair_model()
    for number, other in enumerate(OTHERS):
        pair = np.pad(bands[..., [GREEN, other]], padding, mode="reflect")
        wanted = pairs(pair)[:, :rows, :columns]
        assert np.allclose(outputs["flow"][..., 2 * number : 2 * number + 2], wanted, atol=1e-4)
        warped = warp(image[np.newaxis, ..., other : other + 1].astype("float32"), wanted)
        assert np.allclose(outputs["sr"][..., other : other + 1], warped, atol=0.5)
    assert np.array_equal(outputs["sr"][0, ..., GREEN], image[..., GREEN])


@pytest.mark.slow
def test_flows_of_the_network_are_refined():
    model = CSR.from_bands(depth=2, refinements=2)
    randomize(model.model, 0.35)
    pairs = standardize(np.random.default_rng(0).normal(size=(1, 48, 41, 2)).astype("float32"))
    found = model.pair_model(refined=False)(pairs)
    assert np.allclose(model.pair_model()(pairs), refine(pairs, found, 2), atol=1e-5)
    single = CSR.from_bands(depth=2)
    single.model.set_weights(model.model.get_weights())
    assert np.allclose(single.pair_model()(pairs), found, atol=1e-6)


@pytest.mark.slow
def test_images_of_a_batch_and_constant_bands():
    """An image has the flow that it has alone; a band without any detail makes no NaN."""
    model = CSR.from_bands(depth=2, refinements=2)
    randomize(model.model, 0.35)
    images = np.random.default_rng(0).integers(50, 3000, (3, 32, 32, 4)).astype("float32")
    images[1, ..., 2] = 777
    together = model.model({"x10": tf.constant(images)})
    assert np.isfinite(together["flow"]).all()
    for number in range(3):
        alone = model.model({"x10": tf.constant(images[number : number + 1])})
        assert np.allclose(together["flow"][number], alone["flow"][0], atol=1e-4)
    assert np.allclose(together["sr"][1, ..., 2], 777, atol=0.01)


def test_networks_start_without_surprise():
    """`REC` with features of the image's size, `CSR` with flows of about nothing: so an image is nearly kept."""
    image = np.random.default_rng(0).integers(100, 1000, (32, 32, 4))
    assert np.abs(REC.from_bands(**REC_SIZES["small"]).model(counts(image))["sr"]).max() < 10000
    outputs = CSR.from_bands(**CSR_SIZES["small"]).model(counts(image))
    assert 0 < np.abs(outputs["flow"]).max() < 0.5
    assert CSR.from_bands(**CSR_SIZES["small"]).model.count_params() < 4104674 / 3.9


def test_descriptions():
    for model, gsd, shift in ((REC.from_bands(**TINY), 5.0, 0.5), (CSR.from_bands(depth=2), 10.0, 0.0)):
        content = model.description()
        assert content["sources"] == [{"name": "x10", "bands": ["B02", "B03", "B04", "B08"], "gsd": 10.0}]
        assert content["output"] == {"bands": ["B02", "B03", "B04", "B08"], "gsd": gsd}
        assert content["shift"] == shift and content["whole_image"] and content["crop"] == 0
        assert (content["system"], content["model"]) == ("l1bsr", type(model).__name__)


@pytest.mark.parametrize(
    "kind, arguments",
    [
        (REC, {"num_groups": -1}),
        (REC, {"num_blocks": -1}),
        (REC, {"depth": 0}),
        (REC, {"reduction": 0}),
        (REC, {"depth": 8, "reduction": 9}),
        (CSR, {"depth": 0}),
        (CSR, {"max_flow": 0.0}),
        (CSR, {"refinements": -1}),
    ],
)
def test_arguments_out_of_range(kind, arguments):
    with pytest.raises(ValueError, match=f"^{list(arguments)[-1]}: expected .*, got "):
        kind.from_bands(**arguments)
