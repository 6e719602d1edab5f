# SPDX-License-Identifier: Apache-2.0
"""`weights.convert_l1bsr`: files of every format, the models made of them, and what is refused."""

import hashlib
import json
import os

import numpy as np
import pytest
import tensorflow as tf

from models.l1bsr import BANDS, CSR, CSR_SIZES, REC, REC_SIZES
from tests.examples import slow
from tests.weights.files import DATA, write_legacy, write_safetensors, write_torch
from tests.weights.l1bsr_files import csr_shapes, draw, rec_shapes
from weights import l1bsr_published
from weights.convert_l1bsr import read_model
from weights.l1bsr_file import read_l1bsr_file
from weights.published import identify

pytestmark = pytest.mark.keras


def same_weights(one, other):
    pairs = zip(one.model.get_weights(), other.model.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def compute(model, crop):
    """Compute a model's outputs from counts (rows, columns, 4)."""
    outputs = model.model({"x10": tf.constant(crop[np.newaxis].astype("f4"))})
    return {name: tensor.numpy() for name, tensor in outputs.items()}


def test_rec_of_the_authors_format(shared_data):
    """A file that the authors' program has written, and what their network of it gave."""
    folder = shared_data("l1bsr_vectors")
    model = read_model(folder / "rec_small_2g3b.pt")
    assert isinstance(model, REC)
    assert model.arguments == {
        "num_groups": 2,
        "num_blocks": 3,
        "depth": 64,
        "reduction": 16,
        "registered": False,
        "sharp": False,
    }
    io = np.load(folder / "rec_small_2g3b_io.npz")
    for odd in ("", "odd_"):
        received = compute(model, io[f"{odd}crop_uint16"])["sr"] / 400
        assert np.abs(received - io[f"{odd}out_f32"].transpose(0, 2, 3, 1)).max() <= 1e-5


def test_csr_of_the_authors_format(shared_data):
    folder = shared_data("l1bsr_vectors")
    model = read_model(folder / "csr_random.pth.tar")
    assert isinstance(model, CSR) and model.arguments == {**CSR_SIZES["paper"], "refinements": 0}
    io = np.load(folder / "csr_io.npz")
    flows = np.split(compute(model, io["crop_uint16"])["flow"][0], 3, axis=-1)
    wanted = io["flow_f32"].transpose(0, 2, 3, 1)
    assert np.ptp(wanted) > 10 and np.abs(np.stack(flows) - wanted).max() <= 1e-3


def test_rec_of_the_papers_size(shared_data, tmp_path):
    """The authors' 1628 names and shapes are the expected ones: a file of 62 MB of zeros, in safetensors."""
    shapes = dict(json.loads((shared_data("l1bsr_vectors") / "rec_full_keys.json").read_text()))
    header, position = {}, 0
    for name, shape in shapes.items():
        offsets = [position, position + 4 * int(np.prod(shape))]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
        position = offsets[1]
    content = json.dumps(header).encode()
    with open(tmp_path / "w.safetensors", "wb") as stream:
        stream.write(len(content).to_bytes(8, "little") + content)
        stream.truncate(8 + len(content) + position)
    file = read_l1bsr_file(tmp_path / "w.safetensors")
    assert len(shapes) == 1628 and position == 4 * 15445796
    assert file.network == "REC" and file.arguments == REC_SIZES["paper"] and len(file.layers) == 814


def test_all_layers_get_their_weights(tmp_path):
    """Each number of the file is in the model, once; a kernel stays a kernel."""
    for shapes, name in ((rec_shapes(2, 1), "REC"), (csr_shapes(), "CSR")):
        tensors = draw(shapes)
        model = read_model(write_torch(tmp_path / "w.pt", tensors))
        assert model.class_name == name
        received = np.concatenate([weight.ravel() for weight in model.model.get_weights()])
        wanted = np.concatenate([tensor.ravel() for tensor in tensors.values()])
        assert np.array_equal(np.sort(received), np.sort(wanted))
        layers = {layer.name for layer in model.model.layers if layer.weights}
        assert layers == read_l1bsr_file(tmp_path / "w.pt").layers.keys() and len(layers) == len(shapes)


def test_the_channels_that_are_shuffled(tmp_path):
    """torch: channel 4 c + s makes channel c of pixel s; TensorFlow: channel s depth + c."""
    tensors = draw(rec_shapes(depth=3, hidden=1))
    layer = read_l1bsr_file(write_torch(tmp_path / "w.pt", tensors)).layers["upsample"]
    for channel in range(3):
        for pixel in range(4):
            theirs, ours = 4 * channel + pixel, 3 * pixel + channel
            assert np.array_equal(layer.kernel[..., ours], tensors["tail.0.0.weight"][theirs].transpose(1, 2, 0))
            assert layer.bias[ours] == tensors["tail.0.0.bias"][theirs]


@pytest.mark.parametrize("shapes", [rec_shapes(), slow(csr_shapes())], ids=["REC", "CSR"])
def test_formats(tmp_path, shapes):
    tensors = draw(shapes)
    writers = {"torch state_dict": (write_torch, write_legacy), "safetensors": (write_safetensors,)}
    models = []
    for words, functions in writers.items():
        for function in functions:
            models.append(read_model(function(tmp_path / f"{function.__name__}.pt", tensors)))
            assert models[-1].origin["format"] == words
    assert all(same_weights(models[0], model) for model in models[1:])


@pytest.mark.parametrize("write", [write_torch, slow(write_legacy)])
def test_checkpoints(tmp_path, write):
    """What a training saves beside the weights is not looked at: numbers of numpy, and another network's tensors."""
    tensors = draw(csr_shapes())
    moments = {"state": {0: {"step": 3, "exp_avg": tensors["conv1.weight"]}}, "param_groups": [{"lr": 5e-5}]}
    checkpoint = {"epoch": 7, "best": np.float64(0.25), "state_dictCSR": tensors, "optimizerCSR": moments}
    model = read_model(write(tmp_path / "w.pth.tar", checkpoint))
    assert model.origin["format"] == "torch checkpoint"
    assert same_weights(model, read_model(write_torch(tmp_path / "w.pt", tensors)))
    checkpoint["state_dictCSR"] = draw(rec_shapes())
    with pytest.raises(ValueError, match="expected CSR's tensors in state_dictCSR, got those of REC"):
        read_model(write(tmp_path / "w.pth.tar", checkpoint))
    with pytest.raises(ValueError, match="expected a dict of tensors, or a module, got int"):
        read_model(write(tmp_path / "w.pth.tar", {"state_dictCSR": 3}))


@pytest.mark.slow
def test_numbers_of_16_and_64_bits(tmp_path):
    tensors = draw(csr_shapes())
    for dtype in ("f2", "f8"):
        other = {name: tensor.astype(dtype) for name, tensor in tensors.items()}
        model = read_model(write_safetensors(tmp_path / "w", other))
        layer = model.model.get_layer("flow_2").get_weights()
        assert np.array_equal(layer[0], other["conv2.weight"].transpose(2, 3, 1, 0).astype("f4"))


def change(tensors, changes):
    """Change tensors by name: None takes one away."""
    return {name: value for name, value in {**tensors, **changes}.items() if value is not None}


def zeros(*shape):
    return np.zeros(shape, "f4")


BLOCK = "body.0.body.1.body"
REC_CASES = {
    "missing bias": ({"tail.1.bias": None}, "tail.1.bias is missing"),
    "missing kernel": ({f"{BLOCK}.2.weight": None}, f"{BLOCK}.2.weight is missing"),
    "missing head": ({"head.0.weight": None}, "head.0.weight is missing"),
    "missing attention": ({"body.0.body.0.body.3.conv_du.0.weight": None}, "body.0.*conv_du.0.weight is missing"),
    "missing first kernel of a block": ({f"{BLOCK}.0.weight": None}, r"body\.0\.body\.1\.weight is missing"),
    "extra": ({"tail.2.weight": zeros(4, 4, 3, 3)}, r"tail.2.weight of shape .4, 4, 3, 3. is not a tensor of REC"),
    "extra block": ({"body.0.body.2.body.0.weight": zeros(4, 4, 3, 3)}, "body.0.body.2.body.0.bias is missing"),
    "extra group": ({"body.9.body.0.body.0.weight": zeros(4, 4, 3, 3)}, "body.1.body.0.body.0.weight is missing"),
    "far group": ({"body.99999999999.body.0.body.0.weight": zeros(4)}, "body.1.body.0.body.0.weight is missing"),
    "another number": ({"body.00.body.0.body.0.weight": zeros(4, 4, 3, 3)}, "body.1.body.0.body.0.weight is missing"),
    "swapped axes": ({"tail.1.weight": zeros(4, 3, 3, 4)}, r"expected shape .4, 4, 3, 3. for tail.1.weight, got"),
    "another bias": ({f"{BLOCK}.0.bias": zeros(5)}, rf"expected shape .4,. for {BLOCK}.0.bias, got .5,."),
    "larger kernel": ({"body.1.weight": zeros(4, 4, 5, 5)}, "for body.1.weight, got .4, 4, 5, 5."),
    "three bands": ({"head.0.weight": zeros(4, 3, 3, 3)}, r"expected shape .4, 4, 3, 3. for head.0.weight, got"),
    "three times": ({"tail.0.0.weight": zeros(36, 4, 3, 3)}, r"expected shape .16, 4, 3, 3. for tail.0.0.weight"),
    "flat": ({"head.0.weight": zeros(4, 36)}, "expected 4 dimensions in head.0.weight, got shape .4, 36."),
    "no fraction": (
        {"body.0.body.0.body.3.conv_du.0.weight": zeros(3, 4, 1, 1)},
        "expected a divisor of 4 features in .*conv_du.0.weight, got 3",
    ),
    "more than all": (
        {"body.0.body.0.body.3.conv_du.0.weight": zeros(9, 4, 1, 1)},
        "expected a divisor of 4 features in .*conv_du.0.weight, got 9",
    ),
    "not a number": ({"tail.1.bias": np.full(4, np.nan, "f4")}, "expected finite numbers in tail.1's bias"),
    "integers": ({"tail.1.bias": np.zeros(4, int)}, "expected floating-point numbers in tail.1's bias"),
    "no tensor": ({"epoch": 3}, "expected a dict of tensors, got int for epoch"),
    "prefix": ({"module.head.0.weight": zeros(1)}, "without DataParallel's prefix module., got module.head.0.weight"),
    "both": (draw(csr_shapes()), "convPool1.convleaky.conv1.weight of shape .* is not a tensor of REC"),
}
CSR_CASES = {
    "missing bias": ({"convBinl2.convleaky.conv1.bias": None}, "convBinl2.convleaky.conv1.bias is missing"),
    "missing last": ({"conv2.weight": None}, "conv2.weight is missing"),
    "missing first": ({"convPool1.convleaky.conv1.weight": None}, "convPool1.convleaky.conv1.weight is missing"),
    "extra": ({"conv3.bias": zeros(2)}, r"conv3.bias of shape .2,. is not a tensor of CSR"),
    "eight channels": (
        {"convPool1.convleaky.conv1.weight": zeros(2, 8, 3, 3)},
        r"expected shape .2, 2, 3, 3. for convPool1.convleaky.conv1.weight, got .2, 8, 3, 3.",
    ),
    "with skips": ({"conv1.weight": zeros(2, 8, 3, 3)}, r"expected shape .2, 4, 3, 3. for conv1.weight"),
    "nothing": (
        {"convPool1.convleaky.conv1.weight": np.zeros((0, 2, 3, 3), "f4")},
        "do not fit a storage of 0",
    ),
}
CASES = [("REC", name) for name in REC_CASES] + [("CSR", name) for name in CSR_CASES]


@pytest.mark.parametrize("network, case", CASES)
def test_tensors_to_refuse(tmp_path, network, case):
    """By one line that names the file."""
    shapes, cases = {"REC": (rec_shapes(), REC_CASES), "CSR": (csr_shapes(), CSR_CASES)}[network]
    changes, message = cases[case]
    path = write_torch(tmp_path / "w.pt", change(draw(shapes), changes))
    with pytest.raises(ValueError, match=f"^{path}: .*({message})"):
        read_model(path)


@pytest.mark.parametrize("write", [write_torch, write_legacy, write_safetensors])
def test_prefixes(tmp_path, write):
    """The authors' program would take such a file, and leave all weights at random."""
    path = write(tmp_path / "w", {f"module.{name}": tensor for name, tensor in draw(rec_shapes()).items()})
    with pytest.raises(ValueError, match="names without DataParallel's prefix module., got module.head.0.weight$"):
        read_model(path)


def test_other_networks(tmp_path):
    with pytest.raises(ValueError, match="expected tensors of REC .* or of CSR .*, got conv1.weight, conv1.bias"):
        read_model(DATA / "state_dict_2x.pt")
    with pytest.raises(ValueError, match="expected a torch state_dict, got TorchScript"):
        read_model(DATA / "scripted_2x.pt")
    with pytest.raises(ValueError, match="asks to run __main__.Two: refused"):
        read_model(DATA / "refused_module.pt")
    with pytest.raises(ValueError, match="got nothing"):
        read_model(write_safetensors(tmp_path / "w", {}))


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html>", b"version https://git-lfs.github.com/spec/v1\n"])
def test_other_files(tmp_path, content):
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(ValueError, match="expected a torch state_dict or safetensors, got a file that begins with b"):
        read_model(tmp_path / "w.pt")


@pytest.mark.parametrize("share", [0.0005, 0.02, 0.3, 0.9, 0.9999])
@pytest.mark.parametrize("write", [write_torch, write_legacy, write_safetensors])
def test_truncated_files(tmp_path, write, share):
    path = write(tmp_path / "w", draw(csr_shapes()))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=f"^{path}: expected "):
        read_model(path)


class Attack:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("write", [write_torch, write_legacy])
def test_nothing_is_executed(tmp_path, write):
    """Not even where nothing is looked at."""
    attack = Attack(tmp_path / "executed")
    path = write(tmp_path / "w.pt", {"state_dictCSR": draw(csr_shapes()), "optimizerCSR": attack})
    with pytest.raises(ValueError, match=r"asks to run posix\.system: refused"):
        read_model(path)
    assert not attack.mark.exists()


def test_published_files():
    known = {file.name: (file.role, file.blob, file.levels, file.band_order) for file in l1bsr_published.PUBLISHED}
    assert known == {
        "REC_Real_L1B.pt": ("REC", "55a5e01bb70fd7e34a29d09494013c6a79c7770b", ("L1B",), BANDS),
        "CSR_Real_L1B.pth.tar": ("CSR", "17edadc1a1327e47f6f3e87ef84ebfa66c580463", ("L1B",), BANDS),
    }
    assert identify("17edadc1a1327e47f6f3e87ef84ebfa66c580463", l1bsr_published.PUBLISHED).role == "CSR"


def test_origin_of_an_unknown_file(tmp_path):
    path = write_safetensors(tmp_path / "REC_Real_L1B.safetensors", draw(rec_shapes()))
    model = read_model(path)
    content = path.read_bytes()
    assert model.levels == () and model.origin == {
        "file": "REC_Real_L1B.safetensors",
        "blob": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(),
        "sha256": hashlib.sha256(content).hexdigest(),
        "published": None,
        "published_matched_by": None,
        "format": "safetensors",
        "band_order": list(BANDS),
        "licence": None,
    }
