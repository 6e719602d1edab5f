# SPDX-License-Identifier: Apache-2.0
"""A seeded landscape at 1.5 m: farmland, woods, a river, roads and villages, under the sun.

The landscape is a few maps of material, cover, brightness and height (`layers`), drawn by subject (`fields`,
`vegetation`, `water`, `settlements`, `buildings`) and lit once (`illumination`). Reflectances are computed
band by band when a sensor asks for them, so that a large landscape costs one band of memory at a time.

    python -m simulate.landscape --size 1024 --seed 1 --output landscape.png
"""

import argparse
import sys
from dataclasses import dataclass

import numpy as np

from simulate import fields, settlements, vegetation, water
from simulate.illumination import Sun, sunlight
from simulate.layers import GSD, Layers, coordinates
from simulate.spectra import band_reflectance, diffuse_fraction

_TINT = 0.06
"""Relative change of reflectance, between 450 and 700 nm, of a unit of tint."""


@dataclass(frozen=True)
class Landscape:
    """Ground of known reflectance, row 0 in the north, column 0 in the west."""

    layers: Layers
    """What covers the ground."""
    light: np.ndarray
    """float32, direct sunlight relative to flat ground."""
    sun: Sun
    """Where the sun stands."""
    gsd: float = GSD
    """Side of a pixel, in metres."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.light.shape

    def reflectance(self, interval: tuple[float, float]) -> np.ndarray:
        """Apparent surface reflectance in a band, shadows and slopes included.

        Args:
            interval: shortest and longest wavelength of the band, in nm.

        Returns:
            float32 array of `shape`, 0-1.
        """
        table, wavelength = band_reflectance(interval), sum(interval) / 2.0
        behind = table[self.layers.background]
        reflectance = table[self.layers.material]
        reflectance -= behind
        reflectance *= self.layers.cover
        reflectance += behind
        reflectance *= self.layers.brightness
        redness = np.float32(_TINT * np.clip((wavelength - 575.0) / 125.0, -1.2, 1.2))
        reflectance *= 1.0 + redness * self.layers.tint
        diffuse = np.float32(diffuse_fraction(wavelength))
        reflectance *= diffuse + (1.0 - diffuse) * self.light
        return np.clip(reflectance, 0.0005, 1.0, out=reflectance)


def generate(shape: tuple[int, int], seed: int, sun: Sun | None = None) -> Landscape:
    """Makes a landscape.

    Args:
        shape: rows and columns of 1.5 m.
        seed: the same seed and shape give the same landscape.
        sun: where the sun stands; late morning in June at 49 degrees north by default.

    Raises:
        ValueError: a side is shorter than 16 pixels.
    """
    if min(shape) < 16:
        raise ValueError(f"shape: expected at least 16 x 16 pixels, got {shape}")
    sun = sun or Sun()
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(5)]
    x, y = coordinates(shape)
    layers = Layers.empty(shape)
    parcels = fields.parcels(x, y, streams[0])
    fields.plant(layers, parcels, streams[1])
    wooded = vegetation.woods(layers, parcels, streams[2])
    vegetation.orchards(layers, parcels, ~wooded, streams[2])
    del parcels, wooded
    flooded = water.flood(layers, x, y, streams[3])
    settlements.settle(layers, x, y, flooded, streams[4])
    return Landscape(layers, sunlight(layers.height, sun), sun)


def main(argv: list[str] | None = None) -> int:
    """Writes a landscape as a true-colour picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024, help="side in pixels of 1.5 m (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed (default: %(default)s)")
    parser.add_argument("--output", required=True, help="PNG file to write")
    arguments = parser.parse_args(argv)
    from matplotlib import image

    landscape = generate((arguments.size, arguments.size), arguments.seed)
    bands = [landscape.reflectance(interval) for interval in ((625, 695), (530, 590), (455, 525))]
    image.imsave(arguments.output, np.clip(np.dstack(bands) / 0.3, 0.0, 1.0) ** (1 / 1.6))
    return 0


if __name__ == "__main__":
    sys.exit(main())
