# SPDX-License-Identifier: Apache-2.0
"""Files in the safetensors format (https://github.com/huggingface/safetensors): named arrays, without any code.

    python -c "from weights.formats.safetensors_file import read_safetensors as read; print(read('REC.safetensors'))"

Weights are floating-point numbers of a type that NumPy has.
"""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

KINDS = {"F16", "F32", "F64"}
"""Types that NumPy has too, and weights may be of."""


def is_safetensors(path: str | Path) -> bool:
    """Return whether a file begins like one of this format: the length of its header, then the header, JSON."""
    with open(path, "rb") as stream:
        return stream.read(9)[8:] == b"{"


def read_safetensors(path: str | Path) -> dict[str, np.ndarray]:
    """Read all arrays of a file, by name.

    Raises:
        ValueError: the file has another format or is damaged, or an array is not of 16, 32 or 64-bit floating-point
            numbers.
        OSError: it cannot be read.
    """
    try:
        with safe_open(path, framework="np") as file:
            for name in file.offset_keys():
                kind = file.get_slice(name).get_dtype()
                if kind not in KINDS:
                    raise ValueError(f"expected 16, 32 or 64-bit floating-point tensors, got {kind} for {name}")
            return {name: file.get_tensor(name) for name in file.offset_keys()}
    except SafetensorError as error:
        raise ValueError(f"expected a complete safetensors file ({error})") from error
