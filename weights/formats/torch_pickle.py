# SPDX-License-Identifier: Apache-2.0
"""The pickles in files of torch, read without running anything that they ask for.

The unpickler here knows tensors, which become arrays, and ordered dicts. Modules of TorchScript become `ScriptModule`s
and numpy's numbers, which checkpoints hold beside their tensors, become `NumpyNumber`s: neither does anything. Whatever
else a pickle asks for is refused.
"""

import collections
import math
import pickle
import pickletools
import re
import reprlib
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


LARGEST_OBJECT = 10**6
"""Parts, at most, of an object in a pickle, each counted as often as it is used: hashing and showing visit all."""
DEEPEST_OBJECT = 200
"""Levels, at most, of objects within objects."""
PUTS = ("PUT", "BINPUT", "LONG_BINPUT")
ADDING = ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD")
"""Codes that add to the object below what they take."""
GETS = ("GET", "BINGET", "LONG_BINGET")


class EndlessPickleError(ValueError):
    """A pickle that would take for ever."""


def brief(value: Any) -> str:
    """Return a value of a pickle as messages show it, whatever it is."""
    if isinstance(value, str):
        return value[:60]
    shown = reprlib.Repr()
    shown.maxlevel, shown.maxtuple, shown.maxlist, shown.maxdict, shown.maxother = 2, 4, 4, 4, 60
    return shown.repr(value)


def check_pickle(stream: IO[bytes]) -> None:
    """Refuse a pickle whose objects hold each other so often that any use of them would not end.

    Args:
        stream: the pickle, which is left at its end.

    Raises:
        EndlessPickleError: it is one.
        ValueError, IndexError, KeyError: it is damaged.
    """
    stack: list[tuple[int, int] | None] = []  # parts and levels of each object; None for a mark
    memo: dict[int, tuple[int, int]] = {}
    for code, argument, _ in pickletools.genops(stream):
        if code.name in PUTS or code.name == "MEMOIZE":
            memo[len(memo) if code.name == "MEMOIZE" else int(argument)] = stack[-1] or (1, 1)
            continue
        if code.name in GETS:
            stack.append(memo[int(argument)])
            continue
        if code.name == "DUP":
            stack.append(stack[-1])
            continue
        if code.name == "MARK":
            stack.append(None)
            continue
        taken: list[tuple[int, int]] = []
        if pickletools.markobject in code.stack_before:
            while (top := stack.pop()) is not None:
                taken.append(top)
        for kind in code.stack_before:
            if kind not in (pickletools.markobject, pickletools.stackslice):
                taken.append(stack.pop() or (1, 1))
        parts = 1 + sum(part for part, _ in taken)
        within = [level for _, level in (taken[:-1] if code.name in ADDING else taken)]
        levels = max(1 + max(within, default=0), taken[-1][1] if code.name in ADDING and taken else 1)
        if parts > LARGEST_OBJECT or levels > DEEPEST_OBJECT:
            raise EndlessPickleError(
                f"expected objects of at most {LARGEST_OBJECT} parts and {DEEPEST_OBJECT} levels in a pickle, got more"
            )
        stack += [(parts, levels)] * len(code.stack_after)


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
        self._stream = stream
        self._read_storage = read_storage
        self._storages: dict[tuple[str, str], np.ndarray] = {}

    def load(self) -> Any:
        """Return the object.

        Raises:
            ValueError: it is no object of tensors, or would take for ever.
        """
        start = self._stream.tell()
        try:
            check_pickle(self._stream)
        except EndlessPickleError:
            raise
        except (IndexError, KeyError, ValueError) as error:
            raise ValueError(f"expected a complete pickle, got a damaged one ({error})") from error
        self._stream.seek(start)
        return super().load()

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
            raise ValueError(f"expected a complete storage, got {brief(kind)} of type {brief(code)}")
        if type(key) is not str or type(size) is not int or size < 0:
            raise ValueError(f"expected a storage's key and size, got {brief(key)}, {brief(size)}")
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
            found = ", ".join(brief(part) for part in (offset, shape, strides))
            raise ValueError(f"expected offset, shape and strides, got {found}")
        size = math.prod(shape)
        end = offset + 1 + sum((length - 1) * stride for length, stride in zip(shape, strides))
        if size == 0 or max(size, end) > storage.size:
            raise ValueError(f"shape {shape}, strides {strides} from {offset} do not fit a storage of {storage.size}")
        steps = [stride * storage.itemsize for stride in strides]
        return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)

    def _value(self, value: Any, _: str) -> Any:
        """Return a value without the tag of its type."""
        return value
