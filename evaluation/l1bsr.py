# SPDX-License-Identifier: Apache-2.0
"""Scores of L1BSR's networks on pairs of detectors' images.

Of `CSR`, where the truth is known: end-point errors, the distances in pixels between its flows and the true ones, from
green into each other band (`B02`, `B04`, `B08`) and from one detector's green band into the other's (`cross`). Without
a truth: Pearson's correlation of each band with the green one, before and after it is registered.

Of `REC`: PSNR to the truth, and PSNR between its output, sampled where the other detector has its pixels, and what that
one saw; beside two baselines: bicubic interpolation of each band where it lies, and after registration by `CSR`, in one
step. A `REC` for registered images is given what `CSR` makes of each image. PSNR is that of `PEAK` counts, and of all
pixels inside a border.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from osgeo import gdal

from datasets.l1bsr.pairs import SCALE
from models.l1bsr import BANDS, CSR, GREEN, OTHERS, REC
from models.warp import sample, standardize, warp, warp_and_decimate

gdal.UseExceptions()

PEAK = 4095.0
"""Counts of a pixel that holds all it can: the converter has 12 bits."""
BORDER = 16
"""Output pixels on each side that are not scored, as what the images lack is mirrored there."""
REGISTRATION_BORDER = 10
"""Pixels on each side where correlations are not computed: the longest flow."""


def read_example(path: str | Path) -> np.ndarray:
    """Read an image of four bands as counts, float32 (rows, columns, 4).

    Raises:
        ValueError: it cannot be read, or has another number of bands.
    """
    try:
        pixels = gdal.Open(str(path)).ReadAsArray()
    except RuntimeError as error:
        raise ValueError(f"examples: expected readable images, got {path} ({str(error).splitlines()[0]})") from error
    if pixels.ndim != 3 or len(pixels) != len(BANDS):
        raise ValueError(f"examples: expected images of {len(BANDS)} bands, got {path} of shape {pixels.shape}")
    return np.moveaxis(pixels, 0, -1).astype(np.float32)


def score_csr(model: CSR, pairs, examples: Mapping[str, np.ndarray]) -> dict:
    """Score a network that registers.

    Args:
        model: the network.
        pairs: `datasets.l1bsr.pairs.Pairs`.
        examples: further images, by name.

    Returns:
        `end_point_error`: band -> `median`, `mean` and `percentile_90`, where truths are known; `pairs`: band -> mean
        `correlation_before` and `correlation_after`; `examples`: name -> what `registration` gives.
    """
    flow_of, errors, correlations = model.pair_model(), {}, []
    for left, right, truth in zip(pairs.left, pairs.right, pairs.truth):
        for name, image in (("left", left), ("right", right)):
            flows = band_flows(flow_of, image)
            correlations.append(registration(image, flows))
            if truth is not None:
                for flow, band in zip(flows, OTHERS):
                    distances = _distances(flow, truth[f"flow_{name}"][:, :, band])
                    errors.setdefault(BANDS[band], []).append(distances)
        if truth is not None:
            cross = _flow(flow_of, left[..., GREEN], right[..., GREEN])
            errors.setdefault("cross", []).append(_distances(cross, truth["cross"]))
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
    """Find the flow from the green band into each of `OTHERS`: (rows, columns, 2), in pixels.

    Args:
        flow_of: the network of pairs of `CSR`.
        image: counts, (rows, columns, 4).
    """
    return [_flow(flow_of, image[..., GREEN], image[..., other]) for other in OTHERS]


def _flow(flow_of: Callable, grid: np.ndarray, seen: np.ndarray) -> np.ndarray:
    pair = tf.constant(np.stack([grid, seen], axis=-1)[np.newaxis], tf.float32)
    return flow_of(standardize(pair), training=False)[0].numpy()


def _distances(flow: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.hypot(*np.moveaxis(flow - truth, -1, 0)).ravel()


def _summary(values: np.ndarray) -> dict[str, float]:
    return {
        "median": float(np.median(values)),
        "mean": float(values.mean()),
        "percentile_90": float(np.percentile(values, 90)),
    }


def registration(image: np.ndarray, flows: Sequence[np.ndarray]) -> dict[str, dict[str, float]]:
    """Say how far bands lie from the green one, and how well they correlate with it.

    Args:
        image: counts, (rows, columns, 4).
        flows: as `band_flows` gives them.

    Returns:
        Band -> medians `dx` and `dy` of its flow, in pixels, `correlation_before` and `correlation_after`.
    """
    inside = np.s_[REGISTRATION_BORDER:-REGISTRATION_BORDER, REGISTRATION_BORDER:-REGISTRATION_BORDER]
    registered, result = warped_bands(image, flows), {}
    green = image[..., GREEN][inside]
    for other, flow in zip(OTHERS, flows):
        dx, dy = np.median(flow, axis=(0, 1))
        result[BANDS[other]] = {
            "dx": float(dx),
            "dy": float(dy),
            "correlation_before": _correlation(green, image[..., other][inside]),
            "correlation_after": _correlation(green, registered[..., other][inside]),
        }
    return result


def warped_bands(image: np.ndarray, flows: Sequence[np.ndarray]) -> np.ndarray:
    """Lay the bands of an image (rows, columns, 4) onto its green one, by flows as `band_flows` gives them."""
    result = np.array(image)
    for other, flow in zip(OTHERS, flows):
        band = tf.constant(image[np.newaxis, ..., other : other + 1])
        result[..., other] = warp(band, tf.constant(flow[np.newaxis]))[0, ..., 0].numpy()
    return result


def register(image: np.ndarray, flows: Sequence[np.ndarray]) -> np.ndarray:
    """Register an image as `inference.l1bsr` does.

    Args:
        image: counts, (rows, columns, 4).
        flows: as `band_flows` gives them.

    Returns:
        Counts, uint16, of 1 at least, of the same shape.
    """
    registered = warped_bands(image.astype(np.float32), flows)
    return np.clip(np.rint(registered), 1, np.iinfo(np.uint16).max).astype(np.uint16)


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def score_rec(model: REC, csr: CSR, pairs) -> dict:
    """Score a network that super-resolves.

    Args:
        model: the network.
        csr: the network that registers.
        pairs: `datasets.l1bsr.pairs.Pairs`.

    Returns:
        `truth`, where it is known, and `other_detector`: method (`rec`, `bicubic`, `registered_bicubic`) -> PSNR in dB
        by band and over all bands (`mean` of the bands').
    """
    network, flow_of = model.training_model(), csr.pair_model()
    errors: dict[str, dict[str, list[np.ndarray]]] = {"truth": {}, "other_detector": {}}
    for image, other, truth in _roles(pairs):
        own = band_flows(flow_of, image)
        seen = register(image, own).astype(np.float32) if model.arguments["registered"] else image
        made = {
            "rec": network({"x10": tf.constant(seen[np.newaxis])}, training=False),
            **{name: baseline[np.newaxis] for name, baseline in baselines(image, own).items()},
        }
        flows = [_flow(flow_of, other[..., band], image[..., GREEN]) for band in range(len(BANDS))]
        flows = tf.constant(np.stack(flows, axis=2)[np.newaxis])
        for name, estimate in made.items():
            seen = warp_and_decimate(tf.constant(estimate), flows)
            _add(errors["other_detector"], name, seen - other, BORDER // SCALE)
            if truth is not None:
                _add(errors["truth"], name, estimate - truth, BORDER)
    return {
        kind: {name: _psnr(values) for name, values in methods.items()} for kind, methods in errors.items() if methods
    }


def _roles(pairs) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    """Give each image, what the other detector saw, and the truth."""
    for left, right, truth in zip(pairs.left, pairs.right, pairs.truth):
        yield left, right, None if truth is None else truth["hr_left"]
        yield right, left, None if truth is None else truth["hr_right"]


def _add(errors: dict, name: str, differences: tf.Tensor, border: int) -> None:
    inside = np.asarray(differences, np.float64)[:, border:-border, border:-border]
    errors.setdefault(name, []).append(np.square(inside).reshape(-1, len(BANDS)))


def _psnr(squares: Sequence[np.ndarray]) -> dict[str, float]:
    values = 10 * np.log10(PEAK**2 / np.concatenate(squares).mean(axis=0))
    return {**{band: float(value) for band, value in zip(BANDS, values)}, "mean": float(values.mean())}


def baselines(image: np.ndarray, flows: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Interpolate an image at twice the resolution: pixel (2y, 2x) of the result is centred on pixel (y, x).

    Args:
        image: counts, (rows, columns, 4).
        flows: as `band_flows` gives them.

    Returns:
        `bicubic`: each band where it lies; `registered_bicubic`: all on the green grid. (2 rows, 2 columns, 4).
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
    """Sample a band where a flow leads, at twice the resolution: (2 rows, 2 columns, 1)."""
    rows, columns = (SCALE * length for length in image.shape[:2])
    x, y = np.meshgrid(np.arange(columns, dtype=np.float32) / SCALE, np.arange(rows, dtype=np.float32) / SCALE)
    x, y = tf.constant(x[np.newaxis]), tf.constant(y[np.newaxis])
    flow = sample(tf.constant(flow[np.newaxis]), x, y)
    image = tf.constant(image[np.newaxis, ..., band : band + 1])
    return sample(image, x + flow[..., 0], y + flow[..., 1])[0].numpy()
