# SPDX-License-Identifier: Apache-2.0
"""Files in the safetensors format: named arrays, without any code.

A file consists of the length of its header (8 bytes, little-endian), the header in JSON, and the bytes of the arrays
(https://github.com/huggingface/safetensors). The header gives the type, shape and position of each array; the arrays
fill the rest of the file without gaps.

    python -c "from weights.formats.safetensors_file import read_safetensors as read; print(read('REC.safetensors'))"
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}
"""NumPy's names of the types."""
LARGEST_HEADER = 4 << 20
"""Largest size of a header, in bytes; that of `REC`, with 1628 tensors, has a twentieth of it."""


def is_safetensors(path: str | Path) -> bool:
    """Return whether a file begins like one of this format."""
    with open(path, "rb") as stream:
        return stream.read(9)[8:] == b"{"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict from pairs.

    Raises:
        ValueError: a key occurs twice.
    """
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("expected each name once in the header, got one twice")
    return result


def _check_entry(name: str, entry: Any) -> None:
    """Check the description of an array.

    Raises:
        ValueError: a part of it is missing, unknown or of the wrong type.
    """
    if type(entry) is not dict or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"expected dtype, shape and data_offsets of {name}, got {entry!r:.80}")
    if entry["dtype"] not in DTYPES:
        raise ValueError(f"expected 16, 32 or 64-bit floating-point tensors, got {entry['dtype']} for {name}")
    for key in ("shape", "data_offsets"):
        if type(entry[key]) is not list or not all(type(number) is int and number >= 0 for number in entry[key]):
            raise ValueError(f"expected non-negative integers in {key} of {name}, got {entry[key]!r:.80}")
    if len(entry["data_offsets"]) != 2:
        raise ValueError(f"expected a begin and an end for {name}, got {entry['data_offsets']!r:.80}")


def _read_header(stream: Any, rest: int) -> dict[str, Any]:
    """Read the header at the beginning of a file, given the number of bytes after its length.

    Raises:
        ValueError: it is too large or malformed.
    """
    length = int.from_bytes(stream.read(8), "little")
    if not 0 < length <= min(rest, LARGEST_HEADER):
        raise ValueError(f"expected a header of 1 to {min(rest, LARGEST_HEADER)} bytes, got {length}")
    try:
        header = json.loads(stream.read(length).decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"expected a JSON header ({type(error).__name__}: {error})") from error
    if type(header) is not dict:
        raise ValueError(f"expected a dict as header, got {type(header).__name__}")
    header.pop("__metadata__", None)
    for name, entry in header.items():
        _check_entry(name, entry)
    return header


def read_safetensors(path: str | Path) -> dict[str, np.ndarray]:
    """Read all arrays of a file, by name.

    Raises:
        ValueError: the file has another format or is damaged: arrays overlap, leave gaps or exceed the file, or
            something follows them.
        OSError: it cannot be read.
    """
    rest = Path(path).stat().st_size - 8
    with open(path, "rb") as stream:
        header = _read_header(stream, rest)
        content = stream.read()
    arrays, position = {}, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        dtype, shape, (begin, end) = np.dtype(DTYPES[entry["dtype"]]), entry["shape"], entry["data_offsets"]
        if begin != position:
            raise ValueError(f"expected {name} at byte {position}, right after the array before it, got {begin}")
        if end - begin != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"expected {math.prod(shape) * dtype.itemsize} bytes for {name}, got {end - begin}")
        if end > len(content):
            raise ValueError(f"expected {name} to end at byte {end}, got a file that ends at {len(content)}")
        arrays[name] = np.frombuffer(content[begin:end], dtype).reshape(shape)
        position = end
    if position != len(content):
        raise ValueError(f"expected nothing after the arrays, got {len(content) - position} bytes")
    return arrays
