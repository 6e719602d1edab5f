# SPDX-License-Identifier: Apache-2.0
"""One product of several scenes on one grid: of an area over several tiles, or dates.

Each scene is super-resolved by itself, into `OUTPUT.scenes`, by the program as ever; then every pixel of the product is
taken, in all bands, from one of them: from the first, in the order of the scenes, that is clear there and around by its
scene classification and misses no band; else from the first that is clear there; else from the first that misses no
band; else from the first that has any. Around a cloud, its edge has left its trace on pixels that are clear themselves.
Nothing is blended or warped, so that each pixel is a pixel of one scene's product.
"""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from osgeo import gdal
from scipy.ndimage import maximum_filter

from chain.raster.grids import TOLERANCE, Grid, Region, plan, raster_grid, same_crs
from chain.runtime.progress import LOG, Progress
from chain.runtime.provenance import read as read_record
from chain.runtime.provenance import record_of
from chain.sentinel2.cloud_cover import CLOUDY_CLASSES, NODATA_CLASS
from chain.serving.classes import write_class_pixels
from chain.serving.colours import band_names
from chain.serving.companions import write_companions
from chain.serving.layout import Layout
from chain.serving.options import ServingOptions
from chain.serving.product import Product
from chain.serving.product_file import CLASSES_PART, product_of, write_product
from chain.serving.product_names import CLASSES_KEY, DATE_KEY, LAST_DATE_KEY, classes_file
from chain.serving.provenance import IDENTITY_KEY, SYSTEM_KEY, add_to_record, digest, write_record
from chain.serving.report.mosaic import given_of_mosaic
from chain.serving.report.native import of_image
from chain.serving.report.write import write_report
from chain.serving.super_resolution import Bands
from chain.serving.up_to_date import check_same

SCENES_SUFFIX = ".scenes"
"""End of the name of the folder of the scenes' products, while a mosaic is made."""
MADE = 0.9
"""Fraction of the work that is done when all scenes are made."""
SIDE = 1536
"""Side of a region of a mosaic, in pixels."""
NEAR = 12
"""Pixels around a cloud to which another scene's are preferred: the reach of interpolation at the edges of clouds, two
pixels of 60 m."""
RULE = (
    f"clear by SCL and {NEAR} pixels off clouds, else clear by SCL, else complete, else present; the first scene of "
    "these, in order"
)
Made = Callable[[str, Path, Progress], Product]
_Block = tuple[slice, slice, np.ndarray, tuple[np.ndarray, np.ndarray] | None]


@dataclass(frozen=True)
class _Part:
    """The product of one scene, where it lies in the mosaic."""

    name: str
    path: Path
    place: Region
    record: Mapping[str, Any]
    metadata: Mapping[str, str]

    def within(self, region: Region) -> tuple[slice, slice, tuple[int, int, int, int]] | None:
        """Return rows and columns of a region of the mosaic, and the window of this product, that are one ground."""
        left, top = max(region.x, self.place.x), max(region.y, self.place.y)
        right = min(region.x + region.columns, self.place.x + self.place.columns)
        bottom = min(region.y + region.rows, self.place.y + self.place.rows)
        if left >= right or top >= bottom:
            return None
        rows, columns = slice(top - region.y, bottom - region.y), slice(left - region.x, right - region.x)
        return rows, columns, (left - self.place.x, top - self.place.y, right - left, bottom - top)


@dataclass
class _Mosaic:
    """Makes regions of a mosaic: a `chain.serving.product_file.Maker`."""

    parts: Sequence[_Part]
    grid: Grid
    bands: tuple[str, ...]
    nodata: float
    counts: np.ndarray = field(init=False)
    """Pixels that come from each scene."""

    def read(self, region: Region) -> list[_Block | None]:
        """Read the pixels, and the classes, of each scene in a region."""
        found: list[_Block | None] = []
        for part in self.parts:
            within = part.within(region)
            if within is None:
                found.append(None)
                continue
            rows, columns, window = within
            pixels = gdal.Open(str(part.path)).ReadAsArray(*window)
            classes = None
            if classes_file(part.path).exists():
                classes = _classes(classes_file(part.path), Region(*window))
            found.append((rows, columns, pixels.reshape(len(self.bands), *pixels.shape[-2:]), classes))
        return found

    def choose(self, region: Region, blocks: Sequence) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return pixels (bands, rows, columns), their validity, classes, and the number of the scene; -1 for none."""
        size = region.rows, region.columns
        values = np.zeros((len(self.bands), *size), np.float32)
        valid = np.zeros(values.shape, bool)
        classes, best = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
        scene = np.full(size, -1, np.int32)
        for number, block in enumerate(blocks):
            if block is None:
                continue
            rows, columns, pixels, of_classes = block
            there = ~np.isnan(pixels) if np.isnan(self.nodata) else pixels != self.nodata
            complete = there.all(axis=0)
            clear = alone = complete
            if of_classes is not None:
                clear = complete & ~np.isin(of_classes[0], (NODATA_CLASS, *CLOUDY_CLASSES))
                alone = clear & ~of_classes[1]
            level = there.any(axis=0).astype(np.uint8) + complete + clear + alone
            better = level > best[rows, columns]
            best[rows, columns][better] = level[better]
            scene[rows, columns][better] = number
            values[:, rows, columns][:, better] = pixels[:, better]
            valid[:, rows, columns][:, better] = there[:, better]
            if of_classes is not None:
                classes[rows, columns][better] = of_classes[0][better]
        return values, valid, classes, scene

    def chosen(self, region: Region) -> np.ndarray:
        """Return the number of the scene of each pixel of a region; -1 for none."""
        return self.choose(region, self.read(region))[3]

    def compute(self, region: Region, blocks: Sequence) -> Bands:
        """Compute a region."""
        values, valid, _, _ = self.choose(region, blocks)
        return {band: (values[index], valid[index]) for index, band in enumerate(self.bands)}

    def finish(self, regions: Sequence[Region], path: Path | None, identity: Mapping) -> None:
        """Count the pixels of each scene, and write the classes of the mosaic if a path is given."""
        self.counts = np.zeros(len(self.parts) + 1, np.int64)

        def made(region: Region) -> np.ndarray:
            _, _, classes, scene = self.choose(region, self.read(region))
            self.counts += np.bincount((scene + 1).ravel(), minlength=len(self.counts))
            return classes

        if path is None:
            for region in regions:
                made(region)
        else:
            write_class_pixels(((region, made(region)) for region in regions), self.grid, path, identity)


def _classes(path: Path, window: Region) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes of a window of a scene classification, and whether there are clouds near, (rows, columns)."""
    dataset = gdal.Open(str(path))
    around = window.grown(NEAR, (dataset.RasterXSize, dataset.RasterYSize))
    classes = dataset.ReadAsArray(around.x, around.y, around.columns, around.rows)
    near = maximum_filter(np.isin(classes, CLOUDY_CLASSES), 2 * NEAR + 1)
    x, y = window.x - around.x, window.y - around.y
    inside = np.s_[y : y + window.rows, x : x + window.columns]
    return classes[inside], near[inside]


def make_mosaic(
    names: Mapping[str, Any],
    output: Path,
    options: ServingOptions,
    make: Callable,
    opened: Callable,
    progress: Progress,
) -> Product:
    """Make the product of an area of several scenes.

    Args:
        names: the scenes by their names, in order.
        output: the product.
        options: those of the program.
        make: makes the product of a scene, given it, the file, and where to report progress.
        opened: opens a scene for a while, given it; gives the image and the recipe of its product.
        progress: where progress is reported.

    Raises:
        ValueError: the scenes do not lie on one grid.
        FileExistsError: a mosaic of other scenes was begun, or is there.
        OSError: the disk refuses.
    """
    start = time.perf_counter()
    folder = output.with_name(f"{output.name}{SCENES_SUFFIX}")
    if options.restart or options.overwrite:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(exist_ok=True)
    products = []
    for number, (name, scene) in enumerate(names.items()):
        share = progress.part(MADE * number / len(names), MADE * (number + 1) / len(names))
        products.append(make(scene, folder / f"{name}.tif", share))
    parts, grid = _placed(list(names), [product.path for product in products])
    first = products[0]
    dataset = gdal.Open(str(first.path))
    mosaic = _Mosaic(parts, grid, first.bands, first.nodata)
    identity = _identity(parts, grid, options)
    layout = Layout(
        grid,
        first.bands,
        first.dtype,
        {**_metadata(parts), IDENTITY_KEY: digest(identity)},
        scale=dataset.GetRasterBand(1).GetScale(),
        missing=options.nodata,
    )
    regions = plan(Region(0, 0, grid.columns, grid.rows), SIDE)
    is_there = output.exists() and not options.overwrite
    if is_there:
        check_same(output, identity, "--output")
    has_classes = all(part.record.get(CLASSES_KEY) for part in parts)

    def before_naming(parts_folder: Path) -> None:
        wanted = parts_folder / CLASSES_PART if has_classes and options.with_classes else None
        mosaic.finish(regions, wanted, identity)

    made, total = 0, grid.columns * grid.rows
    writing, showing = progress.part(MADE, 1).divided(0.5, options.report is not None)

    def advance(region: Region) -> None:
        nonlocal made
        made += region.columns * region.rows
        writing(made / total, output.name)

    notes = {
        "models": parts[0].record["models"],
        "precision": parts[0].record["precision"],
        "input": {"files": {part.name: part.record["input"]["files"] for part in parts}},
        "derived_from": [link for part in parts for link in part.record["derived_from"]],
        "decisions": [f"{part.name}: {each}" for part in parts for each in part.record["decisions"]],
        CLASSES_KEY: has_classes,
    }
    resumed = write_product(
        output,
        layout,
        regions,
        mosaic,
        identity,
        notes,
        options.overwrite or is_there,
        options.restart,
        advance=advance,
        check=before_naming,
        creation=options.co,
    )
    shares = _shares(mosaic, total)
    notes["decisions"] = [*shares, *notes["decisions"]]
    write_record(output, options, notes, identity, resumed, time.perf_counter() - start)
    add_to_record(output, {"mosaic": {"rule": RULE, "scenes": shares}})
    write_companions(options, output)
    if options.report:
        classes = classes_file(output) if classes_file(output).exists() else None
        with ExitStack() as stack:
            images = [stack.enter_context(opened(scene))[0] for scene in names.values()]
            scenes = [of_image(image, options.floating) for image in images]
            given = given_of_mosaic(scenes, grid, mosaic.chosen, classes)
            write_report(output, Path(options.report), given, progress=showing)
    shutil.rmtree(folder)
    return product_of(output, layout)


def _placed(names: Sequence[str], paths: Sequence[Path]) -> tuple[list[_Part], Grid]:
    """Return the products of scenes with their places, and the grid that covers all.

    Raises:
        ValueError: they are on several maps, or between each other's pixels.
    """
    datasets = [gdal.Open(str(path)) for path in paths]
    grids = [raster_grid(dataset) for dataset in datasets]
    first = grids[0]
    left, top = min(grid.left for grid in grids), max(grid.top for grid in grids)
    parts = []
    for name, path, dataset, grid in zip(names, paths, datasets, grids):
        if not same_crs(grid.projection, first.projection):
            raise ValueError(f"--search: expected scenes of one UTM zone, got another one for {name}")
        x, y = (grid.left - left) / first.dx, (top - grid.top) / first.dy
        if grid.dx != first.dx or max(abs(x - round(x)), abs(y - round(y))) > TOLERANCE:
            raise ValueError(f"--search: expected scenes that share their pixel corners, got another grid for {name}")
        if band_names(dataset) != band_names(datasets[0]):
            raise ValueError(f"--search: expected scenes of the same bands, got others for {name}")
        record = read_record(record_of(path))
        place = Region(round(x), round(y), grid.columns, grid.rows)
        parts.append(_Part(name, path, place, record, dataset.GetMetadata()))
    columns = max(part.place.x + part.place.columns for part in parts)
    rows = max(part.place.y + part.place.rows for part in parts)
    return parts, replace(first, left=left, top=top, columns=columns, rows=rows)


def _identity(parts: Sequence[_Part], grid: Grid, options: ServingOptions) -> dict[str, Any]:
    """Return all that the pixels of a mosaic depend on."""
    return {
        "input": {"scenes": [{"name": part.name, "identity": part.metadata[IDENTITY_KEY]} for part in parts]},
        "models": parts[0].record["identity"]["models"],
        "method": RULE,
        "grid": [*grid.geotransform, grid.columns, grid.rows],
        "float": options.floating,
        **({} if options.nodata is None else {"nodata": options.nodata}),
    }


def _metadata(parts: Sequence[_Part]) -> dict[str, str]:
    """Return the metadata that a mosaic carries: those of its scenes, and its first and last date."""
    found = {key: ", ".join(dict.fromkeys(part.metadata[key] for part in parts)) for key in ("SR_INPUT", "SR_LEVEL")}
    found |= {key: parts[0].metadata[key] for key in ("TIFFTAG_SOFTWARE", SYSTEM_KEY, "SR_WEIGHTS")}
    dates = sorted(part.metadata[DATE_KEY] for part in parts if DATE_KEY in part.metadata)
    if len(dates) == len(parts):
        found |= {DATE_KEY: dates[0], **({LAST_DATE_KEY: dates[-1]} if dates[-1] != dates[0] else {})}
    return found


def _shares(mosaic: _Mosaic, total: int) -> list[str]:
    """Return, in sentences, which scene each share of the pixels comes from; tell them."""
    told = []
    for part, count in zip(mosaic.parts, mosaic.counts[1:]):
        date = part.metadata.get(DATE_KEY, "no date")
        told.append(f"{part.name} ({date}): {100 * count / total:.2f} % of the pixels")
    for line in told:
        LOG.info("mosaic: %s", line)
    return told
