# SPDX-License-Identifier: Apache-2.0
"""The pictures of a report, as addresses that hold them (`data:`): nothing else has to be loaded."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

from chain.serving.colours import NATURAL, RAMP
from chain.serving.report.places import Place
from chain.serving.report.subject import Subject

COMPOSITES = (
    ("Natural colours", NATURAL),
    ("Short-wave infrared, near infrared, red edge", ("B12", "B8A", "B05")),
    ("Near infrared, red, green", ("B08", "B04", "B03")),
    ("Short-wave infrared", ("B12", "B11", "B11")),
    ("Red edge", ("B07", "B06", "B05")),
)
"""What three bands are shown as red, green and blue, by the names of Sentinel-2's bands."""
SHOWN = 2
"""Ways, at most, in which bands are shown, beside that of the coarsest ones."""
STRETCH = (1, 99)
"""Percentiles that are shown as black and as white."""
MISSING = 235
"""Grey of missing pixels."""

Colours = tuple[str, ...]


@dataclass(frozen=True)
class Composite:
    """A way in which bands are shown."""

    title: str
    """What it shows."""
    bands: Colours
    """The bands that are red, green and blue; one that is grey."""


@dataclass(frozen=True)
class View:
    """A part of a product before and after."""

    composite: Composite
    before: str
    """The input, interpolated."""
    after: str
    """The product."""
    columns: int
    rows: int


def composites(subject: Subject) -> list[Composite]:
    """Return how the bands that were made finer are shown; how those of the product are, if no input is at hand."""
    names = subject.finer or subject.bands
    found = [Composite(title, bands) for title, bands in COMPOSITES if set(bands) <= set(names)]
    found = _without_repetition(found)[:SHOWN]
    ratios = subject.spacing_ratio
    covered = {band for each in found for band in each.bands}
    coarsest = [name for name in names if ratios and ratios.get(name) == max(ratios.values())]
    if not found and len(names) == 3:
        found = [Composite(", ".join(names), tuple(names))]
    elif not found or not covered & set(coarsest or names):
        found.append(Composite((coarsest or names)[0], ((coarsest or names)[0],)))
    return found


def _without_repetition(found: Sequence[Composite]) -> list[Composite]:
    """Return composites without those whose bands are all among those of an earlier one."""
    kept: list[Composite] = []
    for each in found:
        if not any(set(each.bands) <= set(other.bands) for other in kept):
            kept.append(each)
    return kept


def view(subject: Subject, place: Place, composite: Composite) -> View:
    """Return a place before and after; both have the contrast of the first."""
    pairs = {band: subject.pair(band, place.region) for band in dict.fromkeys(composite.bands)}
    before = np.stack([pairs[band].bicubic for band in composite.bands], axis=-1)
    after = np.stack([pairs[band].made for band in composite.bands], axis=-1)
    limits = contrast(before)
    return View(composite, shown(before, limits), shown(after, limits), place.region.columns, place.region.rows)


def contrast(image: np.ndarray) -> np.ndarray:
    """Return what is black and what is white of each band of an image (rows, columns, bands), (2, bands)."""
    limits = [
        np.percentile(valid, STRETCH) if (valid := band[np.isfinite(band)]).size else np.array([0.0, 1.0])
        for band in np.moveaxis(image, -1, 0)
    ]
    return np.array(limits).T


def shown(image: np.ndarray, limits: np.ndarray) -> str:
    """Return the address of a picture of an image (rows, columns, 1 or 3 bands), between limits."""
    low, high = limits
    scaled = np.clip((image - low) / np.maximum(high - low, 1e-9), 0, 1) * 255
    missing = ~np.isfinite(image).all(axis=-1)
    pixels = np.where(missing[..., np.newaxis], MISSING, np.nan_to_num(scaled)).round().astype(np.uint8)
    return address(pixels if pixels.shape[-1] == 3 else pixels[..., 0])


def mapped(values: np.ndarray, highest: float) -> str:
    """Return the address of a picture of numbers from 0 to the highest one, in colours that all people tell apart."""
    from matplotlib import colormaps

    colours = colormaps[RAMP](np.clip(values / max(highest, 1e-9), 0, 1), bytes=True)[..., :3]
    return address(np.where(np.isfinite(values)[..., np.newaxis], colours, MISSING).astype(np.uint8))


def overview(subject: Subject, size: int = 640) -> tuple[str, int, int]:
    """Return the address of a picture of the whole product, and its columns and rows."""
    names = NATURAL if set(NATURAL) <= set(subject.bands) else composites(subject)[0].bands
    image = np.stack([subject.preview(name, size) for name in names], axis=-1)
    return shown(image, contrast(image)), image.shape[1], image.shape[0]


def added(subject: Subject, place: Place, composite: Composite) -> tuple[np.ndarray, float]:
    """Return the absolute difference from the interpolated input, the mean over bands, and its 99th percentile."""
    differences = []
    for band in dict.fromkeys(composite.bands):
        pair = subject.pair(band, place.region)
        differences.append(np.abs(pair.made - pair.bicubic))
    mean = np.mean(differences, axis=0)
    valid = mean[np.isfinite(mean)]
    return mean, float(np.percentile(valid, 99)) if valid.size else 1.0


def errors(subject: Subject, size: int = 640) -> Mapping[str, tuple[str, float, int, int]]:
    """Return, for each band of the error layer, the address of a picture, its brightest number, columns and rows."""
    from chain.serving.report.subject import small

    found = {}
    for name, band in subject.errors.items():
        values = small(band, size)
        valid = values[np.isfinite(values)]
        highest = float(np.percentile(valid, 99)) if valid.size else 1.0
        found[name] = (mapped(values, highest), highest, values.shape[1], values.shape[0])
    return found


def address(pixels: np.ndarray) -> str:
    """Return the address that holds a picture, PNG: uint8 (rows, columns), or (rows, columns, 3)."""
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
