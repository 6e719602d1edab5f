# SPDX-License-Identifier: Apache-2.0
"""Reading of torch files without torch: state_dicts and TorchScript archives.

Both are zip archives: `data.pkl` is a pickle whose tensors are in `data/`. TorchScript adds its source code, in
`code/`, and tensors that are constants of the code, in `constants.pkl` and `constants/`.

`weights.formats.torch_legacy` reads state_dicts written before torch 1.6, and `weights.formats.torch_pickle` defines
what pickles may contain.
"""

import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from weights.formats.torch_legacy import is_legacy, read_legacy
from weights.formats.torch_pickle import ScriptModule, Unpickler

LARGEST = 1 << 30
"""Largest number of bytes to unpack; VDSen2 has an eighth of it."""
LARGEST_TEXT = 1 << 26
"""Largest number of bytes of a pickle or of source code, which hold no weights."""


class TorchFile:
    """A torch file.

    Args:
        path: the file.

    Attributes:
        root: the saved object, a dict or a `ScriptModule`.
        constants: tensors that are constants of the code.
        is_script: whether it is a TorchScript archive.

    Raises:
        ValueError: the file is damaged, is not a torch file, or holds anything but tensors and modules.
    """

    def __init__(self, path: str | Path):
        self.constants, self.is_script = (), False
        try:
            if is_legacy(path):
                self.root = read_legacy(path)
            else:
                self._open(path)
        except (ValueError, OSError):
            raise
        except Exception as error:  # a damaged pickle or archive can raise anything
            raise ValueError(f"expected a complete torch file ({type(error).__name__}: {error})") from error

    def _open(self, path: str | Path) -> None:
        """Read an archive."""
        with zipfile.ZipFile(path) as self._zip:
            self._left = LARGEST
            self._folder = self._find_folder()
            self.byte_order = {b"little": "<", b"big": ">"}[self.read("byteorder", b"little").strip()]
            self.is_script = f"{self._folder}constants.pkl" in self._zip.namelist()
            self.root = self._load("data")
            self.constants = tuple(self._load("constants")) if self.is_script else ()
            self._code = {
                name.removeprefix(f"{self._folder}code/"): self._unpack(name).decode()
                for name in self._zip.namelist()
                if name.startswith(f"{self._folder}code/") and name.endswith(".py")
            }

    def _load(self, name: str) -> Any:
        """Unpickle `data` or `constants`, whose storages are in the folder of that name.

        Raises:
            ValueError: a storage does not match the pickle.
        """

        def read_storage(key: str, code: str, size: int) -> np.ndarray:
            dtype = np.dtype(code).newbyteorder(self.byte_order)
            content = self.read(f"{name}/{key}")
            if len(content) != size * dtype.itemsize:
                raise ValueError(f"expected {size * dtype.itemsize} bytes in {name}/{key}, got {len(content)}")
            return np.frombuffer(content, dtype).astype(code)

        return Unpickler(BytesIO(self.read(f"{name}.pkl")), read_storage).load()

    def _find_folder(self) -> str:
        """Return the name of the archive's top folder, with a slash.

        Raises:
            ValueError: there is none.
        """
        for name in self._zip.namelist():
            if name.count("/") == 1 and name.endswith("/data.pkl"):
                return name.removesuffix("data.pkl")
        raise ValueError("expected a torch archive, found no data.pkl")

    def _unpack(self, member: str) -> bytes:
        """Read a member of the archive.

        Raises:
            ValueError: it is missing, or too large.
        """
        try:
            info = self._zip.getinfo(member)
        except KeyError:
            raise ValueError(f"{member} is missing") from None
        if member.endswith((".pkl", ".py")) and info.file_size > LARGEST_TEXT:
            raise ValueError(f"expected {member} of at most {LARGEST_TEXT >> 20} MiB, got {info.file_size} bytes")
        self._left -= info.file_size
        if self._left < 0:
            raise ValueError(f"expected an archive of at most {LARGEST >> 20} MiB, got a larger one")
        return self._zip.read(info)

    def read(self, name: str, default: bytes | None = None) -> bytes:
        """Read a member by its name in the top folder.

        Raises:
            ValueError: it is too large, or missing without a default.
        """
        member = f"{self._folder}{name}"
        return default if default is not None and member not in self._zip.namelist() else self._unpack(member)

    def code(self, module: str) -> str:
        """Return the source code of a module, such as `__torch__.torch.nn.functional`.

        Raises:
            ValueError: there is none.
        """
        name = f"{module.replace('.', '/')}.py"
        if name not in self._code:
            raise ValueError(f"code/{name} is missing")
        return self._code[name]

    def tensors(self, entry: str | None = None) -> dict[str, np.ndarray]:
        """Return all tensors, by the names of torch for dicts and modules, and of the code for constants.

        Args:
            entry: key of the tensors in the saved dict; by default the dict itself.

        Raises:
            ValueError: the saved object is neither a dict of tensors nor a module.
        """
        root = self.root if entry is None else self.root[entry]
        found: dict[str, np.ndarray] = {}
        if isinstance(root, ScriptModule):
            queue, seen = [("", root)], {id(root)}
            while queue:
                prefix, module = queue.pop(0)
                for name, value in module.state.items():
                    if isinstance(value, np.ndarray):
                        found[f"{prefix}{name}"] = value
                    elif isinstance(value, ScriptModule) and id(value) not in seen:
                        seen.add(id(value))
                        queue.append((f"{prefix}{name}.", value))
        elif isinstance(root, dict):
            for name, value in dict.items(root):
                if not isinstance(value, np.ndarray):
                    raise ValueError(f"expected a dict of tensors, got {type(value).__name__} for {name}")
                found[str(name)] = value
        else:
            raise ValueError(f"expected a dict of tensors, or a module, got {type(root).__name__}")
        return found | {f"CONSTANTS.c{index}": value for index, value in enumerate(self.constants)}
