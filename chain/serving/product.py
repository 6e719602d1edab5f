# SPDX-License-Identifier: Apache-2.0
"""What the library returns of a product that it has made."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chain.raster.grids import Grid

MADE, DONE = "made", "done before"
"""What became of a product: it was made now, or was there already."""


@dataclass(frozen=True)
class Product:
    """A product.

    Attributes:
        path: its file, a Cloud-Optimized GeoTIFF.
        grid: where its pixels lie.
        bands: names of its bands, in order.
        dtype: type of its pixels, as numpy calls it.
        nodata: value of missing pixels.
        record: the JSON file beside it which says what it was made of; None while regions are missing.
        outcome: `MADE`, `DONE`, or which share of its regions was made.
        scores: measured quality, where it was asked for.
    """

    path: Path
    grid: "Grid"
    bands: tuple[str, ...]
    dtype: str
    nodata: float
    record: Path | None
    outcome: str = MADE
    scores: Mapping | None = None

    def __str__(self) -> str:
        if self.outcome != MADE:
            return self.outcome if self.outcome == DONE else f"{self.path}: {self.outcome}"
        size = f"{self.grid.columns} x {self.grid.rows} pixels"
        return f"{self.path}: {size}{self._spacing()}"

    def _spacing(self) -> str:
        """Return the side of its pixels in the unit of its CRS; nothing without one."""
        from osgeo import osr

        if not self.grid.projection:
            return ""
        is_geographic = osr.SpatialReference(wkt=self.grid.projection).IsGeographic()
        return f" of {self.grid.dx:.3g} degrees" if is_geographic else f" of {self.grid.dx:g} m"
