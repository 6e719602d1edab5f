# SPDX-License-Identifier: Apache-2.0
"""The product of a stack of dates: a GeoTIFF at a third of the reference's pixels, and its record."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from chain.raster.grids import Grid, Region, plan
from chain.runtime import provenance
from chain.serving.inputs import expanded, is_collection, items_of
from chain.serving.outputs import check_files
from chain.serving.product_file import Layout, write_product
from chain.serving.provenance import IDENTITY_KEY, digest, files_behind, stamps, weights_of
from chain.serving.super_resolution import Bands
from datasets.deepsum.preparation import SCALE
from inference.deepsum.attempts import ErrorPolicy
from inference.deepsum.dates import CONCEALED, Date, DateOptions, read_date, same_grid
from inference.deepsum.network import SYSTEM, DeepSumNetwork
from inference.deepsum.stack import Stack, make_stack
from inference.deepsum.super_resolution import Result, Settings, super_resolve

REGION = 2048
"""Side of the parts in which the product is written, in its pixels."""


class _Maker:
    """Hands out parts of what is computed already."""

    def __init__(self, band: str, values: np.ndarray, valid: np.ndarray):
        self._band, self._values, self._valid = band, values, valid

    def read(self, region: Region) -> tuple[slice, slice]:
        """Return where a region is."""
        return np.s_[region.y : region.y + region.rows, region.x : region.x + region.columns]

    def compute(self, region: Region, blocks: tuple[slice, slice]) -> Bands:
        """Return its pixels."""
        return {self._band: (self._values[blocks], self._valid[blocks])}


def read_dates(arguments: argparse.Namespace) -> list[Date]:
    """Read the images of the command line.

    Raises:
        ValueError: as `inference.deepsum.dates.read_date`; or masks are not as many as images.
    """
    sources = [
        source for name in expanded(arguments.input) for source in (items_of(name) if is_collection(name) else [name])
    ]
    masks = expanded(arguments.masks or []) or [None] * len(sources)
    if len(masks) != len(sources):
        raise ValueError(f"--masks: one for each of {len(sources)} images is wanted. Received: {len(masks)}")
    dates, attempts = [], ErrorPolicy(arguments.on_error)
    for source, mask in zip(sources, masks):
        asked = DateOptions(
            arguments.band,
            mask,
            arguments.qa,
            arguments.qa_concealed or CONCEALED,
            arguments.unmasked,
            arguments.offset,
            arguments.box,
            arguments.bbox,
        )
        date = attempts.make(read_date, source, asked)
        dates += [date] if date else []
    if attempts.skipped:
        print(f"{len(attempts.skipped)} of {len(sources)} images skipped", file=sys.stderr)
    if arguments.box and not all(same_grid(date.grid, dates[0].grid) for date in dates):
        raise ValueError("--box: images on one grid, or --bbox, are wanted. Received: images on several")
    return dates


def make_product(arguments: argparse.Namespace, network: DeepSumNetwork, settings: Settings) -> None:
    """Make the product of a stack of dates, and its record.

    Raises:
        ValueError: the images, the model or the options do not suit each other.
        RuntimeError: OTB or TensorFlow refuses.
        OSError: the disk refuses.
    """
    output = Path(arguments.output)
    dates = read_dates(arguments)
    files = files_behind(dict.fromkeys(name for date in dates for name in date.files))
    check_files(arguments, files, output)
    stack = make_stack(
        dates, network.arguments["mean"], network.arguments["deviation"], arguments.statistics == "model"
    )
    _tell(stack)
    result = super_resolve(stack.frames, network, settings)
    result.tell(stack.scale)
    options = ("band", "qa", "qa_concealed", "unmasked", "offset", "box", "bbox", "statistics", "float")
    identity = {
        "files": stamps(map(Path, files)),
        "names": [date.name for date in dates],
        "options": {name: getattr(arguments, name) for name in options},
        "model": weights_of(network.served),
        **asdict(settings),
    }
    band = next((date.band for date in dates if date.band), "sr")
    layout = _layout(arguments, dates, stack, band, identity)
    maker = _Maker(band, stack.to_numbers(result.image), result.clear)
    regions = plan(Region(0, 0, layout.grid.columns, layout.grid.rows), REGION)
    write_product(output, layout, regions, maker, identity, overwrite=arguments.overwrite, restart=True)
    provenance.write(provenance.record_of(output), _record(arguments, network, stack, result, identity))
    print(f"{output}: {layout.grid.columns} x {layout.grid.rows} pixels, of {len(stack.frames)} images")


def _layout(arguments: argparse.Namespace, dates: Sequence[Date], stack: Stack, band: str, identity: Mapping) -> Layout:
    """Return what the product's file is."""
    metadata = {
        "TIFFTAG_SOFTWARE": provenance.software(),
        "SR_SYSTEM": SYSTEM,
        "SR_WEIGHTS": identity["model"].get("weights") or "unknown",
        "SR_INPUT": ", ".join(use.name for use in stack.dates if use.used),
        IDENTITY_KEY: digest(dict(identity)),
    }
    dtype = "uint16" if all(date.integer for date in dates) and not arguments.float else "float32"
    return Layout(output_grid(stack.grid), (band,), dtype, metadata, dates[0].placed)


def output_grid(grid: Grid) -> Grid:
    """Return the grid of the fine pixels: three along each coarse one, from the same corner."""
    return replace(grid, dx=grid.dx / SCALE, dy=grid.dy / SCALE, columns=SCALE * grid.columns, rows=SCALE * grid.rows)


def _tell(stack: Stack) -> None:
    """Say which image is the reference, and which are left out."""
    first, *others = stack.dates
    print(f"reference: {first.name}, {100 * first.clearance:.1f} % clear", file=sys.stderr)
    for use in others:
        if not use.used:
            why = f"displaced by {use.shift} fine pixels" if use.shift else "no clear pixel"
            print(f"left out: {use.name}: {why}", file=sys.stderr)


def _record(
    arguments: argparse.Namespace, network: DeepSumNetwork, stack: Stack, result: Result, identity: Mapping
) -> dict:
    """Return what the product was made of."""
    served = network.served
    return {
        "arguments": vars(arguments),
        "versions": provenance.versions(),
        "model": {**served.description.to_json(), "folder": served.model_dir, "engine": served.engine},
        "dates": [asdict(use) for use in stack.dates],
        "normalization": {"centre": stack.centre, "scale": stack.scale, "mean": stack.mean},
        "windows": result.windows,
        "block_size": result.block,
        "block_difference": result.difference and result.difference.largest / stack.scale,
        "identity": dict(identity),
    }
