# SPDX-License-Identifier: Apache-2.0
"""Say whether the pixels that were made finer show as a grid in a product.

    python -m inference.dsen2 --input S2A_MSIL1C_….SAFE --output sr.tif --bands B05,B11,B04
    python -m evaluation.pixel_grid --image sr.tif --ratio 2

Neighbours lie in, or across, coarse pixels: for each such place, a phase, the mean absolute difference of neighbours is
divided by that of all. Without a grid it is 1 for all phases, on enough ground; bands that were not made finer show
what the ground has of its own.
"""

import argparse
import json
import sys
from dataclasses import dataclass

import numpy as np

from chain.runtime.command_line import run_program
from chain.runtime.options import MISSING, BaseOptions, at_least, option
from chain.runtime.progress import Progress


def phases(band: np.ndarray, ratio: int) -> np.ndarray:
    """Return the gradients of a band's phases beside the mean gradient, in the mean of both directions.

    Args:
        band: (rows, columns), two coarse pixels a side or more, missing pixels NaN; a coarse pixel begins at the first.
        ratio: number of pixels along a coarse one.

    Returns:
        One for each phase: that of the first and second pixel, and so on; the last one is across coarse pixels.
    """
    found = []
    for rows in (band, band.T):
        differences = np.abs(np.diff(rows.astype(np.float64), axis=0))
        found.append([np.nanmean(differences[phase::ratio]) for phase in range(ratio)])
    gradients = np.mean(found, axis=0)
    return gradients / gradients.mean()


@dataclass(frozen=True, kw_only=True)
class Command(BaseOptions):
    """The command line."""

    image: str = option(MISSING, "a product, from its first pixel on", metavar="IMG", reads=True)
    ratio: int = option(MISSING, "pixels along a coarse one", read=int, metavar="N", check=at_least(2))


def command(options: Command, progress: Progress) -> None:
    """Measure the image of the command line, and print JSON: the phases of each band, by its name or number."""
    from chain.raster.opening import open_raster

    dataset = open_raster(options.image)
    if min(dataset.RasterXSize, dataset.RasterYSize) < 2 * options.ratio:
        raise ValueError(
            f"--image: expected at least {2 * options.ratio} x {2 * options.ratio} pixels, "
            f"got {dataset.RasterXSize} x {dataset.RasterYSize}"
        )
    found: dict[str, list[float]] = {}
    for number in range(1, dataset.RasterCount + 1):
        band = dataset.GetRasterBand(number)
        name = band.GetDescription() or str(number)
        name = f"{name} ({number})" if name in found else name
        values = band.ReadAsArray().astype(np.float64)
        values[band.GetMaskBand().ReadAsArray() == 0] = np.nan
        present = values[np.isfinite(values)]
        if not present.size or np.ptp(present) == 0:
            got = f"{present[0]:g} in all of them" if present.size else "missing ones only"
            raise ValueError(f"--image: expected pixels that vary, got {got} in {name}")
        found[name] = [round(float(each), 4) for each in phases(values, options.ratio)]
    print(json.dumps(found))


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.pixel_grid",
        description="Say whether the pixels that were made finer show as a grid in a product.",
        allow_abbrev=False,
    )
    return run_program(parser, Command, command, argv, doc=__doc__)


if __name__ == "__main__":
    sys.exit(main())
