# SPDX-License-Identifier: Apache-2.0
"""Super-resolve Sentinel-2 to Spot-7's 1.5 m, with a model that `train.spot7` exported.

The four 10 m bands are resampled to the 6 m of Spot-7's multispectral images, on a grid that begins at the input's
upper-left corner, by the bicubic interpolation of Superimpose, as in the training; the network makes 1.5 m of them.
The product covers the whole input. Pixels where a band is missing stay missing, all others are given a value.

Limits: the input's coordinate system is projected, in metres, and north up. An input finer than 6 m is interpolated,
not averaged. The product keeps the input's registration: nothing corrects it.

    python -m inference.spot7 --input S2B_MSIL2A_20220714T105629_N0400_R094_T31UDQ_20220714T182657.SAFE \
        --model-dir model --output sr.tif --box 4000,4000,500,500 --quicklook sr.png
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from chain.runtime.command_line import band_names, run
from chain.runtime.resources import prepare_process
from chain.serving.options import add_arguments, add_output_arguments, check_arguments
from chain.serving.outputs import check_files, check_outputs

SYSTEM = "spot7"


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m inference.spot7",
        description="Super-resolve Sentinel-2's B04, B03, B02 and B08 to 1.5 m.",
    )
    add = parser.add_argument
    add(
        "--input",
        required=True,
        nargs="+",
        metavar="IMG",
        help="Sentinel-2: a raster with several bands, one raster per band, a SAFE folder or zip, "
        "a STAC item (JSON file or URL)",
    )
    add_output_arguments(parser)
    add("--model-dir", required=True, metavar="DIR", help="folder of the exported model, as the training makes it")
    add(
        "--bands",
        type=band_names,
        metavar="NAMES",
        help="names of the bands of a raster that does not describe them, in order, such as B04,B03,B02,B08",
    )
    add_arguments(parser)
    return parser


def infer(arguments: argparse.Namespace) -> None:
    """Make the product or the products of the command line."""
    prepare_process(arguments.threads)
    from chain.serving.batch import for_each
    from chain.serving.dask.scheduler import opened_workers

    with opened_workers(arguments, "inference.spot7") as workers:
        for_each(
            arguments,
            arguments.input,
            lambda files, output, done: make(arguments, files, output, done, workers),
        )


def make(arguments: argparse.Namespace, names: Sequence, output: Path, done: bool = False, workers=None) -> str:
    """Make the product of one scene.

    Args:
        arguments: those of the command line.
        names: files of the scene, or its item.
        output: the product.
        done: leave the product alone when it is there and the same command would make it again.
        workers: `chain.serving.dask.scheduler.Workers` to make its regions; None for this process.

    Returns:
        What became of it.

    Raises:
        ValueError: the scene, the model or the options do not suit each other.
        RuntimeError: OTB, TensorFlow or a server refuses.
        OSError: the disk refuses.
    """
    from chain.serving.production import finish, produce
    from chain.serving.provenance import files_of

    if not done:
        check_outputs(arguments, output)
    if arguments.assemble:
        return finish(arguments, output)
    with opened(arguments, names) as (product, recipe):
        check_files(arguments, files_of(product), output)
        return produce(arguments, names, output, product, recipe, arguments.bands, done, workers)


@contextmanager
def opened(arguments: argparse.Namespace, names: Sequence) -> Iterator[tuple]:
    """Open a scene for a while, and say what its product is made of.

    Raises:
        ValueError: the scene, the model or the options do not suit each other.
    """
    from chain.sentinel2.image import open_product
    from chain.serving.network import Network
    from chain.serving.recipe import Recipe
    from models.description import read_description

    description = read_description(arguments.model_dir)
    if description.system != SYSTEM:
        raise ValueError(
            f"--model-dir: a model of '{SYSTEM}' is wanted. Received: {arguments.model_dir}, of {description.system!r}"
        )
    product = open_product(
        names if len(names) > 1 else names[0],
        bands=arguments.bands or _bands_to_open(names, description),
        offset=arguments.offset,
    )
    try:
        yield product, Recipe(description.bands, description.gsd, (Network(description, arguments.model_dir),))
    finally:
        product.close()


def _bands_to_open(names: Sequence, description) -> tuple[str, ...] | None:
    """Return the model's bands for inputs that hold each band apart, None for rasters, whose bands have to be found."""
    apart = (".json", ".geojson", ".zip", ".xml")
    first = names[0]
    is_apart = not isinstance(first, str) or first.lower().endswith(apart) or Path(first).is_dir()
    if len(names) == 1 and (is_apart or ("://" in first and "/collections/" in first)):
        return tuple(dict.fromkeys(band for source in description.sources for band in source.bands))
    return None


def main(argv: list[str] | None = None) -> int:
    """Run the program.

    Args:
        argv: Arguments of the command line.

    Returns:
        Exit status: 0, or 1 when it failed. Wrong usage ends the program with status 2.
    """
    parser = make_parser()
    arguments = parser.parse_args(argv)
    check_arguments(parser, arguments)
    return run(parser, arguments, infer)


if __name__ == "__main__":
    sys.exit(main())
