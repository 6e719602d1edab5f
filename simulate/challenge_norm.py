# SPDX-License-Identifier: Apache-2.0
"""The baseline score of ESA's PROBA-V challenge, for simulated scenes.

In the challenge's data, `norm.csv` gives the score for each scene. The simulator computes it: the cPSNR of the mean of
the clearest images, each upsampled by cubic convolution, against the truth. (Märtens et al. 2019,
doi:10.1007/s42064-019-0059-8)
"""

import numpy as np

SCALE = 3
BORDER = 3
"""Largest displacement between truth and image, in pixels."""
PEAK = 65535.0


def baseline_cpsnr(lr: np.ndarray, qm: np.ndarray, hr: np.ndarray, sm: np.ndarray) -> float:
    """Computes the baseline score of a scene.

    Args:
        lr: digital numbers (images, rows, columns).
        qm: whether a pixel is clear, of the same shape.
        hr: truth (rows x 3, columns x 3), digital numbers.
        sm: whether a pixel of the truth is clear, of the same shape.

    Returns:
        cPSNR, in dB.
    """
    clearance = qm.mean(axis=(1, 2))
    fine = np.mean([_enlarge(image) for image in lr[clearance == clearance.max()]], axis=0)
    rows, columns = (length - 2 * BORDER for length in hr.shape)
    inner = fine[BORDER:-BORDER, BORDER:-BORDER]
    errors = []
    for u, v in np.ndindex(2 * BORDER + 1, 2 * BORDER + 1):
        place = np.s_[u : u + rows, v : v + columns]
        errors.append((hr[place] - inner)[sm[place]].var())
    return float(10.0 * np.log10(PEAK**2 / min(errors)))


def _enlarge(image: np.ndarray) -> np.ndarray:
    """Upsamples an image by cubic convolution (a = -0.5) with repeated edges, clipped to its own range."""
    image = image.astype(np.float64)
    down, across = (_weights(length) for length in image.shape)
    return np.clip(down @ image @ across.T, image.min(), image.max())


def _weights(length: int) -> np.ndarray:
    """Weights of one axis, (3 x length, length)."""
    places = (np.arange(SCALE * length) + 0.5) / SCALE - 0.5
    weights = np.zeros((SCALE * length, length))
    for step in (-1, 0, 1, 2):
        tap = np.floor(places) + step
        x = np.abs(places - tap)
        share = np.where(x <= 1, (1.5 * x - 2.5) * x**2 + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2)
        np.add.at(weights, (np.arange(SCALE * length), np.clip(tap, 0, length - 1).astype(int)), share)
    return weights
