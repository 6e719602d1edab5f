# SPDX-License-Identifier: Apache-2.0
"""Buildings: houses with gabled roofs along streets, works with flat roofs and car parks, farmsteads.

A roof is a height map, so that its two sides catch the sun differently and it casts its shadow.
"""

import numpy as np

from simulate.layers import Layers, local_coordinates, window
from simulate.spectra import CODE

ROOFS = ("tile_red", "tile_brown", "slate", "concrete", "gravel", "metal")
FLAT_ROOFS = ("membrane", "metal", "gravel", "concrete", "blue_steel", "asphalt")


def _place(
    layers: Layers,
    taken: np.ndarray,
    x: float,
    y: float,
    angle: float,
    length: float,
    depth: float,
    clearance: float,
):
    """Finds free ground for a rectangle.

    Returns:
        The window, the coordinates along and across in metres, and the rectangle's mask; None when it leaves
        the landscape or something stands within `clearance` metres.
    """
    place = window(layers.shape, x, y, float(np.hypot(length, depth)) / 2.0 + clearance)
    if place is None:
        return None
    along, across = local_coordinates(place, x, y, angle)
    around = (np.abs(along) < length / 2.0 + clearance) & (np.abs(across) < depth / 2.0 + clearance)
    if (taken[place] & around).any():
        return None
    return place, along, across, (np.abs(along) <= length / 2.0) & (np.abs(across) <= depth / 2.0)


def _house(layers: Layers, taken: np.ndarray, x, y, angle, length, depth, roof: str, rng) -> bool:
    """Builds a house with a gabled or flat roof at (x, y); False when there is no room."""
    found = _place(layers, taken, x, y, angle, length, depth, 1.5)
    if found is None:
        return False
    place, _, across, inside = found
    eaves = rng.uniform(3.0, 6.5)
    ridge = 0.0 if roof in ("concrete", "gravel") else rng.uniform(0.35, 0.6) * depth / 2.0
    height = eaves + ridge * (1.0 - np.abs(across) * 2.0 / depth)
    grain = rng.standard_normal(int(inside.sum())).astype(np.float32)
    _paint(
        layers,
        place,
        inside,
        roof,
        rng.uniform(0.75, 1.25) * (1.0 + 0.05 * grain),
        rng.uniform(-0.5, 0.7),
        np.broadcast_to(height, inside.shape)[inside],
    )
    taken[place] |= inside
    return True


def _paint(layers: Layers, place, inside, material, brightness, tint, height) -> None:
    """Paints part of a window."""
    layers.material[place][inside] = CODE[material]
    layers.cover[place][inside] = 1.0
    layers.brightness[place][inside] = brightness
    layers.tint[place][inside] = tint
    layers.height[place][inside] = height


def houses(layers: Layers, taken: np.ndarray, streets: list[np.ndarray], rng: np.random.Generator) -> None:
    """Lines streets with houses, some with an annex or a pool behind.

    Args:
        layers: maps to draw on.
        taken: boolean mask of ground that is not free; updated.
        streets: polylines, x and y in metres.
        rng: source of randomness.
    """
    palette = rng.choice([0.62, 0.3, 0.15])
    chances = np.array([palette, 0.75 * (1 - palette), 0.5 * (1 - palette), 0.08, 0.06, 0.05])
    for line in streets:
        steps = np.hypot(*np.diff(line, axis=0).T)
        position, end = rng.uniform(4.0, 14.0), float(steps.sum())
        reached = np.concatenate([[0.0], np.cumsum(steps)])
        while position < end - 5.0:
            at = np.array([np.interp(position, reached, line[:, axis]) for axis in (0, 1)])
            ahead = np.array([np.interp(position + 1.0, reached, line[:, axis]) for axis in (0, 1)])
            angle = float(np.arctan2(*(ahead - at)[::-1]))
            for side in (-1.0, 1.0):
                if rng.random() < 0.84:
                    _plot(layers, taken, at, angle, side, rng, str(rng.choice(ROOFS, p=chances / chances.sum())))
            position += rng.uniform(13.0, 23.0)


def _plot(layers: Layers, taken: np.ndarray, at: np.ndarray, angle: float, side: float, rng, roof: str) -> None:
    """Builds on one plot beside a street: a house, and maybe an annex, a pool."""
    aside = side * np.array([-np.sin(angle), np.cos(angle)])
    turned = angle + (np.pi / 2.0 if rng.random() < 0.25 else 0.0) + rng.normal(0.0, 0.05)
    length, depth = rng.uniform(9.0, 15.0), rng.uniform(7.0, 10.5)
    x, y = at + aside * rng.uniform(10.0, 15.0)
    if not _house(layers, taken, x, y, turned, length, depth, roof, rng):
        return
    if rng.random() < 0.35:
        x, y = at + aside * rng.uniform(20.0, 26.0) + rng.uniform(-6.0, 6.0) * np.array([np.cos(angle), np.sin(angle)])
        _house(layers, taken, x, y, turned, rng.uniform(4.0, 8.0), rng.uniform(3.5, 6.0), roof, rng)
    if rng.random() < 0.10:
        x, y = at + aside * rng.uniform(24.0, 30.0)
        pool = _place(layers, taken, x, y, turned, 8.5, 4.5, 1.5)
        if pool is not None:
            place, along, across, terrace = pool
            _paint(layers, place, terrace, "concrete", 1.1, 0.0, 0.0)
            _paint(layers, place, terrace & (np.abs(along) < 3.6) & (np.abs(across) < 1.9), "pool", 1.0, 0.0, 0.0)
            taken[place] |= terrace


def works(layers: Layers, taken: np.ndarray, x: float, y: float, radius: float, angle: float, rng) -> None:
    """Builds sheds with flat roofs and car parks at the rim of some villages of more than 150 m."""
    if radius < 150.0 or rng.random() < 0.35:
        return
    bearing = rng.uniform(0.0, 2.0 * np.pi)
    centre = np.array([x, y]) + (radius + 70.0) * np.array([np.cos(bearing), np.sin(bearing)])
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    for row in range(-1, 2):
        for column in range(-1, 2):
            length, depth = rng.uniform(35.0, 72.0), rng.uniform(22.0, 44.0)
            spot = centre + column * 88.0 * along + row * 66.0 * across + rng.uniform(-4.0, 4.0, 2)
            yard = _place(layers, taken, *spot, angle, 82.0, 60.0, 0.0)
            if yard is None or rng.random() < 0.15:
                continue
            place, u, v, inside = yard
            ground = str(rng.choice(["asphalt", "asphalt", "concrete", "gravel"]))
            texture = 1.0 + 0.05 * rng.standard_normal(int(inside.sum()))
            _paint(layers, place, inside, ground, texture, 0.0, 0.0)
            roof = inside & (np.abs(u) < length / 2.0) & (np.abs(v + 6.0) < depth / 2.0)
            ribs = 1.0 + 0.06 * np.sign(np.sin(2.0 * np.pi * (u + 0.0 * v) / 9.0))
            _paint(
                layers,
                place,
                roof,
                str(rng.choice(FLAT_ROOFS)),
                rng.uniform(0.75, 1.1) * ribs[roof],
                rng.uniform(-0.4, 0.4),
                rng.uniform(6.0, 11.0),
            )
            vents = roof & (np.mod(u, 18.0) < 2.0) & (np.abs(v + 6.0) < 1.2)
            _paint(layers, place, vents, "membrane", 1.0, 0.0, layers.height[place][vents] + 1.5)
            taken[place] |= inside
            _cars(layers, place, u, v, inside & ~roof, rng)


def _cars(layers: Layers, place, u: np.ndarray, v: np.ndarray, free: np.ndarray, rng: np.random.Generator) -> None:
    """Parks rows of cars on what is left of a yard."""
    stall = np.floor(u / 3.0).astype(int)
    lane = (np.mod(v, 16.0) < 4.5) & (np.mod(u, 3.0) < 1.9) & (v > 12.0)
    filled = rng.random(512) < 0.6
    paint = rng.choice(["membrane", "metal", "asphalt", "slate", "tile_red", "blue_steel"], 512)
    number = (stall + 57 * np.floor(v / 16.0).astype(int)) % 512
    for material in np.unique(paint):
        _paint(layers, place, free & lane & filled[number] & (paint[number] == material), material, 0.9, 0.0, 1.4)


def farmstead(layers: Layers, taken: np.ndarray, x: float, y: float, rng: np.random.Generator) -> None:
    """Builds a farm: a yard, a house, barns."""
    angle = rng.uniform(0.0, np.pi)
    yard = _place(layers, taken, x, y, angle, 64.0, 52.0, 4.0)
    if yard is None:
        return
    place, u, v, _ = yard
    trodden = np.hypot(u / 30.0, v / 24.0) + 0.12 * rng.standard_normal(u.shape) < 1.0
    _paint(layers, place, trodden, "gravel", 0.85, 0.2, 0.0)
    spots = (
        (-17.0, -13.0, 26.0, 12.0),
        (15.0, -14.0, 20.0, 13.0),
        (16.0, 13.0, 16.0, 9.0),
        (-16.0, 14.0, 30.0, 14.0),
    )
    for along, across, length, depth in spots:
        if rng.random() < 0.8:
            spot = np.array([x, y]) + along * np.array([np.cos(angle), np.sin(angle)])
            spot += across * np.array([-np.sin(angle), np.cos(angle)])
            roof = str(rng.choice(["tile_red", "tile_brown", "slate", "metal", "tile_brown"]))
            _house(layers, taken, *spot, angle, length, depth, roof, rng)
