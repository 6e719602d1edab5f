# SPDX-License-Identifier: Apache-2.0
"""What `--info` tells: what an input is taken for, and what would be made of it. Nothing is computed."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from osgeo import gdal

from chain.raster.footprint import Footprint
from chain.raster.grids import Grid, raster_grid
from chain.sentinel2.opened_image import OpenedImage
from chain.serving.options import ServingOptions
from chain.serving.production import Production
from chain.serving.recipe import Recipe

_INDENT = "  "


def describe(image: OpenedImage, recipe: Recipe, options: ServingOptions) -> dict[str, Any]:
    """Return what an open input is, and what its product would be, as JSON holds it.

    Args:
        image: the input.
        recipe: how its product is made.
        options: those of the program.

    Raises:
        ValueError: the input does not suit the recipe, or the part that is asked for is not on it.
        RuntimeError: OTB refuses.
    """
    production = Production(options, image, recipe)
    layout = production.layout(production.identity())
    return {
        "input": {
            "id": str(image.identity.get("id", "")),
            "level": image.level,
            "offset": image.offset,
            "nodata": image.nodata,
            "grids": _grids(image),
            "footprint": footprint(production.grid),
            "decisions": [asdict(decision) for decision in image.decisions],
            "notes": list(recipe.notes),
        },
        "product": {
            "path": None,
            "bands": list(recipe.bands),
            "dtype": layout.dtype,
            "nodata": layout.nodata,
            "grid": grid_json(layout.grid),
            "regions": len(production.regions),
            "networks": [
                {
                    "system": network.description.system,
                    "model": network.description.model,
                    "bands": list(network.description.bands),
                    "weights": network.description.weights,
                    "folder": network.model_dir,
                }
                for network in recipe.networks
            ],
        },
    }


def _grids(image: OpenedImage) -> list[dict[str, Any]]:
    """Return the grids of an input, finest first, each with the bands that are on it."""
    found: dict[Grid, list[str]] = {}
    for band, name in image.bands.items():
        found.setdefault(raster_grid(gdal.Open(name)), []).append(band)
    return [{**grid_json(grid), "bands": bands} for grid, bands in sorted(found.items(), key=lambda each: each[0].dx)]


def grid_json(grid: Grid) -> dict[str, Any]:
    """Return a grid as JSON holds it: spacing and corner in units of its CRS, size in pixels."""
    return {
        "spacing": grid.dx,
        "columns": grid.columns,
        "rows": grid.rows,
        "left": grid.left,
        "top": grid.top,
        "crs": crs_name(grid.projection),
    }


def crs_name(projection: str) -> str | None:
    """Return how people call a CRS, given its WKT: `EPSG:32631`, else its name; None where there is none."""
    from osgeo import osr

    if not projection:
        return None
    reference = osr.SpatialReference(wkt=projection)
    code = reference.GetAuthorityCode(None)
    return f"{reference.GetAuthorityName(None)}:{code}" if code else reference.GetName()


def footprint(grid: Grid) -> list[float] | None:
    """Return west, south, east and north of a grid, in degrees, west > east across 180; None where it has no CRS."""
    if not grid.projection:
        return None
    ground = Footprint(grid.geotransform, (grid.columns, grid.rows), grid.projection)
    return [round(number, 6) for number in ground.bounds()]


def text(described: Mapping[str, Any]) -> str:
    """Return what `describe`, or that of another program, has found, as lines for people."""
    return "\n".join(_lines(described, ""))


def _lines(content: Mapping[str, Any], indent: str) -> list[str]:
    """Return lines of a mapping: one for each value, nested mappings and lists of mappings beneath their key."""
    lines = []
    for key, value in content.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{key}:", *_lines(value, indent + _INDENT)]
        elif key == "decisions":
            told = [f"{each['subject']}: {each['taken']} ({each['reason']})" for each in value]
            lines += [f"{indent}{key}:", *(f"{indent}{_INDENT}{line}" for line in told)]
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for each in value:
                lines += [f"{indent}{key}:", *_lines(each, indent + _INDENT)]
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
            lines.append(f"{indent}{key}: {'none' if shown in (None, '') else shown}")
    return lines
