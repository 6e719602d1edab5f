# SPDX-License-Identifier: Apache-2.0
"""DSen2 on numpy arrays and `xarray` datasets: the pixels that the product's file would have, without any file.

pixels = super_resolve_arrays({"x10": a, "x20": b}, Options(offset=0), origin=(600000, 5700000)).pixels
dataset = super_resolve_arrays(read_scene("item.json", bbox=(4.2, 50.8, 4.3, 50.9)))
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from chain.runtime.progress import LOG, Progress
from chain.serving.program import names_of, prepare
from inference.dsen2.options import Options

if TYPE_CHECKING:
    from xarray import Dataset

    from chain.raster.grids import Grid
    from chain.sentinel2.opened_image import OpenedImage
    from chain.sentinel2.stac_item import FileOrItem
    from chain.serving.arrays import ArrayProduct
    from chain.serving.recipe import Recipe

SOURCES = {
    "x10": (10.0, ("B02", "B03", "B04", "B08")),
    "x20": (20.0, ("B05", "B06", "B07", "B8A", "B11", "B12")),
    "x60": (60.0, ("B01", "B09")),
}
"""Arrays by name: the spacing of their pixels in metres, and their bands in order, as DSen2's networks take them."""
OF_FILES = "quicklook report separate error evaluate block_range assemble".split()
"""Options that ask for files, or for a share of one."""
Report = Callable[[float, str], None]


def super_resolve_arrays(
    arrays: Any,
    options: Options | None = None,
    *,
    origin: tuple[float, float] = (0.0, 0.0),
    crs: str = "",
    chunks: int | None = None,
    progress: Report | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Any:
    """Make the product of pixels in memory.

    Args:
        arrays: `{"x10": (rows, columns, 4), "x20": …, "x60": …}` of digital numbers, whose bands are those of `SOURCES`
            in order; x60 may be left out. Or an `xarray.Dataset` with a variable for each band, as `read_scene` gives
            it, or with all bands on one grid of 10 m, to which others have resampled them.
        options: how the product is made. Arrays do not say their offset: `offset` is required beside them, and `level`
            where weights depend on it.
        origin: x and y of the upper left corner, in metres; a dataset has its own.
        crs: coordinate system of the arrays, in any form that GDAL knows, such as `EPSG:32631`; none by default.
        chunks: side of the chunks of what is made of a dataset in chunks, in pixels; by default the regions in which it
            is computed, twice `tile_size`.
        progress: called with the fraction that is done and a short text.
        cancelled: called now and then; the work stops when it returns True.

    Returns:
        A `chain.serving.arrays.ArrayProduct` of arrays; an `xarray.Dataset` of one, with a variable for each band. The
        pixels are those of the file that `super_resolve` makes. Of a dataset in chunks (Dask) it has chunks too, which
        are computed when they are needed; `progress` and `cancelled` are then Dask's matter, and nothing is told of
        ground unlike the networks' training.

    Raises:
        ValueError: the arrays, the weights or the options do not suit each other.
        RuntimeError: OTB or TensorFlow refuses.
        chain.runtime.progress.Cancelled: `cancelled` said so.
    """
    from chain.sentinel2.arrays import LEVEL, OFFSET, dataset_of, images_in_memory, images_of
    from chain.serving.arrays import produce_array
    from inference.dsen2.program import opened

    options = options or Options()
    for name in OF_FILES:
        if options.given(name):
            raise ValueError(f"{name}: expected none where arrays are made and no file, got {getattr(options, name)}")
    is_dataset = hasattr(arrays, "data_vars")
    if is_dataset:
        images = images_of(arrays)
        options = _stated(options, arrays.attrs.get(OFFSET), arrays.attrs.get(LEVEL))
        if any(hasattr(pixels, "chunks") for bands, _ in images for pixels in bands.values()):
            return _in_chunks(images, options, dict(arrays.attrs), chunks)
    else:
        images = _images(arrays, origin, crs)
    if options.offset is None:
        raise ValueError("offset: expected 0 or -1000, got none: arrays do not state the baseline of their numbers")
    prepare(options)
    with images_in_memory(images) as names, opened(names, options) as (image, recipe):
        made = _examined(produce_array(options, image, recipe, Progress(progress, cancelled)), image, recipe)
    if not is_dataset:
        return made
    bands = {band: made.pixels[..., index] for index, band in enumerate(made.bands)}
    attributes = {LEVEL: image.level, OFFSET: 0, "decisions": list(made.decisions), "warnings": list(made.warnings)}
    return dataset_of([(bands, made.grid)], attributes, made.nodata)


def _examined(made: "ArrayProduct", image: "OpenedImage", recipe: "Recipe") -> "ArrayProduct":
    """Return a product with warnings of ground that is unlike any that its networks were trained on."""
    from chain.raster.gdal_memory import memory_dataset
    from inference.dsen2.unlike import found_in

    dataset = memory_dataset(made.pixels, made.grid, made.bands, made.nodata)
    folders = {network.description.arguments["role"]: network.model_dir for network in recipe.networks}
    _, warnings = found_in(dataset, image, folders)
    for warning in warnings:
        LOG.warning(warning)
    return replace(made, warnings=tuple(warnings))


def read_scene(
    input: "FileOrItem | Sequence[FileOrItem]",
    options: Options | None = None,
    *,
    bbox: tuple[float, float, float, float] | None = None,
    chunks: int | None = None,
) -> "Dataset":
    """Read a scene, at native resolutions, as an `xarray.Dataset` that `super_resolve_arrays` takes.

    Args:
        input: the scene, as of `inference.dsen2.super_resolve`.
        options: how the scene is opened (`offset`, names of bands).
        bbox: west, south, east and north, in degrees: the part that is read, in whole pixels of 60 m.
        chunks: side of chunks, in pixels of 10 m, that are read when they are needed (Dask); by default all is read.

    Returns:
        The dataset: float32, 10 000 x reflectance, missing pixels NaN.

    Raises:
        ValueError: the scene cannot be opened, or the box is not on it.
        RuntimeError: OTB or a server refuses.
    """
    from chain.sentinel2.arrays import to_dataset
    from chain.sentinel2.scene import opened_scene

    options = options or Options()
    prepare(options)
    if chunks:
        from chain.serving.lazy_arrays import read_in_chunks

        opener = partial(_opened_image, names_of(input), options)
        return read_in_chunks(opener, lambda image: _box(image, bbox) if bbox else None, chunks)
    with opened_scene(names_of(input), naming=options.naming, reading=options.reading) as scene:
        return to_dataset(scene.product, _box(scene.product, bbox) if bbox else None)


@contextmanager
def _opened_image(names: "Sequence[FileOrItem]", options: Options) -> "Iterator[OpenedImage]":
    """Open the bands of a scene for a while."""
    from chain.sentinel2.scene import opened_scene

    with opened_scene(names, naming=options.naming, reading=options.reading) as scene:
        yield scene.product


def _in_chunks(images: Sequence[tuple[dict, "Grid"]], options: Options, attributes: dict, chunks: int | None) -> Any:
    """Make the product of a dataset in chunks, in chunks.

    Raises:
        ValueError: the dataset, the weights or the options do not suit each other.
    """
    from contextlib import ExitStack

    from chain.raster.gdal_memory import memory_grid
    from chain.sentinel2.arrays import LEVEL, OFFSET
    from chain.sentinel2.bands import BANDS
    from chain.sentinel2.image import Sentinel2Image
    from chain.sentinel2.scene import Scene
    from chain.serving.lazy_arrays import produce_in_chunks
    from chain.serving.precision.precision import prepared
    from chain.serving.production import decisions
    from inference.dsen2.recipe import recipe_of

    if options.offset != 0:
        raise ValueError(
            f"offset: expected 0 for a dataset in chunks, whose numbers are as they are, got {options.offset}"
        )
    if options.precision not in ("float32", "bfloat16") or options.tiling != "seamless":
        raise ValueError("--precision, --tiling: expected float32 or bfloat16, and seamless, for a dataset in chunks")
    finest = min(grid.dx for _, grid in images)
    for bands, grid in images:
        for band in bands:
            if abs(grid.dx / finest - BANDS[band] / 10.0) > 1e-3:
                raise ValueError(f"{band}: expected native pixels in a dataset in chunks, got pixels of {grid.dx:g} m")
    prepare(options)
    with ExitStack() as stack:
        places = {grid: stack.enter_context(memory_grid(grid)) for _, grid in images}
        names = {band: places[grid] for bands, grid in images for band in bands}
        identity = {"id": str(attributes.get("id", "dataset"))}
        image = Sentinel2Image(names, 0, options.level or str(attributes.get(LEVEL, "unknown")), identity)
        recipe = recipe_of(options, Scene(image, finest))
        networks, _ = prepared(options, recipe.networks, list)
        recipe = replace(recipe, networks=networks)
    stated = {LEVEL: image.level, OFFSET: 0, "decisions": decisions(image, recipe)}
    return produce_in_chunks(options, images, recipe, stated, chunks)


def _stated(options: Options, offset: Any, level: Any) -> Options:
    """Return options with the offset and level that a dataset states, where they are not given."""
    stated: dict[str, Any] = {}
    if options.offset is None and offset is not None:
        stated["offset"] = int(offset)
    if options.level is None and level in ("L1C", "L2A"):
        stated["level"] = level
    return replace(options, **stated)


def _images(arrays: Mapping[str, Any], origin: tuple[float, float], crs: str) -> list:
    """Return the bands and the grid of each array.

    Raises:
        ValueError: an array is missing, or has another shape than the others need.
    """
    import numpy as np
    from osgeo import osr

    from chain.raster.grids import Grid

    unknown = set(arrays) - set(SOURCES)
    if unknown or not {"x10", "x20"} <= set(arrays):
        raise ValueError(f"arrays: expected x10, x20 and perhaps x60, got {', '.join(sorted(arrays)) or 'none'}")
    projection = ""
    if crs:
        reference = osr.SpatialReference()
        reference.SetFromUserInput(crs)
        projection = reference.ExportToWkt()
    images = []
    rows, columns = np.shape(arrays["x10"])[:2]
    for name, pixels in arrays.items():
        gsd, bands = SOURCES[name]
        ratio = round(gsd / 10.0)
        expected = (rows / ratio, columns / ratio, len(bands))
        if np.shape(pixels) != expected:
            shown = " x ".join(f"{number:g}" for number in expected)
            raise ValueError(f"{name}: expected {shown} (rows, columns, bands), got {np.shape(pixels)}")
        grid = Grid(*origin, gsd, gsd, columns // ratio, rows // ratio, projection)
        images.append(({band: np.asarray(pixels)[..., index] for index, band in enumerate(bands)}, grid))
    return images


def _box(image: "OpenedImage", bbox: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of what a box of degrees covers of an image, in whole pixels of 60 m."""
    from osgeo import gdal

    from chain.raster.area_of_interest import bbox_bounds, bounds_region
    from chain.raster.grids import raster_grid

    grid = max((raster_grid(gdal.Open(name)) for name in image.bands.values()), key=lambda each: each.dx)
    bounds = bbox_bounds(bbox, grid.projection)
    region = bounds_region(bounds, grid, (grid.left, grid.top), 1, "bbox")
    left, top = grid.left + region.x * grid.dx, grid.top - region.y * grid.dy
    return left, top, left + region.columns * grid.dx, top - region.rows * grid.dy
