# SPDX-License-Identifier: Apache-2.0
"""The content of a weights file of any format: convolutions in the order of computation."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Convolution:
    """A convolution and its name in the file."""

    name: str
    kernel: np.ndarray
    """Float32, (height, width, input channels, output channels)."""
    bias: np.ndarray
    """Float32, (output channels)."""


@dataclass(frozen=True)
class WeightsFile:
    """The content of a weights file."""

    format: str
    """Format of the file, in words."""
    convolutions: list[Convolution]
    """All convolutions, in the order of computation."""
    order: str
    """The source of this order."""
    inputs: int | None = None
    """Number of input images of the network; None if the file does not contain it."""
    residual_only: bool | None = None
    """Whether the network leaves the addition of the interpolated bands to its caller; None if unknown."""


def float32(name: str, array: np.ndarray) -> np.ndarray:
    """Return an array of 16, 32 or 64-bit floating-point numbers as 32-bit ones.

    Raises:
        ValueError: the type is another one, or a value is not finite.
    """
    if array.dtype.kind != "f":
        raise ValueError(f"expected floating-point numbers in {name}, got {array.dtype}")
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"expected finite numbers in {name}, got others")
    return array


def convolution(name: str, kernel: np.ndarray, bias: np.ndarray) -> Convolution:
    """Make a convolution from a kernel, (height, width, input channels, output channels), and a bias.

    Raises:
        ValueError: their shapes do not match, or they contain other than finite floating-point numbers.
    """
    if kernel.ndim != 4:
        raise ValueError(f"expected a kernel of 4 dimensions in {name}, got shape {kernel.shape}")
    if bias.shape != kernel.shape[3:]:
        raise ValueError(f"expected a bias of shape {kernel.shape[3:]} in {name}, got {bias.shape}")
    return Convolution(name, float32(f"{name}'s kernel", kernel), float32(f"{name}'s bias", bias))


def from_torch(name: str, kernel: np.ndarray, bias: np.ndarray) -> Convolution:
    """Make a convolution from torch's arrays: kernels are (output channels, input channels, height, width).

    Raises:
        ValueError: the shapes do not match, or the arrays contain other than finite floating-point numbers.
    """
    if kernel.ndim != 4:
        raise ValueError(f"expected a kernel of 4 dimensions in {name}, got shape {kernel.shape}")
    return convolution(name, kernel.transpose(2, 3, 1, 0), bias)
