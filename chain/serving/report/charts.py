# SPDX-License-Identifier: Apache-2.0
"""The charts of a report, as SVG that takes the page's own font and colour of text.

Lines differ in their strokes too, not in colours alone.
"""

import re
from collections.abc import Sequence
from io import StringIO

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from chain.serving.report.numbers import BandNumbers

TEXT, INPUT, PRODUCT = "#010203", "#040506", "#070809"
"""Colours that stand for the page's: of text, of what belongs to the input, and to the product."""
STYLE = {
    "svg.fonttype": "none", "font.size": 9, "text.color": TEXT, "axes.labelcolor": TEXT, "axes.edgecolor": TEXT,
    "xtick.color": TEXT, "ytick.color": TEXT, "axes.spines.top": False, "axes.spines.right": False,
    "axes.linewidth": 0.6, "svg.hashsalt": "report",
}  # fmt: skip
COLUMNS = 4


def histograms(bands: Sequence[BandNumbers], unit: str) -> str:
    """Return the histograms of the input and of the product, small ones side by side."""
    columns = min(COLUMNS, len(bands))
    rows = -(-len(bands) // columns)
    with rc_context(STYLE):
        figure = Figure(figsize=(2.35 * columns, 1.6 * rows + 0.2), layout="constrained")
        axes = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
        for axis, band in zip(axes, bands):
            centres = (band.edges[:-1] + band.edges[1:]) / 2
            for bars, colour, dashes, filled in (
                (band.made_bars, PRODUCT, "-", True),
                (band.native_bars, INPUT, (0, (3, 1.5)), False),
            ):
                if bars.sum():
                    share = bars / bars.sum()
                    if filled:
                        axis.fill_between(centres, share, color=colour, alpha=0.25, linewidth=0)
                    axis.plot(centres, share, color=colour, linestyle=dashes, linewidth=1.2)
            axis.set_title(band.name, fontsize=9, loc="left", fontweight="bold")
            axis.set_yticks([])
            axis.spines["left"].set_visible(False)
            axis.set_ylim(bottom=0)
            axis.locator_params(axis="x", nbins=4)
        for axis in axes[len(bands) :]:
            axis.remove()
        figure.supxlabel(unit, fontsize=9)
        return f'<div style="max-width: {15.5 * columns}rem">{_svg(figure, "histograms")}</div>'


def angles(values: np.ndarray) -> str:
    """Return the histogram of spectral angles, in degrees."""
    highest = max(float(np.percentile(values, 99)), 1e-3)
    with rc_context(STYLE):
        figure = Figure(figsize=(4.6, 1.9), layout="constrained")
        axis = figure.subplots()
        axis.hist(values, bins=50, range=(0, highest), color=PRODUCT, alpha=0.6)
        axis.axvline(float(np.median(values)), color=TEXT, linewidth=1, linestyle=(0, (3, 2)))
        axis.set_xlabel("degrees")
        axis.set_yticks([])
        axis.spines["left"].set_visible(False)
        axis.set_xlim(0, highest)
        return _svg(figure, "angles")


def _svg(figure: Figure, name: str) -> str:
    """Return a figure as SVG to stand in a page; names of its parts begin with its own."""
    FigureCanvasSVG(figure)
    stream = StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(
        r'width="[\d.]+pt" height="[\d.]+pt"', 'class="chart" aria-hidden="true" focusable="false"', text, count=1
    )
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r"font: ((?:bold )?[\d.]+px)[^;\"]*", r"font: \1 system-ui, sans-serif", text)
    text = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    for colour, variable in ((TEXT, "currentColor"), (INPUT, "var(--input)"), (PRODUCT, "var(--accent)")):
        text = text.replace(colour, variable)
    return text
