# SPDX-License-Identifier: Apache-2.0
"""Files of safetensors, written by hand after its description, and what must be refused."""

import json

import numpy as np
import pytest

from tests.weights.files import write_safetensors
from weights.formats import safetensors_file
from weights.formats.safetensors_file import is_safetensors, read_safetensors

ARRAYS = {
    "a": np.arange(6, dtype="f4").reshape(2, 3),
    "c": np.array(2.5),
    "b": np.arange(4, dtype="i8"),
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


def test_a_file_byte_by_byte(tmp_path):
    """Little-endian, whatever the machine."""
    header = b'{"x":{"dtype":"I16","shape":[2],"data_offsets":[0,4]}}  '
    (tmp_path / "w").write_bytes(bytes([len(header), 0, 0, 0, 0, 0, 0, 0]) + header + b"\x01\x02\xff\xff")
    assert read_safetensors(tmp_path / "w")["x"].tolist() == [513, -1]


def test_the_order_in_the_header_is_free(tmp_path):
    path = write_safetensors(tmp_path / "w", ARRAYS)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = dict(reversed(json.loads(content[8 : 8 + length]).items()))
    path.write_bytes(content[:8] + json.dumps(header).encode().ljust(length) + content[8 + length :])
    assert np.array_equal(read_safetensors(path)["b"], ARRAYS["b"])


ENTRIES = {
    "overlap": ({"c": {"dtype": "F64", "shape": [], "data_offsets": [20, 28]}}, "expected c at byte 24, .*, got 20"),
    "gap": ({"a": {**F32, "data_offsets": [8, 32]}}, "expected a at byte 0, .*, got 8"),
    "size": ({"a": {**F32, "shape": [2, 4]}}, "expected 32 bytes for a, got 24"),
    "huge shape": ({"a": {**F32, "shape": [1 << 62, 1 << 62]}}, "bytes for a, got 24"),
    "end before begin": ({"a": {**F32, "data_offsets": [0, -24]}}, "data_offsets of a, got .0, -24."),
    "beyond": (
        {"z": {"dtype": "U8", "shape": [9], "data_offsets": [68, 77]}},
        "expected z to end at byte 77, .* at 68",
    ),
    "bfloat16": ({"a": {**F32, "dtype": "BF16"}}, "floating-point tensors, got BF16 for a"),
    "negative": ({"a": {**F32, "shape": [-2, -3]}}, "expected non-negative integers in shape of a"),
    "fraction": ({"a": {**F32, "shape": [2.0, 3]}}, "expected non-negative integers in shape of a"),
    "boolean": ({"a": {**F32, "data_offsets": [False, 24]}}, "expected non-negative integers in data_offsets of a"),
    "three offsets": ({"a": {**F32, "data_offsets": [0, 12, 24]}}, "expected a begin and an end for a"),
    "no shape": ({"a": {"dtype": "F32", "data_offsets": [0, 24]}}, "expected dtype, shape and data_offsets of a"),
    "more keys": ({"a": {**F32, "code": "x"}}, "expected dtype, shape and data_offsets of a"),
    "a number": ({"a": 3}, "expected dtype, shape and data_offsets of a, got 3"),
}


@pytest.mark.parametrize("case", ENTRIES)
def test_headers_to_refuse(tmp_path, case):
    entries, message = ENTRIES[case]
    with pytest.raises(ValueError, match=message):
        read_safetensors(write_safetensors(tmp_path / "w", ARRAYS, **entries))


@pytest.mark.parametrize(
    "header, message",
    [
        (b'{"a":', "expected a JSON header"),
        (b'{"a": "\xff"}', "expected a JSON header"),
        (b'{"a": NaN}', "expected dtype, shape and data_offsets of a"),
        (b"[]", "expected a dict as header, got list"),
        (b'{"a":{},"a":{}}', "expected each name once"),
        (b'{"a":' + b"[" * 100_000, "expected a JSON header"),
    ],
)
def test_other_headers(tmp_path, header, message):
    (tmp_path / "w").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ValueError, match=message):
        read_safetensors(tmp_path / "w")


@pytest.mark.parametrize("length", [0, 1 << 63, 8 << 20])
def test_lengths_of_headers(tmp_path, length):
    (tmp_path / "w").write_bytes(length.to_bytes(8, "little") + b"{}" + bytes(safetensors_file.LARGEST_HEADER + 10))
    with pytest.raises(ValueError, match=f"a header of 1 to {safetensors_file.LARGEST_HEADER} bytes, got {length}"):
        read_safetensors(tmp_path / "w")


def test_every_cut_and_every_addition_is_noticed(tmp_path):
    path = write_safetensors(tmp_path / "w", ARRAYS)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="expected"):
            read_safetensors(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(ValueError, match="expected nothing after the arrays, got 1 bytes"):
        read_safetensors(path)
