# SPDX-License-Identifier: Apache-2.0
"""The options of the part of an input that is super-resolved: pixels, a box on a map, or the geometries of a file."""

import math
import re
from dataclasses import dataclass

from chain.runtime.options import BaseOptions, option

PART = "part to super-resolve (default: all)"
CRS = re.compile(r"\d+|[A-Za-z]+:\w+|\s*[A-Z][A-Z_]+\s*\[.*", re.DOTALL)
"""A code of EPSG's, one of another authority, or WKT."""
Box = tuple[float, float, float, float]


def box(text: str) -> tuple[int, int, int, int]:
    """Read x,y,w,h.

    Raises:
        ValueError: it is no box of pixels.
    """
    if not re.fullmatch(r"\d+,\d+,\d+,\d+", text):
        raise ValueError(f"expected x,y,w,h in input pixels, got {text!r}")
    x, y, columns, rows = (int(number) for number in text.split(","))
    return x, y, columns, rows


def four_numbers(text: str) -> Box:
    """Read west,south,east,north.

    Raises:
        ValueError: these are not four finite numbers.
    """
    try:
        west, south, east, north = (float(number) for number in text.split(","))
    except ValueError:
        raise ValueError(
            f"expected west,south,east,north in degrees, or in the unit of --bbox-crs, got {text!r}"
        ) from None
    if not all(math.isfinite(number) for number in (west, south, east, north)):
        raise ValueError(f"expected finite numbers, got {text!r}")
    return west, south, east, north


def bbox(text: str) -> Box:
    """Read west,south,east,north in degrees.

    Raises:
        ValueError: it is no box of degrees.
    """
    numbers = four_numbers(text)
    check_degrees(numbers)
    return numbers


def check_degrees(box: Box) -> None:
    """Refuse what is no box of longitudes and latitudes.

    Raises:
        ValueError: it is none.
    """
    west, south, east, north = box
    width = east - west + 360 * (west > east)
    if not (min(west, east) >= -180 and max(west, east) <= 180 and 0 < width < 180 and -90 <= south < north <= 90):
        raise ValueError(
            f"expected west < east (or a box across the 180th meridian, such as 179.9,-17,-179.9,-16.8) and south < "
            f"north, in degrees, got {_shown(box)!r}"
        )


def _shown(box: Box) -> str:
    """Return a box as it is written."""
    return ",".join(f"{number:.12g}" for number in box)


def _check_box(value: tuple[int, ...]) -> None:
    box(",".join(map(str, value)))


def _check_four(value: Box) -> None:
    four_numbers(",".join(map(str, value)))


def check_crs(text: str) -> None:
    """Refuse what is no coordinate system.

    Raises:
        ValueError: it is neither a code nor WKT.
    """
    from chain.raster.area_of_interest import coordinate_system

    if not CRS.fullmatch(text):
        raise ValueError(f"expected a code, such as EPSG:32631, or WKT, got {text!r}")
    coordinate_system(text)


@dataclass(frozen=True, kw_only=True)
class AreaOptions(BaseOptions):
    """The part of the input that is super-resolved."""

    box: tuple[int, int, int, int] | None = option(
        None,
        "input pixels: first column and row, width and height",
        read=box,
        metavar="X,Y,W,H",
        check=_check_box,
        group=PART,
    )
    bbox: Box | None = option(
        None,
        "box of longitudes and latitudes, in degrees; W is larger than E across the 180th meridian",
        read=four_numbers,
        metavar="W,S,E,N",
        check=_check_four,
        group=PART,
    )
    bbox_crs: str | None = option(
        None,
        "coordinate system of --bbox: a code, such as EPSG:32631, or WKT; its numbers are then x and y of the left, "
        "bottom, right and top (default: longitudes and latitudes)",
        check=check_crs,
        group=PART,
    )
    geometry: str | None = option(
        None, "bounds of the geometries of a file, such as a GeoJSON", metavar="FILE", reads=True, group=PART
    )

    def check(self) -> None:
        """Refuse options that do not go together."""
        super().check()
        self.exclude("box", "bbox", "geometry")
        self.require("bbox_crs", "bbox")
        if not self.bbox:
            return
        if not self.bbox_crs:
            try:
                check_degrees(self.bbox)
            except ValueError as error:
                raise ValueError(f"--bbox: {error}") from None
        elif not (self.bbox[0] < self.bbox[2] and self.bbox[1] < self.bbox[3]):
            raise ValueError(f"--bbox: expected left < right and bottom < top, got {_shown(self.bbox)!r}")
