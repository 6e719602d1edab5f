# SPDX-License-Identifier: Apache-2.0
"""Wald's protocol: a scene made coarser by the factor that a network is to undo, so that the scene itself is the truth.

L. Wald, T. Ranchin, M. Mangolini, "Fusion of satellite images of different spatial resolutions: assessing the quality
of resulting images", PE&RS 63(6), 1997. The blur is that of Lanaras et al. 2018 unless the MTF of a band is given: a
Gaussian of 1/scale pixels, which for a scale of 6 is no blur at all beside the averaging that follows.

    degrade(image, 2)                                    # as the authors of DSen2
    degrade(image, 2, sigma=mtf_sigma(0.25, 2))          # MTF of 0.25 at the coarse pixels' Nyquist frequency
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter


def mtf_sigma(mtf: float, scale: int) -> float:
    """Return the deviation of the Gaussian, in fine pixels, whose transfer at the coarse Nyquist frequency is `mtf`."""
    return scale * math.sqrt(-2 * math.log(mtf)) / math.pi


def blur_sigmas(scale: int, bands: int, sigma: float | Sequence[float] | None) -> np.ndarray:
    """Return the deviation of each band's blur, in fine pixels: 1 / scale by default."""
    return np.broadcast_to(1.0 / scale if sigma is None else sigma, bands)


def degrade(image: np.ndarray, scale: int, sigma: float | Sequence[float] | None = None) -> np.ndarray:
    """Make an image coarser: blur, then mean over blocks.

    Args:
        image: (rows, columns, bands). Of integers, the blur truncates to integers in each direction, as in the
            original scripts; of floating point numbers it does not. NaN spreads as far as the blur reaches.
        scale: number of pixels along a block.
        sigma: deviation of the blur, in pixels, one or one for each band; 1 / scale by default.

    Returns:
        float32 (rows // scale, columns // scale, bands): the last rows and columns that fill no block are left out.

    Raises:
        ValueError: the image holds no block.
    """
    rows, columns = (size // scale for size in image.shape[:2])
    if not rows or not columns:
        raise ValueError(f"image: expected at least {scale} x {scale} pixels, got {image.shape[:2]}")
    return block_means(blur(image[: rows * scale, : columns * scale], scale, sigma), scale)


def blur(image: np.ndarray, scale: int, sigma: float | Sequence[float] | None = None) -> np.ndarray:
    """Blur an image as `degrade` does, without making it coarser: (rows, columns, bands), of the type of the image."""
    return np.stack(
        [
            gaussian_filter(image[..., band], deviation, mode="reflect")
            for band, deviation in enumerate(blur_sigmas(scale, image.shape[2], sigma))
        ],
        axis=-1,
    )


def block_means(image: np.ndarray, scale: int) -> np.ndarray:
    """Return the means over blocks of an image (rows, columns, bands) whose sides are multiples of `scale`, float32."""
    rows, columns = (size // scale for size in image.shape[:2])
    blocks = image.reshape(rows, scale, columns, scale, -1)
    return blocks.mean(axis=(1, 3), dtype=np.float64).astype(np.float32)
