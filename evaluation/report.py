# SPDX-License-Identifier: Apache-2.0
"""Reports of the protocols for people: a Markdown table, bars per band, and a view of the pixels.

from evaluation import report
print(report.table(scores))
report.draw_scores("wald.png", scores)
report.draw_details("details.png", native, sharpened, band="B11")
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chain.runtime.files import whole_file
from chain.sentinel2.bands import BANDS
from evaluation.protocol import GROUPS, Bands, crop, extent, present, ratio, whole

DISPLAY_PERCENTILES = (2, 98)
NATURAL_COLOURS = ("B04", "B03", "B02")
WINDOW = 198
"""Side of the shown window, in 10 m pixels: a whole number of 20 m and of 60 m pixels."""


@dataclass(frozen=True)
class Column:
    """A metric in a table or a figure."""

    name: str
    """Its key in reports."""
    label: str
    """Its title, with the unit."""
    decimals: int
    """Number of decimals."""
    best: str = "low"
    """Which values are better: `low`, `high`, or `zero` (closer to zero)."""

    def better(self, ours: float, theirs: float) -> bool:
        """Return whether the first value is better."""
        if self.best == "zero":
            return abs(ours) < abs(theirs)
        return ours > theirs if self.best == "high" else ours < theirs


BIAS = Column("bias", "bias (DN)", 2, "zero")
BAND_COLUMNS = {
    "wald": (
        Column("rmse", "RMSE (DN)", 2),
        Column("sre", "SRE (dB)", 2, "high"),
        Column("uiq", "UIQ", 4, "high"),
        Column("ssim", "SSIM", 4, "high"),
        BIAS,
    ),
    "full-scale": (
        Column("rmse", "consistency: RMSE (DN)", 2),
        Column("relative", "consistency: RMSE / mean", 4),
        BIAS,
        Column("d_s", "D_s", 4),
    ),
}
GROUP_COLUMNS = {
    "wald": (
        Column("joint_rmse", "joint RMSE (DN)", 2),
        Column("sam", "SAM (degrees)", 3),
        Column("ergas", "ERGAS", 3),
    ),
    "full-scale": (Column("d_lambda", "D_lambda", 4), Column("d_s", "D_s", 4), Column("qnr", "QNR", 4, "high")),
}
DRAWN = {"wald": ("rmse", "sre", "uiq", "ssim"), "full-scale": ("relative", "d_s")}


def table(report: Mapping) -> str:
    """Format a report as Markdown: bands in rows, each score beside bicubic interpolation's, the better one in bold.

    Args:
        report: the result of `evaluation.wald.evaluate` or `evaluation.full_scale.evaluate`.

    Returns:
        Two tables: scores of each band with their means, and joint scores of the bands of one resolution. A dash stands
        for a number that is not finite.
    """
    protocol = report["protocol"]
    means = {group: report[f"mean_{group}"] for group in GROUPS if f"mean_{group}" in report}
    bands = {**report["bands"], **{f"mean of {_spaced(group)}": scores for group, scores in means.items()}}
    together = {f"all of {_spaced(group)}": scores for group, scores in means.items()}
    return f"{_table(BAND_COLUMNS[protocol], bands)}\n{_table(GROUP_COLUMNS[protocol], together)}"


def _spaced(group: str) -> str:
    return f"{group[:-1]} m"


def _table(columns: Sequence[Column], rows: dict[str, dict]) -> str:
    """Format scores, two columns per metric."""
    lines = ["| band | " + " | ".join(f"{column.label} | bicubic" for column in columns) + " |"]
    lines.append("|---|" + "---|---|" * len(columns))
    for name, scores in rows.items():
        cells = (cell for column in columns for cell in _cells(column, scores))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cells(column: Column, scores: dict) -> list[str]:
    """Format a score and bicubic's; the better one is bold if the texts differ."""
    values = [scores[column.name], scores[f"bicubic_{column.name}"]]
    texts = ["–" if value is None else _number(value, column.decimals) for value in values]
    if None not in values and texts[0] != texts[1]:
        better = 0 if column.better(*values) else 1
        texts[better] = f"**{texts[better]}**"
    return texts


def _number(value: float, decimals: int) -> str:
    """Format a number; a number that rounds to zero has no sign."""
    return f"{round(value, decimals) + 0.0:.{decimals}f}"


def draw_scores(path: str | Path, report: dict) -> None:
    """Draw the scores of each band as bars, beside those of bicubic interpolation.

    Args:
        path: the PNG file.
        report: the result of `evaluation.wald.evaluate` or `evaluation.full_scale.evaluate`.
    """
    from matplotlib.figure import Figure

    names = list(report["bands"])
    columns = [column for column in BAND_COLUMNS[report["protocol"]] if column.name in DRAWN[report["protocol"]]]
    rows = -(-len(columns) // 2)
    figure = Figure(figsize=(12, 3.5 * rows), layout="constrained")
    places = np.arange(len(names))
    for column, axes in zip(columns, figure.subplots(rows, 2).flat):
        for shift, prefix, label in ((-0.2, "", "super-resolved"), (0.2, "bicubic_", "bicubic")):
            values = [report["bands"][name][prefix + column.name] for name in names]
            heights = [np.nan if value is None else value for value in values]
            axes.bar(places + shift, heights, 0.4, label=label)
        axes.set_xticks(places, names)
        axes.set_title(f"{column.label}, {'higher' if column.best == 'high' else 'lower'} is better")
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)
    figure.axes[0].legend()
    _save(figure, Path(path))


def draw_details(path: str | Path, native: Bands, sharpened: Bands, band: str = "B11") -> None:
    """Draw an original and a sharpened band beside natural colours, where the scene has most texture.

    Args:
        path: the PNG file.
        native: name -> (rows, columns), digital numbers at native resolution, missing pixels NaN: B04, B03 and B02 at
            10 m, and `band`.
        sharpened: name -> (rows, columns) at 10 m: the product.
        band: the band to draw.

    Raises:
        ValueError: a band is missing or has another size, or no pixel is valid in all of them.
    """
    from matplotlib.figure import Figure

    rows, columns = _shown(native, sharpened, band)
    scale = ratio(band)
    colours = np.stack([native[name][rows, columns] for name in NATURAL_COLOURS], axis=-1)
    coarse = native[band][rows.start // scale : rows.stop // scale, columns.start // scale : columns.stop // scale]
    fine = sharpened[band][rows, columns]
    low, high = _range(coarse)
    images = {
        "input: B04, B03, B02 at 10 m": np.stack([_stretched(colours[..., k]) for k in range(3)], axis=-1),
        f"input: {band} at {BANDS[band]:.0f} m": coarse,
        f"super-resolved: {band} at 10 m": fine,
    }
    figure = Figure(figsize=(16, 5.6), layout="constrained")
    for (title, image), axes in zip(images.items(), figure.subplots(1, len(images))):
        axes.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        axes.set_title(title)
        axes.set_axis_off()
    _save(figure, Path(path))


def _shown(native: Bands, sharpened: Bands, band: str) -> tuple[slice, slice]:
    """Choose the rows and columns to show, in 10 m pixels: among adjacent windows, the one with most texture."""
    used = (*NATURAL_COLOURS, band)
    if set(used) - set(native):
        raise ValueError(f"native: expected the bands {' '.join(used)}, got {' '.join(native) or 'none'}")
    if band not in sharpened:
        raise ValueError(f"sharpened: expected the band {band}, got {' '.join(sharpened) or 'none'}")
    scale, bands = ratio(band), {name: native[name] for name in used}
    size = tuple(whole(length, scale) for length in extent("native", bands))
    if min(size) == 0 or any(length < least for length, least in zip(sharpened[band].shape, size)):
        raise ValueError(f"sharpened: expected {band} of {size[0]} x {size[1]} pixels, got {sharpened[band].shape}")
    bands = crop(bands, *size)
    coarse = bands.pop(band).repeat(scale, axis=0).repeat(scale, axis=1)
    seen = present(*bands.values(), coarse, sharpened[band][: size[0], : size[1]])
    texture = _texture([bands[name] for name in NATURAL_COLOURS], seen)
    height, width = (min(WINDOW, length) for length in size)
    corners = [
        (row, column)
        for row in range(0, size[0] - height + 1, height)
        for column in range(0, size[1] - width + 1, width)
    ]
    windows = [(slice(row, row + height), slice(column, column + width)) for row, column in corners]
    if not any(seen[window].any() for window in windows):
        raise ValueError(f"native: expected pixels of {' '.join(used)} valid in every band, got none")
    return max(windows, key=lambda window: texture[window].mean())


def _texture(images: Sequence[np.ndarray], seen: np.ndarray) -> np.ndarray:
    """Compute the differences of neighbours relative to their brightness, so that clouds do not outweigh fields."""
    brightness = np.log(np.maximum(np.where(seen, sum(images), 1), 1))
    texture = np.zeros_like(brightness)
    texture[:-1] += np.where(seen[1:] & seen[:-1], np.abs(np.diff(brightness, axis=0)), 0)
    texture[:, :-1] += np.where(seen[:, 1:] & seen[:, :-1], np.abs(np.diff(brightness, axis=1)), 0)
    return texture


def _range(image: np.ndarray) -> tuple[float, float]:
    """Return the values shown as black and white, without missing pixels."""
    low, high = np.nanpercentile(image, DISPLAY_PERCENTILES)
    return float(low), float(max(high, low + 1))


def _stretched(image: np.ndarray) -> np.ndarray:
    """Scale an image to 0 to 1; missing pixels are white, as in the other panels."""
    low, high = _range(image)
    return np.nan_to_num(np.clip((image - low) / (high - low), 0, 1), nan=1)


def _save(figure, path: Path) -> None:
    """Write a figure as PNG, completely or not at all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    with whole_file(path, "--figure") as partial:
        figure.savefig(partial, dpi=100, format="png")
