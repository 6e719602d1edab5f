# SPDX-License-Identifier: Apache-2.0
"""Reading one band of each date, and where it is clear, from rasters, SAFE products and STAC items.

Clouds in a raster are given by a mask (non-zero where clear) or by a band of classes; Sentinel-2 products bring their
scene classification. Missing pixels, declared as nodata or 0, are never clear.

    for source in sources_of(["20220714.tif", "20220719.tif"], Options(clear_masks=("a.tif", "b.tif"))):
        date = read_date(source, options)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from chain.raster import http
from chain.raster.blocks import read_block
from chain.raster.grids import Grid, image_grid, shifted
from chain.runtime.progress import LOG
from chain.sentinel2.bands import CLASSES_NAME, COMMON_NAMES, band_in_name
from chain.sentinel2.cloud_cover import CLOUDY_CLASSES, NODATA_CLASS
from chain.sentinel2.offset import statements_of_name
from chain.sentinel2.sampling import FLOATING
from chain.serving.ground import part_of
from chain.serving.input_files import InputWatch, names_behind
from chain.serving.inputs import expanded, is_collection, is_item, items_of, shown
from inference.deepsum.normalization import Moments
from inference.deepsum.options import Options
from inference.deepsum.rasters import (
    Window,
    band_number,
    check_not_filled,
    data_bands,
    days_in,
    named_after_days,
    open_raster,
    place_of,
    read_classes,
    read_mask,
    read_pixels,
    scaling_of,
    without_zeros,
)

CONCEALED = (NODATA_CLASS, *CLOUDY_CLASSES)
"""Classes of Sentinel-2's scene classification that are not clear."""
LARGEST = 65535
"""Largest number of uint16."""


@dataclass(frozen=True)
class Source:
    """Where the image of a date comes from."""

    image: Any
    """A raster, a SAFE folder or zip, or a STAC item, also as a mapping."""
    mask: str | None = None
    """Raster that is not 0 where the image is clear."""
    number: int | None = None
    """Band of a raster of which each band is a date."""

    @property
    def label(self) -> str:
        """How messages call it."""
        return shown(self.image) if isinstance(self.image, str) else str(self.image["id"])


@dataclass(frozen=True)
class Date:
    """The image of a date."""

    name: str
    """Its name, for people."""
    band: str
    """Name of its band; may be empty."""
    stated: str | None
    """Band of Sentinel-2 that its description or, unless a band is asked for, its file's name states."""
    values: np.ndarray
    """float32 (rows, columns); NaN where there is none."""
    clear: np.ndarray
    """Whether a pixel is there and not concealed, of the same shape."""
    grid: Grid
    """Where the pixels lie, on any map."""
    placed: bool
    """Whether the image states where; otherwise pixels are counted."""
    integer: bool
    """Whether the values fit uint16."""
    scaling: tuple[float, float]
    """Scale and offset tags: physical value = pixel value x scale + offset."""
    offset: int | None
    """Offset of Sentinel-2's digital numbers that is still to be taken off, as the name of a raster states; None where
    nothing states one, or the user does."""
    watch: InputWatch
    """Notices that what was read is replaced."""

    @property
    def clearance(self) -> float:
        """Share of its pixels that are clear."""
        return float(self.clear.mean())

    @property
    def missing(self) -> float:
        """Share of its pixels that are missing."""
        return float(np.isnan(self.values).mean())

    @property
    def moments(self) -> Moments | None:
        """Mean and deviation of its clear pixels; None where there are none."""
        return Moments.of(self.values[self.clear])


def sources_of(inputs: Sequence, options: Options) -> list[Source]:
    """Return where the images of dates come from.

    Args:
        inputs: rasters, SAFE folders or zips, STAC items or collections, lists and patterns; or items, as mappings.
        options: how they are read.

    Raises:
        ValueError: an input cannot be read, or masks are not as many as images, or of other days.
    """
    names = [each for one in inputs for each in (expanded([str(one)]) if isinstance(one, str | Path) else [one])]
    images = [each for name in names for each in (items_of(name) if _is_collection(name) else [name])]
    masks: list[str | None] = [*expanded(options.clear_masks or ())]
    masks = masks or [None] * len(images)
    if len(masks) != len(images):
        raise ValueError(f"--clear-masks: expected one for each of {len(images)} images, got {len(masks)}")
    _check_days(images, masks)
    return [Source(image, mask, number) for image, mask in zip(images, masks) for number in dates_in(image, options)]


def _check_days(images: Sequence[Any], masks: Sequence[str | None]) -> None:
    """Refuse masks in another order than their images, by the days that both state.

    Raises:
        ValueError: a mask is of another day than its image.
    """
    for image, mask in zip(images, masks):
        days = [days_in(name) if isinstance(name, str) else set() for name in (image, mask)]
        if all(days) and not days[0] & days[1]:
            raise ValueError(
                f"--clear-masks: expected masks in the order of their images, got {Path(str(mask)).name} of "
                f"{min(days[1])} for {shown(str(image))} of {min(days[0])}"
            )


def _is_collection(name: object) -> TypeGuard[str]:
    return isinstance(name, str) and is_collection(name)


def is_raster(image: Any) -> TypeGuard[str]:
    """Return whether an image is neither a SAFE product nor a STAC item."""
    if not isinstance(image, str):
        return False
    path = Path(image)
    is_product = path.suffix.lower() == ".zip" or path.name.startswith("MTD_MSI") or path.is_dir()
    return not is_product and not is_item(image)


def dates_in(image: Any, options: Options) -> Sequence[int | None]:
    """Return the bands of a raster if each is a date: by option, or because they are named after days.

    Args:
        image: a raster, a SAFE folder or zip, or a STAC item.
        options: how it is read.

    Returns:
        Their numbers; `[None]` where the image is one date.

    Raises:
        ValueError: a raster cannot be opened.
    """
    if options.band or options.qa or not is_raster(image):
        return [None]
    bands = data_bands(open_raster(image, "--input"))
    if not options.bands_are_dates:
        if not named_after_days(list(bands.values())):
            return [None]
        LOG.info("%s: its %d bands are treated as dates", shown(image), len(bands))
    return list(bands)


def read_date(source: Source, options: Options) -> Date:
    """Read the image of a date.

    Args:
        source: where it comes from.
        options: how it is read.

    Raises:
        ValueError: it cannot be read, has no such band or part, or nothing tells where it is clear.
        RemoteError: an item's images cannot be reached.
    """
    return _read_raster(source, options) if is_raster(source.image) else _read_product(source, options)


def _read_raster(source: Source, options: Options) -> Date:
    """Read a raster, which may lie anywhere on any map, or nowhere."""
    name = str(source.image)
    if options.offset:
        raise ValueError(
            f"--offset: expected none for rasters, whose numbers are read as they are, got {options.offset} for "
            f"{shown(name)}"
        )
    dataset = open_raster(name, "--input")
    watch = _watched(dataset.GetDescription(), source.mask)
    number = source.number or band_number(dataset, name, options.band, "--band")
    whole, placed = place_of(dataset, name)
    region = part_of(options, whole)
    window: Window = (region.x, region.y, region.columns, region.rows)
    band = dataset.GetRasterBand(number)
    values, declared = read_pixels(band, window, name)
    check_not_filled(values, declared, name)
    present = without_zeros(values, declared, options.valid_zero)
    label = Path(shown(name)).stem
    if source.number:
        label = f"{label}:{band.GetDescription() or number}"
    if present.sum() < declared.sum():
        share = 100 * float((declared & ~present).mean())
        LOG.info("%s: %.1f %% of the pixels are 0, treated as missing (--valid-zero keeps them)", label, share)
    grid = shifted(whole, region)
    if source.mask:
        clear = read_mask(source.mask, source.number, grid, placed, (whole.rows, whole.columns), window)
    elif options.qa:
        qa = dataset.GetRasterBand(band_number(dataset, name, options.qa, "--qa"))
        classes, known = read_pixels(qa, window, name)
        clear = known & ~np.isin(classes, options.qa_concealed or CONCEALED)
    elif options.unmasked:
        clear = present
    else:
        raise ValueError(f"--clear-masks, --qa or --unmasked is required for rasters, such as {shown(name)}")
    named = "" if source.number else band.GetDescription()
    return Date(
        name=label,
        band=named or (options.band if options.band and not options.band.isdigit() else ""),
        stated=_stated_band(band.GetDescription(), "" if options.band or source.number else label),
        values=_hidden(values, present),
        clear=clear & present,
        grid=grid,
        placed=placed,
        integer=band.DataType not in FLOATING and bool(np.all((values >= 0) & (values <= LARGEST) | ~present)),
        scaling=scaling_of(band),
        offset=_stated_offset(name) if options.offset is None else None,
        watch=watch,
    )


def _read_product(source: Source, options: Options) -> Date:
    """Read a band of a product of Sentinel-2, in harmonised digital numbers."""
    from chain.sentinel2.image import open_product

    label = source.label
    if not options.band:
        raise ValueError(f"--band: expected a band of Sentinel-2, such as B08, for {label}, got none")
    if options.qa and options.qa.upper() != CLASSES_NAME:
        raise ValueError(f"--qa: expected {CLASSES_NAME} for Sentinel-2, got {options.qa} for {label}")
    product = open_product(source.image, [options.band], options.offset)
    try:
        watch = _watched(*product.bands.values(), product.classes, source.mask)
        image = product.image([options.band])
        grid = image_grid(image)
        grid = shifted(grid, part_of(options, grid))
        block = read_block(image, [grid], 0, product.nodata)
        values, present = block.pixels[..., 0], block.present[..., 0]
        if source.mask:
            clear = read_mask(source.mask, None, grid, True, (grid.rows, grid.columns), None)
        elif options.unmasked:
            clear = present
        elif product.classes:
            classes = read_classes(product.classes, grid, NODATA_CLASS)
            clear = ~np.isin(classes, options.qa_concealed or CONCEALED)
        else:
            raise ValueError(
                f"--clear-masks or --unmasked is required for products without a scene classification (SCL): {label}"
            )
        return Date(
            name=str(product.identity["id"]),
            band=options.band,
            stated=_stated_band(options.band),
            values=_hidden(values, present),
            clear=clear & present,
            grid=grid,
            placed=True,
            integer=True,
            scaling=(1.0, 0.0),
            offset=0,
            watch=watch,
        )
    finally:
        product.close()


def _stated_offset(name: str) -> int | None:
    """Return the offset that the baseline in a path states, if there is one."""
    return next((statement.offset for statement in statements_of_name(name)), None)


def _stated_band(*words: str) -> str | None:
    """Return the band that the first of some words states that states one: a description, a file's name."""
    found = (each[0] if (each := band_in_name(word)) else COMMON_NAMES.get(word.lower()) for word in words)
    return next(filter(None, found), None)


def _watched(*names: str | None) -> InputWatch:
    """Return what notices that rasters are replaced, given their names or addresses."""
    return InputWatch(names_behind(http.gdal_name(name) for name in names if name))


def _hidden(values: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Return values with NaN where there are none."""
    return np.where(present, values, np.float32(np.nan))
