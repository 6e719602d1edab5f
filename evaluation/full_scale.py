# SPDX-License-Identifier: Apache-2.0
"""Scores of a product at full resolution, without a truth: consistency with its input, and QNR.

Consistency is Wald's first property: a sharpened band, degraded to its original resolution (`datasets.wald.degrade`),
should equal the original band. It says nothing about details. Because `degrade` blurs across pixels at 20 m, even a
product of repeated pixels has an error there.

QNR (Alparone et al. 2008, doi:10.14358/PERS.74.2.193) does: relations between bands, measured by Q of Wang and Bovik
(`evaluation.metrics.uiq`), should be those of the input. For the bands of one resolution, with exponents 1:

* D_lambda: mean over pairs of bands of |Q(l, r) of the sharpened bands - Q(l, r) of the original bands|;
* D_s: mean over bands of |Q(sharpened band, fine band) - Q(original band, degraded fine band)|;
* QNR = (1 - D_lambda) (1 - D_s), at most 1.

The index was designed for one panchromatic band. Sentinel-2 has four fine bands: each coarse band is paired with the
one of B02, B03, B04 and B08 that correlates best with it when degraded, as in the band selection scheme of Wang et al.
2016 (Remote Sensing of Environment 187, 241-252); Vaiopoulos and Karantzalos 2016
(doi:10.5194/isprs-archives-XLI-B7-723-2016) also pair Sentinel-2's bands by spectral similarity. Fine bands are
degraded as in Wald's protocol. Q is averaged over windows that do not overlap and cover the same ground at both
resolutions: 8 x 8 coarse pixels, that is 16 x 16 (20 m bands) or 48 x 48 (60 m bands) pixels of 10 m; the original, for
a ratio of 4, uses 8 x 8 and 32 x 32.

Use it beside Wald's protocol, not instead of it: a band whose relations to others differ between resolutions is
compared with the coarse relations, so a sharper band may score worse than bicubic interpolation, which both reports
state.

    from evaluation.full_scale import evaluate
    print(evaluate(native, sharpened)["mean_20m"]["qnr"])
"""

from collections.abc import Callable
from itertools import combinations

import numpy as np

from datasets.wald import degrade
from evaluation import metrics
from evaluation.bicubic import bicubic
from evaluation.protocol import (
    FINE,
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

Quality = Callable[[np.ndarray, np.ndarray], float]

WINDOW = metrics.UIQ_WINDOW
"""Side of the windows of Q, in coarse pixels."""


def evaluate(native: Bands, sharpened: Bands) -> dict:
    """Score a product.

    Args:
        native: name -> (rows, columns), digital numbers (DN) at native resolution, missing pixels NaN: the input, B02,
            B03, B04 and B08 at 10 m and the bands that were sharpened.
        sharpened: name -> (rows, columns) at 10 m, DN, missing pixels NaN: the product. Its 10 m bands are
            ignored.

    Returns:
        Content for JSON; null stands for an undefined number (QNR of a single band):

        * `protocol`: `full-scale`;
        * `bands`: name -> `rmse` and `bias` of the consistency, DN, `relative`, the RMSE as a share of the mean; `d_s`;
          the same for bicubic interpolation, `bicubic_rmse` and so on; `mean` of the input; the paired `fine_band`
          and their `correlation`;
        * `mean_20m`, `mean_60m`: means over the bands; `d_lambda`, `qnr`, `bicubic_d_lambda`, `bicubic_qnr`; `pixels`:
          the number of scored coarse pixels, those that are completely valid in every image.

    Raises:
        ValueError: bands are missing, cover different ground, are too small, or have no pixel to score.
    """
    check_bands("native", native)
    product = {name: band for name, band in sharpened.items() if name not in FINE}
    groups = groups_of(tuple(product))
    if not groups or set(product) - set(native):
        raise ValueError(
            f"sharpened: expected some of {' '.join(name for name in native if name not in FINE)}, "
            f"got {' '.join(sharpened) or 'none'}"
        )
    report: dict = {"protocol": "full-scale", "bands": {}}
    for group, names in groups.items():
        scores, summary = _group_scores(native, product, names)
        report["bands"].update(scores)
        report[f"mean_{group}"] = summary
    return json_numbers(report)


def _group_scores(native: Bands, product: Bands, names: tuple[str, ...]) -> tuple[dict, dict]:
    """Score the bands of one resolution; return the scores of each and of all."""
    scale = ratio(names[0])
    rows, columns = _size(native, product, names)
    bands = crop({name: native[name] for name in (*FINE, *names)}, rows, columns)
    coarse = {name: bands[name] for name in names}
    images = {
        "ours": {name: np.asarray(product[name][:rows, :columns], dtype=np.float32) for name in names},
        "bicubic": {name: bicubic(band[..., np.newaxis], scale)[..., 0] for name, band in coarse.items()},
    }
    degraded_fine = {name: _degrade(bands[name], scale) for name in FINE}
    degraded = {
        method: {name: _degrade(band, scale) for name, band in image.items()} for method, image in images.items()
    }
    valid = present(*(band for group in (coarse, degraded_fine, *degraded.values()) for band in group.values()))
    if not valid.any():
        raise ValueError(f"native: expected pixels of {' '.join(names)} valid in every band, got none")
    valid_fine = valid.repeat(scale, axis=0).repeat(scale, axis=1)

    def coarse_quality(x: np.ndarray, y: np.ndarray) -> float:
        return metrics.uiq(x, y, valid, WINDOW, step=WINDOW)

    def fine_quality(x: np.ndarray, y: np.ndarray) -> float:
        return metrics.uiq(x, y, valid_fine, WINDOW * scale, step=WINDOW * scale)

    scores = {}
    for name in names:
        fine_band, correlation = _closest(coarse[name], degraded_fine, valid)
        original = coarse_quality(coarse[name], degraded_fine[fine_band])
        ours, theirs = (
            {
                **_consistency(coarse[name], degraded[method][name], valid),
                "d_s": abs(fine_quality(image[name], bands[fine_band]) - original),
            }
            for method, image in images.items()
        )
        mean = float(coarse[name][valid].mean(dtype=np.float64))
        scores[name] = {**beside(ours, theirs), "mean": mean, "fine_band": fine_band, "correlation": correlation}
    summary = means(list(scores.values()))
    ours, theirs = (
        _indices(_spectral_distortion(coarse, images[method], coarse_quality, fine_quality), summary[spatial])
        for method, spatial in (("ours", "d_s"), ("bicubic", "bicubic_d_s"))
    )
    return scores, {**summary, **beside(ours, theirs), "pixels": int(valid.sum())}


def _size(native: Bands, product: Bands, names: tuple[str, ...]) -> tuple[int, int]:
    """Return the size to score, in 10 m pixels: whole coarse pixels, in the input and in the product."""
    rows, columns = extent("native", native)
    margin = max(ratio(name) for name in native)
    for name in names:
        shape = product[name].shape
        if len(shape) != 2 or not (rows <= shape[0] < rows + margin and columns <= shape[1] < columns + margin):
            raise ValueError(f"sharpened: expected {name} of {rows} x {columns} pixels, got {shape}")
    scale = ratio(names[0])
    if min(rows, columns) < WINDOW * scale:
        raise ValueError(
            f"native: expected at least {WINDOW * scale} x {WINDOW * scale} pixels of 10 m for {' '.join(names)}, "
            f"got {rows} x {columns}"
        )
    return whole(rows, scale), whole(columns, scale)


def _degrade(band: np.ndarray, scale: int) -> np.ndarray:
    """Degrade one band."""
    return degrade(band[..., np.newaxis], scale)[..., 0]


def _consistency(coarse: np.ndarray, degraded: np.ndarray, valid: np.ndarray) -> dict[str, float]:
    """Compare a sharpened and degraded band with the original."""
    error = metrics.rmse(coarse, degraded, valid)
    return {
        "rmse": error,
        "bias": metrics.bias(coarse, degraded, valid),
        "relative": quotient(error, float(coarse[valid].mean(dtype=np.float64))),
    }


def _closest(band: np.ndarray, fine: Bands, valid: np.ndarray) -> tuple[str, float]:
    """Return the degraded fine band that correlates best with a band, and the coefficient."""
    correlations = {name: _correlation(band[valid], other[valid]) for name, other in fine.items()}
    best = max(correlations, key=correlations.__getitem__)
    return best, correlations[best]


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Compute the correlation coefficient; 0 if a band is constant."""
    x, y = (values - values.mean() for values in (x.astype(np.float64), y.astype(np.float64)))
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / norm if norm else 0.0


def _spectral_distortion(coarse: Bands, fine: Bands, coarse_quality: Quality, fine_quality: Quality) -> float:
    """Compute D_lambda; NaN for a single band."""
    differences = [
        abs(fine_quality(fine[left], fine[right]) - coarse_quality(coarse[left], coarse[right]))
        for left, right in combinations(coarse, 2)
    ]
    return float(np.mean(differences)) if differences else np.nan


def _indices(d_lambda: float, d_s: float) -> dict[str, float]:
    """Return D_lambda and QNR."""
    return {"d_lambda": d_lambda, "qnr": (1 - d_lambda) * (1 - d_s)}
