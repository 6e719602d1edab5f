# SPDX-License-Identifier: Apache-2.0
"""Wald's protocol: bands are degraded by the super-resolution factor, so that the original bands are the truth.

Wald, Ranchin, Mangolini 1997, "Fusion of satellite images of different spatial resolutions: assessing the quality of
resulting images" (PE&RS 63(6)). As in the paper of DSen2 (Lanaras et al. 2018, section 4), all bands are degraded by 2
for the 20 m bands, which are then compared with the result from 40 m and 20 m bands; for the 60 m bands, they are
degraded by 6 and compared with the result from 360 m, 120 m and 60 m bands. The scores are therefore those of the
system at a coarser resolution; `evaluation.full_scale` scores a product itself.

    from evaluation.wald import evaluate
    report = evaluate(bands, sharpen)
    print(report["mean_20m"]["ratio"])      # RMSE, as a share of that of bicubic interpolation
"""

from collections.abc import Callable, Sequence

import numpy as np

from datasets.wald import degrade
from evaluation import metrics
from evaluation.bicubic import bicubic
from evaluation.protocol import (
    Bands,
    beside,
    check_bands,
    crop,
    extent,
    groups_of,
    json_numbers,
    means,
    present,
    quotient,
    ratio,
    whole,
)

Sharpen = Callable[[dict[str, np.ndarray], tuple[str, ...]], dict[str, np.ndarray]]


def evaluate(bands: Bands, sharpen: Sharpen, scored: Sequence[str] | None = None) -> dict:
    """Score a system on a scene.

    Args:
        bands: name -> (rows, columns), digital numbers (DN) at native resolution, missing pixels NaN: B02, B03, B04 and
            B08 at 10 m, and bands of 20 m (B05, B06, B07, B8A, B11, B12), of 60 m (B01, B09), or of both. Margins at
            the bottom and right that do not fill a pixel of the coarsest degraded band are left out.
        sharpen: the system. It gets the degraded bands (float32 DN, missing pixels NaN; the finest are four or more)
            and the names of coarse ones among them, and returns these at the resolution of the finest, in DN. It is
            called once for the 20 m bands and once for the 60 m bands. Output pixels that are NaN are not scored.
        scored: coarse bands to score; all of `bands` by default.

    Returns:
        Content for JSON; null stands for a number that is infinite (SRE of a perfect band) or undefined:

        * `protocol`: `wald`;
        * `bands`: name -> `rmse`, `sre`, `uiq`, `ssim`, `bias`; for bicubic interpolation `bicubic_rmse` and so on;
          `mean` of the truth; `ratio` of the RMSE to that of bicubic. Units and definitions: `evaluation.metrics`;
        * `mean_20m`, `mean_60m`: means over the bands; `ratio` of the mean RMSEs; `joint_rmse` over all bands and
          pixels, `sam`, `ergas` and, again, `bicubic_joint_rmse` and so on; `pixels`: the number of scored pixels,
          those valid in the truth of all bands, in bicubic interpolation and in the system's output;
        * `sam`: that of the 20 m bands, or of the 60 m bands if there are none.

    Raises:
        ValueError: bands are missing, cover different ground, are too small or have no pixel to score, or `sharpen`
            returns other bands or sizes than requested.
    """
    check_bands("bands", bands)
    report: dict = {"protocol": "wald", "bands": {}}
    for group, names in groups_of(tuple(bands if scored is None else scored)).items():
        native, degraded = made_coarser(bands, names)
        scale = ratio(names[0])
        truth = np.stack([native[name] for name in names], axis=-1)
        interpolated = bicubic(np.stack([degraded[name] for name in names], axis=-1), scale)
        estimate = _sharpened(sharpen(degraded, names), names, truth.shape[:2])
        valid = present(truth, estimate, interpolated)
        if not valid.any():
            raise ValueError(f"bands: expected pixels of {' '.join(names)} valid in every band, got none")
        scores = {
            name: _band_scores(*(image[..., number] for image in (truth, estimate, interpolated)), valid)
            for number, name in enumerate(names)
        }
        report["bands"].update(scores)
        report[f"mean_{group}"] = {
            **_mean_scores(list(scores.values())),
            **beside(*(_spectral_scores(truth, image, scale, valid) for image in (estimate, interpolated))),
            "pixels": int(valid.sum()),
        }
    report["sam"] = report["mean_20m" if "mean_20m" in report else "mean_60m"]["sam"]
    return json_numbers(report)


def made_coarser(bands: Bands, names: tuple[str, ...]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the bands as far as they can be degraded by the factor of `names`, and degraded by it.

    Raises:
        ValueError: they are too small.
    """
    native = _cropped(bands, names)
    scale = ratio(names[0])
    return native, {name: degrade(band[..., np.newaxis], scale)[..., 0] for name, band in native.items()}


def _cropped(bands: Bands, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Crop bands so that all of them can be degraded by the factor of `names`."""
    step = ratio(names[0]) * max(ratio(name) for name in bands)
    size = extent("bands", bands)
    rows, columns = (whole(length, step) for length in size)
    needed = -(-metrics.SSIM_WINDOW * ratio(names[0]) // step) * step
    if min(rows, columns) < needed:
        raise ValueError(
            f"bands: expected at least {needed} x {needed} pixels of 10 m for {' '.join(names)}, "
            f"got {size[0]} x {size[1]}"
        )
    return crop(bands, rows, columns)


def _sharpened(result: Bands, names: tuple[str, ...], size: tuple[int, int]) -> np.ndarray:
    """Stack the output of a system, in the order of the names."""
    for name in names:
        received = result[name].shape if name in result else " ".join(result) or "none"
        if received != size:
            raise ValueError(f"sharpen: expected {name} of {size[0]} x {size[1]} pixels, got {received}")
    return np.stack([np.asarray(result[name], dtype=np.float32) for name in names], axis=-1)


def _band_scores(truth: np.ndarray, estimate: np.ndarray, interpolated: np.ndarray, valid: np.ndarray) -> dict:
    """Score a band."""
    functions = (metrics.rmse, metrics.sre, metrics.uiq, metrics.ssim, metrics.bias)
    ours, theirs = (
        {function.__name__: function(truth, image, valid) for function in functions}
        for image in (estimate, interpolated)
    )
    scores = beside(ours, theirs)
    scores["mean"] = float(truth[valid].mean(dtype=np.float64))
    return {**scores, "ratio": quotient(scores["rmse"], scores["bicubic_rmse"])}


def _mean_scores(scores: list[dict]) -> dict:
    """Average the scores of bands, and add the joint errors over all pixels of all bands, whose numbers are equal."""
    result = means(scores)
    result["ratio"] = quotient(result["rmse"], result["bicubic_rmse"])
    for name in ("rmse", "bicubic_rmse"):
        joint = name.replace("rmse", "joint_rmse")
        result[joint] = float(np.sqrt(np.mean(np.square([band[name] for band in scores]))))
    return result


def _spectral_scores(truth: np.ndarray, estimate: np.ndarray, scale: int, valid: np.ndarray) -> dict:
    """Score all bands jointly; a single band has no spectral angle."""
    angle = metrics.sam(truth, estimate, valid) if truth.shape[-1] > 1 else np.nan
    return {"sam": angle, "ergas": metrics.ergas(truth, estimate, scale, valid)}
