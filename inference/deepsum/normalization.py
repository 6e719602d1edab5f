# SPDX-License-Identifier: Apache-2.0
"""The numbers of images and those of the data that a model was made for: their statistics, and the map between them.

A network is made for numbers of a certain mean and deviation. Others are brought there by a linear map, and back in the
end: the result does not depend on the images' unit.

    normalization = chosen(Moments.of(pixels), network.moments, keep=False, name="20220714.tif")
    image = normalization.to_numbers(network.run(normalization.to_model(frames), masks))
"""

import math
from dataclasses import dataclass

import numpy as np

from chain.runtime.progress import LOG

UNLIKE = 1.75
"""Distance of statistics from those of a model's data from which they are those of other data."""


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of numbers."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, numbers: np.ndarray) -> "Moments | None":
        """Return those of numbers, computed in float64; None where there are none."""
        numbers = np.asarray(numbers, np.float64)
        return cls(float(numbers.mean()), float(numbers.std())) if numbers.size else None

    def unlike(self, data: "Moments") -> bool:
        """Return whether one image has other numbers than those that such images have.

        The distance is that of the means, in deviations of the data, and that of the deviations' logarithms. Simulated
        scenes of PROBA-V keep within 1.5; Sentinel-2's digital numbers, 8 bits and reflectance mostly lie beyond 2.

        Args:
            data: those of many such images.
        """
        if self.deviation <= 0:
            return True
        ratio = math.log(self.deviation / data.deviation)
        return math.hypot((self.mean - data.mean) / data.deviation, ratio) > UNLIKE

    def __str__(self) -> str:
        return f"mean {self.mean:.5g} and deviation {self.deviation:.5g}"


@dataclass(frozen=True)
class Normalization:
    """A linear map: (number - centre) x scale + mean."""

    centre: float = 0.0
    """What is subtracted from numbers."""
    scale: float = 1.0
    """By what they are multiplied then."""
    mean: float = 0.0
    """What is added in the end."""

    @classmethod
    def of(cls, numbers: Moments, data: Moments) -> "Normalization":
        """Return the map that brings numbers to the mean and deviation of a model's data."""
        return cls(numbers.mean, data.deviation / numbers.deviation, data.mean)

    def to_model(self, numbers: np.ndarray) -> np.ndarray:
        """Turn numbers into those of the model's data, float64."""
        return (np.asarray(numbers, np.float64) - self.centre) * self.scale + self.mean

    def to_numbers(self, image: np.ndarray) -> np.ndarray:
        """Turn an image of the model's numbers into one of the input's, float32."""
        return ((np.asarray(image, np.float64) - self.mean) / self.scale + self.centre).astype(np.float32)


def chosen(numbers: Moments, data: Moments, keep: bool, name: str) -> Normalization:
    """Return the map by which images are turned into a model's numbers; warn where they should be and are not.

    Args:
        numbers: statistics of the images' clear pixels.
        data: those of the model's data.
        keep: take the images' numbers for the model's.
        name: the images' name, for the warning.
    """
    if not keep:
        return Normalization.of(numbers, data)
    if numbers.unlike(data):
        LOG.warning(
            "%s: its numbers, of %s, are unlike those of the model's data, of %s; --statistics data brings them there",
            name,
            numbers,
            data,
        )
    return Normalization()
