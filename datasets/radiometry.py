# SPDX-License-Identifier: Apache-2.0
"""Gains and offsets of the bands of training patches. They commute with making images coarser: the truth stays true.

images, target = other_radiometry(generator, images, target, "x20")
"""

from collections.abc import Mapping

import numpy as np

from datasets.wald import block_means

GAIN_DEVIATION, BAND_GAIN_DEVIATION = 0.25, 0.6
"""Standard deviations of the logarithms of random gains, of all bands together and of each."""
OFFSET_DEVIATION = 60.0
"""Standard deviation of the random offset of each band, in digital numbers."""
BALANCED_DEVIATION = 100.0
"""Deviation within coarse pixels that `balanced` gives each band of a patch, in digital numbers."""
LEAST_DEVIATION = 15.0
"""Deviation below which a band of a patch counts as noise, which is not amplified further."""

Images = Mapping[str, np.ndarray]


def other_radiometry(
    generator: np.random.Generator, images: Images, target: np.ndarray, name: str
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Apply one random gain to all bands, and a gain and an offset to each.

    They stand for other illumination, atmosphere, ground and processing level.

    Args:
        generator: source of the random numbers.
        images: sources by name, (rows, columns, bands), digital numbers.
        target: truth of the source `name`, at a finer resolution.
        name: the source.

    Returns:
        The images and the target.
    """
    common = generator.normal(0, GAIN_DEVIATION)
    changed, found = {}, target
    for key, image in images.items():
        gains = np.exp(common + generator.normal(0, BAND_GAIN_DEVIATION, image.shape[2])).astype(np.float32)
        offsets = generator.normal(0, OFFSET_DEVIATION, image.shape[2]).astype(np.float32)
        changed[key] = image * gains + offsets
        if key == name:
            found = target * gains + offsets
    return changed, found


def balanced(images: Images, target: np.ndarray, name: str, scale: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Give each band of the target the same deviation within coarse pixels, so that all weigh alike in a loss.

    Args:
        images: sources by name, (rows, columns, bands), digital numbers.
        target: truth of the source `name`, whose sides are multiples of `scale`.
        name: the source.
        scale: number of target pixels along one of the source.

    Returns:
        The images and the target, multiplied by a gain for each band of the source.
    """
    means = block_means(target, scale).repeat(scale, axis=0).repeat(scale, axis=1)
    deviations = np.sqrt(np.square(target - means).mean(axis=(0, 1), dtype=np.float64))
    gains = (BALANCED_DEVIATION / np.maximum(deviations, LEAST_DEVIATION)).astype(np.float32)
    return {**images, name: images[name] * gains}, target * gains
