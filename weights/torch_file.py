# SPDX-License-Identifier: Apache-2.0
"""Files of torch, read without torch: state_dicts and TorchScript archives.

Both are zip archives: `data.pkl` is a pickle whose tensors lie in `data/`; TorchScript adds the text of its code, in
`code/`, and tensors that are constants of the code: `constants.pkl` and `constants/`. The unpickler here knows tensors
and ordered dicts; modules become `ScriptModule`s, which do nothing; whatever else a pickle asks for is refused.
"""

import collections
import math
import pickle
import re
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

LEGACY = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
"""How files begin that torch wrote before version 1.6: pickles, not archives."""
LARGEST = 1 << 30
"""Number of bytes to unpack, at most; VDSen2 has an eighth of it."""
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
"""numpy's names of the types of storages."""


class ScriptModule:
    """A module of TorchScript, as data.

    Attributes:
        qualified_name: name of its class in the archive's code.
        state: its parameters, modules and settings, by name.
    """

    qualified_name: str
    state: dict[str, Any] = {}

    def __setstate__(self, state: dict) -> None:
        if type(state) is not dict or not all(type(name) is str for name in state):
            raise ValueError(f"named attributes are wanted in a {self.qualified_name}")
        self.state = state


class _Unpickler(pickle.Unpickler):
    """Unpickles tensors, as arrays, modules, as `ScriptModule`s, and what holds them."""

    def __init__(self, archive: "TorchFile", name: str):
        super().__init__(BytesIO(archive.read(f"{name}.pkl")))
        self._archive = archive
        self._folder = "constants" if name == "constants" else "data"
        self._storages: dict[tuple[str, str], np.ndarray] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a global name of the pickle.

        Raises:
            ValueError: it is not a name that files of weights need.
        """
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._tensor
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module == "torch.jit._pickle" and re.fullmatch("build_(int|double|bool|tensor)list", name):
            return list
        if (module, name) == ("torch.jit._pickle", "restore_type_tag"):
            return self._value
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if module == "torch" and name.endswith("Storage"):
            raise ValueError(f"tensors of 16, 32 or 64-bit floating-point numbers are wanted, not torch.{name}")
        if module == "__torch__" or module.startswith("__torch__."):
            return type(name, (ScriptModule,), {"qualified_name": f"{module}.{name}"})
        raise ValueError(f"a file of nothing but tensors is wanted; this one asks to run {module}.{name}: refused")

    def persistent_load(self, identifier: Any) -> np.ndarray:
        """Read a storage, as an array of one dimension.

        Raises:
            ValueError: the archive does not have it as the pickle says.
        """
        kind, code, key, _, size = identifier
        if kind != "storage" or code not in STORAGES.values():
            raise ValueError(f"a storage is wanted, not {kind} of type {code}")
        if (key, code) not in self._storages:
            dtype = np.dtype(code).newbyteorder(self._archive.byte_order)
            content = self._archive.read(f"{self._folder}/{key}")
            if len(content) != size * dtype.itemsize:
                wanted = size * dtype.itemsize
                raise ValueError(f"{self._folder}/{key}: {wanted} bytes are wanted, not {len(content)}")
            self._storages[key, code] = np.frombuffer(content, dtype).astype(code)
        return self._storages[key, code]

    def _tensor(self, storage: np.ndarray, offset: int, shape: tuple, strides: tuple, *_: Any) -> np.ndarray:
        """Make the array of a tensor.

        Raises:
            ValueError: it reaches beyond its storage, or repeats it.
        """
        numbers = (offset, *shape, *strides)
        if not all(type(number) is int and number >= 0 for number in numbers) or len(shape) != len(strides):
            raise ValueError(f"offset, shape and strides are wanted, not {offset}, {shape}, {strides}")
        size = math.prod(shape)
        end = offset + 1 + sum((length - 1) * stride for length, stride in zip(shape, strides))
        if size == 0 or max(size, end) > storage.size:
            raise ValueError(f"shape {shape}, strides {strides} from {offset} do not fit a storage of {storage.size}")
        steps = [stride * storage.itemsize for stride in strides]
        return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False).copy()

    def _value(self, value: Any, _: str) -> Any:
        """Return a value without the tag of its type."""
        return value


class TorchFile:
    """An archive that torch has written.

    Args:
        path: the file.

    Attributes:
        root: what was saved: a dict, or a `ScriptModule`.
        constants: tensors that are constants of the code.
        is_script: whether it is of TorchScript.

    Raises:
        ValueError: the file is damaged, is not of torch, or holds something else than tensors and modules.
    """

    def __init__(self, path: str | Path):
        with open(path, "rb") as stream:
            if stream.read(len(LEGACY)) == LEGACY:
                raise ValueError(
                    "a file of torch 1.6 or later is wanted, not of its older format: load it with torch, save it again"
                )
        try:
            with zipfile.ZipFile(path) as self._zip:
                self._left = LARGEST
                self._folder = self._find_folder()
                self.byte_order = {b"little": "<", b"big": ">"}[self.read("byteorder", b"little").strip()]
                self.is_script = f"{self._folder}constants.pkl" in self._zip.namelist()
                self.root = _Unpickler(self, "data").load()
                self.constants = tuple(_Unpickler(self, "constants").load()) if self.is_script else ()
                self._code = {
                    name.removeprefix(f"{self._folder}code/"): self._unpack(name).decode()
                    for name in self._zip.namelist()
                    if name.startswith(f"{self._folder}code/") and name.endswith(".py")
                }
        except (ValueError, OSError):
            raise
        except Exception as error:  # whatever a damaged pickle or archive makes Python say
            raise ValueError(f"a whole archive of torch is wanted ({type(error).__name__}: {error})") from error

    def _find_folder(self) -> str:
        """Return the name of the folder, with a slash, that holds all members.

        Raises:
            ValueError: there is none.
        """
        for name in self._zip.namelist():
            if name.count("/") == 1 and name.endswith("/data.pkl"):
                return name.removesuffix("data.pkl")
        raise ValueError("an archive of torch is wanted; this one has no data.pkl")

    def _unpack(self, member: str) -> bytes:
        """Read a member of the archive.

        Raises:
            ValueError: it is missing, or too large.
        """
        try:
            info = self._zip.getinfo(member)
        except KeyError:
            raise ValueError(f"{member} is missing") from None
        self._left -= info.file_size
        if self._left < 0:
            raise ValueError(f"at most {LARGEST >> 20} MiB are wanted in an archive")
        return self._zip.read(info)

    def read(self, name: str, default: bytes | None = None) -> bytes:
        """Read a member by its name in the archive's folder.

        Raises:
            ValueError: it is too large, or missing without a default.
        """
        member = f"{self._folder}{name}"
        return default if default is not None and member not in self._zip.namelist() else self._unpack(member)

    def code(self, module: str) -> str:
        """Return the code of a module, such as `__torch__.torch.nn.functional`, as text.

        Raises:
            ValueError: there is none.
        """
        name = f"{module.replace('.', '/')}.py"
        if name not in self._code:
            raise ValueError(f"code/{name} is missing")
        return self._code[name]

    def tensors(self) -> dict[str, np.ndarray]:
        """Return all tensors, by name: those of dicts and modules as torch names them, constants as the code does.

        Raises:
            ValueError: something else was saved than a dict of tensors, or a module.
        """
        found: dict[str, np.ndarray] = {}
        if isinstance(self.root, ScriptModule):
            queue, seen = [("", self.root)], {id(self.root)}
            while queue:
                prefix, module = queue.pop(0)
                for name, value in module.state.items():
                    if isinstance(value, np.ndarray):
                        found[f"{prefix}{name}"] = value
                    elif isinstance(value, ScriptModule) and id(value) not in seen:
                        seen.add(id(value))
                        queue.append((f"{prefix}{name}.", value))
        elif isinstance(self.root, dict):
            for name, value in dict.items(self.root):
                if not isinstance(value, np.ndarray):
                    raise ValueError(f"a dict of tensors is wanted; {name} is a {type(value).__name__}")
                found[str(name)] = value
        else:
            raise ValueError(f"a dict of tensors, or a module, is wanted, not a {type(self.root).__name__}")
        return found | {f"CONSTANTS.c{index}": value for index, value in enumerate(self.constants)}
