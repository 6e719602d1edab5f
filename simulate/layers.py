# SPDX-License-Identifier: Apache-2.0
"""The maps that describe the ground at 1.5 m, and how objects are drawn on them."""

from dataclasses import dataclass

import numpy as np

from simulate.spectra import CODE

GSD = 1.5
"""Side of a landscape pixel, in metres."""


@dataclass
class Layers:
    """What covers each pixel: a material over a background one, and how high it stands."""

    material: np.ndarray
    """uint8, code of the material that covers the pixel."""
    background: np.ndarray
    """uint8, code of the material seen between (soil under a crop)."""
    cover: np.ndarray
    """float32, share of the pixel that `material` covers, 0-1."""
    brightness: np.ndarray
    """float32, factor of the reflectance in all bands."""
    tint: np.ndarray
    """float32, change of hue: positive is redder, negative bluer, in units of a tenth from blue to red."""
    height: np.ndarray
    """float32, height above the ground, in metres."""

    @classmethod
    def empty(cls, shape: tuple[int, int]) -> "Layers":
        """Flat bare soil of `shape` rows and columns."""
        soil = np.full(shape, CODE["soil_brown"], np.uint8)
        ones, zeros = np.ones(shape, np.float32), np.zeros(shape, np.float32)
        return cls(soil, soil.copy(), ones, ones.copy(), zeros, zeros.copy())

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.material.shape

    def paint(self, where, material: str, brightness=1.0, tint=0.0, height=0.0, cover=1.0) -> None:
        """Covers pixels with a material, hiding what was there.

        Args:
            where: boolean mask of the map, or an index expression.
            material: name of the material.
            brightness: factor, a number or one value per painted pixel.
            tint: change of hue, likewise.
            height: metres, likewise.
            cover: share of the pixel covered, likewise.
        """
        self.material[where] = CODE[material]
        self.cover[where] = cover
        self.brightness[where] = brightness
        self.tint[where] = tint
        self.height[where] = height


def coordinates(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of the pixels' centres, in metres from the upper left corner, x to the right and y down."""
    y, x = np.indices(shape, dtype=np.float32)
    return (x + 0.5) * GSD, (y + 0.5) * GSD


def window(shape: tuple[int, int], x: float, y: float, reach: float) -> tuple[slice, slice] | None:
    """Pixels within `reach` metres of a point, as slices of rows and columns; None when there are none."""
    top, bottom = int((y - reach) / GSD), int((y + reach) / GSD) + 2
    left, right = int((x - reach) / GSD), int((x + reach) / GSD) + 2
    rows, columns = slice(max(top, 0), min(bottom, shape[0])), slice(max(left, 0), min(right, shape[1]))
    return None if rows.start >= rows.stop or columns.start >= columns.stop else (rows, columns)


def local_coordinates(place: tuple[slice, slice], x: float, y: float, angle: float = 0.0):
    """Coordinates of a window's pixels along and across a direction, from a point, in metres."""
    dy = (np.arange(place[0].start, place[0].stop, dtype=np.float32)[:, None] + 0.5) * GSD - y
    dx = (np.arange(place[1].start, place[1].stop, dtype=np.float32)[None] + 0.5) * GSD - x
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return dx * cosine + dy * sine, dy * cosine - dx * sine


def distance_to_line(distance: np.ndarray, points: np.ndarray, reach: float) -> None:
    """Lowers a map of distances to the distance to a polyline, in place.

    Args:
        distance: float32 map of distances so far, in metres.
        points: the polyline's x and y, in metres, (n, 2).
        reach: pixels further than this from the line are left, in metres.
    """
    for (x0, y0), (x1, y1) in zip(points[:-1], points[1:], strict=True):
        half = float(np.hypot(x1 - x0, y1 - y0)) / 2.0
        place = window(distance.shape, (x0 + x1) / 2.0, (y0 + y1) / 2.0, half + reach)
        if place is None or half == 0.0:
            continue
        along, across = local_coordinates(place, (x0 + x1) / 2.0, (y0 + y1) / 2.0, np.arctan2(y1 - y0, x1 - x0))
        beyond = np.maximum(np.abs(along) - half, 0.0)
        np.minimum(distance[place], np.hypot(beyond, across), out=distance[place])
