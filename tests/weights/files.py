# SPDX-License-Identifier: Apache-2.0
"""Files of weights, written by hand in the layouts of Keras 2, of torch and of safetensors."""

import collections
import io
import json
import pickle
import sys
import types
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

DATA = Path(__file__).parent / "data"


def draw_convolutions(role="2x", depth=4, blocks=2, seed=0):
    """Draw the kernels, (height, width, in, out), and biases of a network."""
    rng = np.random.default_rng(seed)
    bands, outputs = {"2x": (10, 6), "6x": (12, 2)}[role]
    sizes = [(bands, depth), *[(depth, depth)] * (2 * blocks), (depth, outputs)]
    return [
        (rng.normal(0, 0.2, (3, 3, *size)).astype("float32"), rng.normal(0, 0.1, size[1]).astype("float32"))
        for size in sizes
    ]


def keras_layers(count, first=1):
    """Name the layers of a network of `count` convolutions as Keras does; None stands for a convolution."""
    name = "conv2d{}".format
    suffixes = [f"_{number}" if number else "" for number in range(first, first + count)]
    blocks = count // 2 - 1
    layers = ["input_1", "input_2", "concatenate_1", name(suffixes[0])]
    for block in range(blocks):
        one, two = suffixes[2 * block + 1 : 2 * block + 3]
        layers += [name(one), f"activation_{block + 1}", name(two), f"lambda_{block + 1}", f"add_{block + 1}"]
    return [*layers, name(suffixes[-1]), f"add_{blocks + 1}"]


def write_keras(path, convolutions, whole=False, text=False, first=1):
    """Write an HDF5 file as Keras 2 does: names as bytes or as text, weights only or a whole model."""
    encode = str if text else str.encode
    layers = keras_layers(len(convolutions), first)
    remaining = iter(convolutions)
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if whole else file
        root.attrs["layer_names"] = [encode(name) for name in layers]
        root.attrs["backend"] = encode("tensorflow")
        for name in layers:
            group = root.create_group(name)
            weights = {}
            if name.startswith("conv2d"):
                weights = dict(zip((f"{name}/kernel:0", f"{name}/bias:0"), next(remaining)))
            group.attrs["weight_names"] = [encode(weight) for weight in weights]
            for weight, array in weights.items():
                group[weight] = array
        if whole:
            file.attrs["model_config"] = encode('{"class_name": "Lambda", "config": "bytecode"}')
            file["optimizer_weights/training/Nadam/m_0"] = np.zeros(3)
    return path


class Storage:
    def __init__(self, array):
        self.array = array


class Tensor:
    """An array that is pickled as torch pickles a tensor."""

    def __init__(self, array, shape=None, strides=None, offset=0):
        self.storage = Storage(array)
        self.shape = shape or array.shape
        self.strides = strides or tuple(step // array.itemsize for step in array.strides)
        self.offset = offset

    def __reduce__(self):
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        return rebuild, (self.storage, self.offset, self.shape, self.strides, False, collections.OrderedDict())


class Pickler(pickle.Pickler):
    """Leaves storages out, as torch does: `ending` is what ends their identifiers."""

    def __init__(self, stream, ending=()):
        super().__init__(stream, 2)
        self.ending = ending
        self.storages = []

    def persistent_id(self, item):
        if not isinstance(item, Storage):
            return None
        self.storages.append(item.array)
        kind = getattr(sys.modules["torch"], {"f4": "FloatStorage", "i8": "LongStorage"}[item.array.dtype.str[1:]])
        return "storage", kind, str(len(self.storages) - 1), "cpu", item.array.size, *self.ending


def as_tensors(items):
    """Replace the arrays of a dict, and of dicts in it, by tensors."""
    kinds = {dict: as_tensors, np.ndarray: Tensor}
    return {name: kinds.get(type(item), lambda other: other)(item) for name, item in items.items()}


def dump_tensors(items, ending=()):
    """Pickle arrays, or anything else, by name, as torch does: return the pickle and the storages."""
    stream = io.BytesIO()
    pickler = Pickler(stream, ending)
    with pytest.MonkeyPatch.context() as patch:
        for module, names in (("torch", ("FloatStorage", "LongStorage")), ("torch._utils", ("_rebuild_tensor_v2",))):
            patch.setitem(sys.modules, module, types.ModuleType(module))
            for name in names:
                setattr(sys.modules[module], name, type(name, (), {"__module__": module}))
        pickler.dump(as_tensors(items))
    return stream.getvalue(), pickler.storages


def state_dict(convolutions):
    """Name the arrays of a network as RSP 0.2 does, in torch's layout."""
    tensors = {}
    for index, (kernel, bias) in enumerate(convolutions):
        last = index == len(convolutions) - 1
        name = "conv1" if index == 0 else "conv2" if last else f"layers.{index - 1}"
        tensors[f"{name}.weight"] = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
        tensors[f"{name}.bias"] = bias
    return tensors


def write_torch(path, items, byte_order="little"):
    """Write an archive as `torch.save` does, given arrays, or anything else, by name."""
    pickled, storages = dump_tensors(items)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", byte_order)
        archive.writestr("archive/version", "3\n")
        for index, array in enumerate(storages):
            content = array.astype(array.dtype.newbyteorder({"little": "<", "big": ">"}[byte_order])).tobytes()
            archive.writestr(f"archive/data/{index}", content)
    return path


MACHINE = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


def write_legacy(path, items, machine=MACHINE, version=1001, keys=None, counts=None, end=b""):
    """Write a file as torch did before 1.6; parts of it may be other than torch writes them."""
    pickled, storages = dump_tensors(items, (None,))
    keys = [str(index) for index in range(len(storages))] if keys is None else keys
    parts = [pickle.dumps(item, 2) for item in (0x1950A86A20F9469CFC6C, version, machine)]
    parts += [pickled, pickle.dumps(keys, 2)]
    for index, array in enumerate(storages):
        parts += [(counts or {}).get(index, array.size).to_bytes(8, "little"), array.tobytes()]
    path.write_bytes(b"".join(parts) + end)
    return path


def write_safetensors(path, arrays, **entries):
    """Write a file of safetensors, given arrays by name; `entries` replace those of the header."""
    kinds = {"f2": "F16", "f4": "F32", "f8": "F64"}
    header, position = {"__metadata__": {"format": "pt"}}, 0
    for name, array in arrays.items():
        offsets = [position, position + array.nbytes]
        header[name] = {"dtype": kinds[array.dtype.str[1:]], "shape": array.shape, "data_offsets": offsets}
        position = offsets[1]
    content = json.dumps({**header, **entries}).encode()
    content += b" " * (-len(content) % 8)
    data = b"".join(array.tobytes() for array in arrays.values())
    path.write_bytes(len(content).to_bytes(8, "little") + content + data)
    return path
