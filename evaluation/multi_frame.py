# SPDX-License-Identifier: Apache-2.0
"""What multi-image super-resolution is compared with: images enlarged by cubic convolution, one or the mean of several.

frames = prepare(lr, qm)
cpsnr(hr, clearest(frames), clear), cpsnr(hr, mean_of_registered(frames), clear)
"""

import numpy as np

from datasets.deepsum.preparation import Frames, enlarge


def clearest(frames: Frames) -> np.ndarray:
    """Return the clearest image, which is the reference: (rows, columns) of the fine grid, digital numbers, float32."""
    return frames.images[0]


def esa_baseline(lr: np.ndarray, qm: np.ndarray) -> np.ndarray:
    """Make the image whose cPSNR `norm.csv` states: the mean of all images of the largest clearance, unregistered.

    Args:
        lr: digital numbers (images, rows, columns), on the coarse grid; all of a scene, corrupt ones too.
        qm: whether a pixel is clear, of the same shape.

    Returns:
        (rows x 3, columns x 3), digital numbers, float32; averaged in float64.

    Raises:
        ValueError: shapes are not those above.
    """
    if lr.ndim != 3 or 0 in lr.shape or qm.shape != lr.shape:
        raise ValueError(
            f"lr, qm: expected equal shapes (images, rows, columns), none of them 0, got {lr.shape} and {qm.shape}"
        )
    clearance = np.count_nonzero(qm, axis=(1, 2))
    chosen = lr[clearance == clearance.max()]
    return np.mean([enlarge(image) for image in chosen], axis=0, dtype=np.float64).astype(np.float32)
