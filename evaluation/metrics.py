# SPDX-License-Identifier: Apache-2.0
"""How far an image is from the truth: L1, L2, PSNR, SSIM, SAM and ERGAS, per band and over all bands.

Images are (height, width, bands), in reflectance. Definitions, with N pixels and x the truth:

* L1: mean of |x - y|. L2: mean of (x - y)^2;
* PSNR: 10 log10(peak^2 / L2), in dB, `peak` being the largest value of the truth in the band;
* SSIM: Wang et al. 2004 (doi:10.1109/TIP.2003.819861), Gaussian window of sigma 1.5, computed by
  scikit-image, data range = `peak`; mean over pixels, then over images weighted by their number of pixels;
* SAM: Kruse et al. 1993 (doi:10.1016/0034-4257(93)90013-N), the angle between the spectra of a pixel, in
  degrees; mean over the pixels where neither spectrum is zero;
* ERGAS: Wald 2000, 100 (h / l) sqrt(mean over bands of L2 / (mean of x)^2), where h / l is the ratio of the
  ground sampling distances of the truth and of the input of the super-resolution (1/4 for a scale of 4).

Lower is better for L1, L2, SAM and ERGAS, higher for PSNR and SSIM. Over all bands: the mean of the bands'
values for L1, L2, PSNR and SSIM.

    from evaluation.metrics import score
    print(score(truth, estimate, scale=4)["psnr"])
"""

from collections.abc import Sequence

import numpy as np
from skimage.metrics import structural_similarity

BAND_METRICS = ("l1", "l2", "psnr", "ssim")
METRICS = (*BAND_METRICS, "sam", "ergas")
UNITS = {"l1": "reflectance", "l2": "reflectance^2", "psnr": "dB", "ssim": "", "sam": "degrees", "ergas": ""}
HIGHER_IS_BETTER = {"psnr", "ssim"}


class Scores:
    """Scores of several images, accumulated one image at a time.

    Args:
        peak: largest value of the truth, per band.
        scale: ratio of the ground sampling distances of the input and of the truth.
    """

    def __init__(self, peak: np.ndarray, scale: float):
        self.peak = np.asarray(peak, dtype=np.float64)
        self.scale = scale
        bands = len(self.peak)
        self._pixels, self._angles, self._angle_sum = 0, 0, 0.0
        self._absolute, self._squared, self._truth, self._ssim = np.zeros((4, bands))

    def update(self, truth: np.ndarray, estimate: np.ndarray) -> None:
        """Add an image.

        Args:
            truth: (height, width, bands).
            estimate: of the same shape.

        Raises:
            ValueError: the shapes differ, or are not those of images of that many bands.
        """
        if truth.shape != estimate.shape or truth.ndim != 3 or truth.shape[-1] != len(self.peak):
            raise ValueError(
                f"estimate: {len(self.peak)} bands of the size of the truth {truth.shape} are wanted. "
                f"Received: {estimate.shape}"
            )
        truth, estimate = truth.astype(np.float64), estimate.astype(np.float64)
        pixels = truth.shape[0] * truth.shape[1]
        self._pixels += pixels
        self._absolute += np.abs(truth - estimate).sum(axis=(0, 1))
        self._squared += np.square(truth - estimate).sum(axis=(0, 1))
        self._truth += truth.sum(axis=(0, 1))
        self._ssim += pixels * np.array(
            [
                structural_similarity(
                    truth[..., band],
                    estimate[..., band],
                    data_range=peak,
                    gaussian_weights=True,
                    sigma=1.5,
                    use_sample_covariance=False,
                )
                for band, peak in enumerate(self.peak)
            ]
        )
        angles = spectral_angles(truth, estimate)
        self._angles += angles.size
        self._angle_sum += angles.sum()

    def result(self, bands: Sequence[str]) -> dict:
        """Return the scores of all images.

        Args:
            bands: names of the bands.

        Returns:
            The metrics by name, over all bands, and `bands`: band -> metrics of the band.
        """
        l2 = self._squared / self._pixels
        with np.errstate(divide="ignore"):
            psnr = 10 * np.log10(self.peak**2 / l2)
            relative = l2 / np.square(self._truth / self._pixels)
        per_band = {
            "l1": self._absolute / self._pixels,
            "l2": l2,
            "psnr": psnr,
            "ssim": self._ssim / self._pixels,
        }
        result = {name: float(np.mean(values)) for name, values in per_band.items()}
        result["sam"] = float(self._angle_sum / max(self._angles, 1))
        result["ergas"] = float(100 / self.scale * np.sqrt(np.mean(relative)))
        result["bands"] = {
            band: {name: float(values[index]) for name, values in per_band.items()} for index, band in enumerate(bands)
        }
        return result


def spectral_angles(truth: np.ndarray, estimate: np.ndarray) -> np.ndarray:
    """Compute the angles between the spectra of two images, in degrees, where neither is zero.

    The angle is 2 atan2(|u - v|, |u + v|) of the unit spectra u and v, which is exact for small angles too.

    Args:
        truth: (height, width, bands).
        estimate: of the same shape.

    Returns:
        One angle per pixel that has two spectra.
    """
    norms = np.linalg.norm(truth, axis=-1), np.linalg.norm(estimate, axis=-1)
    valid = (norms[0] > 0) & (norms[1] > 0)
    u = truth[valid] / norms[0][valid][:, np.newaxis]
    v = estimate[valid] / norms[1][valid][:, np.newaxis]
    return np.degrees(2 * np.arctan2(np.linalg.norm(u - v, axis=-1), np.linalg.norm(u + v, axis=-1)))


def score(truth: np.ndarray, estimate: np.ndarray, scale: float, bands: Sequence[str] = ()) -> dict:
    """Compute the scores of one image.

    Args:
        truth: (height, width, bands), reflectance.
        estimate: of the same shape.
        scale: ratio of the ground sampling distances of the input and of the truth.
        bands: names of the bands; their numbers by default.

    Returns:
        The metrics by name, over all bands, and `bands`: band -> metrics of the band.

    Raises:
        ValueError: the shapes differ.
    """
    scores = Scores(truth.max(axis=(0, 1)), scale)
    scores.update(truth, estimate)
    return scores.result(bands or [str(index + 1) for index in range(truth.shape[-1])])
