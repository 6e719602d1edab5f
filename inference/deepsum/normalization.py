# SPDX-License-Identifier: Apache-2.0
"""Rescaling pixel values to those of the data that a model was trained on, and back.

A network expects pixels of a certain mean and deviation. Others are rescaled by a linear map, and the result is scaled
back, so that it does not depend on the unit of the images.

    normalization = chosen(Moments.of(pixels), network.moments, keep=False, name="20220714.tif")
    image = normalization.to_numbers(network.run(normalization.to_model(frames), masks))
"""

import math
from dataclasses import dataclass

import numpy as np

from chain.runtime.progress import LOG

UNLIKE = 1.75
"""Distance of statistics from which an image does not match a model's data."""


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
        """Return whether the pixels of an image do not match a model's data.

        The distance is that of the means, in deviations of the data, and that of the deviations' logarithms. Simulated
        scenes of PROBA-V keep within 1.5; Sentinel-2's digital numbers, 8 bits and reflectance mostly lie beyond 2.

        Args:
            data: statistics of the model's data, over many images.
        """
        if self.deviation <= 0:
            return True
        ratio = math.log(self.deviation / data.deviation)
        return math.hypot((self.mean - data.mean) / data.deviation, ratio) > UNLIKE

    def __str__(self) -> str:
        return f"mean {self.mean:.5g}, deviation {self.deviation:.5g}"


@dataclass(frozen=True)
class Normalization:
    """A linear map: (number - centre) x scale + mean."""

    centre: float = 0.0
    """What is subtracted from numbers."""
    scale: float = 1.0
    """What they are then multiplied by."""
    mean: float = 0.0
    """What is added last."""

    @classmethod
    def of(cls, numbers: Moments, data: Moments) -> "Normalization":
        """Return the map to the mean and deviation of a model's data."""
        return cls(numbers.mean, data.deviation / numbers.deviation, data.mean)

    def to_model(self, numbers: np.ndarray) -> np.ndarray:
        """Rescale pixel values to those of the model's data, float64."""
        return (np.asarray(numbers, np.float64) - self.centre) * self.scale + self.mean

    def to_numbers(self, image: np.ndarray) -> np.ndarray:
        """Scale an image that the model made back to the input's values, float32."""
        return ((np.asarray(image, np.float64) - self.mean) / self.scale + self.centre).astype(np.float32)


def chosen(numbers: Moments, data: Moments, keep: bool, name: str) -> Normalization:
    """Return the map from an image's pixel values to a model's; warn if values that are kept do not match.

    Args:
        numbers: statistics of the clear pixels.
        data: statistics of the model's data.
        keep: keep the pixel values as they are.
        name: name of the image, for the warning.
    """
    if not keep:
        return Normalization.of(numbers, data)
    if numbers.unlike(data):
        LOG.warning(
            "%s: its pixels (%s) do not match the model's data (%s); --statistics data rescales them",
            name,
            numbers,
            data,
        )
    return Normalization()
