# SPDX-License-Identifier: Apache-2.0
"""`--info`: how images of several dates, or scenes, are understood, and what would be made, without the network."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chain.runtime.progress import Progress
from chain.serving.info import footprint, grid_json
from datasets.deepsum.kelvins import SCALE
from datasets.deepsum.preparation import FRAMES, Frames
from inference.deepsum.challenge import open_folder
from inference.deepsum.dates import Date
from inference.deepsum.network import FoundModel, find_model
from inference.deepsum.normalization import Moments
from inference.deepsum.options import Options
from inference.deepsum.product import open_stack
from inference.deepsum.scenes import band_of, read_scene
from inference.deepsum.stack import DateOutcome


def describe_stack(inputs: Sequence, output: Path | None, options: Options, progress: Progress) -> dict[str, Any]:
    """Return what images of several dates are, and what their product would be, as JSON holds it.

    Args:
        inputs: as `inference.deepsum.dates.sources_of` takes them.
        output: the product; None where it is not named.
        options: how it would be made.
        progress: where progress is reported.

    Raises:
        ValueError: the images, the model or the options do not suit each other.
    """
    opened = open_stack(inputs, options, progress)
    layout, stack = opened.layout({}), opened.stack
    dates = {date.name: date for date in opened.dates}
    scale, offset = opened.dates[0].scaling
    return {
        "input": {
            "kind": "images of several dates",
            "reference": stack.dates[0].name,
            "images": [_of_date(dates[use.name], use) for use in stack.dates],
            "statistics": asdict(stack.moments),
            "scale": scale,
            "offset": offset,
            "grid": grid_json(stack.grid) if opened.placed else _size(stack.grid.columns, stack.grid.rows),
            "footprint": footprint(stack.grid) if opened.placed else None,
        },
        "product": {
            "path": str(output) if output else None,
            "bands": list(layout.bands),
            "dtype": layout.dtype,
            "nodata": layout.nodata,
            "grid": grid_json(layout.grid) if opened.placed else _size(layout.grid.columns, layout.grid.rows),
            **_frames(stack.frames, options),
            "network": _of_model(opened.model, opened.model.moments, options.statistics == "model"),
        },
    }


def describe_scene(folder: Path, output: Path | None, options: Options) -> dict[str, Any]:
    """Return what a scene of the challenge is, and what its image would be, as JSON holds it.

    Args:
        folder: the scene's.
        output: its image; None where none is kept.
        options: how it would be made.

    Raises:
        ValueError: the scene, the model or the options do not suit each other.
    """
    model = find_model(options.model_dir, band_of(folder) or options.band)
    scene = open_folder(folder, options)
    prepared = read_scene(scene, options, model.moments)
    rows, columns = prepared.lr.shape[1:]
    return {
        "input": {
            "kind": "a scene of the PROBA-V challenge",
            "folder": str(folder),
            "band": band_of(folder) or options.band,
            "reference": prepared.reference,
            "images": [
                {"name": each.name, "clear": round(each.clearance, 4), "left_out": each.reason}
                for each in prepared.images
            ],
            "statistics": asdict(prepared.moments),
            "grid": _size(columns, rows),
            "truth": scene.has_truth,
        },
        "product": {
            "path": str(output) if output else None,
            "dtype": "uint16",
            "nodata": None,
            "grid": _size(SCALE * columns, SCALE * rows),
            **_frames(prepared.frames, options),
            "network": _of_model(model, model.moments, options.statistics != "data"),
        },
    }


def _of_date(date: Date, use: DateOutcome) -> dict[str, Any]:
    """Return what is told of a date."""
    moments = date.moments
    return {
        "name": date.name,
        "band": date.band or None,
        "pixels": f"{date.grid.columns} x {date.grid.rows}",
        "missing": round(date.missing, 4),
        "clear": round(use.clearance, 4),
        "mean": moments and round(moments.mean, 4),
        "deviation": moments and round(moments.deviation, 4),
        "shift": list(use.shift) if use.shift else None,
        "left_out": use.reason,
    }


def _frames(frames: Frames, options: Options) -> dict[str, Any]:
    """Return how many frames there are, and how many windows of nine may be made of them."""
    found = {"frames": len(frames), "windows_at_most": min(options.windows, max(len(frames) - FRAMES, 0) + 1)}
    return {**found, "repeated": len(frames) < FRAMES}


def _size(columns: int, rows: int) -> dict[str, int]:
    """Return a grid that lies nowhere."""
    return {"columns": columns, "rows": rows}


def _of_model(model: FoundModel, moments: Moments, as_they_are: bool) -> dict[str, Any]:
    """Return what is told of the network, and of how numbers become its own."""
    return {
        "system": model.description.system,
        "folder": str(model.folder),
        "weights": model.description.weights,
        "mean": moments.mean,
        "deviation": moments.deviation,
        "numbers": "taken as they are" if as_they_are else "brought to this mean and deviation, and back",
    }
