# SPDX-License-Identifier: Apache-2.0
"""Scores of L1BSR's networks on pairs of detector images.

For `CSR`, where the truth is known: end-point errors, the distances in pixels between its flows and the true ones, from
green to each other band (`B02`, `B04`, `B08`) and from one detector's green band to the other's (`cross`). Without a
truth: Pearson's correlation of each band with the green one, before and after registration.

For `REC`: PSNR against the truth as sharp as the images, and against the sharper one where pairs have it; and PSNR of
its output, sampled at the pixels of the other detector, against the image of that detector. The output of a `REC` that
makes sharper images is blurred (`models/sharpness.py`) where what it is compared with is. Scores are given beside two
baselines: bicubic interpolation of each band without registration, and with registration by `CSR` in the same step. A
`REC` for registered images gets the images registered by `CSR`. PSNR has a peak of `PEAK` counts, and covers all pixels
inside a border.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from chain.raster.mask import grow
from chain.raster.opening import open_raster
from datasets.l1bsr.counts import Statistics
from datasets.l1bsr.folders import check_bands
from datasets.l1bsr.pairs import SCALE
from models.l1bsr import BANDS, CSR, GREEN, OTHERS, REC
from models.sharpness import blurred
from models.warp import sample, standardize, warp, warp_and_decimate

PEAK = 4095.0
"""Counts of a saturated pixel: the converter has 12 bits."""
BORDER = 16
"""Output pixels on each side that are not scored, because they depend on mirrored pixels."""
MISSING_REACH = 16
"""Pixels from missing ones up to which nothing is scored, or trained on: the largest flow, and what interpolation and
convolutions see."""
REGISTRATION_BORDER = 10
"""Pixels on each side that correlations leave out: the largest flow."""


def read_example(path: str | Path) -> np.ndarray:
    """Read an image of four bands as counts, float32 (rows, columns, 4).

    Raises:
        ValueError: the file cannot be read, does not have four bands in their order, misses pixels, or holds no counts.
    """
    try:
        dataset = open_raster(str(path))
        pixels = dataset.ReadAsArray()
    except RuntimeError as error:
        raise ValueError(f"examples: expected readable images, got {path} ({str(error).splitlines()[0]})") from error
    if pixels.ndim != 3 or len(pixels) != len(BANDS):
        raise ValueError(f"examples: expected images of {len(BANDS)} bands, got {path} of shape {pixels.shape}")
    check_bands(dataset, Path(path))
    nodata = dataset.GetRasterBand(1).GetNoDataValue()
    present = np.isfinite(pixels).all(axis=0) & (pixels != 0).any(axis=0)
    if nodata is not None:
        present &= (pixels != nodata).all(axis=0)
    if not present.all():
        raise ValueError(f"examples: expected images without missing pixels, got {(~present).sum()} of them in {path}")
    image = np.moveaxis(pixels, 0, -1).astype(np.float32)
    statistics = Statistics()
    statistics.add(image, present)
    if statistics.other:
        raise ValueError(f"examples: {statistics.expected} ({statistics.other}) in {path}")
    return image


def score_csr(model: CSR, pairs, examples: Mapping[str, np.ndarray]) -> dict:
    """Score a registration network.

    Args:
        model: the network.
        pairs: `datasets.l1bsr.pairs.Pairs`.
        examples: further images, by name.

    Returns:
        `end_point_error`: band -> `median`, `mean` and `percentile_90`, where the truth is known; `pairs`: band -> mean
        `correlation_before` and `correlation_after`; `examples`: name -> result of `registration`.
    """
    flow_of, errors, correlations = model.pair_model(), {}, []
    for left, right, truth in zip(pairs.left, pairs.right, pairs.truth):
        for name, image in (("left", left), ("right", right)):
            flows = band_flows(flow_of, image)
            correlations.append(registration(image, flows))
            if truth is not None:
                clear = clear_of(image)
                for flow, band in zip(flows, OTHERS):
                    distances = _distances(flow, truth[f"flow_{name}"][:, :, band])
                    errors.setdefault(BANDS[band], []).append(distances[clear])
        if truth is not None:
            cross = _flow(flow_of, left[..., GREEN], right[..., GREEN])
            errors.setdefault("cross", []).append(_distances(cross, truth["cross"])[clear_of(left, right)])
    report = {}
    if errors:
        report["end_point_error"] = {name: _summary(np.concatenate(values)) for name, values in errors.items()}
    report["pairs"] = {
        band: {
            name: float(np.mean([image[band][name] for image in correlations]))
            for name in ("correlation_before", "correlation_after")
        }
        for band in (BANDS[other] for other in OTHERS)
    }
    report["examples"] = {name: registration(image, band_flows(flow_of, image)) for name, image in examples.items()}
    return report


def band_flows(flow_of: Callable, image: np.ndarray) -> list[np.ndarray]:
    """Compute the flow from the green band to each of `OTHERS`: (rows, columns, 2), in pixels.

    Args:
        flow_of: `CSR`'s model for pairs.
        image: counts, (rows, columns, 4).
    """
    return [_flow(flow_of, image[..., GREEN], image[..., other]) for other in OTHERS]


def _flow(flow_of: Callable, grid: np.ndarray, seen: np.ndarray) -> np.ndarray:
    pair = tf.constant(np.stack([grid, seen], axis=-1)[np.newaxis], tf.float32)
    return flow_of(standardize(pair), training=False)[0].numpy()


def _distances(flow: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.hypot(*np.moveaxis(flow - truth, -1, 0))


def _summary(values: np.ndarray) -> dict[str, float]:
    return {
        "median": float(np.median(values)),
        "mean": float(values.mean()),
        "percentile_90": float(np.percentile(values, 90)),
    }


def registration(image: np.ndarray, flows: Sequence[np.ndarray]) -> dict[str, dict[str, float]]:
    """Return the displacements of bands from the green one, and their correlations with it.

    Args:
        image: counts, (rows, columns, 4).
        flows: result of `band_flows`.

    Returns:
        Band -> medians `dx` and `dy` of its flow, in pixels, `correlation_before` and `correlation_after`, away from
        missing pixels.

    Raises:
        ValueError: missing pixels are near to all.
    """
    inside = np.s_[REGISTRATION_BORDER:-REGISTRATION_BORDER, REGISTRATION_BORDER:-REGISTRATION_BORDER]
    registered, result = warped_bands(image, flows), {}
    clear = clear_of(image)
    if not clear[inside].any():
        raise ValueError("pairs: expected pixels far from missing ones and from the border, got an image without")
    green = image[..., GREEN][inside][clear[inside]]
    for other, flow in zip(OTHERS, flows):
        dx, dy = np.median(flow[clear], axis=0)
        before, after = (bands[..., other][inside][clear[inside]] for bands in (image, registered))
        result[BANDS[other]] = {
            "dx": float(dx),
            "dy": float(dy),
            "correlation_before": _correlation(green, before),
            "correlation_after": _correlation(green, after),
        }
    return result


def clear_of(*images: np.ndarray) -> np.ndarray:
    """Return where nothing is missing, 0 in any band, in images of one ground, nor as near as registration looks.

    Args:
        *images: counts, (rows, columns, 4), of one size.

    Returns:
        bool (rows, columns).
    """
    return ~grow(np.logical_or.reduce([(image == 0).any(axis=-1) for image in images]), MISSING_REACH)


def warped_bands(image: np.ndarray, flows: Sequence[np.ndarray]) -> np.ndarray:
    """Warp the bands of an image (rows, columns, 4) onto its green one, by the result of `band_flows`."""
    result = np.array(image)
    for other, flow in zip(OTHERS, flows):
        band = tf.constant(image[np.newaxis, ..., other : other + 1])
        result[..., other] = warp(band, tf.constant(flow[np.newaxis]))[0, ..., 0].numpy()
    return result


def register(image: np.ndarray, flows: Sequence[np.ndarray]) -> np.ndarray:
    """Register an image like `inference.l1bsr`.

    Args:
        image: counts, (rows, columns, 4).
        flows: result of `band_flows`.

    Returns:
        Counts, uint16, of the same shape: 0 where pixels are missing, or near to missing ones, else at least 1.
    """
    registered = warped_bands(image.astype(np.float32), flows)
    registered = np.clip(np.rint(registered), 1, np.iinfo(np.uint16).max).astype(np.uint16)
    registered[~clear_of(image)] = 0
    return registered


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def score_rec(model: REC, csr: CSR, pairs) -> dict:
    """Score a super-resolution network.

    Args:
        model: the network.
        csr: the registration network.
        pairs: `datasets.l1bsr.pairs.Pairs`.

    Returns:
        `truth` and `sharp_truth`, where they are known, and `other_detector`: method (`rec`, `bicubic`,
        `registered_bicubic`) -> PSNR in dB by band, and the `mean` over bands.
    """
    network, flow_of = model.training_model(), csr.pair_model()
    errors: dict[str, dict[str, list[np.ndarray]]] = {"truth": {}, "sharp_truth": {}, "other_detector": {}}
    for image, other, truth, sharp in _roles(pairs):
        own, clear = band_flows(flow_of, image), clear_of(image, other)
        seen = register(image, own).astype(np.float32) if model.arguments["registered"] else image
        made = {
            "rec": network({"x10": tf.constant(seen[np.newaxis])}, training=False),
            **{name: baseline[np.newaxis] for name, baseline in baselines(image, own).items()},
        }
        flows = [_flow(flow_of, other[..., band], image[..., GREEN]) for band in range(len(BANDS))]
        flows = tf.constant(np.stack(flows, axis=2)[np.newaxis])
        for name, estimate in made.items():
            if sharp is not None:
                _add(errors["sharp_truth"], name, estimate - sharp, BORDER, clear)
            if name == "rec" and model.arguments["sharp"]:
                estimate = blurred(estimate)
            seen = warp_and_decimate(tf.constant(estimate), flows)
            _add(errors["other_detector"], name, seen - other, BORDER // SCALE, clear)
            if truth is not None:
                _add(errors["truth"], name, estimate - truth, BORDER, clear)
    return {
        kind: {name: _psnr(values) for name, values in methods.items()} for kind, methods in errors.items() if methods
    }


def _roles(pairs) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]]:
    """Yield each image, the image of the other detector, the truth and the sharp one."""
    for left, right, truth in zip(pairs.left, pairs.right, pairs.truth):
        known = truth or {}
        yield left, right, known.get("hr_left"), known.get("sharp_left")
        yield right, left, known.get("hr_right"), known.get("sharp_right")


def _add(errors: dict, name: str, differences: tf.Tensor, border: int, clear: np.ndarray) -> None:
    inside = np.asarray(differences, np.float64)[0, border:-border, border:-border]
    scale = differences.shape[1] // len(clear)
    counted = clear.repeat(scale, axis=0).repeat(scale, axis=1)[border:-border, border:-border]
    errors.setdefault(name, []).append(np.square(inside[counted]))


def _psnr(squares: Sequence[np.ndarray]) -> dict[str, float]:
    if not sum(map(len, squares)):
        raise ValueError("pairs: expected pixels far from missing ones and from the border, got none")
    values = 10 * np.log10(PEAK**2 / np.concatenate(squares).mean(axis=0))
    return {**{band: float(value) for band, value in zip(BANDS, values)}, "mean": float(values.mean())}


def baselines(image: np.ndarray, flows: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Interpolate an image at twice the resolution: pixel (2y, 2x) of the result is centred on pixel (y, x).

    Args:
        image: counts, (rows, columns, 4).
        flows: result of `band_flows`.

    Returns:
        `bicubic`: without registration; `registered_bicubic`: registered onto the green band. (2 rows, 2 columns, 4).
    """
    still = np.zeros((*image.shape[:2], 2), np.float32)
    onto_green = [still] * len(BANDS)
    for other, flow in zip(OTHERS, flows):
        onto_green[other] = flow
    return {
        "bicubic": np.concatenate([_enlarged(image, band, still) for band in range(len(BANDS))], axis=-1),
        "registered_bicubic": np.concatenate(
            [_enlarged(image, band, flow) for band, flow in enumerate(onto_green)], axis=-1
        ),
    }


def _enlarged(image: np.ndarray, band: int, flow: np.ndarray) -> np.ndarray:
    """Warp a band by a flow, at twice the resolution: (2 rows, 2 columns, 1)."""
    rows, columns = (SCALE * length for length in image.shape[:2])
    x, y = np.meshgrid(np.arange(columns, dtype=np.float32) / SCALE, np.arange(rows, dtype=np.float32) / SCALE)
    x, y = tf.constant(x[np.newaxis]), tf.constant(y[np.newaxis])
    flow = sample(tf.constant(flow[np.newaxis]), x, y)
    image = tf.constant(image[np.newaxis, ..., band : band + 1])
    return sample(image, x + flow[..., 0], y + flow[..., 1])[0].numpy()
