# SPDX-License-Identifier: Apache-2.0
"""The plan of a simulated scene: its Sentinel-2 dates, and the positions of its areas."""

from dataclasses import dataclass

EPSG, TILE, TILE_ORIGIN = 32631, "31UDQ", (399960.0, 5500020.0)
"""The Sentinel-2 tile of Paris, and its upper left corner."""

MARGIN = 120.0
"""Ground around and between the two areas, in metres."""


@dataclass(frozen=True)
class Acquisition:
    """A Sentinel-2 image to simulate."""

    when: str
    """Date and time, UTC, `20220618T105631`."""
    baseline: str
    """Processing baseline."""
    tile_cover: float
    """Cloud cover stated for the whole tile, in percent."""
    cover: float
    """Cloud cover over the training area, 0-1."""
    gain: float = 1.0
    """Factor on the reflectances: season and residual atmosphere."""
    partial: bool = False
    """Whether the orbit's edge crosses the training area."""

    @property
    def identity(self) -> str:
        """The item's id."""
        return f"S2B_MSIL2A_{self.when}_R008_T{TILE}_{self.when[:8]}T235959"

    @property
    def offset(self) -> int:
        """Offset of the digital numbers."""
        return 1000 if self.baseline >= "04.00" else 0


ACQUISITIONS = (
    Acquisition("20220618T105629", "04.00", 6.4, 0.0),
    Acquisition("20220713T105629", "04.00", 0.9, 0.34, 0.99),
    Acquisition("20220718T105631", "04.00", 0.2, 0.0, 1.01, partial=True),
    Acquisition("20220728T105631", "03.01", 3.1, 0.07, 1.02),
    Acquisition("20220807T105631", "04.00", 71.5, 0.75, 0.98),
    Acquisition("20220322T105651", "04.00", 0.1, 0.0, 0.80),
    Acquisition("20210713T105621", "03.01", 0.3, 0.0, 1.03),
)
"""The default dates. The first is the clearest over the training area, though others state less cloud for the tile; the
others include a partial one, one without the offset, a cloudy one, and two from other seasons."""

SPOT_DATE = "2022:06:20 10:43:11"
"""Acquisition date of the Spot-7 image, in TIFF's format."""


@dataclass(frozen=True)
class Layout:
    """Positions of the areas on the landscape, in metres from its upper left corner."""

    rows: int
    """Rows of the landscape, at 1.5 m."""
    columns: int
    """Columns of the landscape, at 1.5 m."""
    training: tuple[float, float, int]
    """Left, top, and side in pixels of 1.5 m, of the Spot-7 image."""
    held_out: tuple[float, float, int]
    """Left, top, and side in pixels of 1.5 m, of the held-out area."""
    origin: tuple[float, float] = (TILE_ORIGIN[0] + 60.0 * 860, TILE_ORIGIN[1] - 60.0 * 860)
    """Easting and northing of the landscape's corner, on the 60 m grid of the tile."""

    def corner(self, left: float, top: float) -> tuple[float, float]:
        """Easting and northing of a point of the landscape."""
        return self.origin[0] + left, self.origin[1] - top


def layout(size: int, held_out: int) -> Layout:
    """Places both areas on the smallest landscape of whole 60 m pixels.

    Args:
        size: side of the training area, in pixels of 1.5 m.
        held_out: side of the held-out area, likewise; rounded down to a multiple of 30 m, which is a whole number of
            10 m and of 6 m pixels.

    Raises:
        ValueError: an area is too small, or `size` is not a multiple of 4.
    """
    if size < 32 or size % 4:
        raise ValueError(f"--size: expected a multiple of 4, at least 32, got {size}")
    if held_out < 40:
        raise ValueError(f"--held-out: expected at least 40, got {held_out}")
    side, held = size * 1.5, held_out // 20 * 30.0
    left, top = MARGIN + 4.5, MARGIN + 7.5
    held_left = (left + side + MARGIN) // 30.0 * 30.0 + 30.0
    height, width = max(side, held) + 2.0 * MARGIN + 30.0, held_left + held + MARGIN
    rows, columns = (int(-(-length // 60.0)) * 40 for length in (height, width))
    held_top = (rows * 1.5 - held) / 2.0 // 30.0 * 30.0
    return Layout(rows, columns, (left, top, size), (held_left, held_top, int(held / 1.5)))
