# SPDX-License-Identifier: Apache-2.0
"""How the pixels of a panchromatic image (HR) subdivide those of a multispectral one (LR).

Pairs of patches are right only if each LR pixel consists of whole HR pixels, everywhere in the image. Where the grids
of the two files differ from that (pixel sizes rounded by a reprojection, origins half a pixel apart, another CRS), HR
has to be resampled onto the grid that LR implies.
"""

from dataclasses import dataclass

import numpy as np
from osgeo import gdal

from chain.patches.patches import PatchGrid
from chain.raster.footprint import Footprint
from chain.raster.gdal_memory import new_name

TOLERANCE = 0.02
"""Largest distance between the pixel borders of the two grids that is ignored, in HR pixels."""
RATIO_TOLERANCE = 0.05
"""Largest relative difference between the ratio of pixel sizes and that of patch sizes."""


@dataclass(frozen=True)
class Correspondence:
    """How two grids correspond, and whether HR has to be resampled."""

    grid: PatchGrid
    """Sizes and offset, in pixels, of the images that patches are cut from."""
    reference: str | None
    """Raster onto whose grid HR has to be resampled, or None if the grids already correspond."""
    reason: str
    """The finding, in words."""


def correspond(xs: Footprint, pan: Footprint, lr_size: int, hr_size: int) -> Correspondence:
    """Compare the grids of a multispectral and a panchromatic image.

    Args:
        xs: footprint of the multispectral image.
        pan: footprint of the panchromatic image.
        lr_size: side of the LR patches, in pixels of `xs`.
        hr_size: side of the HR patches, in pixels of `pan`.

    Raises:
        ValueError: the patch sizes do not suit the pixel sizes, or the images do not overlap.
    """
    scale, remainder = divmod(hr_size, lr_size)
    if remainder or not scale:
        raise ValueError(f"--hr-patch-size: expected a multiple of --lr-patch-size ({lr_size}), got {hr_size}")
    if not xs.geometry().Intersects(pan.geometry()):
        raise ValueError("--pan: expected an image that overlaps --xs, got one elsewhere")
    corners = np.array([(0, 0), (xs.size[0], 0), (0, xs.size[1]), xs.size])
    ground = xs.to_crs(corners * xs.spacing + xs.corner, pan.projection)
    pixels = (ground - pan.corner) / pan.spacing
    ratio = np.linalg.norm(pixels[3] - pixels[0]) / np.linalg.norm(corners[3])
    if abs(ratio / scale - 1) > RATIO_TOLERANCE:
        raise ValueError(
            f"--hr-patch-size: expected {ratio:.3g} times --lr-patch-size, because the pixels of --xs are {ratio:.3g} "
            f"times those of --pan, got {scale} times"
        )
    offset = np.rint(pixels[0]).astype(int)
    drift = float(np.abs(pixels - (corners * scale + offset)).max())
    same_crs = np.abs((ground - corners * xs.spacing - xs.corner) / pan.spacing).max() <= TOLERANCE
    if same_crs and drift <= TOLERANCE:
        grid = PatchGrid(lr_size, hr_size, xs.size, pan.size, (int(offset[0]), int(offset[1])))
        return Correspondence(grid, None, f"grids correspond ({drift:.3f} PAN pixel apart at most)")
    fine = (xs.size[0] * scale, xs.size[1] * scale)
    reference = _empty_raster(xs, scale, fine)
    reason = f"PAN is resampled onto the grid of XS / {scale} (its own is up to {drift:.2f} PAN pixel off"
    reason += ")" if same_crs else ", in another CRS)"
    return Correspondence(PatchGrid(lr_size, hr_size, xs.size, fine), reference, reason)


def _empty_raster(xs: Footprint, scale: int, size: tuple[int, int]) -> str:
    """Create a raster in GDAL's memory with a grid and no pixels; return its name."""
    name = new_name("grid", "vrt")
    dataset = gdal.GetDriverByName("VRT").Create(name, *size, 1, gdal.GDT_Byte)
    x0, dx, _, y0, _, dy = xs.geotransform
    dataset.SetGeoTransform((x0, dx / scale, 0.0, y0, 0.0, dy / scale))
    dataset.SetProjection(xs.projection)
    return name
