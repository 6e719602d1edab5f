# SPDX-License-Identifier: Apache-2.0
"""What is read from a file of weights, whichever its format: convolutions, in the order in which they are computed."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Convolution:
    """A convolution and what it is called in its file."""

    name: str
    kernel: np.ndarray
    """Float32, (height, width, input channels, output channels)."""
    bias: np.ndarray
    """Float32, (output channels)."""


@dataclass(frozen=True)
class WeightsFile:
    """What a file of weights holds."""

    format: str
    """Format of the file, in words."""
    convolutions: list[Convolution]
    """All convolutions, in the order in which they are computed."""
    order: str
    """What tells this order."""
    inputs: int | None = None
    """Number of images that the network takes; None where the file does not tell."""
    residual_only: bool | None = None
    """Whether the network leaves the addition of the interpolated bands to its caller; None where it is not told."""


def float32(name: str, array: np.ndarray) -> np.ndarray:
    """Return an array of 16, 32 or 64-bit floating-point numbers as 32-bit ones.

    Raises:
        ValueError: they are of another type, or one is not finite.
    """
    if array.dtype.kind != "f":
        raise ValueError(f"expected floating-point numbers in {name}, got {array.dtype}")
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"expected finite numbers in {name}, got others")
    return array


def convolution(name: str, kernel: np.ndarray, bias: np.ndarray) -> Convolution:
    """Check that a kernel, (height, width, input channels, output channels), and a bias go together.

    Raises:
        ValueError: they do not, or they are not of finite floating-point numbers.
    """
    if kernel.ndim != 4:
        raise ValueError(f"expected a kernel of 4 dimensions in {name}, got shape {kernel.shape}")
    if bias.shape != kernel.shape[3:]:
        raise ValueError(f"expected a bias of shape {kernel.shape[3:]} in {name}, got {bias.shape}")
    return Convolution(name, float32(f"{name}'s kernel", kernel), float32(f"{name}'s bias", bias))


def from_torch(name: str, kernel: np.ndarray, bias: np.ndarray) -> Convolution:
    """Make a convolution of torch's arrays: kernels are (output channels, input channels, height, width).

    Raises:
        ValueError: kernel and bias do not go together, or are not of finite floating-point numbers.
    """
    if kernel.ndim != 4:
        raise ValueError(f"expected a kernel of 4 dimensions in {name}, got shape {kernel.shape}")
    return convolution(name, kernel.transpose(2, 3, 1, 0), bias)
