# SPDX-License-Identifier: Apache-2.0
"""`weights.convert_deepsum`: checkpoints, the models made of them, and what is refused."""

import hashlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from models.deepsum import STATISTICS
from tests.examples import slow
from tests.weights.deepsum_files import (
    deepsum_shapes,
    draw,
    regnet_shapes,
    sisrnet_shapes,
    with_state,
    write_checkpoint,
)
from weights import convert_deepsum, deepsum_published
from weights.convert_deepsum import read_model
from weights.formats.tensorflow1_checkpoint import read_deepsum_checkpoint
from weights.published import Published, digests, identify

pytestmark = pytest.mark.keras

DATA, INDEX = ".data-00000-of-00001", ".index"
SHAPES = {"DeepSUM": deepsum_shapes, "SISRNet": sisrnet_shapes, "RegNet": regnet_shapes}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Checkpoints of two features of each network, by its name, with all that a training leaves in them."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return {
        name: write_checkpoint(folder / name / "model.ckpt-122", with_state(draw(shapes(2))))
        for name, shapes in SHAPES.items()
    }


def network_of(model, part):
    """Return the Keras model that has the weights of a checkpoint."""
    return getattr(model, f"{part}_model")() if part else model.model


def same_weights(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


@pytest.mark.slow
def test_the_whole_network_of_the_authors_size(shared_data, tmp_path):
    """60 variables, beside those of Adam, and what the authors' graph computes of them."""
    variables = with_state(draw(deepsum_shapes()))
    assert len(variables) == 183
    path = write_checkpoint(tmp_path / "model.ckpt-122", variables)
    assert (tmp_path / "model.ckpt-122.index").stat().st_size == deepsum_published.INDEX_SIZE == 6265
    model, part = read_model(path, "NIR")
    assert part is None and model.arguments["depth"] == 64
    vectors = np.load(shared_data("deepsum_vectors") / "v9_full_random_weights.npz")
    mean, deviation, target_deviation = STATISTICS["NIR"]
    frames = vectors["x"][..., 0].transpose(0, 2, 3, 1) * deviation + mean
    masks = vectors["mask_registered"][..., 0].transpose(0, 2, 3, 1).astype("f4")
    image = model.model({"frames": tf.constant(frames), "masks": tf.constant(masks)})["sr"]
    output = (image.numpy() - mean) / target_deviation
    np.testing.assert_allclose(output, vectors["P_output"][:, 0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", SHAPES)
def test_all_layers_get_their_weights(checkpoints, name):
    """Each number of the checkpoint is in the model, once; nothing else of it is."""
    model, part = read_model(checkpoints[name], None if part_of(name) else "RED")
    assert part == part_of(name)
    network, variables = network_of(model, part), draw(SHAPES[name](2))
    received = np.concatenate([weight.ravel() for weight in network.get_weights()])
    wanted = np.concatenate([array.ravel() for array in variables.values()])
    assert np.array_equal(np.sort(received), np.sort(wanted))
    assert len(variables) == len(network.weights) == {"DeepSUM": 60, "SISRNet": 34, "RegNet": 10}[name]


def part_of(name):
    return {"SISRNet": "sisrnet", "RegNet": "registration"}.get(name)


def test_places_of_weights(checkpoints):
    layers = read_deepsum_checkpoint(checkpoints["DeepSUM"]).layers
    variables = draw(deepsum_shapes(2))
    for number in range(8):
        kernel, bias = layers[f"sisr_{number + 1}"]
        assert np.array_equal(kernel, variables[f"conv_up_{number}/W"][0])
        assert np.array_equal(bias, variables[f"conv_up_{number}/b"])
        gamma, beta = layers[f"sisr_norm_{number + 1}"]
        assert np.array_equal(gamma, variables[f"inst_norm_up_{number}/gamma"])
        assert np.array_equal(beta, variables[f"inst_norm_up_{number}/beta"])
    kernel = layers["registration_1"][0]  # the frame's features, then the reference's
    assert kernel.shape == (3, 3, 4, 4)
    assert np.array_equal(kernel[:, :, :2], variables["Rconv1b/W"][0])
    assert np.array_equal(kernel[:, :, 2:], variables["Rconv1b/W"][1])
    for number, theirs in enumerate(("Rconv2b", "Rconv3b", "Rconv4b", "Rconv7_b"), start=2):
        assert np.array_equal(layers[f"registration_{number}"][0], variables[f"{theirs}/W"][0])
    for number in range(4):
        assert np.array_equal(layers[f"fusion_{number + 1}"][0], variables[f"conv_fuse_{number}/W"])
        assert np.array_equal(layers[f"fusion_norm_{number + 1}"][1], variables[f"inst_norm_fuse_{number}/beta"])
    assert np.array_equal(layers["fusion_last"][0], variables["conv_fuse_4/W"])
    sisrnet = read_deepsum_checkpoint(checkpoints["SISRNet"]).layers
    assert np.array_equal(sisrnet["sisr_head"][0], draw(sisrnet_shapes(2))["conv_up_8/W"][0])


@pytest.mark.parametrize("ending", ["", INDEX, DATA, ".meta"])
def test_any_file_of_a_checkpoint(checkpoints, ending):
    path = f"{checkpoints['RegNet']}{ending}"
    assert read_deepsum_checkpoint(path).network == "RegNet"


@pytest.mark.parametrize(
    "variant, band",
    [
        ("P", "RED"),
        ("C", "NIR"),
        slow("P", "NIR"),
        slow("C", "RED"),
    ],
)
def test_statistics_are_those_of_the_band(checkpoints, band, variant):
    model, _ = read_model(checkpoints["DeepSUM"], band, variant)
    names = ("mean", "deviation", "target_deviation")
    assert {name: model.arguments[name] for name in names} == dict(zip(names, STATISTICS[band]))
    assert model.arguments["variant"] == variant and model.origin["band"] == band


def test_bands_to_refuse(checkpoints, monkeypatch):
    whole, sisrnet = checkpoints["DeepSUM"], checkpoints["SISRNet"]
    with pytest.raises(ValueError, match=f"^{whole}: this checkpoint is not known: state by --band .*, NIR or RED$"):
        read_model(whole)
    with pytest.raises(ValueError, match=f"^{sisrnet}: --band applies to whole networks only, .* SISRNet$"):
        read_model(sisrnet, "NIR")
    known = Published("Authors", "model.ckpt-122", "RED", (), digests(f"{whole}{DATA}")["blob"], ())
    monkeypatch.setattr(convert_deepsum, "PUBLISHED", (known,))
    assert read_model(whole)[0].origin["band"] == "RED"
    with pytest.raises(ValueError, match=f"^{whole}: expected the band RED, which is known .*, got NIR$"):
        read_model(whole, "NIR")


def zeros(*shape):
    return np.zeros(shape, "f4")


CASES = {
    "missing bias": ("DeepSUM", {"conv_fuse_4/b": None}, "conv_fuse_4/b is missing"),
    "missing kernel": ("DeepSUM", {"Rconv3b/W": None}, "Rconv3b/W is missing"),
    "missing norm": ("SISRNet", {"inst_norm_up_7/gamma": None}, "inst_norm_up_7/gamma is missing"),
    "missing size": ("SISRNet", {"conv_up_0/b": None}, "conv_up_0/b is missing"),
    "missing head": ("SISRNet", {"conv_up_8/W": None}, "conv_up_8/W is missing"),
    "missing registration": (
        "DeepSUM",
        {name: None for name in regnet_shapes(2)},
        "Rconv1b/W is missing",
    ),
    "head in the whole": ("DeepSUM", {"conv_up_8/b": zeros(1)}, r"conv_up_8/b of shape .1,. is not a variable of Deep"),
    "registration with others": ("RegNet", {"conv1/W": zeros(2)}, r"conv1/W of shape .2,. is not a variable of RegNet"),
    "another slot": (
        "RegNet",
        {"Rconv2b/W/RMSProp": zeros(1, 3, 3, 4, 2)},
        "Rconv2b/W/RMSProp of shape .* is not a variable of RegNet",
    ),
    "slot of nothing": ("RegNet", {"conv1/W/Adam": zeros(2)}, "conv1/W/Adam of shape .2,. is not a variable"),
    "objects": (
        "RegNet",
        {"_CHECKPOINTABLE_OBJECT_GRAPH": np.array(b"graph")},
        "_CHECKPOINTABLE_OBJECT_GRAPH of shape .. is not a variable of RegNet",
    ),
    "smaller filters": (
        "RegNet",
        {"Rconv7_b/W": zeros(1, 3, 3, 2, 49)},
        r"expected shape .1, 3, 3, 2, 81. for Rconv7_b/W, got .1, 3, 3, 2, 49.",
    ),
    "two dimensions": (
        "SISRNet",
        {"conv_up_1/W": zeros(3, 3, 2, 2)},
        r"expected shape .1, 3, 3, 2, 2. for conv_up_1/W, got .3, 3, 2, 2.",
    ),
    "size without dimension": ("SISRNet", {"conv_up_0/b": zeros(1, 2)}, "expected one dimension in conv_up_0/b"),
    "size of nothing": ("RegNet", {"Rconv2b/b": zeros(0)}, "expected one dimension in Rconv2b/b, got shape .0,."),
    "not a number": ("RegNet", {"Rconv7_b/b": np.full(81, np.nan, "f4")}, "expected finite numbers in Rconv7_b/b"),
    "integers": ("RegNet", {"Rconv2b/b": np.zeros(2, "i4")}, "expected floating-point numbers in Rconv2b/b"),
}


@pytest.mark.parametrize("case", CASES)
def test_variables_to_refuse(tmp_path, case):
    """By one line that names the file."""
    network, changes, message = CASES[case]
    variables = {**with_state(draw(SHAPES[network](2))), **changes}
    path = write_checkpoint(tmp_path / "c", {name: array for name, array in variables.items() if array is not None})
    with pytest.raises(ValueError, match=f"^{path}{DATA}: .*({message})"):
        read_model(path, "NIR")


def test_what_adam_keeps_is_not_read(tmp_path, checkpoints):
    variables = draw(regnet_shapes(2))
    slots = {f"{name}/Adam": np.full(3, np.nan, "f4") for name in variables}
    path = write_checkpoint(tmp_path / "c", {**variables, **slots, "global_step": np.int64(7)})
    networks = [network_of(*read_model(one)) for one in (path, checkpoints["RegNet"])]
    assert same_weights(*networks)


def test_other_checkpoints(tmp_path):
    path = write_checkpoint(tmp_path / "c", {"dense/kernel": zeros(2, 2)})
    with pytest.raises(ValueError, match="expected variables of DeepSUM .*, got dense/kernel"):
        read_model(path)


def test_files_that_are_missing(tmp_path, checkpoints):
    for ending, other in ((DATA, INDEX), (INDEX, DATA)):
        shutil.copy(f"{checkpoints['RegNet']}{ending}", tmp_path / f"c{ending}")
        with pytest.raises(
            ValueError, match=f"^{tmp_path}/c{ending}: expected a TensorFlow 1 checkpoint, found no c{other}$"
        ):
            read_model(tmp_path / f"c{ending}")
        (tmp_path / f"c{ending}").unlink()


def damaged(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("ending", [INDEX, DATA])
@pytest.mark.parametrize(
    "change", [damaged, lambda content: content[: len(content) // 3], lambda _: b"", lambda _: b"<html>"]
)
def test_damaged_files(tmp_path, ending, change):
    """TensorFlow compares checksums, of the index and of each variable that is read."""
    variables = draw(regnet_shapes(2))
    path = write_checkpoint(tmp_path / "c", variables)
    file = tmp_path / f"c{ending}"
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(ValueError, match=f"^{path}{DATA}: expected a readable TensorFlow 1 checkpoint "):
        read_model(path)


def test_published_checkpoints():
    known = {file.name: (file.role, file.blob) for file in deepsum_published.PUBLISHED}
    assert known == {
        "DeepSUM_NIR_lr_5e-06_bsize_8/model.ckpt-968999": ("NIR", "88cbe2804020e283d27454cc67514f42d5c87a5d"),
        "DeepSUM_NIRpretraining_RED_lr_5e-06_bsize_8/model.ckpt-1119999": (
            "RED",
            "d86fcbc03f00bf589ff2009e734f6b9becbdfff5",
        ),
    }
    assert identify("d86fcbc03f00bf589ff2009e734f6b9becbdfff5", deepsum_published.PUBLISHED).role == "RED"


def test_origin_of_an_unknown_checkpoint(checkpoints):
    model, _ = read_model(checkpoints["DeepSUM"], "RED")
    with open(f"{checkpoints['DeepSUM']}{DATA}", "rb") as stream:
        content = stream.read()
    assert model.origin == {
        "file": "model.ckpt-122.data-00000-of-00001",
        "blob": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(),
        "sha256": hashlib.sha256(content).hexdigest(),
        "published": None,
        "published_matched_by": None,
        "format": "TensorFlow 1 checkpoint",
        "band": "RED",
        "licence": None,
    }
