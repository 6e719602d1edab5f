# SPDX-License-Identifier: Apache-2.0
"""Files of torch, read without torch: state_dicts and TorchScript archives.

Both are zip archives: `data.pkl` is a pickle whose tensors lie in `data/`; TorchScript adds the text of its code, in
`code/`, and tensors that are constants of the code: `constants.pkl` and `constants/`. Before version 1.6 torch wrote
state_dicts otherwise, see `weights/formats/torch_legacy.py`. What a pickle may hold is in
`weights/formats/torch_pickle.py`.
"""

import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from weights.formats.torch_legacy import is_legacy, read_legacy
from weights.formats.torch_pickle import ScriptModule, Unpickler

LARGEST = 1 << 30
"""Number of bytes to unpack, at most; VDSen2 has an eighth of it."""


class TorchFile:
    """A file that torch has written.

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
        self.constants, self.is_script = (), False
        try:
            if is_legacy(path):
                self.root = read_legacy(path)
            else:
                self._open(path)
        except (ValueError, OSError):
            raise
        except Exception as error:  # whatever a damaged pickle or archive makes Python say
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
        """Unpickle `data` or `constants`, whose storages lie in the folder of that name.

        Raises:
            ValueError: a storage is not as the pickle says.
        """

        def read_storage(key: str, code: str, size: int) -> np.ndarray:
            dtype = np.dtype(code).newbyteorder(self.byte_order)
            content = self.read(f"{name}/{key}")
            if len(content) != size * dtype.itemsize:
                raise ValueError(f"expected {size * dtype.itemsize} bytes in {name}/{key}, got {len(content)}")
            return np.frombuffer(content, dtype).astype(code)

        return Unpickler(BytesIO(self.read(f"{name}.pkl")), read_storage).load()

    def _find_folder(self) -> str:
        """Return the name of the folder, with a slash, that holds all members.

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
        self._left -= info.file_size
        if self._left < 0:
            raise ValueError(f"expected an archive of at most {LARGEST >> 20} MiB, got a larger one")
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

    def tensors(self, entry: str | None = None) -> dict[str, np.ndarray]:
        """Return all tensors, by name: those of dicts and modules as torch names them, constants as the code does.

        Args:
            entry: name in the dict that was saved of what holds the tensors; by default they are in it themselves.

        Raises:
            ValueError: something else was saved than a dict of tensors, or a module.
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
