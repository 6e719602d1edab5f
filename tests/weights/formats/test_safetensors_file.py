# SPDX-License-Identifier: Apache-2.0
"""Files of safetensors, written by hand after the format's description, and what must be refused."""

import numpy as np
import pytest

from tests.weights.files import write_safetensors
from weights.formats.safetensors_file import is_safetensors, read_safetensors

ARRAYS = {
    "a": np.arange(6, dtype="f4").reshape(2, 3),
    "c": np.array(2.5),
    "e": np.zeros((0, 3), "f4"),
    "h": np.array([[0.5, -2]], "f2"),
}
F32 = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


def test_arrays(tmp_path):
    path = write_safetensors(tmp_path / "w", ARRAYS)
    assert is_safetensors(path)
    received = read_safetensors(path)
    assert received.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert received[name].dtype == array.dtype and np.array_equal(received[name], array)


ENTRIES = {
    "overlap": ({"c": {"dtype": "F64", "shape": [], "data_offsets": [20, 28]}}, "complete safetensors file .*offset"),
    "gap": ({"a": {**F32, "data_offsets": [8, 32]}}, "complete safetensors file .*offset"),
    "size": ({"a": {**F32, "shape": [2, 4]}}, "complete safetensors file .*shape"),
    "huge shape": ({"a": {**F32, "shape": [1 << 62, 1 << 62]}}, "complete safetensors file .*overflow"),
    "end before begin": ({"a": {**F32, "data_offsets": [0, -24]}}, "complete safetensors file .*-24"),
    "beyond": ({"z": {"dtype": "U8", "shape": [9], "data_offsets": [36, 45]}}, "complete safetensors file .*covered"),
    "bfloat16": ({"a": {**F32, "dtype": "BF16", "shape": [12]}}, "floating-point tensors, got BF16 for a"),
    "integers": ({"a": {**F32, "dtype": "I32"}}, "floating-point tensors, got I32 for a"),
    "negative": ({"a": {**F32, "shape": [-2, -3]}}, "complete safetensors file .*-2"),
    "no shape": ({"a": {"dtype": "F32", "data_offsets": [0, 24]}}, "complete safetensors file .*shape"),
}


@pytest.mark.parametrize("case", ENTRIES)
def test_headers_to_refuse(tmp_path, case):
    entries, message = ENTRIES[case]
    with pytest.raises(ValueError, match=message):
        read_safetensors(write_safetensors(tmp_path / "w", ARRAYS, **entries))


@pytest.mark.parametrize("header", [b'{"a":', b'{"a": "\xff"}', b"[]", b'{"a":' + b"[" * 100_000])
def test_other_headers(tmp_path, header):
    (tmp_path / "w").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ValueError, match="expected a complete safetensors file"):
        read_safetensors(tmp_path / "w")


@pytest.mark.parametrize("length", [0, 1 << 63, 200 << 20])
def test_lengths_of_headers(tmp_path, length):
    (tmp_path / "w").write_bytes(length.to_bytes(8, "little") + b"{}" + bytes(1000))
    with pytest.raises(ValueError, match="expected a complete safetensors file"):
        read_safetensors(tmp_path / "w")


def test_every_cut_and_every_addition_is_noticed(tmp_path):
    path = write_safetensors(tmp_path / "w", ARRAYS)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="expected a complete safetensors file"):
            read_safetensors(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(ValueError, match="expected a complete safetensors file"):
        read_safetensors(path)
