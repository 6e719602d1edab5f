# SPDX-License-Identifier: Apache-2.0
"""A figure of a part of an image: as it is, registered, super-resolved, and the truth where it is known."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from models.l1bsr import BANDS

SHOWN = [BANDS.index(band) for band in ("B04", "B03", "B02")]
PERCENTILES = (1, 99)


def draw(path: str | Path, images: dict[str, np.ndarray]) -> None:
    """Draw images side by side, in true colours, stretched alike.

    Args:
        path: the figure.
        images: counts (rows, columns, 4) of one size, by their titles.
    """
    colours = {title: image[..., SHOWN] for title, image in images.items()}
    low, high = np.percentile(list(colours.values())[-1], PERCENTILES, axis=(0, 1))
    figure = Figure(figsize=(3.2 * len(images), 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, image) in zip(np.atleast_1d(figure.subplots(1, len(images))), colours.items()):
        axes.imshow(np.clip((image - low) / (high - low), 0, 1), interpolation="nearest")
        axes.set(title=title)
        axes.set_axis_off()
    figure.savefig(path, dpi=100)
