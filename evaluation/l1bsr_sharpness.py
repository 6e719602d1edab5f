# SPDX-License-Identifier: Apache-2.0
"""How sharp, consistent and free of ringing what L1BSR makes of images is, without a truth.

    python -m evaluation.l1bsr_sharpness --images 00.tif 01.tif --csr weights/l1bsr/CSR --rec weights/l1bsr/REC \
        --scores sharpness.json --figures figures

Each image is registered by `CSR`, and what `REC` makes of that is compared with it, band by band:

* `gradient_energy`: the mean squared difference of neighbouring pixels, along rows and columns, divided by that of the
  registered image interpolated bicubically to the same size. 1 is nothing gained; it is null where that is flat.
* `inconsistency`: root mean square, in counts, of the registered image minus what the detector sees of the product,
  that is, blurred by the sensor's transfer and sampled at every second pixel (`models/sharpness.py`).
* `overshoot`: how far the product swings over beside edges, as a share of their step. An edge is a run of 8 pixels of
  the registered image, along a row or column, of which the first 3 and the last 3 are level: neither's range is more
  than `LEVEL` of the step between their means, the step is at least `LEAST_STEP` counts, and half of it is passed
  between the 4th and the 5th. Scaled so that the one level is 0 and the other 1, and laid on each other where they pass
  1/2, the product's profiles along all edges are averaged: what the mean profile is below 0 or above 1 is the
  overshoot. Noise and texture cancel out, ringing does not. It is null where a band has no such edge.
* `beyond`: the median, over the same edges, of how far the product leaves the range of the registered image's 8 pixels,
  as a share of the step. This counts noise and texture too.

`bicubic` is the same of the bicubic interpolation. Pixels near the border are left out, as they depend on mirrored
ones.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chain.runtime.command_line import run_program
from chain.runtime.options import MISSING, BaseOptions, option
from chain.runtime.progress import Progress

BORDER = 8
"""Pixels of an image on each side that are left out."""
SCALE = 2
SIDE, LENGTH = 3, 8
"""Pixels of an edge that are on each level, and all."""
LEAST_SIDE = 2 * BORDER + LENGTH
"""Rows and columns of an image, at least."""
REACH = 6
"""Pixels of the product before and after the one where it has passed half an edge."""
LEVEL = 0.1
"""Largest range of an edge's levels, as a share of its step."""
LEAST_STEP = 30.0
"""Smallest step of an edge, in counts; noise is 0.7 to 2."""
PART = 60
"""Side of the part that a figure shows, in pixels of an image."""


@dataclass(frozen=True, kw_only=True)
class Options(BaseOptions):
    """What is written."""

    scores: str | None = option(None, "file of the scores", metavar="JSON", writes=(".json",), replaces=True)
    figures: str | None = option(
        None, "folder for a figure of the middle of each image: in colours, and B08", metavar="DIR"
    )


@dataclass(frozen=True, kw_only=True)
class Command(Options):
    """The command line."""

    images: tuple[str, ...] = option(
        MISSING, "images of 4 bands, as counts of L1B", many=True, metavar="IMG", reads=True
    )
    csr: str = option(MISSING, "folder of a registration model", metavar="DIR", reads=True)
    rec: str = option(MISSING, "folder of a super-resolution model for registered images", metavar="DIR", reads=True)


def gradient_energy(image: np.ndarray) -> np.ndarray:
    """Return the mean squared difference of neighbours of each band of an image (rows, columns, bands)."""
    return sum(np.square(np.diff(image.astype(np.float64), axis=axis)).mean((0, 1)) for axis in (0, 1))


def inconsistency(registered: np.ndarray, product: np.ndarray) -> np.ndarray:
    """Return how far what the sensor sees of a product is from the image it was made of, root mean square by band.

    Args:
        registered: (rows, columns, bands).
        product: (2 rows, 2 columns, bands).
    """
    from models.sharpness import seen_coarser

    differences = seen_coarser(product[np.newaxis].astype(np.float32))[0].numpy() - registered.astype(np.float64)
    return np.sqrt(np.square(differences[BORDER:-BORDER, BORDER:-BORDER]).mean((0, 1)))


def profiles(registered: np.ndarray, product: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the edges of a band, and return how a product passes over them.

    Args:
        registered: (rows, columns).
        product: (2 rows, 2 columns).

    Returns:
        For each edge the product's pixels around the one where it has passed half of it, scaled so that the two levels
        are 0 and 1, (edges, 2 REACH + 1); and how far the product, from the edge's first to its last pixel, leaves the
        range of the edge's 8 pixels, as a share of the step, (edges,).
    """
    found = list(_along_rows(registered, product)) + list(_along_rows(registered.T, product.T))
    if not found:
        return np.empty((0, 2 * REACH + 1)), np.empty(0)
    seen, made = (np.stack(parts).astype(np.float64) for parts in zip(*found))
    low, high = (levels.mean(axis=1, keepdims=True) for levels in (seen[:, :SIDE], seen[:, -SIDE:]))
    seen, made = ((values - low) / (high - low) for values in (seen, made))
    above, below = made.max(axis=1) - seen.max(axis=1), seen.min(axis=1) - made.min(axis=1)
    first, last = REACH, made.shape[1] - REACH  # where the 4th and the 5th pixel lie
    passed = first + np.argmax(made[:, first:last] >= 0.5, axis=1)
    around = passed[:, np.newaxis] + np.arange(-REACH, REACH + 1)
    return np.take_along_axis(made, around, axis=1), np.maximum(np.maximum(above, below), 0)


def _along_rows(registered: np.ndarray, product: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the pixels of each edge along a row, and the product's."""
    runs = np.lib.stride_tricks.sliding_window_view(registered[BORDER:-BORDER, BORDER:-BORDER], LENGTH, axis=1)
    low, high = runs[..., :SIDE], runs[..., -SIDE:]
    middle, rise = (high.mean(-1) + low.mean(-1)) / 2, high.mean(-1) - low.mean(-1)
    step, is_rising = np.abs(rise), rise > 0
    is_edge = (step >= LEAST_STEP) & (np.maximum(np.ptp(low, -1), np.ptp(high, -1)) <= LEVEL * step)
    before, after = (is_rising == (runs[..., place] >= middle) for place in (LENGTH // 2 - 1, LENGTH // 2))
    is_edge &= ~before & after
    for row, column in np.argwhere(is_edge):
        fine_row, start = SCALE * (row + BORDER), SCALE * (column + BORDER)
        yield runs[row, column], product[fine_row, start : start + SCALE * (LENGTH - 1) + 1]


def measure(registered: np.ndarray, product: np.ndarray, interpolated: np.ndarray) -> dict[str, dict[str, Any]]:
    """Measure a product, as the module describes.

    Args:
        registered: counts, (rows, columns, 4).
        product: counts, (2 rows, 2 columns, 4); pixel (2y, 2x) is centred on pixel (y, x).
        interpolated: the same of the bicubic interpolation.

    Returns:
        Band -> `gradient_energy`, `inconsistency`, `overshoot`, `beyond` and the number of `edges`.
    """
    from models.l1bsr import BANDS

    inside = np.s_[SCALE * BORDER : -SCALE * BORDER, SCALE * BORDER : -SCALE * BORDER]
    energy, least = (gradient_energy(image[inside]) for image in (product, interpolated))
    off = inconsistency(registered, product)
    result: dict[str, dict[str, Any]] = {}
    for index, band in enumerate(BANDS):
        passed, beyond = profiles(registered[..., index], product[..., index])
        mean = passed.mean(axis=0) if len(passed) else None
        result[band] = {
            "gradient_energy": float(energy[index] / least[index]) if least[index] else None,
            "inconsistency": float(off[index]),
            "overshoot": None if mean is None else float(max(mean.max() - 1, -mean.min(), 0)),
            "beyond": float(np.median(beyond)) if len(beyond) else None,
            "edges": len(passed),
        }
    return result


def score_images(
    images: Sequence[str | Path],
    csr: str | Path,
    rec: str | Path,
    options: Options = Options(),
    *,
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> dict[str, dict[str, dict]]:
    """Measure what networks make of images, and write scores and figures where they are asked for.

    Args:
        images: files of 4 bands.
        csr: folder of a registration model.
        rec: folder of a super-resolution model for registered images.
        options: what is written.
        progress: called with the fraction that is done, 0 to 1, and a short text.
        cancelled: says whether to stop.

    Returns:
        Image -> `rec` and `bicubic` -> what `measure` returns.

    Raises:
        ValueError: an image cannot be read, is no counts or too small, two have one name, or a folder is of another
            model.
        OSError: a file cannot be written.
    """
    from chain.runtime.files import whole_file
    from evaluation.l1bsr import band_flows, baselines, read_example, register
    from evaluation.l1bsr_networks import open_model
    from evaluation.scene_table import by_name
    from models.l1bsr import CSR, REC

    told = Progress(progress, cancelled)
    told(0, "models")
    flow_of, model = open_model(CSR, csr).pair_model(), open_model(REC, rec)
    if not model.arguments["registered"]:
        raise ValueError(f"--rec: expected a model for registered images, got {rec}, which registers them itself")
    network, report = model.training_model(), {}
    for number, path in enumerate(by_name(images, "--images").values()):
        told(number / len(images), path.name)
        image = read_example(path)
        if min(image.shape[:2]) < LEAST_SIDE:
            raise ValueError(f"--images: expected at least {LEAST_SIDE} x {LEAST_SIDE} pixels, got fewer in {path}")
        registered = register(image, band_flows(flow_of, image)).astype(np.float32)
        interpolated = baselines(registered, ())["bicubic"]
        product = network({"x10": registered[np.newaxis]}, training=False)[0].numpy()
        made = {"bicubic": interpolated, "rec": product}
        report[path.name] = {name: measure(registered, one, interpolated) for name, one in made.items()}
        if options.figures:
            _draw(Path(options.figures) / f"{path.stem}.png", interpolated, product)
    if options.scores:
        with whole_file(Path(options.scores), "--scores") as partial:
            partial.write_text(f"{json.dumps(report, indent=2)}\n", encoding="utf-8")
    told(1, "done")
    return report


def _draw(path: Path, interpolated: np.ndarray, product: np.ndarray) -> None:
    """Draw the middle of an image: interpolated and as a product, in true colours and B08."""
    from evaluation.side_by_side import draw
    from models.l1bsr import BANDS

    top, left = (length // 2 - min(PART, length // 2) for length in product.shape[:2])
    middle = np.s_[top : top + SCALE * PART, left : left + SCALE * PART]
    colours, nir = [BANDS.index(band) for band in ("B04", "B03", "B02")], BANDS.index("B08")
    path.parent.mkdir(parents=True, exist_ok=True)
    images = {"bicubic": interpolated[middle], "REC": product[middle]}
    draw(path, {title: image[..., colours] for title, image in images.items()})
    draw(path.with_name(f"{path.stem}_B08.png"), {title: image[..., nir] for title, image in images.items()})


def command(options: Command, progress: Progress) -> None:
    """Measure, and print the scores."""
    print(json.dumps(score_images(options.images, options.csr, options.rec, options, progress=progress), indent=2))


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.l1bsr_sharpness",
        description="Measure sharpness, consistency and overshoot of what L1BSR makes of images.",
        allow_abbrev=False,
    )
    return run_program(parser, Command, command, argv, doc=__doc__)


if __name__ == "__main__":
    sys.exit(main())
