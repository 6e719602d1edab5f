# SPDX-License-Identifier: Apache-2.0
"""`weights.convert_l1bsr`: files of every format, the models made of them, what is refused, the command line."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from models.base import load_weights, read_description
from models.l1bsr import BANDS, CSR, CSR_SIZES, REC, REC_SIZES
from tests.weights.files import DATA, write_legacy, write_safetensors, write_torch
from weights import convert_l1bsr, l1bsr_published
from weights.convert_l1bsr import main, read_model
from weights.l1bsr_file import read_l1bsr_file
from weights.published import Published, digests, identify

pytestmark = pytest.mark.keras


def rec_shapes(groups=1, blocks=2, depth=4, hidden=2):
    """Name the convolutions of REC, with the shapes of their kernels, as the authors' network does."""
    inner = (depth, depth, 3, 3)
    shapes = {"head.0": (depth, 4, 3, 3)}
    for group in range(groups):
        for block in range(blocks):
            prefix = f"body.{group}.body.{block}.body"
            shapes |= {f"{prefix}.0": inner, f"{prefix}.2": inner}
            shapes |= {f"{prefix}.3.conv_du.0": (hidden, depth, 1, 1), f"{prefix}.3.conv_du.2": (depth, hidden, 1, 1)}
        shapes[f"body.{group}.body.{blocks}"] = inner
    return shapes | {f"body.{groups}": inner, "tail.0.0": (4 * depth, depth, 3, 3), "tail.1": (4, depth, 3, 3)}


def csr_shapes(depth=2):
    """Name the convolutions of CSR likewise."""
    sizes = [("convPool1", 2, depth)]
    sizes += [(f"convPool{level}", depth << level - 2, depth << level - 1) for level in (2, 3, 4)]
    sizes += [("convBinl1", 8 * depth, 8 * depth), ("convBinl2", 8 * depth, 8 * depth)]
    sizes += [("convBinl3", 8 * depth, 4 * depth), ("convBinl4", 4 * depth, 2 * depth)]
    shapes = {}
    for name, before, after in sizes:
        shapes |= {f"{name}.convleaky.conv1": (after, before, 3, 3), f"{name}.convleaky.conv2": (after, after, 3, 3)}
    return shapes | {"conv1": (depth, 2 * depth, 3, 3), "conv2": (2, depth, 3, 3)}


def draw(shapes, seed=0):
    """Draw the tensors of convolutions."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in shapes.items():
        tensors[f"{name}.weight"] = rng.normal(0, 0.2, shape).astype("f4")
        tensors[f"{name}.bias"] = rng.normal(0, 0.1, shape[0]).astype("f4")
    return tensors


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
    """The authors' 1628 names and shapes are those that are wanted: a file of 62 MB of zeros, in safetensors."""
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


@pytest.mark.parametrize("shapes", [rec_shapes(), csr_shapes()], ids=["REC", "CSR"])
def test_formats(tmp_path, shapes):
    tensors = draw(shapes)
    writers = {"torch state_dict": (write_torch, write_legacy), "safetensors": (write_safetensors,)}
    models = []
    for words, functions in writers.items():
        for function in functions:
            models.append(read_model(function(tmp_path / f"{function.__name__}.pt", tensors)))
            assert models[-1].origin["format"] == words
    assert all(same_weights(models[0], model) for model in models[1:])


@pytest.mark.parametrize("write", [write_torch, write_legacy])
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
    with pytest.raises(ValueError, match=f"^input: .*({message}).* Received: {path}$"):
        read_model(path)


@pytest.mark.parametrize("write", [write_torch, write_legacy, write_safetensors])
def test_prefixes(tmp_path, write):
    """The authors' program would take such a file, and leave all weights at random."""
    path = write(tmp_path / "w", {f"module.{name}": tensor for name, tensor in draw(rec_shapes()).items()})
    with pytest.raises(
        ValueError, match="names without DataParallel's prefix module., got module.head.0.weight. Received"
    ):
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
    with pytest.raises(ValueError, match=r"^input: expected .* Received: "):
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


@pytest.mark.slow
def test_command_line(tmp_path, capsys):
    files = [
        write_torch(tmp_path / "rec.pt", draw(rec_shapes())),
        write_torch(tmp_path / "csr.pth.tar", {"state_dictCSR": draw(csr_shapes())}),
    ]
    command = ["--input", *map(str, files), "--output", str(tmp_path / "models")]
    assert main(command) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(str(tmp_path))]
    unknown = "which is none of the known files; these weights are under the GPL-3.0 if they are the authors'"
    assert [line.split(": ")[1] for line in lines] == [
        f"1 groups of 2 blocks of 4 features, from rec.pt, {unknown}",
        f"2 features, from csr.pth.tar, {unknown}",
    ]
    for network, path in zip((REC, CSR), files):
        folder = tmp_path / "models" / network.class_name
        description = read_description(folder)
        model = read_model(path)
        assert description.system == "l1bsr" and description.model == network.class_name
        assert description.arguments == model.arguments and description.origin == model.origin
        loaded = network.from_bands(**description.arguments)
        load_weights(loaded.model, folder)
        assert same_weights(loaded, model)
    assert main(command) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "output: " in error and "--overwrite" in error


def test_two_files_of_a_network(tmp_path, capsys):
    files = [str(write_torch(tmp_path / name, draw(csr_shapes()))) for name in ("a.pt", "b.pt")]
    assert main(["--input", *files, "--output", str(tmp_path / "m")]) == 1
    assert "input: one file for each network is wanted; a.pt and b.pt are both CSR" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("options", [[], ["--input", "a", "--download"], ["--input", "a", "--base-url", "http://x"]])
def test_usage_errors(tmp_path, options):
    with pytest.raises(SystemExit) as error:
        main([*options, "--output", str(tmp_path / "m")])
    assert error.value.code == 2


ROOT = "/centreborelli/L1BSR/296a8e8d29ecfe044fe0698cc1726450ab617e44/trained_models"


@pytest.fixture
def published(server, tmp_path, monkeypatch):
    """Tiny files in place of the authors', on a server."""
    files = {
        "REC_Real_L1B.pt": write_torch(tmp_path / "rec.pt", draw(rec_shapes())),
        "CSR_Real_L1B.pth.tar": write_torch(tmp_path / "csr.pt", {"state_dictCSR": draw(csr_shapes()), "epoch": 50}),
    }
    known = tuple(
        Published("Authors", name, name[:3], ("L1B",), digests(path)["blob"], BANDS) for name, path in files.items()
    )
    monkeypatch.setattr(l1bsr_published, "PUBLISHED", known)
    monkeypatch.setattr(convert_l1bsr, "PUBLISHED", known)
    server.files = {f"{ROOT}/{name}": path.read_bytes() for name, path in files.items()}
    options = ["--download", "--cache", str(tmp_path / "cache"), "--base-url", server.url]
    return [*options, "--output", str(tmp_path / "models")]


def test_download(server, published, tmp_path, capsys):
    assert main(published) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(str(tmp_path))]
    for network, line, name in zip(("REC", "CSR"), lines, ("REC_Real_L1B.pt", "CSR_Real_L1B.pth.tar"), strict=True):
        assert line.endswith(f"features, from Authors, {name}; these weights are under the GPL-3.0")
        description = read_description(tmp_path / "models" / network)
        assert description.levels == ("L1B",) and description.origin["published"] == f"Authors, {name}"
        assert description.origin["licence"] == "GPL-3.0"
    assert sorted(path.name for path in (tmp_path / "cache" / "l1bsr").iterdir()) == sorted(
        ["REC_Real_L1B.pt", "CSR_Real_L1B.pth.tar"]
    )
    l1bsr_published.download(tmp_path / "cache", server.url)
    assert len(server.requests) == 2, "files that are in the cache need no network"


@pytest.mark.parametrize("content", [b"<html>", None])
def test_a_download_of_something_else(server, published, tmp_path, capsys, content):
    """A page, or weights that are whole but others: neither is kept."""
    other = write_torch(tmp_path / "other.pt", draw(csr_shapes(), seed=1)).read_bytes()
    server.files[f"{ROOT}/CSR_Real_L1B.pth.tar"] = content or other
    assert main(published) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "error: download: expected blob " in error and error.endswith(
        f"from {server.url}{ROOT}/CSR_Real_L1B.pth.tar"
    )
    assert [path.name for path in (tmp_path / "cache" / "l1bsr").iterdir()] == ["REC_Real_L1B.pt"]
    assert not (tmp_path / "models").exists()


def test_a_published_file_of_another_network(published, tmp_path, monkeypatch):
    path = tmp_path / "csr.pt"
    known = Published("Authors", "REC_Real_L1B.pt", "REC", ("L1B",), digests(path)["blob"], BANDS)
    monkeypatch.setattr(convert_l1bsr, "PUBLISHED", (known,))
    with pytest.raises(ValueError, match="^input: the network REC of Authors is wanted, not CSR. Received: "):
        read_model(path)


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from weights.convert_l1bsr import make_parser; print(make_parser().format_help()); "
        "print(sorted({'tensorflow', 'numpy', 'h5py', 'requests', 'osgeo'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]" and "GPL-3.0" in run.stdout
