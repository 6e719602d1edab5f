# SPDX-License-Identifier: Apache-2.0
"""What is lost by coarse pixels: a blur by a Gaussian of 1 / scale fine pixels, then the mean over a coarse pixel.

This is Wald's protocol (`datasets/wald.py`) as Lanaras et al. 2018 use it. Networks are consistent with it
(`models/consistency.py`), and products are compared with their input by it; no TensorFlow is needed.
"""

import functools
import math

import numpy as np

LEAST_WEIGHT = 1e-6
"""Weight of the blur below which it is none: of a scale of 6, nothing is left of it."""


def blur_radius(scale: float) -> int:
    """Return how many fine pixels around a pixel the blur of coarse pixels sees; none where pixels are no coarser."""
    return int(math.sqrt(-2 * math.log(LEAST_WEIGHT)) / scale) if scale > 1 else 0


@functools.cache
def blur_kernel(scale: float) -> np.ndarray:
    """Return the weights of the blur, along one axis, at -`blur_radius` to +`blur_radius`; they add up to one."""
    radius = blur_radius(scale)
    gaussian = np.exp(-0.5 * np.square(np.arange(-radius, radius + 1) * float(scale)))
    return gaussian / gaussian.sum()


@functools.cache
def degradation_kernel(scale: int) -> np.ndarray:
    """Return the weights of the fine pixels, along one axis, that make a coarse pixel; they add up to one."""
    return np.convolve(blur_kernel(scale), np.full(scale, 1 / scale))
