# SPDX-License-Identifier: Apache-2.0
"""Cutting pairs of patches out of two images in memory, with PatchesSelection and PatchesExtraction.

PatchesExtraction requests each patch separately from the chain behind an image. With interpolation, pansharpening and
HTTP in that chain, each patch would compute and download its surroundings again. The chain is therefore run once, in
horizontal strips: each strip of both images is computed into memory, and PatchesExtraction cuts the patches out of it.
Memory use depends on the size of a strip, not of the scene.

The low resolution image (LR) defines the grid of the patches. A pixel of the high resolution image (HR) is `scale`
times smaller, and pixel borders of LR are pixel borders of HR.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from osgeo import gdal, ogr

from chain.patches.split import DROPPED
from chain.raster import otb
from chain.raster.footprint import Footprint
from chain.raster.gdal_memory import new_name
from chain.raster.grids import Region
from chain.raster.http import retry
from chain.raster.mask import grow

STRIP_PIXELS = 4_000_000
"""Largest number of HR pixels in memory at once: 64 MB for 4 float32 bands, and a few copies in OTB."""
ATTEMPTS = 5


@dataclass(frozen=True)
class PatchGrid:
    """How patches of LR and HR correspond."""

    lr_size: int
    """Side of the LR patches, in LR pixels."""
    hr_size: int
    """Side of the HR patches, in HR pixels."""
    lr_shape: tuple[int, int]
    """Columns and rows of LR."""
    hr_shape: tuple[int, int]
    """Columns and rows of HR."""
    hr_offset: tuple[int, int] = (0, 0)
    """Column and row in HR of the upper left corner of LR."""

    @property
    def scale(self) -> int:
        """LR pixel size over HR pixel size."""
        return self.hr_size // self.lr_size

    def hr_region(self, region: Region) -> Region:
        """Return the region of HR that corresponds to a region of LR."""
        fine = region.scaled(self.scale)
        return Region(fine.x + self.hr_offset[0], fine.y + self.hr_offset[1], fine.columns, fine.rows)

    def inside(self, starts: np.ndarray) -> np.ndarray:
        """Return which patches, given by first LR column and row (n, 2), are inside both images."""
        fine = starts * self.scale + self.hr_offset
        coarse_ok = np.all((starts >= 0) & (starts + self.lr_size <= self.lr_shape), axis=1)
        return coarse_ok & np.all((fine >= 0) & (fine + self.hr_size <= self.hr_shape), axis=1)


@dataclass(frozen=True)
class Conditioning:
    """How nodata is treated in a strip before patches are cut; afterwards 0 means nodata and nothing else."""

    lr_margin: int
    """Distance up to which nodata affects its surroundings in LR (interpolation), in pixels."""
    hr_margin: int
    """Distance up to which nodata affects its surroundings in HR (interpolation, pansharpening), in pixels."""
    hr_nodata: bool = True
    """Whether 0 in all bands of HR means nodata; 0 in LR always does."""

    def margin(self, scale: int) -> int:
        """Return the distance, in LR pixels, up to which nodata outside a region affects it."""
        return max(self.lr_margin, -(-self.hr_margin // scale) if self.hr_nodata else 0)


@dataclass(frozen=True)
class Strip:
    """A region of LR and the patches in it."""

    region: Region
    """Region, in LR pixels."""
    patches: np.ndarray
    """Indices of the patches."""


def select(image: str, footprint: Footprint, size: int, step: int, nodata: float | None) -> np.ndarray:
    """Return the first column and row (n, 2) of the patches that PatchesSelection selects on an image's grid.

    Args:
        image: path of a raster.
        footprint: its footprint.
        size: side of the patches, in pixels.
        step: distance between patches, in pixels.
        nodata: patches with a pixel of this value in all bands are skipped.

    Raises:
        RuntimeError: the image cannot be read.
    """
    import pyotb

    layer = new_name("points", "geojson")
    parameters: dict[str, Any] = {
        "in": image,
        "grid.step": step,
        "grid.psize": size,
        "strategy": "all",
        "outtrain": layer,
    }
    if nodata is not None:
        parameters["nodata"] = nodata
    pyotb.PatchesSelection(parameters)
    try:
        points = np.array(list(_points(layer))).reshape(-1, 2)
    finally:
        gdal.Unlink(layer)
    x0, dx, _, y0, _, dy = footprint.geotransform
    pixels = (points - (x0, y0)) / (dx, dy)
    return np.floor(pixels + 0.25).astype(np.int64) - size // 2


def _points(layer: str) -> Iterator[tuple[float, float]]:
    """Read the points of a vector file."""
    dataset = ogr.Open(layer)
    for feature in dataset.GetLayer() if dataset else ():
        geometry = feature.GetGeometryRef()
        yield geometry.GetX(), geometry.GetY()


def plan_strips(starts: np.ndarray, grid: PatchGrid, margin: int, max_pixels: int) -> list[Strip]:
    """Group patches into regions that fit in memory, from top to bottom.

    Args:
        starts: (n, 2) first LR column and row of the patches.
        grid: sizes of patches and images.
        margin: LR pixels read around each region.
        max_pixels: largest number of HR pixels in a region; a region of a single patch may have more.
    """
    size, scale = grid.lr_size, grid.scale
    budget = max_pixels / scale**2
    ranks = np.lexsort((starts[:, 0], starts[:, 1]))
    strips = []
    while len(ranks):
        top = starts[ranks[0], 1]
        width = np.ptp(starts[ranks, 0]) + size + 2 * margin
        height = max(int(budget / width) - 2 * margin, size)
        taken = starts[ranks, 1] + size <= top + height
        strip, ranks = ranks[taken], ranks[~taken]
        columns = max(int(budget / (height + 2 * margin)) - 2 * margin, size)
        while len(strip):
            left = starts[strip, 0].min()
            here = starts[strip, 0] + size <= left + columns
            strips.append(Strip(_around(starts[strip[here]], size), strip[here]))
            strip = strip[~here]
    return strips


def _around(starts: np.ndarray, size: int) -> Region:
    """Return the smallest region that contains patches."""
    first, last = starts.min(axis=0), starts.max(axis=0) + size
    return Region(int(first[0]), int(first[1]), int(last[0] - first[0]), int(last[1] - first[1]))


def extract(
    chain: Callable[[bool], tuple],
    starts: np.ndarray,
    groups: np.ndarray,
    grid: PatchGrid,
    conditioning: Conditioning,
    attempts: int = ATTEMPTS,
    on_failure: Callable[[Exception, int, float], None] | None = None,
    max_pixels: int | None = None,
) -> Iterator[dict[int, tuple[np.ndarray, np.ndarray]]]:
    """Cut patches out of LR and HR, strip by strip.

    Args:
        chain: returns the `pyotb` images LR and HR; called before each strip, so that it can renew what has expired,
            and with True after a failure, so that it can renew everything.
        starts: (n, 2) first LR column and row of the patches; all inside both images.
        groups: (n,) set of each patch; those of `DROPPED` are skipped.
        grid: sizes of patches and images.
        conditioning: treatment of nodata.
        attempts: total number of attempts per strip.
        on_failure: called on each failure with the exception, the attempt, and the pause in seconds.
        max_pixels: largest number of HR pixels in memory at once (`STRIP_PIXELS` by default).

    Yields:
        For each strip, set -> (LR patches, HR patches), (patches, height, width, bands) uint16.

    Raises:
        RuntimeError: a strip fails at every attempt, or the patches of LR and HR do not correspond.
    """
    dealt = np.flatnonzero(groups != DROPPED)
    margin = conditioning.margin(grid.scale)
    for strip in plan_strips(starts[dealt], grid, margin, max_pixels or STRIP_PIXELS):
        region = strip.region.grown(margin, grid.lr_shape)
        pulls = itertools.count()

        def pull(region: Region = region, pulls: Iterator[int] = pulls) -> tuple[np.ndarray, np.ndarray]:
            lr, hr = chain(next(pulls) > 0)
            fine = grid.hr_region(region)
            clipped = _clip(fine, grid.hr_shape)
            return otb.read(lr, region), _padded(otb.read(hr, clipped), fine, clipped)

        lr, hr = retry(pull, (RuntimeError,), attempts, on_failure=on_failure)
        lr_missing = _condition(lr, conditioning.lr_margin, np.any)
        hr_missing = _condition(hr, conditioning.hr_margin if conditioning.hr_nodata else None, np.all)
        ranks = dealt[strip.patches]
        local = starts[ranks] - (region.x, region.y)
        clean = _clean(lr_missing, local, grid.lr_size) & _clean(hr_missing, local * grid.scale, grid.hr_size)
        cut = {
            int(group): _cut(lr, hr, local[clean & (groups[ranks] == group)], grid, conditioning.hr_nodata)
            for group in np.unique(groups[ranks[clean]])
        }
        del lr, hr
        yield cut


def _clip(region: Region, shape: tuple[int, int]) -> Region:
    """Return the part of a region inside an image."""
    x, y = max(region.x, 0), max(region.y, 0)
    right, bottom = min(region.x + region.columns, shape[0]), min(region.y + region.rows, shape[1])
    return Region(x, y, right - x, bottom - y)


def _padded(array: np.ndarray, region: Region, read: Region) -> np.ndarray:
    """Pad the part of a region that was read with zeros to the whole region."""
    if region == read:
        return array
    whole = np.zeros((region.rows, region.columns, array.shape[2]), np.float32)
    y, x = read.y - region.y, read.x - region.x
    whole[y : y + read.rows, x : x + read.columns] = array
    return whole


def _condition(array: np.ndarray, margin: int | None, empty: Callable) -> np.ndarray | None:
    """Round pixels, in place, to the range of uint16; set nodata, with the surroundings it affects, to 0.

    NaN is nodata in any case.

    Args:
        array: (height, width, bands).
        margin: distance up to which nodata affects its surroundings, in pixels; None if 0 is not nodata.
        empty: whether 0 in any band (`np.any`: a harmonised Sentinel-2 pixel without data) or in all bands (`np.all`:
            a dark Spot pixel may be 0 in some band) means nodata.

    Returns:
        Whether a pixel is missing, (height, width); None if none is.
    """
    missing = None
    if not array.min() > 0:
        unknown = np.isnan(array)
        missing = unknown.any(axis=2)
        if margin is not None:
            missing |= empty(array == 0, axis=2)
        array[unknown] = 0
    np.rint(array, out=array)
    np.clip(array, 0 if margin is None else 1, 65535, out=array)
    if missing is None or not missing.any():
        return None
    missing = grow(missing, margin or 0)
    array[missing] = 0
    return missing


def _clean(missing: np.ndarray | None, starts: np.ndarray, size: int) -> np.ndarray:
    """Return which patches contain no missing pixel."""
    if missing is None:
        return np.ones(len(starts), bool)
    return np.array([not missing[y : y + size, x : x + size].any() for x, y in starts], bool)


def _cut(lr: np.ndarray, hr: np.ndarray, starts: np.ndarray, grid: PatchGrid, hr_nodata: bool) -> tuple:
    """Cut patches out of arrays with PatchesExtraction, and check that they are the selected ones.

    The side of an LR pixel is 1 unit, and points are a quarter of an HR pixel inside the pixel that locates the patch,
    so that rounding cannot move them.
    """
    import pyotb

    fine = 1.0 / grid.scale
    sources = {
        "source1": (lr, otb.in_memory(lr, (0.5, -0.5), (1.0, -1.0)), grid.lr_size),
        "source2": (hr, otb.in_memory(hr, (fine / 2, -fine / 2), (fine, -fine)), grid.hr_size),
    }
    middle = grid.lr_size // 2 + (0.5 if grid.lr_size % 2 else 0.0)
    points = (starts + middle + fine / 4) * (1.0, -1.0)
    layer = _write_points(points)
    parameters: dict[str, Any] = {"vec": layer, "field": "id"}
    for key, (_, image, size) in sources.items():
        parameters |= {f"{key}.il": [image], f"{key}.patchsizex": size, f"{key}.patchsizey": size}
        if key == "source1" or hr_nodata:
            parameters[f"{key}.nodata"] = 0
    try:
        extraction = pyotb.PatchesExtraction(parameters, n_sources=2)
        cut = []
        for key, (array, _, size) in sources.items():
            stack = extraction.app.ExportImage(f"{key}.out")["array"]
            patches = stack.reshape(-1, size, size, array.shape[2]).astype(np.uint16)
            corners = starts * (grid.scale if key == "source2" else 1)
            if len(patches) != len(corners) or not all(
                np.array_equal(patch, array[y : y + size, x : x + size]) for patch, (x, y) in zip(patches, corners)
            ):
                raise RuntimeError(f"{key}: PatchesExtraction cut other patches than those that were selected")
            cut.append(patches)
    finally:
        gdal.Unlink(layer)
    return cut[0], cut[1]


def _write_points(points: np.ndarray) -> str:
    """Write points (n, 2) with an integer field `id` into a layer in GDAL's memory."""
    name = new_name("points", "geojson")
    dataset = ogr.GetDriverByName("GeoJSON").CreateDataSource(name)
    layer = dataset.CreateLayer("points", None, ogr.wkbPoint, options=["COORDINATE_PRECISION=6"])
    layer.CreateField(ogr.FieldDefn("id", ogr.OFTInteger))
    for rank, (x, y) in enumerate(points):
        feature = ogr.Feature(layer.GetLayerDefn())
        feature.SetField("id", rank)
        geometry = ogr.Geometry(ogr.wkbPoint)
        geometry.AddPoint_2D(float(x), float(y))
        feature.SetGeometry(geometry)
        layer.CreateFeature(feature)
    return name
