# SPDX-License-Identifier: Apache-2.0
"""The pickles in files of torch, read without running anything that they ask for.

The unpickler here knows tensors, which become arrays, and ordered dicts. Modules of TorchScript become `ScriptModule`s
and numpy's numbers, which checkpoints hold beside their tensors, become `NumpyNumber`s: neither does anything. Whatever
else a pickle asks for is refused.
"""

import collections
import math
import pickle
import re
from collections.abc import Callable
from typing import IO, Any

import numpy as np

STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
"""NumPy's names of the storage types."""
NUMPY_NUMBER = (
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
)
"""Functions that make NumPy numbers in a pickle."""

ReadStorage = Callable[[str, str, int], np.ndarray]
"""Returns the one-dimensional array of a storage, given its key, NumPy's name of its type, and its length."""


class ScriptModule:
    """A TorchScript module, as data.

    Attributes:
        qualified_name: name of its class in the archive's code.
        state: its parameters, modules and settings, by name.
    """

    qualified_name: str
    state: dict[str, Any] = {}

    def __setstate__(self, state: dict) -> None:
        if type(state) is not dict or not all(type(name) is str for name in state):
            raise ValueError(f"expected named attributes in a {self.qualified_name}, got others")
        self.state = state


class NumpyNumber:
    """A NumPy number, or a part of one, which is not needed and therefore ignored."""

    def __init__(self, *_: Any):
        pass

    def __setstate__(self, _: Any) -> None:
        pass


class Unpickler(pickle.Unpickler):
    """Unpickles tensors as arrays, modules as `ScriptModule`s, and their containers.

    Args:
        stream: the pickle.
        read_storage: returns the storages of tensors.
    """

    def __init__(self, stream: IO[bytes], read_storage: ReadStorage):
        super().__init__(stream)
        self._read_storage = read_storage
        self._storages: dict[tuple[str, str], np.ndarray] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return the replacement of a global name of the pickle.

        Raises:
            ValueError: weights files do not need the name.
        """
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._tensor
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) in NUMPY_NUMBER:
            return NumpyNumber
        if module == "torch.jit._pickle" and re.fullmatch("build_(int|double|bool|tensor)list", name):
            return list
        if (module, name) == ("torch.jit._pickle", "restore_type_tag"):
            return self._value
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if module == "torch" and name.endswith("Storage"):
            raise ValueError(f"expected 16, 32 or 64-bit floating-point tensors, got torch.{name}")
        if module == "__torch__" or module.startswith("__torch__."):
            return type(name, (ScriptModule,), {"qualified_name": f"{module}.{name}"})
        raise ValueError(f"expected a file of tensors only, got one that asks to run {module}.{name}: refused")

    def persistent_load(self, identifier: Any) -> np.ndarray:
        """Return a storage as an array of one dimension.

        Raises:
            ValueError: it is not a storage, or part of another one, or does not match the pickle.
        """
        kind, code, key, _, size, *part = identifier
        if kind != "storage" or code not in STORAGES.values() or any(part):
            raise ValueError(f"expected a complete storage, got {kind} of type {code}")
        if type(key) is not str or type(size) is not int or size < 0:
            raise ValueError(f"expected a storage's key and size, got {key}, {size}")
        if (key, code) not in self._storages:
            self._storages[key, code] = self._read_storage(key, code, size)
        return self._storages[key, code]

    def _tensor(self, storage: np.ndarray, offset: int, shape: tuple, strides: tuple, *_: Any) -> np.ndarray:
        """Return the array of a tensor, a view of its storage.

        Raises:
            ValueError: the tensor exceeds its storage, or repeats it.
        """
        numbers = (offset, *shape, *strides)
        if not all(type(number) is int and number >= 0 for number in numbers) or len(shape) != len(strides):
            raise ValueError(f"expected offset, shape and strides, got {offset}, {shape}, {strides}")
        size = math.prod(shape)
        end = offset + 1 + sum((length - 1) * stride for length, stride in zip(shape, strides))
        if size == 0 or max(size, end) > storage.size:
            raise ValueError(f"shape {shape}, strides {strides} from {offset} do not fit a storage of {storage.size}")
        steps = [stride * storage.itemsize for stride in strides]
        return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)

    def _value(self, value: Any, _: str) -> Any:
        """Return a value without the tag of its type."""
        return value
