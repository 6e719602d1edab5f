# SPDX-License-Identifier: Apache-2.0
"""Files of torch before 1.6: one that torch has written, and what must be refused."""

import os

import numpy as np
import pytest

from tests.weights.files import DATA, MACHINE, Tensor, write_legacy
from weights.formats.torch_file import TorchFile

ARRAYS = {"a": np.arange(6, dtype="f4").reshape(2, 3), "b": np.arange(4)}


def test_a_file_of_torch():
    """Its tensors are those of the archive that torch has written of the same network, in another memory format."""
    received, wanted = (TorchFile(DATA / f"{name}_2x.pt").tensors() for name in ("legacy", "channels_last"))
    assert list(received) == list(wanted) and len(wanted) == 12
    assert all(np.array_equal(received[name], wanted[name]) for name in wanted)


def test_files_by_hand(tmp_path):
    tensors = TorchFile(write_legacy(tmp_path / "w.pt", ARRAYS)).tensors()
    assert all(
        np.array_equal(tensors[name], array) and tensors[name].dtype == array.dtype for name, array in ARRAYS.items()
    )


@pytest.mark.parametrize("step", [1, 7, 64])
def test_every_cut_is_noticed(tmp_path, step):
    content = write_legacy(tmp_path / "whole.pt", ARRAYS).read_bytes()
    path = tmp_path / "cut.pt"
    for length in range(0, len(content), step):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="expected"):
            TorchFile(path)


REFUSED = {
    "version": ({"version": 1002}, "expected version 1001, little-endian, got 1002"),
    "big-endian": ({"machine": {**MACHINE, "little_endian": False}}, "little-endian, got 1001"),
    "a key is missing": ({"keys": ["0"]}, "expected the key of each storage once"),
    "a key is repeated": ({"keys": ["0", "1", "1"]}, "expected the key of each storage once"),
    "another key": ({"keys": ["0", "2"]}, "expected the key of each storage once"),
    "keys of other types": ({"keys": ["0", 1]}, "expected a complete torch file"),
    "another count": ({"counts": {1: 5}}, "expected 4 elements in storage 1"),
    "more": ({"end": b"x"}, "expected nothing after the last storage"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_files_to_refuse(tmp_path, case):
    options, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        TorchFile(write_legacy(tmp_path / "w.pt", ARRAYS, **options))


def test_a_storage_larger_than_the_file(tmp_path):
    """Nothing of its size is taken from memory."""
    path = write_legacy(tmp_path / "w.pt", {"a": np.zeros(70000, "f4")})
    content = path.read_bytes()
    assert content.count((70000).to_bytes(4, "little")) >= 2
    path.write_bytes(content.replace((70000).to_bytes(4, "little"), (0x7FFFFFFF).to_bytes(4, "little")))
    with pytest.raises(ValueError, match="bytes at most in all, got 0 of 2147483647"):
        TorchFile(path)


def test_a_part_of_another_storage(tmp_path, monkeypatch):
    from tests.weights import files

    dump = files.dump_tensors
    monkeypatch.setattr(files, "dump_tensors", lambda items, ending: dump(items, (("1", 0, 2),)))
    with pytest.raises(ValueError, match="expected a complete storage"):
        TorchFile(write_legacy(tmp_path / "w.pt", ARRAYS))


def test_a_tensor_beyond_its_storage(tmp_path):
    path = write_legacy(tmp_path / "w.pt", {"a": Tensor(np.zeros(4, "f4"), (4,), (2,))})
    with pytest.raises(ValueError, match="do not fit a storage of 4"):
        TorchFile(path)


class Attack:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("place", ["items", "machine", "version", "keys"])
def test_nothing_is_executed(tmp_path, place):
    attack = Attack(tmp_path / "executed")
    options = {"items": {"a": attack}} if place == "items" else {"items": ARRAYS, place: attack}
    with pytest.raises(ValueError, match=r"asks to run posix\.system: refused"):
        TorchFile(write_legacy(tmp_path / "w.pt", **options))
    assert not attack.mark.exists()
