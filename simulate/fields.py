# SPDX-License-Identifier: Apache-2.0
"""Farmland: blocks of parallel parcels, each with its crop, rows, wheel tracks and patches.

Blocks are Voronoi cells of about 450 m on gently warped coordinates. Each is cut into strips of one
direction, strips are cut across here and there. A parcel's crop sets how much soil shows through, how it
streaks along the working direction, and whether it carries tramlines (the sprayer's wheel tracks every 24 m).
"""

from typing import NamedTuple

import numpy as np

from simulate.layers import GSD, Layers
from simulate.noise import cells, fractal_noise, hashed, smooth_noise
from simulate.spectra import CODE


class Crop(NamedTuple):
    """How a kind of parcel looks."""

    share: float
    """Relative frequency."""
    material: str
    """What grows."""
    soil: str
    """What shows between."""
    cover: tuple[float, float]
    """Range of the parcels' mean cover."""
    patchiness: float
    """Standard deviation of the cover inside a parcel, over tens of metres."""
    streak: float
    """Standard deviation of the cover and brightness from one working strip to the next."""
    tramlines: bool
    """Whether wheel tracks cross it every 24 m."""
    brightness: float
    """Mean brightness of the material."""


CROPS = (
    Crop(0.15, "crop_ripe", "soil_light", (0.80, 0.97), 0.04, 0.020, True, 1.0),
    Crop(0.12, "crop_olive", "crop_ripe", (0.35, 0.80), 0.07, 0.025, True, 1.0),
    Crop(0.15, "crop_green", "soil_brown", (0.80, 0.97), 0.04, 0.020, False, 1.0),
    Crop(0.12, "crop_green", "soil_brown", (0.25, 0.60), 0.08, 0.045, False, 0.95),
    Crop(0.08, "crop_green", "soil_light", (0.40, 0.75), 0.06, 0.035, True, 1.05),
    Crop(0.17, "grass", "dry_grass", (0.45, 0.95), 0.10, 0.010, False, 1.0),
    Crop(0.05, "dry_grass", "soil_brown", (0.70, 0.95), 0.07, 0.030, False, 1.0),
    Crop(0.05, "crop_ripe", "soil_brown", (0.25, 0.50), 0.07, 0.060, False, 1.0),
    Crop(0.06, "crop_olive", "soil_brown", (0.03, 0.12), 0.03, 0.030, False, 1.0),
    Crop(0.06, "soil_dark", "soil_brown", (0.10, 0.90), 0.12, 0.040, False, 1.0),
)
"""Kinds of parcels of a lowland landscape in early summer."""


class Parcels(NamedTuple):
    """The parcels under the pixels."""

    code: np.ndarray
    """int32, 16-bit code of the parcel."""
    border: np.ndarray
    """float32, distance to the parcel's border, in metres."""
    block_border: np.ndarray
    """float32, distance to the block's border, in metres."""
    border_code: np.ndarray
    """int32, 16-bit code of that border of the block."""
    across: np.ndarray
    """float32, coordinate across the working direction, in metres."""


def _warped(x: np.ndarray, y: np.ndarray, amplitude: float, spacing: float, rng) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates displaced smoothly by about `amplitude` metres over `spacing` metres."""
    return tuple(axis + np.float32(amplitude) * smooth_noise(axis.shape, spacing / GSD, rng) for axis in (x, y))


def _strips(coordinate: np.ndarray, width: np.ndarray, jitter: np.ndarray, key) -> tuple[np.ndarray, np.ndarray]:
    """Cuts a coordinate into strips of irregular width.

    Args:
        coordinate: metres, float32.
        width: mean width at each pixel, in metres.
        jitter: 65536 displacements of the borders, 0-0.5 width.
        key: integers that tell apart the pixels' series of strips.

    Returns:
        Strip numbers (int32) and the distance to the strip's nearer border (float32, metres).
    """
    step = np.floor(coordinate / width).astype(np.int32)
    low, high = ((step + i + jitter[hashed(key, step + i)]) * width for i in (0, 1))
    below = coordinate < low
    previous = (step - 1 + jitter[hashed(key, step - 1)]) * width
    inside = np.where(
        below,
        np.minimum(coordinate - previous, low - coordinate),
        np.minimum(coordinate - low, high - coordinate),
    )
    return step - below, inside


def parcels(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Parcels:
    """Cuts the plane into parcels.

    Args:
        x: pixel abscissas, in metres.
        y: pixel ordinates, in metres.
        rng: source of randomness.
    """
    x, y = _warped(x, y, 22.0, 500.0, rng)
    blocks = cells(x, y, 430.0, rng)
    direction = rng.uniform(0.0, np.pi, 65536).astype(np.float32)
    width = rng.choice([45.0, 70.0, 110.0, 170.0, 260.0], 65536, p=[0.2, 0.27, 0.25, 0.18, 0.1]).astype(np.float32)
    length = rng.choice([140.0, 260.0, 420.0, 2000.0], 65536, p=[0.2, 0.3, 0.25, 0.25]).astype(np.float32)
    jitter = rng.uniform(0.0, 0.5, 65536).astype(np.float32)
    block = hashed(blocks.nearest)
    angle = direction[block]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    strip, side = _strips(across, width[block], jitter, block)
    series = hashed(block, strip)
    section, end = _strips(along, length[series], jitter, series)
    border = np.minimum(np.minimum(side, end), blocks.border)
    pair = hashed(np.minimum(blocks.nearest, blocks.second), np.maximum(blocks.nearest, blocks.second))
    return Parcels(hashed(series, section), border, blocks.border, pair, across)


def plant(layers: Layers, fields: Parcels, rng: np.random.Generator) -> None:
    """Grows a crop on every parcel, with its texture, on varied soils, and grass along the borders.

    Args:
        layers: maps to draw on.
        fields: the parcels.
        rng: source of randomness.
    """
    kinds = len(CROPS)
    share = np.array([crop.share for crop in CROPS])
    kind_of = rng.choice(kinds, 65536, p=share / share.sum()).astype(np.uint8)
    per_parcel = rng.uniform(-1.0, 1.0, (3, 65536)).astype(np.float32)
    kind = kind_of[fields.code]

    def attribute(values) -> np.ndarray:
        return np.array(list(values), np.float32)[kind]

    layers.material[:] = np.array([CODE[crop.material] for crop in CROPS], np.uint8)[kind]
    layers.background[:] = np.array([CODE[crop.soil] for crop in CROPS], np.uint8)[kind]
    patches = fractal_noise(layers.shape, 160.0, 5.0, rng, 0.75)
    streaks = _streaks(fields, rng)
    spread = attribute((crop.cover[1] - crop.cover[0]) / 2.0 for crop in CROPS)
    cover = attribute(sum(crop.cover) / 2.0 for crop in CROPS) + spread * per_parcel[0][fields.code]
    cover += attribute(crop.patchiness for crop in CROPS) * patches
    cover += attribute(crop.streak for crop in CROPS) * streaks
    tramlines = np.array([crop.tramlines for crop in CROPS])[kind] & (np.mod(fields.across, 24.0) < 1.6)
    cover[tramlines] -= 0.22
    layers.cover[:] = np.clip(cover, 0.0, 1.0)
    grain = rng.standard_normal(layers.shape, dtype=np.float32)
    brightness = attribute(crop.brightness for crop in CROPS) * (1.0 + 0.10 * per_parcel[1][fields.code])
    brightness *= 1.0 + 0.5 * attribute(crop.streak for crop in CROPS) * streaks + 0.025 * grain
    brightness *= 1.0 + 0.05 * smooth_noise(layers.shape, 60.0 / GSD, rng)
    layers.brightness[:] = np.clip(brightness, 0.4, 1.8)
    layers.tint[:] = 0.7 * per_parcel[2][fields.code] + 0.3 * patches
    _grass_borders(layers, fields, grain)


def _streaks(fields: Parcels, rng: np.random.Generator) -> np.ndarray:
    """Noise constant along the working direction, over strips of some metres, of unit deviation."""
    table = rng.standard_normal(65536).astype(np.float32)
    table = (table + np.roll(table, 1) + 2.0 * table[np.arange(65536) // 3 * 3]) / np.float32(2.6)
    return table[(np.floor(fields.across / 1.5).astype(np.int32) + fields.code * 7) & 0xFFFF]


def _grass_borders(layers: Layers, fields: Parcels, grain: np.ndarray) -> None:
    """Draws grass margins between parcels and farm tracks along some of the blocks' borders."""
    margin = (fields.border < 1.1) & ((fields.code & 3) != 0)
    layers.paint(margin, "grass", 0.95 + 0.08 * grain[margin])
    edge = fields.block_border < 4.5
    layers.paint(edge, "grass", 0.95 + 0.08 * grain[edge], tint=0.3)
    track = (fields.block_border < 2.1) & (fields.border_code % 3 == 0)
    layers.paint(track, "soil_light", 1.0 + 0.08 * grain[track])
    ruts = track & (fields.block_border < 0.6)
    layers.paint(ruts, "dry_grass", 0.9 + 0.08 * grain[ruts])
