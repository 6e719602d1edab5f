# SPDX-License-Identifier: Apache-2.0
"""Windows cut at random out of given images, to be seen by a sensor."""

import numpy as np

TRIES = 100
"""Places tried before an image is refused."""


def cut_window(image: np.ndarray, shape: tuple[int, int], purpose: str, rng: np.random.Generator) -> np.ndarray:
    """Cuts a window without missing pixels out of an image, at a random place.

    Args:
        image: (rows, columns) or (rows, columns, bands); 0 is a missing pixel.
        shape: rows and columns of the window.
        purpose: what the window is for, as an error names it.
        rng: source of randomness.

    Returns:
        The window, float32.

    Raises:
        ValueError: the image is too small, or no window without missing pixels is found.
    """
    height, width = shape
    room = image.shape[0] - height, image.shape[1] - width
    if min(room) < 0:
        raise ValueError(
            f"landscape: expected at least {height} x {width} pixels for {purpose}, "
            f"got {image.shape[0]} x {image.shape[1]}"
        )
    for _ in range(TRIES):
        top, left = (int(rng.integers(free + 1)) for free in room)
        window = image[top : top + height, left : left + width]
        if window.all():
            return window.astype(np.float32)
    raise ValueError(f"landscape: expected windows without missing pixels (0), found none in {TRIES} tries")
