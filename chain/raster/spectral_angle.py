# SPDX-License-Identifier: Apache-2.0
"""The angle between spectra (Kruse et al. 1993, doi:10.1016/0034-4257(93)90013-N)."""

import numpy as np


def spectral_angles(truth: np.ndarray, estimate: np.ndarray) -> np.ndarray:
    """Compute the angles between the spectra of two images, in degrees, where neither is zero.

    The angle is 2 atan2(|u - v|, |u + v|) of the unit spectra u and v, which is exact for small angles too.

    Args:
        truth: (height, width, bands).
        estimate: of the same shape.

    Returns:
        One angle per pixel with two non-zero spectra.
    """
    norms = np.linalg.norm(truth, axis=-1), np.linalg.norm(estimate, axis=-1)
    valid = (norms[0] > 0) & (norms[1] > 0)
    u = truth[valid] / norms[0][valid][:, np.newaxis]
    v = estimate[valid] / norms[1][valid][:, np.newaxis]
    return np.degrees(2 * np.arctan2(np.linalg.norm(u - v, axis=-1), np.linalg.norm(u + v, axis=-1)))
