# SPDX-License-Identifier: Apache-2.0
"""Reading of files written by torch before version 1.6, without torch.

They consist of five consecutive pickles (a magic number, the version, the machine's types, the saved object, and the
keys of the storages), followed by the storages: for each, the number of elements (8 bytes) and the elements.
"""

from pathlib import Path
from typing import Any

import numpy as np

from weights.formats.torch_pickle import Unpickler, brief

BEGINNING = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
"""First bytes of such files: the pickle of the magic number."""
VERSION = 1001


def is_legacy(path: str | Path) -> bool:
    """Return whether a file has this format."""
    with open(path, "rb") as stream:
        return stream.read(len(BEGINNING)) == BEGINNING


def read_legacy(path: str | Path) -> Any:
    """Read the saved object, with tensors as arrays.

    Raises:
        ValueError: the file is damaged, or holds anything but tensors.
    """
    size = Path(path).stat().st_size
    storages: dict[str, np.ndarray] = {}

    def reserve(key: str, code: str, count: int) -> np.ndarray:
        """Allocate the array of a storage, whose content follows the pickles."""
        storage = np.empty(0, code)
        total = count * storage.itemsize + sum(other.nbytes for other in storages.values())
        if key in storages or total > size:
            raise ValueError(
                f"expected each storage once, {size} bytes at most in all, got {brief(key)} of {brief(count)} elements"
            )
        storages[key] = np.zeros(count, code)
        return storages[key]

    with open(path, "rb") as stream:
        _, version, machine, root, keys = [Unpickler(stream, reserve).load() for _ in range(5)]
        if version != VERSION or type(machine) is not dict or machine.get("little_endian") is not True:
            raise ValueError(f"expected version {VERSION}, little-endian, got {brief(version)}, {brief(machine)}")
        if type(keys) is not list or sorted(keys) != sorted(storages):
            raise ValueError(f"expected the key of each storage once, got {brief(keys)}")
        for key in keys:
            _fill(storages[key], stream.read(8), stream.read(storages[key].nbytes), key)
        if stream.read(1):
            raise ValueError("expected nothing after the last storage, got more bytes")
    return root


def _fill(storage: np.ndarray, count: bytes, content: bytes, key: str) -> None:
    """Fill the array of a storage.

    Raises:
        ValueError: the number of elements differs, or the file ends.
    """
    if len(count) != 8 or int.from_bytes(count, "little") != storage.size or len(content) != storage.nbytes:
        raise ValueError(f"expected {storage.size} elements in storage {key}: the file is damaged or truncated")
    storage[:] = np.frombuffer(content, storage.dtype.newbyteorder("<"))
