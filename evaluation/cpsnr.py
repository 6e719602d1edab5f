# SPDX-License-Identifier: Apache-2.0
"""The metrics of ESA's PROBA-V super-resolution challenge: cPSNR, score, and cSSIM.

The truth may be displaced by a few pixels and differ in overall brightness, and clouds hide parts of it. The image is
therefore cropped by `BORDER` pixels at each edge and compared with the truth at all 7 x 7 displacements, each time
after subtracting the mean difference of their clear pixels; the best displacement counts (Märtens et al. 2019,
doi:10.1007/s42064-019-0059-8). With Y the truth, X the image, and means over clear pixels:

* bias = mean of Y - X, cMSE = mean of (Y - X - bias)^2, cPSNR = 10 log10(65535^2 / cMSE), in dB;
* score = mean over scenes of N / cPSNR, where N is the cPSNR of ESA's baseline (`norm.csv`); lower is better, 1 is the
  baseline;
* cSSIM, which ESA does not define: SSIM (scikit-image, Gaussian window of sigma 1.5, data range 65535) of Y and
  X + bias, with concealed pixels of both set to 0, at the displacement of the best cPSNR; mean over all pixels.

Everything is float64.

    from evaluation.cpsnr import cpsnr, score
    print(score({"imgset0594": cpsnr(hr, sr, clear)}, norm))
"""

from collections.abc import Mapping

import numpy as np
from skimage.metrics import structural_similarity

from datasets.deepsum.cmse import BORDER, checked, cmse_matrix, inner

PEAK = 65535.0
"""Largest digital number of 16 bits."""
SSIM_WINDOW = 11
"""Side of scikit-image's window: a Gaussian of sigma 1.5, truncated at 3.5 sigma."""


def cpsnr_matrix(hr: np.ndarray, sr: np.ndarray, clear: np.ndarray) -> np.ndarray:
    """Compute cPSNR at all displacements, (7, 7), in dB; infinite for no error. Arguments as for `cmse_matrix`."""
    with np.errstate(divide="ignore"):
        return 10 * np.log10(PEAK**2 / cmse_matrix(hr, sr, clear))


def cpsnr(hr: np.ndarray, sr: np.ndarray, clear: np.ndarray) -> float:
    """Compute cPSNR, in dB, at the best displacement. Arguments as for `cmse_matrix`."""
    return float(cpsnr_matrix(hr, sr, clear).max())


def cssim(hr: np.ndarray, sr: np.ndarray, clear: np.ndarray) -> float:
    """Compute cSSIM at the displacement of the best cPSNR. Arguments as for `cmse_matrix`.

    Raises:
        ValueError: as for `cmse_matrix`, or the image without its border is smaller than the window.
    """
    errors = cmse_matrix(hr, sr, clear)
    u, v = np.unravel_index(errors.argmin(), errors.shape)
    hr, sr, clear = checked(hr, sr, clear)
    image = inner(sr)
    if min(image.shape) < SSIM_WINDOW:
        raise ValueError(f"sr: expected at least {SSIM_WINDOW + 2 * BORDER} rows and columns, got {sr.shape}")
    truth, mask = (array[u : u + image.shape[0], v : v + image.shape[1]] for array in (hr, clear))
    corrected = image + (truth - image)[mask].mean()
    return float(
        structural_similarity(
            truth * mask,
            corrected * mask,
            data_range=PEAK,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def score(cpsnrs: Mapping[str, float], norm: Mapping[str, float]) -> float:
    """Compute the challenge's score: the mean of ratios baseline / cPSNR.

    Args:
        cpsnrs: cPSNR by scene, in dB.
        norm: ESA's baseline, in dB, for at least these scenes (`datasets.deepsum.kelvins.read_norm`).

    Raises:
        ValueError: there is no scene, or a scene has no baseline.
    """
    if not cpsnrs:
        raise ValueError("cpsnrs: expected at least one scene, got none")
    missing = sorted(set(cpsnrs) - set(norm))
    if missing:
        raise ValueError(f"norm: expected a baseline for every scene, got none for {', '.join(missing)}")
    return float(np.mean([norm[name] / value for name, value in cpsnrs.items()]))
