# SPDX-License-Identifier: Apache-2.0
"""Baselines of multi-image super-resolution: cubic convolution of one image, or the mean of several.

frames = prepare(lr, qm)
cpsnr(hr, clearest(frames), clear), cpsnr(hr, mean_of_registered(frames), clear)
"""

import numpy as np

from datasets.deepsum.preparation import Frames, enlarge


def clearest(frames: Frames) -> np.ndarray:
    """Return the clearest image, which is the reference: (rows, columns) of the fine grid, digital numbers, float32."""
    return frames.images[0]


def esa_baseline(lr: np.ndarray, qm: np.ndarray) -> np.ndarray:
    """Compute the image behind `norm.csv`: the unregistered mean of all images with the largest clear share.

    Args:
        lr: digital numbers (images, rows, columns) of all images of a scene, corrupt ones too, on the coarse grid.
        qm: whether a pixel is clear, of the same shape.

    Returns:
        (rows x 3, columns x 3), digital numbers, float32; averaged in float64.

    Raises:
        ValueError: the shapes are not as above.
    """
    if lr.ndim != 3 or 0 in lr.shape or qm.shape != lr.shape:
        raise ValueError(
            f"lr, qm: expected equal shapes (images, rows, columns), none of them 0, got {lr.shape} and {qm.shape}"
        )
    clearance = np.count_nonzero(qm, axis=(1, 2))
    chosen = lr[clearance == clearance.max()]
    return np.mean([enlarge(image) for image in chosen], axis=0, dtype=np.float64).astype(np.float32)
