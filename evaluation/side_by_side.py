# SPDX-License-Identifier: Apache-2.0
"""A figure of several images of the same place, side by side."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from chain.runtime.files import whole_file

PERCENTILES = (1, 99)


def draw(path: str | Path, images: Mapping[str, np.ndarray]) -> None:
    """Draw images side by side, stretched like the last one.

    Args:
        path: PNG file of the figure.
        images: images of one size and unit, by title: grey (rows, columns), or red, green, blue (rows, columns, 3).

    Raises:
        OSError: the file cannot be written.
    """
    low, high = np.percentile(list(images.values())[-1], PERCENTILES, axis=(0, 1))
    figure = Figure(figsize=(3.2 * len(images), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, image) in zip(np.atleast_1d(figure.subplots(1, len(images))), images.items()):
        shown = np.clip((image - low) / np.maximum(high - low, 1e-6), 0, 1)
        axes.imshow(shown, interpolation="nearest", cmap="gray", vmin=0, vmax=1)
        axes.set(title=title)
        axes.set_axis_off()
    with whole_file(Path(path), "--figure") as partial:
        figure.savefig(partial, dpi=100, format="png", bbox_inches="tight")
