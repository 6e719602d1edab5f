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
    "overlap": ({"c": {"dtype": "F64", "shape": [], "data_offsets": [20, 28]}}, "c begins at 20, not at 24"),
    "gap": ({"a": {**F32, "data_offsets": [8, 32]}}, "a begins at 8, not at 0"),
    "size": ({"a": {**F32, "shape": [2, 4]}}, "32 bytes are wanted of a, not 24"),
    "huge shape": ({"a": {**F32, "shape": [1 << 62, 1 << 62]}}, "bytes are wanted of a, not 24"),
    "end before begin": ({"a": {**F32, "data_offsets": [0, -24]}}, "data_offsets of a, not .0, -24."),
    "beyond": ({"z": {"dtype": "U8", "shape": [9], "data_offsets": [68, 77]}}, "z ends at 77, the file at 68"),
    "bfloat16": ({"a": {**F32, "dtype": "BF16"}}, "floating-point numbers are wanted; a is BF16"),
    "negative": ({"a": {**F32, "shape": [-2, -3]}}, "numbers of at least 0 are wanted as shape of a"),
    "fraction": ({"a": {**F32, "shape": [2.0, 3]}}, "numbers of at least 0 are wanted as shape of a"),
    "boolean": ({"a": {**F32, "data_offsets": [False, 24]}}, "numbers of at least 0 are wanted as data_offsets of a"),
    "three offsets": ({"a": {**F32, "data_offsets": [0, 12, 24]}}, "a begin and an end are wanted of a"),
    "no shape": ({"a": {"dtype": "F32", "data_offsets": [0, 24]}}, "dtype, shape and data_offsets are wanted of a"),
    "more keys": ({"a": {**F32, "code": "x"}}, "dtype, shape and data_offsets are wanted of a"),
    "a number": ({"a": 3}, "dtype, shape and data_offsets are wanted of a, not 3"),
}


@pytest.mark.parametrize("case", ENTRIES)
def test_headers_to_refuse(tmp_path, case):
    entries, message = ENTRIES[case]
    with pytest.raises(ValueError, match=message):
        read_safetensors(write_safetensors(tmp_path / "w", ARRAYS, **entries))


@pytest.mark.parametrize(
    "header, message",
    [
        (b'{"a":', "a header of JSON is wanted"),
        (b'{"a": "\xff"}', "a header of JSON is wanted"),
        (b'{"a": NaN}', "dtype, shape and data_offsets are wanted of a"),
        (b"[]", "a header that is a dict is wanted, not a list"),
        (b'{"a":{},"a":{}}', "names, each once"),
        (b'{"a":' + b"[" * 100_000, "a header of JSON is wanted"),
    ],
)
def test_other_headers(tmp_path, header, message):
    (tmp_path / "w").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ValueError, match=message):
        read_safetensors(tmp_path / "w")


@pytest.mark.parametrize("length", [0, 1 << 63, 8 << 20])
def test_lengths_of_headers(tmp_path, length):
    (tmp_path / "w").write_bytes(length.to_bytes(8, "little") + b"{}" + bytes(safetensors_file.LARGEST_HEADER + 10))
    with pytest.raises(
        ValueError, match=f"a header of 1 to {safetensors_file.LARGEST_HEADER} bytes .*, not of {length}"
    ):
        read_safetensors(tmp_path / "w")


def test_every_cut_and_every_addition_is_noticed(tmp_path):
    path = write_safetensors(tmp_path / "w", ARRAYS)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="wanted"):
            read_safetensors(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(ValueError, match="nothing is wanted after the arrays; 1 bytes are left over"):
        read_safetensors(path)
