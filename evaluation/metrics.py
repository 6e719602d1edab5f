# SPDX-License-Identifier: Apache-2.0
"""Errors of an image against the truth, per band and over all bands.

There are two sets of metrics. `Scores` and `score` take images (height, width, bands) in reflectance. The functions
below them take digital numbers (DN), leave out missing pixels, and are defined as in the paper of DSen2 (Lanaras et
al. 2018, doi:10.1016/j.isprsjprs.2018.09.018). Definitions, with N pixels, x the truth and y the estimate:

* L1: mean of |x - y|. L2: mean of (x - y)^2. RMSE: its square root. Bias: mean of y - x;
* PSNR: 10 log10(peak^2 / L2), in dB, where `peak` is the largest value of the truth in the band;
* SRE: 10 log10((mean of x)^2 / L2), in dB: the signal to reconstruction error;
* UIQ: Wang and Bovik 2002 (doi:10.1109/97.995823), the universal image quality index Q of 8 x 8 windows at every
  position, averaged. Q is the product of a correlation and contrast term 2 cov(x, y) / (var x + var y) and of a
  luminance term 2 mean(x) mean(y) / (mean(x)^2 + mean(y)^2). As in the authors' program, a term of 0 / 0 is 1: two
  constant windows have the Q of their luminance, 1 if they are equal;
* SSIM: Wang et al. 2004 (doi:10.1109/TIP.2003.819861), Gaussian window of sigma 1.5, computed by
  scikit-image, data range = `peak`; mean over pixels, then over images weighted by their number of pixels;
* SAM: Kruse et al. 1993 (doi:10.1016/0034-4257(93)90013-N), the angle between the spectra of a pixel, in
  degrees; mean over the pixels where neither spectrum is zero;
* ERGAS: Wald 2000, 100 (h / l) sqrt(mean over bands of L2 / (mean of x)^2), where h / l is the ratio of the
  ground sampling distances of the truth and of the input of the super-resolution (1/4 for a scale of 4).

Lower is better for L1, L2, RMSE, SAM and ERGAS, higher for PSNR, SRE, UIQ and SSIM, closer to zero for the bias. Over
all bands, metrics that are defined per band are averaged.

    from evaluation.metrics import score
    print(score(truth, estimate, scale=4)["psnr"])
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from skimage.metrics import structural_similarity

from chain.raster.spectral_angle import spectral_angles

BAND_METRICS = ("l1", "l2", "psnr", "ssim")
METRICS = (*BAND_METRICS, "sam", "ergas")
UNITS = {"l1": "reflectance", "l2": "reflectance^2", "psnr": "dB", "ssim": "", "sam": "degrees", "ergas": ""}
HIGHER_IS_BETTER = {"psnr", "ssim", "sre", "uiq"}
UIQ_WINDOW = 8
SSIM_WINDOW = 11
"""Side of scikit-image's window: a Gaussian of sigma 1.5, truncated at 3.5 sigma."""
STRIP = 512
"""Number of rows scored at once, so that memory use does not grow with the height of images."""
ROUNDING = 1e-12
"""Variance, relative to the mean square, that is considered a rounding error."""


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
            ValueError: the shapes differ, or do not have this number of bands.
        """
        if truth.shape != estimate.shape or truth.ndim != 3 or truth.shape[-1] != len(self.peak):
            raise ValueError(
                f"estimate: expected {len(self.peak)} bands of the truth's size, {truth.shape}, got {estimate.shape}"
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


def rmse(truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Compute the root mean square error; over all bands and pixels together if there are several bands.

    Args:
        truth: (rows, columns) or (rows, columns, bands), DN.
        estimate: of the same shape.
        valid: (rows, columns), the pixels to score; all by default.

    Returns:
        The error, in DN; NaN if there is no pixel to score.

    Raises:
        ValueError: the shapes differ.
    """
    x, y = _pixels(truth, estimate, valid)
    return float(np.sqrt(_mean(np.square(y - x))))


def bias(truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Compute the mean of estimate minus truth, in DN; arguments as for `rmse`."""
    x, y = _pixels(truth, estimate, valid)
    return float(_mean(y - x))


def sre(truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Compute the signal to reconstruction error of a band, in dB; arguments as for `rmse`.

    Returns:
        The ratio; infinity if the estimate is perfect.
    """
    x, y = _pixels(truth, estimate, valid)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(10 * np.log10(np.square(_mean(x)) / _mean(np.square(y - x))))


def uiq(
    truth: np.ndarray,
    estimate: np.ndarray,
    valid: np.ndarray | None = None,
    window: int = UIQ_WINDOW,
    step: int = 1,
) -> float:
    """Compute the universal image quality index of a band.

    Args:
        truth: (rows, columns).
        estimate: of the same shape.
        valid: (rows, columns), the valid pixels; all by default.
        window: side of the square windows, in pixels.
        step: distance between windows, in pixels; equal to `window` if they must not overlap.

    Returns:
        The mean over windows without missing pixels; NaN if there are none.

    Raises:
        ValueError: the shapes differ, or the image is smaller than a window.
    """

    def index(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return _universal_quality(x, y, window, step)

    return _mean_over_windows(index, truth, estimate, valid, window, step)


def ssim(truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Compute the structural similarity of a band; the data range is the largest value of the truth.

    Args:
        truth: (rows, columns).
        estimate: of the same shape.
        valid: (rows, columns), the valid pixels; all by default.

    Returns:
        The mean over windows without missing pixels; NaN if there are none, or if no value is above zero.

    Raises:
        ValueError: the shapes differ, or the image is smaller than a window.
    """
    peak = float(np.max(truth, where=True if valid is None else valid, initial=0))
    if peak == 0:
        return np.nan
    border = SSIM_WINDOW // 2

    def index(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        _, similarity = structural_similarity(
            x, y, data_range=peak, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
        )
        return similarity[border:-border, border:-border]

    return _mean_over_windows(index, truth, estimate, valid, SSIM_WINDOW, 1)


def sam(truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Compute the mean spectral angle of images (rows, columns, bands), in degrees; arguments as for `rmse`.

    Returns:
        The mean over pixels with two non-zero spectra; NaN if there are none.
    """
    total, count = 0.0, 0
    valid = _checked(truth, estimate, valid)
    for first in range(0, len(valid), STRIP):
        rows = slice(first, first + STRIP)
        angles = spectral_angles(*_pixels(truth[rows], estimate[rows], valid[rows]))
        total, count = total + angles.sum(), count + angles.size
    return float(total / count) if count else np.nan


def ergas(truth: np.ndarray, estimate: np.ndarray, scale: float, valid: np.ndarray | None = None) -> float:
    """Compute ERGAS of images (rows, columns, bands).

    Args:
        truth: (rows, columns, bands).
        estimate: of the same shape.
        scale: ratio of the ground sampling distances of the input and of the truth.
        valid: (rows, columns), the pixels to score; all by default.

    Returns:
        The error, without unit; NaN if there is no pixel to score.

    Raises:
        ValueError: the shapes differ.
    """
    relative = []
    for band in range(truth.shape[-1]):
        x, y = _pixels(truth[..., band], estimate[..., band], valid)
        with np.errstate(divide="ignore", invalid="ignore"):
            relative.append(_mean(np.square(y - x)) / np.square(_mean(x)))
    return float(100 / scale * np.sqrt(np.mean(relative)))


def _mean(values: np.ndarray) -> np.float64:
    """Average values; NaN, without a warning, if there are none."""
    return np.float64(values.mean() if values.size else np.nan)


def _pixels(truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels to score, flattened, in double precision."""
    valid = _checked(truth, estimate, valid)
    return truth[valid].astype(np.float64), estimate[valid].astype(np.float64)


def _checked(truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
    """Return the mask of the pixels to score; raise ValueError if the shapes differ."""
    if truth.shape != estimate.shape:
        raise ValueError(f"estimate: expected the truth's shape, {truth.shape}, got {estimate.shape}")
    if valid is None:
        return np.ones(truth.shape[:2], dtype=bool)
    if valid.shape != truth.shape[:2]:
        raise ValueError(f"valid: expected the truth's size, {truth.shape[:2]}, got {valid.shape}")
    return valid


def _window_strips(
    truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray | None, window: int, step: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield strips of rows of two images, in double precision, and of the mask, that contain each window once."""
    valid = _checked(truth, estimate, valid)
    count, at_once = (len(valid) - window) // step + 1, max(STRIP // step, 1)
    for first in range(0, count, at_once):
        last = min(first + at_once, count) - 1
        part = slice(first * step, last * step + window)
        yield truth[part].astype(np.float64), estimate[part].astype(np.float64), valid[part]


def _mean_over_windows(
    index: Callable[[np.ndarray, np.ndarray], np.ndarray],
    truth: np.ndarray,
    estimate: np.ndarray,
    valid: np.ndarray | None,
    window: int,
    step: int,
) -> float:
    """Average an index, one value per window, over windows without missing pixels."""
    if truth.ndim != 2 or min(truth.shape) < window:
        raise ValueError(f"truth: expected at least {window} x {window} pixels per band, got {truth.shape}")
    total, count = 0.0, 0
    for x, y, present in _window_strips(truth, estimate, valid, window, step):
        whole = _window_sums(present.astype(np.float64), window, step) == window**2
        values = index(np.where(present, x, 0), np.where(present, y, 0))
        total, count = total + values[whole].sum(), count + int(whole.sum())
    return float(total / count) if count else np.nan


def _universal_quality(x: np.ndarray, y: np.ndarray, window: int, step: int) -> np.ndarray:
    """Compute Q of each window of two bands."""
    count = window**2
    sum_x, sum_y = _window_sums(x, window, step), _window_sums(y, window, step)
    squares = count * _window_sums(x * x + y * y, window, step)
    level = sum_x**2 + sum_y**2
    variances = squares - level
    covariance = count * _window_sums(x * y, window, step) - sum_x * sum_y
    varied = variances > ROUNDING * squares
    structure = np.divide(2 * covariance, variances, out=np.ones_like(level), where=varied)
    luminance = np.divide(2 * sum_x * sum_y, level, out=np.ones_like(level), where=level > 0)
    return structure * luminance


def _window_sums(image: np.ndarray, window: int, step: int) -> np.ndarray:
    """Sum each window of (rows, columns); exact for integers, unlike a running sum."""
    for _ in range(2):
        ends = (start + image.shape[0] - window + 1 for start in range(window))
        image = sum(image[start:end:step] for start, end in enumerate(ends)).T
    return image
