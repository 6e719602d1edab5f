# SPDX-License-Identifier: Apache-2.0
"""Concealed pixels of nine frames, filled before the network sees them, so that no outline of a mask is drawn.

The network computes features of each frame, clouds included, and replaces those of concealed pixels by those of the
first frame that is clear there. Features beside a mask have then seen the cloud and its edge, which masks often miss,
and frames differ in brightness: the outlines of masks stand out in the image. Here each frame is brought to the
reference's brightness, masks are widened by `MARGIN` fine pixels, and what they conceal becomes the mean of the other
frames that are clear there, registered, each brought to the brightness that the frame has around that place. The
network then replaces features as ever.

    nine = filled(nine)
"""

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter

from datasets.deepsum.preparation import Frames, roll

MARGIN = 2
"""Fine pixels by which masks are widened."""
AROUND = 12.0
"""Deviation, in fine pixels, of the Gaussian that weighs the pixels around a place by which brightness is compared."""
LITTLE = 1e-3
"""Weight of the difference of whole frames beside that of the pixels around."""


def filled(nine: Frames) -> Frames:
    """Return frames, the reference first, of one brightness, with concealed pixels filled and masks widened.

    Where no frame is clear, pixels and masks stay.
    """
    images = np.stack([roll(image, shift) for image, shift in zip(nine.images, nine.shifts)]).astype(np.float64)
    masks = nine.registered_masks()
    clear = np.stack([~binary_dilation(~mask, np.ones((3, 3), bool), iterations=MARGIN) for mask in masks])
    clear |= masks & ~clear.any(axis=0)  # a margin is none where nothing else is clear
    for image, own in zip(images[1:], clear[1:]):
        if (own & clear[0]).any():
            image += (images[0] - image)[own & clear[0]].mean()
    made = np.stack([_filled(images, clear, number) for number in range(len(images))])
    back = [-shift for shift in nine.shifts]
    return Frames(
        np.stack([roll(image, shift) for image, shift in zip(made, back)]).astype(np.float32),
        np.stack([roll(mask, shift) for mask, shift in zip(clear, back)]),
        nine.shifts,
    )


def _filled(images: np.ndarray, clear: np.ndarray, number: int) -> np.ndarray:
    """Return one of registered images (frames, rows, columns), filled where it is not clear and another one is."""
    wanted = ~clear[number] & clear.any(axis=0)
    if not wanted.any():
        return images[number]
    total, count = np.zeros(wanted.shape), np.zeros(wanted.shape, int)
    for image, other in zip(images, clear):
        if (other & wanted).any():
            total += np.where(other, image + _lighter(images[number] - image, clear[number] & other), 0)
            count += other
    return np.where(wanted, total / np.maximum(count, 1), images[number])


def _lighter(differences: np.ndarray, both: np.ndarray) -> np.ndarray:
    """Return by how much a frame is lighter than another around each pixel, where both are clear."""
    if not both.any():
        return np.zeros(differences.shape)
    weights = gaussian_filter(both.astype(np.float64), AROUND)
    near = gaussian_filter(np.where(both, differences, 0), AROUND)
    return (near + LITTLE * differences[both].mean()) / (weights + LITTLE)
