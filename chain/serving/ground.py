# SPDX-License-Identifier: Apache-2.0
"""The ground of a product: all of its input's, or the part that is asked for."""

from collections.abc import Mapping

from chain.raster.area_of_interest import bbox_bounds, bounds_region, geometry_bounds
from chain.raster.grids import Grid, Region, box_region, common_origin, product_grid, shifted
from chain.serving.options import AreaOptions


def ground_of(
    options: AreaOptions, grids: Mapping[str, Grid], gsd: float, step: int
) -> tuple[tuple[float, float], Grid, Region]:
    """Return the ground that is asked for: of the whole finest image, or of a part of it.

    Args:
        options: The part that is asked for.
        grids: Grids of the images, by name.
        gsd: Spacing of the product, in metres.
        step: Number of the product's pixels that a part is a whole multiple of.

    Returns:
        The corner (x, y) where pixels of all images begin together, the grid of the ground, and its pixels, counted
        from that corner.

    Raises:
        ValueError: The images do not belong together, or the part is not on them.
    """
    native = grids[min(grids, key=lambda name: grids[name].dx)]
    origin = common_origin(grids) if len(grids) > 1 else (native.left, native.top)
    grid = product_grid(native, gsd)
    region = Region(0, 0, grid.columns, grid.rows)
    if options.box:
        region = box_region(options.box, native, grid, step)
    elif options.bbox or options.geometry:
        region = part_on_map(options, grid, origin, step)
    x, y = round((grid.left - origin[0]) / gsd) + region.x, round((origin[1] - grid.top) / gsd) + region.y
    return origin, shifted(grid, region), Region(x, y, region.columns, region.rows)


def part_on_map(options: AreaOptions, grid: Grid, origin: tuple[float, float], step: int) -> Region:
    """Return the pixels of a grid that --bbox or --geometry asks for, in whole steps from an origin.

    Raises:
        ValueError: The part is not on the grid.
    """
    if options.bbox:
        west, south, east, north = options.bbox
        bounds = bbox_bounds((west, south, east, north), grid.projection, options.bbox_crs)
        return bounds_region(bounds, grid, origin, step, "--bbox")
    return bounds_region(geometry_bounds(str(options.geometry), grid.projection), grid, origin, step, "--geometry")


def part_of(options: AreaOptions, grid: Grid) -> Region:
    """Return the pixels of an image that are asked for: all, by default.

    Args:
        options: The part that is asked for.
        grid: The image's.

    Raises:
        ValueError: The part is not on the image.
    """
    if options.bbox or options.geometry:
        return part_on_map(options, grid, (grid.left, grid.top), 1)
    x, y, columns, rows = options.box or (0, 0, grid.columns, grid.rows)
    if columns < 1 or rows < 1 or x + columns > grid.columns or y + rows > grid.rows:
        raise ValueError(
            f"--box: expected x,y,w,h inside {grid.columns} x {grid.rows} pixels, got {x},{y},{columns},{rows}"
        )
    return Region(x, y, columns, rows)
