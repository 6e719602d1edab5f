# SPDX-License-Identifier: Apache-2.0
"""Make one image of three times the resolution of nine or more unregistered ones, with DeepSUM (Molini et al. 2020).

Of a scene of the PROBA-V challenge, or all scenes of a folder:

    python -m inference.deepsum --input probav_data/test/NIR/imgset1306 --model-dir model --output sr.png
    python -m inference.deepsum --input probav_data --model-dir models/deepsum --output-dir predictions \
        --submission submission.zip
    python -m inference.deepsum --input probav_data --split validation --model-dir model --metrics m.json

Of images of several dates, rasters with masks, SAFE products or STAC items:

    python -m inference.deepsum --input 2022*.tif --clear-masks clear_2022*.tif --model-dir model --output sr.tif
    python -m inference.deepsum --input S2*.SAFE --band B08 --bbox 2.2,48.8,2.3,48.9 --model-dir model --output sr.tif

Or from Python:

    from inference.deepsum import Options, super_resolve, super_resolve_scenes
    product = super_resolve(["20220714.tif", …], "sr.tif", Options(unmasked=True))
    scenes = super_resolve_scenes(["probav_data"], "predictions", Options(split="validation"), scored=True)

Images of several dates are brought to the grid of the clearest one, and by a linear map to the mean and the deviation
of the data that the model is made for (`inference/deepsum/stack.py`). The product has their numbers, and pixels a third
as large, from the same corner; it is nodata where no image is clear. An interrupted run goes on with the blocks that
it has made: they are kept beside the product, in OUTPUT.parts.

Frames are enlarged, registered in whole fine pixels, and chosen as the authors did (doi:10.1109/TGRS.2019.2959248);
`inference/deepsum/windows.py` tells how windows of nine are chosen, and where that differs from their program
(`--original-windows` does as it did). Images are scored as they are written: 16 bits, rounded.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chain.runtime.command_line import run_program
from chain.runtime.progress import Progress
from chain.serving.program import prepare
from inference.deepsum.options import Command, Options

if TYPE_CHECKING:
    from chain.serving.product import Product
    from chain.serving.report.native import Given
    from inference.deepsum.challenge import Scenes

Report = Callable[[float, str], None]


def super_resolve(
    input: Sequence | str | Path,
    output: str | Path,
    options: Options = Options(),
    *,
    progress: Report | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> "Product":
    """Make one image of images of several dates.

    Args:
        input: rasters, SAFE folders or zips, STAC items, also as mappings, collections of items, lists and patterns; or
            a raster whose bands are dates.
        output: the product, a GeoTIFF (`.tif`).
        options: how it is made.
        progress: called with the fraction that is done and a short text.
        cancelled: called now and then; the work stops when it returns True.

    Returns:
        The product: the reference's ground, with pixels a third as large.

    Raises:
        ValueError: the images, the model or the options do not suit each other.
        FileExistsError: the product exists, and `overwrite` is not given.
        RuntimeError: OTB, TensorFlow or a server refuses.
        OSError: the disk refuses.
        chain.runtime.progress.Cancelled: `cancelled` said so.
    """
    prepare(options)
    from inference.deepsum.product import make_product
    from inference.deepsum.scenes import folders_in

    inputs = _each(input)
    if folders_in(inputs, options):
        raise ValueError(f"--input: expected images of several dates, got {inputs[0]}, which is a scene or holds some")
    return make_product(inputs, Path(output), options, Progress(progress, cancelled))


def super_resolve_scenes(
    input: Sequence | str | Path,
    output_dir: str | Path | None = None,
    options: Options = Options(),
    *,
    output: str | Path | None = None,
    scored: bool = False,
    progress: Report | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> "Scenes":
    """Make one image of each of some scenes of the PROBA-V challenge; score them.

    Args:
        input: folders of scenes, or folders that hold such folders.
        output_dir: folder of the images, `imgsetNNNN.png`; those that are done stay.
        options: how they are made.
        output: image of the only scene, `.png` or `.tif`, in place of `output_dir`.
        scored: whether to score scenes, which have HR and SM, beside simple methods; images need not be kept then.
        progress: called with the fraction that is done and a short text.
        cancelled: called now and then; the work stops when it returns True, and the same call goes on.

    Returns:
        What became of each scene, where the images are, and the scores.

    Raises:
        ValueError: there are no scenes, one cannot be used and is not to be skipped, or options do not suit them.
        FileExistsError: an image is there that would be made otherwise.
        RuntimeError: OTB or TensorFlow refuses.
        OSError: the disk refuses.
        chain.runtime.progress.Cancelled: `cancelled` said so.
    """
    prepare(options)
    from inference.deepsum.challenge import make_image, make_images
    from inference.deepsum.scenes import folders_in

    inputs, told = _each(input), Progress(progress, cancelled)
    folders = folders_in(inputs, options)
    if not folders:
        raise ValueError(
            f"--input: expected a scene (LR000.png, QM000.png, …), or folders imgset… of them, got {inputs[0]}"
        )
    if output is None:
        return make_images(folders, Path(output_dir) if output_dir else None, options, scored, told)
    if len(folders) > 1:
        raise ValueError(f"--output: expected one scene, got {len(folders)}; --output-dir takes several")
    return make_image(folders[0], Path(output), options, scored, told)


def describe(
    input: Sequence | str | Path,
    output: str | Path | None = None,
    options: Options = Options(),
    *,
    progress: Report | None = None,
) -> dict[str, Any]:
    """Return what images of several dates, or scenes, are taken for, and what would be made; no network runs.

    Args:
        input: as `super_resolve` and `super_resolve_scenes` take it.
        output: the product, or the folder of the images of scenes.
        options: how it would be made.
        progress: called with the fraction that is done and a short text.

    Returns:
        `input` and `product`; of several scenes, these by their names.

    Raises:
        ValueError: the images, the model or the options do not suit each other.
    """
    prepare(options)
    from inference.deepsum.info import describe_scene, describe_stack
    from inference.deepsum.scenes import folders_in

    inputs = _each(input)
    folders, path = folders_in(inputs, options), Path(output) if output else None
    if not folders:
        return describe_stack(inputs, path, options, Progress(progress))
    if len(folders) == 1:
        return describe_scene(folders[0], path, options)
    return {folder.name: describe_scene(folder, path and path / f"{folder.name}.png", options) for folder in folders}


def opened_input(names: Sequence, options: Options, record: Mapping[str, Any]) -> "AbstractContextManager[Given]":
    """Open what a product of several dates was made of for a while, to be shown beside it: the reference.

    Args:
        names: as `super_resolve` takes them.
        options: those by which the product was made.
        record: that of the product.

    Raises:
        ValueError: the reference is not among the images, or cannot be read.
    """
    from inference.deepsum.report import opened_input

    return opened_input(names, options, record)


def _each(input: Sequence | str | Path) -> list:
    """Return the inputs that one or several stand for."""
    return [input] if isinstance(input, str | Path) or not isinstance(input, Sequence) else list(input)


def _run(command: Command, progress: Progress) -> None:
    """Do what the command line asks for."""
    prepare(command)
    from inference.deepsum.scenes import folders_in

    if command.info:
        _tell(describe(command.input or (), command.output or command.output_dir, command), command.json)
        return
    given: dict[str, Any] = {"progress": progress, "cancelled": progress.cancelled}
    is_scored = command.metrics is not None
    if command.input and (command.output_dir or is_scored or folders_in(command.input, command)):
        scenes = super_resolve_scenes(
            command.input, command.output_dir, command, output=command.output, scored=is_scored, **given
        )
        print(f"{command.output}: made" if command.output else scenes)
        if command.metrics:
            _write_scores(command.metrics, scenes.scores)
    elif command.input:
        print(super_resolve(command.input, str(command.output), command, **given))
    if command.submission:
        from inference.deepsum.png import write_submission

        write_submission(Path(command.submission), Path(str(command.output_dir)))
        print(f"{command.submission}: a submission")


def _tell(described: dict[str, Any], as_json: bool) -> None:
    """Print what is known of the input."""
    from chain.serving.info import text

    print(json.dumps(described, indent=2, default=str) if as_json else text(described))


def _write_scores(path: str, scores: Any) -> None:
    """Write scores as JSON, and print them."""
    from chain.runtime import provenance
    from evaluation.deepsum import table

    provenance.write(Path(path), scores)
    print(table(scores))


def main(argv: list[str] | None = None) -> int:
    """Run the program.

    Args:
        argv: words of the command line.

    Returns:
        Exit status: 0, 1 when it failed, 130 when it was interrupted. Wrong usage ends the program with status 2.
    """
    parser = argparse.ArgumentParser(
        prog="python -m inference.deepsum",
        description="Make one image of three times the resolution of nine or more unregistered ones.",
        allow_abbrev=False,
    )
    return run_program(parser, Command, _run, argv, doc=__doc__)
