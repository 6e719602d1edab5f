# SPDX-License-Identifier: Apache-2.0
"""Reading weights: every format, files that torch has written, and what must be refused."""

import os
import shutil
import zipfile

import h5py
import numpy as np
import pytest

from tests.weights.files import DATA, Tensor, draw_convolutions, state_dict, write_keras, write_torch
from weights.dsen2_file import read_dsen2_file
from weights.formats import torch_file

TORCH = sorted(path.name for path in DATA.glob("*.pt") if not path.name.startswith("refused"))


def convolve(images, kernel, bias):
    """Convolve (height, width, bands) by kernels (3, 3, in, out), zeros beyond the border."""
    height, width, _ = images.shape
    padded = np.pad(images, ((1, 1), (1, 1), (0, 0)))
    windows = [padded[row : row + height, column : column + width] for row in range(3) for column in range(3)]
    return np.einsum("khwi,kio->hwo", windows, kernel.reshape(9, *kernel.shape[2:])) + bias


def network(convolutions, images):
    """Compute DSen2 in numpy, of images (height, width, bands)."""
    first, *inner, last = [(one.kernel.astype("float64"), one.bias.astype("float64")) for one in convolutions]
    features = np.maximum(convolve(np.concatenate(images, -1), *first), 0)
    for one, two in zip(inner[::2], inner[1::2]):
        features = features + 0.1 * convolve(np.maximum(convolve(features, *one), 0), *two)
    return convolve(features, *last) + images[-1]


def equal(received, wanted):
    return len(received) == len(wanted) and all(
        np.array_equal(one.kernel, kernel) and np.array_equal(one.bias, bias)
        for one, (kernel, bias) in zip(received, wanted)
    )


@pytest.mark.parametrize("name", TORCH)
def test_files_of_torch(name):
    """The network of what is read gives what torch gave."""
    io = np.load(DATA / "io.npz")
    sources = ("x10", "x20", "x60") if "6x" in name else ("x10", "x20")
    file = read_dsen2_file(DATA / name)
    received = network(file.convolutions, [io[source][0].transpose(1, 2, 0) for source in sources])
    assert np.abs(received - io[name][0].transpose(1, 2, 0)).max() < 2e-6
    assert all(one.kernel.dtype == one.bias.dtype == "float32" for one in file.convolutions)
    script = not name.startswith(("state_dict", "float64", "channels_last", "one_buffer", "legacy"))
    assert file.order == ("code" if script else "names")
    assert file.format == ("TorchScript" if script else "torch state_dict") + (", frozen" if "frozen" in name else "")
    assert file.inputs == (None if not script else 1 if name.startswith("residual") else len(sources))
    assert file.residual_only == (name.startswith("residual") if script else None)


def test_the_factor_is_taken_out_of_frozen_convolutions():
    """`torch.jit.freeze` has moved 0.1 into the second convolution of each block."""
    plain, frozen = (read_dsen2_file(DATA / f"{name}_2x.pt").convolutions for name in ("scripted", "frozen"))
    assert not all(np.array_equal(one.kernel, two.kernel) for one, two in zip(plain, frozen))
    for one, two in zip(plain, frozen):
        assert np.allclose(one.kernel, two.kernel, rtol=3e-7) and np.allclose(one.bias, two.bias, rtol=3e-7)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("first", [0, 1, 40])
def test_files_of_keras(tmp_path, whole, text, first):
    """Six blocks: conv2d_10 comes before conv2d_2 in the file, but not in the network."""
    convolutions = draw_convolutions("6x", depth=2, blocks=6)
    file = read_dsen2_file(write_keras(tmp_path / "w.hdf5", convolutions, whole, text, first))
    assert equal(file.convolutions, convolutions) and file.residual_only is False
    assert file.format == f"Keras HDF5, {'whole model' if whole else 'weights only'}"


def test_a_model_in_a_model(tmp_path):
    """As Keras stores a model that was wrapped, for several GPUs."""
    convolutions = draw_convolutions()
    names = [f"conv2d_{number}/{part}:0" for number in range(1, 7) for part in ("kernel", "bias")]
    with h5py.File(tmp_path / "w.hdf5", "w") as file:
        file.attrs["layer_names"] = ["input_1", "model_1"]
        file.create_group("input_1").attrs["weight_names"] = []
        group = file.create_group("model_1")
        group.attrs["weight_names"] = names
        for name, array in zip(names, [array for pair in convolutions for array in pair]):
            group[name] = array
    file = read_dsen2_file(tmp_path / "w.hdf5")
    assert equal(file.convolutions, convolutions) and file.residual_only is None


@pytest.mark.parametrize("byte_order", ["little", "big"])
def test_byte_orders_of_torch(tmp_path, byte_order):
    convolutions = draw_convolutions(blocks=6)
    path = write_torch(tmp_path / "w.pt", state_dict(convolutions), byte_order)
    assert equal(read_dsen2_file(path).convolutions, convolutions)


def test_the_order_of_a_state_dict_is_that_of_the_numbers(tmp_path):
    convolutions = draw_convolutions(blocks=6)
    tensors = dict(sorted(state_dict(convolutions).items()))
    assert list(tensors).index("layers.10.bias") < list(tensors).index("layers.2.bias")
    assert equal(read_dsen2_file(write_torch(tmp_path / "w.pt", tensors)).convolutions, convolutions)


def test_published_code_that_is_not_understood(tmp_path):
    """A file that is known to be DSen2 needs no proof by its code."""
    path = shutil.copy(DATA / "refused_activation.pt", tmp_path / "w.pt")
    file = read_dsen2_file(path, published=True)
    assert file.order == "names" and [one.name for one in file.convolutions][::5] == ["conv1", "conv2"]


REFUSED = {
    "refused_module.pt": "asks to run __main__.Two: refused",
    "refused_bfloat16.pt": "got torch.BFloat16Storage",
    "refused_order.pt": "late.b and late.a do not give their order",
    "refused_activation.pt": "expected code that gives the order of the convolutions .* got torch.tanh",
    "refused_block.pt": "expected DSen2",
    "refused_skip.pt": "does not begin with all its inputs in order",
}


@pytest.mark.parametrize("name", REFUSED)
def test_files_of_torch_to_refuse(name):
    with pytest.raises(ValueError, match=REFUSED[name]):
        read_dsen2_file(DATA / name)


class Attack:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize("function", [os.system, eval, exec, getattr, np.load, __import__])
def test_nothing_is_executed(tmp_path, function):
    mark = tmp_path / "executed"
    path = write_torch(tmp_path / "w.pt", {"conv1.weight": Attack(function, f"touch {mark}")})
    with pytest.raises(ValueError, match=rf"asks to run \w+\.{function.__name__}: refused"):
        read_dsen2_file(path)
    assert not mark.exists()


def test_code_is_not_executed(tmp_path):
    """The code of an archive is text: a call in it that no network needs is named, not made."""
    mark, path = tmp_path / "executed", tmp_path / "w.pt"
    attack = f"    __import__('os').system('touch {mark}')\n    return x10\n"
    with zipfile.ZipFile(DATA / "scripted_2x.pt") as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith(".py") and b"class Two" in content:
                content = content[: content.index(b"    _0 = ")] + attack.encode()
            target.writestr(name, content)
    with pytest.raises(ValueError, match="in the file's code, got __import__"):
        read_dsen2_file(path)
    assert not mark.exists()


def change(tensors, **changes):
    """Change tensors of a state_dict: None takes one away."""
    changes = {name.replace("__", "."): value for name, value in changes.items()}
    return {name: value for name, value in {**tensors, **changes}.items() if value is not None}


F = np.float32
STATE_DICTS = {
    "missing bias": ({"layers__2__bias": None}, "layers.2.bias is missing"),
    "missing block": (
        {f"layers__{i}__{part}": None for i in (0, 1) for part in ("weight", "bias")},
        "missing: number 1 beside layers.2",
    ),
    "missing convolution": ({"layers__2__weight": None, "layers__2__bias": None}, "missing: number 2"),
    "extra": ({"norm__running_mean": np.zeros(4, F)}, "got norm.running_mean"),
    "no tensor": ({"epoch": 3}, "got int for epoch"),
    "swapped": ({"conv2__weight": np.zeros((4, 6, 3, 3), F)}, "expected a bias of shape .4,. in conv2"),
    "flat": ({"conv2__weight": np.zeros((6, 36), F)}, "expected a kernel of 4 dimensions in conv2"),
    "not a number": ({"layers__1__bias": np.full(4, np.nan, F)}, "expected finite numbers in layers.1's bias"),
    "far": (
        {"layers__9999999999__weight": np.zeros((4, 4, 3, 3), F), "layers__9999999999__bias": np.zeros(4, F)},
        "number 4",
    ),
    "integers": ({"layers__1__bias": np.zeros(4, int)}, "expected floating-point numbers in layers.1's bias"),
    "two first": (
        {"other__weight": np.zeros((4, 10, 3, 3), F), "other__bias": np.zeros(4, F)},
        "got conv1, other",
    ),
    "beyond": ({"conv1__bias": Tensor(np.zeros(4, F), (4,), (2,))}, "do not fit a storage of 4"),
    "repeated": ({"conv1__bias": Tensor(np.zeros(4, F), (1 << 30,), (0,))}, "do not fit a storage of 4"),
    "negative": ({"conv1__bias": Tensor(np.zeros(4, F), (4,), (-1,), 3)}, "strides, got"),
}


@pytest.mark.parametrize("case", STATE_DICTS)
def test_state_dicts_to_refuse(tmp_path, case):
    changes, message = STATE_DICTS[case]
    path = write_torch(tmp_path / "w.pt", change(state_dict(draw_convolutions()), **changes))
    with pytest.raises(ValueError, match=message):
        read_dsen2_file(path)


def remove(file, name):
    del file[name]


KERAS = {
    "missing weight": (lambda f: remove(f, "conv2d_3/conv2d_3/bias:0"), "conv2d_3/bias:0 is named .* but missing"),
    "missing layer": (lambda f: remove(f, "conv2d_3"), "the layer conv2d_3 is named but missing"),
    "extra weight": (lambda f: f.create_dataset("conv2d_3/x", data=1.0), "/conv2d_3/x is not among the weights"),
    "extra layer": (lambda f: f.copy("conv2d_3", "conv2d_9"), "conv2d_9 is not among the layers"),
    "unnamed layers": (
        lambda f: f.attrs.update(layer_names=[n for n in f if n not in ("conv2d_2", "conv2d_3")])
        or (remove(f, "conv2d_2"), remove(f, "conv2d_3")),
        "expected the convolutions of 2 blocks, got 4 convolutions",
    ),
    "no names": (lambda f: f.attrs.pop("layer_names"), "expected the attribute layer_names .* in /"),
    "no bias": (
        lambda f: f["conv2d_3"].attrs.update(weight_names=["conv2d_3/kernel:0"])
        or remove(f, "conv2d_3/conv2d_3/bias:0"),
        "expected kernel and bias in /conv2d_3/conv2d_3, got kernel",
    ),
}


@pytest.mark.parametrize("case", KERAS)
def test_files_of_keras_to_refuse(tmp_path, case):
    action, message = KERAS[case]
    path = write_keras(tmp_path / "w.hdf5", draw_convolutions())
    with h5py.File(path, "a") as file:
        action(file)
    with pytest.raises(ValueError, match=message):
        read_dsen2_file(path)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.995])
@pytest.mark.parametrize("name", ["state_dict_2x.pt", "frozen_2x.pt", "w.hdf5"])
def test_truncated_files(tmp_path, name, share):
    path = tmp_path / name
    content = (DATA / name if name.endswith("pt") else write_keras(path, draw_convolutions())).read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match="expected"):
        read_dsen2_file(path)


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html>", b"version https://git-lfs.github.com/spec/v1\n"])
def test_other_files(tmp_path, content):
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(ValueError, match="expected Keras HDF5 or a torch archive, got a file that begins with"):
        read_dsen2_file(tmp_path / "w.pt")


def test_other_archives(tmp_path):
    path = tmp_path / "w.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(ValueError, match=r"found no data\.pkl"):
        read_dsen2_file(path)
    with zipfile.ZipFile(write_torch(tmp_path / "whole.pt", {"conv1.bias": np.zeros(4, F)})) as source:
        pickled = source.read("archive/data.pkl")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/data/0", b"abc")
    with pytest.raises(ValueError, match="expected 16 bytes in data/0, got 3"):
        read_dsen2_file(path)


def test_an_archive_that_unpacks_to_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_file, "LARGEST", 1 << 20)
    with zipfile.ZipFile(tmp_path / "w.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 21))
    with pytest.raises(ValueError, match="expected an archive of at most 1 MiB"):
        read_dsen2_file(tmp_path / "w.pt")
