# SPDX-License-Identifier: Apache-2.0
"""Make every band of a Sentinel-2 product 10 m fine, with DSen2 (Lanaras et al. 2018).

The product holds the 12 bands in ESA's order, B01 to B12 without B10: the 10 m bands as they are, the six 20 m bands
from the `2x` network, B01 and B09 from the `6x` network. Weights that come with the project are used unless others are
given; weights are chosen by the product's level. Bands may come as a SAFE product, files, or one stack in which all
bands were resampled to 10 m: those are first brought back to their native resolution.

Deviations from the original (doi:10.1016/j.isprsjprs.2018.09.018): tiles overlap by all that the network sees, so there
is no seam (`--tiling original` computes as the authors did); missing pixels stay missing, each band's by itself, and
nothing else is affected; numbers are rounded to 16 bits. The offset of baseline 04.00 is taken off.

    python -m inference.dsen2 --input S2A_MSIL2A_….SAFE --output sr.tif
    python -m inference.dsen2 --input S_10m.tif S_20m.tif S_60m.tif --output sr.tif --bands B05,B11
    python -m inference.dsen2 --input images --output-dir products
    python -m inference.dsen2 --evaluate wald --input S2A_MSIL1C_….SAFE --box 3000,3000,1200,1200 --metrics m.json
"""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from chain.runtime.command_line import band_names, run
from chain.runtime.resources import prepare_process
from chain.sentinel2.bands import BANDS, SURFACE_BANDS
from chain.sentinel2.options import add_naming_arguments, naming_of
from chain.serving.options import add_arguments, add_output_arguments, check_arguments
from chain.serving.outputs import band_file, check_files, check_outputs

_COARSE = {band for band in SURFACE_BANDS if BANDS[band] > 10}
SETTINGS = {
    "IMAGES_PATH": "input",
    "SR_IMAGES_PATH": "output_dir",
    "SR_20M_PATH": "weights",
    "SR_60M_PATH": "weights",
}
"""Names in `.env` or the environment, and the options that they stand for when --input is not given."""
COG_OPTIONS = ("COMPRESS=DEFLATE", "PREDICTOR=YES", "BIGTIFF=IF_SAFER")


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m inference.dsen2",
        description="Make the 20 m and 60 m bands of Sentinel-2 10 m fine.",
        epilog="Without --input, IMAGES_PATH, SR_IMAGES_PATH, SR_20M_PATH and SR_60M_PATH of .env or the environment "
        "stand for --input, --output-dir and --weights.",
    )
    add = parser.add_argument
    add(
        "--input",
        nargs="+",
        metavar="IMG",
        help="a scene of Sentinel-2: SAFE folder or zip, STAC item (JSON file or URL), a raster with all bands, "
        "rasters with bands of 10, 20 and 60 m, or a folder of these; with --output-dir, scenes and folders of scenes",
    )
    add_output_arguments(parser)
    add("--env", default=".env", metavar="FILE", help="file of settings (default: %(default)s, if it exists)")
    weights = parser.add_argument_group("weights (default: those of the project)")
    weights.add_argument(
        "--model-dir",
        nargs="+",
        metavar="DIR",
        help="folders of exported models, or folders of such folders, from which role and level choose",
    )
    weights.add_argument(
        "--weights",
        nargs="+",
        metavar="FILE",
        help="published files of weights, Keras HDF5 or PyTorch, which are converted (weights/convert_dsen2.py)",
    )
    weights.add_argument(
        "--level",
        choices=["L1C", "L2A"],
        help="level whose weights are used, where the product does not say its own, or all the same",
    )
    bands = parser.add_argument_group("bands")
    bands.add_argument(
        "--bands",
        type=band_names,
        metavar="NAMES",
        help=f"bands of the product (default: {','.join(SURFACE_BANDS)}, those of 60 m if the input has any)",
    )
    bands.add_argument("--with-b10", action="store_true", help="add B10 of L1C, interpolated to 10 m")
    add_naming_arguments(bands)
    bands.add_argument(
        "--separate", action="store_true", help="write each band as a file of its own too: OUTPUT_B05.tif"
    )
    masks = parser.add_argument_group("ground to leave out (default: where a band has no data)")
    masks.add_argument("--mask", metavar="IMG", help="raster on the same map: missing where it is not 0")
    masks.add_argument(
        "--mask-classes",
        type=classes,
        metavar="N,...",
        help="classes of the scene classification (SCL) of L2A to leave out: 3,8,9,10 are clouds and their shadows",
    )
    search = parser.add_argument_group("search in a STAC catalogue, instead of --input")
    search.add_argument("--search", metavar="START/END", help="days YYYY-MM-DD: the clearest item over --bbox is taken")
    search.add_argument(
        "--stac-url",
        default="https://planetarycomputer.microsoft.com/api/stac/v1",
        metavar="URL",
        help="root of the STAC API (default: %(default)s)",
    )
    search.add_argument("--collection", default="sentinel-2-l2a", help="STAC collection (default: %(default)s)")
    search.add_argument(
        "--max-cloud-cover",
        type=float,
        default=20.0,
        metavar="PERCENT",
        help="most clouds and missing data over --bbox (default: %(default)g)",
    )
    quality = parser.add_argument_group("measured quality")
    quality.add_argument(
        "--evaluate",
        choices=["wald", "full"],
        help="wald: score the networks on the input made coarser, where the input is the truth (no --output is "
        "needed); full: consistency of the product with the input, and an index without reference",
    )
    quality.add_argument("--metrics", metavar="JSON", help="file of the scores")
    quality.add_argument("--figure", metavar="PNG", help="figure: scores (wald), or the input and the product (full)")
    add(
        "--tiling",
        choices=["seamless", "original"],
        default="seamless",
        help="original: patches as the authors cut them, the whole image in memory (default: %(default)s)",
    )
    add_arguments(parser)
    return parser


def classes(text: str) -> tuple[int, ...]:
    """Read numbers of classes."""
    try:
        numbers = tuple(int(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"numbers separated by commas are wanted. Received: {text}") from None
    return numbers


def check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End the program with status 2 when the arguments do not go together."""
    for wrong, argument, wanted in (
        (arguments.search and arguments.input, "--search", "it or --input"),
        (arguments.search and not arguments.bbox, "--search", "--bbox beside it"),
        (not arguments.search and not arguments.input, "--input", "it, --search, or IMAGES_PATH in the environment"),
        (arguments.weights and arguments.model_dir, "--weights", "it or --model-dir"),
        (
            arguments.tiling == "original" and (arguments.precision != "float32" or arguments.engine),
            "--tiling",
            "seamless, for another precision or engine,",
        ),
        (arguments.tiling == "original" and arguments.scheduler, "--tiling", "seamless, for --scheduler,"),
        (arguments.evaluate == "wald" and arguments.scheduler, "--evaluate", "it, or --scheduler,"),
        (arguments.evaluate and (arguments.block_range or arguments.assemble), "--evaluate", "the whole product"),
        (arguments.separate and (arguments.block_range or arguments.assemble), "--separate", "the whole product"),
        (arguments.output_dir and arguments.evaluate, "--evaluate", "--output, not --output-dir, beside it"),
        (arguments.metrics and not arguments.evaluate, "--metrics", "--evaluate beside it"),
        (arguments.figure and not arguments.evaluate, "--figure", "--evaluate beside it"),
        (arguments.evaluate == "wald" and arguments.tiling == "original", "--evaluate", "full, or --tiling seamless,"),
        (
            arguments.evaluate == "full" and arguments.bands and not _COARSE & set(arguments.bands),
            "--bands",
            "a band of 20 or 60 m, for --evaluate full,",
        ),
        (len(set(arguments.bands or ())) < len(arguments.bands or ()), "--bands", "each band once"),
    ):
        if wrong:
            parser.error(f"argument {argument}: {wanted} is wanted")
    for band in arguments.bands or ():
        if band not in BANDS:
            parser.error(f"argument --bands: names among {', '.join(BANDS)} are wanted. Received: {band}")


def settings(arguments: argparse.Namespace) -> None:
    """Fill options that were not given from `.env` and the environment; the environment goes before the file.

    Raises:
        ValueError: the file of --env does not exist.
    """
    import os

    if arguments.env != ".env" and not Path(arguments.env).is_file():
        raise ValueError(f"--env: a file is wanted. Received: {arguments.env}")
    if arguments.input or arguments.search:
        return
    from dotenv import dotenv_values

    values = {**dotenv_values(arguments.env), **os.environ}
    found = {name: values[name] for name in SETTINGS if values.get(name)}
    if "IMAGES_PATH" in found:
        arguments.input = [found["IMAGES_PATH"]]
    if "SR_IMAGES_PATH" in found and not (arguments.output or arguments.output_dir or arguments.evaluate):
        arguments.output_dir = found["SR_IMAGES_PATH"]
    files = [found[name] for name in ("SR_20M_PATH", "SR_60M_PATH") if name in found]
    if files and not (arguments.weights or arguments.model_dir):
        arguments.weights = files


def infer(arguments: argparse.Namespace) -> None:
    """Make the product or the products of the command line."""
    prepare_process(arguments.threads)
    from chain.serving.batch import for_each
    from chain.serving.dask.scheduler import opened_workers
    from inference.dsen2.recipe import PROJECT_WEIGHTS

    names = [_found(arguments)] if arguments.search else arguments.input
    with opened_workers(arguments, "inference.dsen2") as workers:
        for_each(
            arguments,
            names,
            lambda files, output, done: make(arguments, files, output, done, workers),
            [PROJECT_WEIGHTS],
        )


def make(arguments: argparse.Namespace, names: Sequence, output: Path | None, done: bool = False, workers=None) -> str:
    """Make the product of one scene, and score it where that is asked for.

    Args:
        arguments: those of the command line.
        names: files of the scene, or its item.
        output: the product; None where only the networks are scored.
        done: leave the product alone when it is there and the same command would make it again.
        workers: `chain.serving.dask.scheduler.Workers` to make its regions; None for this process.

    Returns:
        What became of it.

    Raises:
        ValueError: the scene, the weights or the options do not suit each other.
        RuntimeError: OTB, TensorFlow or a server refuses.
        OSError: the disk refuses.
    """
    from chain.serving.production import finish, produce
    from chain.serving.provenance import DONE, files_of
    from inference.dsen2.evaluation import score_networks, score_product

    if arguments.assemble:
        check_outputs(arguments, output)
        return finish(arguments, output)
    with opened(arguments, names) as (product, recipe):
        separate = recipe.bands if arguments.separate else ()
        check_files(arguments, files_of(product), output, separate)
        if not done:
            check_outputs(arguments, output, separate)
        if arguments.evaluate == "wald":
            score_networks(arguments, product, recipe)
        if output is None:
            return "scored"
        outcome = produce(arguments, names, output, product, recipe, naming_of(arguments), done, workers)
        if output.exists():
            _separate(output, separate, anew=outcome != DONE)
        if arguments.evaluate == "full":
            score_product(arguments, product, recipe.gsd, output)
    return outcome


@contextmanager
def opened(arguments: argparse.Namespace, names: Sequence) -> Iterator[tuple]:
    """Open a scene for a while, and say what its product is made of.

    Raises:
        ValueError: the scene, the weights or the options do not suit each other.
    """
    from chain.sentinel2.scene import opened_scene
    from inference.dsen2.recipe import recipe_of

    with opened_scene(names, arguments.offset, naming_of(arguments)) as scene:
        yield scene.product, recipe_of(arguments, scene)


def _found(arguments: argparse.Namespace):
    """Return the item that --search finds: the clearest over --bbox."""
    from chain.raster.footprint import Footprint
    from chain.sentinel2 import cloud_cover, stac_search

    footprint = Footprint.of_box(arguments.bbox)
    items = stac_search.search(footprint, arguments.search, arguments.stac_url, arguments.collection)
    found = cloud_cover.choose(items, footprint, arguments.max_cloud_cover)
    print(f"{found.item.id}: {100 * found.cloudy:.1f} % clouds, {100 * found.uncovered:.1f} % without data")
    return found.item


def _separate(output: Path, bands: Sequence[str], anew: bool) -> None:
    """Write bands of a product as files of their own, whole or not at all; those that are there only if `anew`."""
    from osgeo import gdal

    from chain.runtime.files import whole_file

    dataset = gdal.Open(str(output))
    for number, band in enumerate(bands, start=1):
        path = band_file(output, band)
        if anew or not path.exists():
            with whole_file(path, "--separate") as partial:
                gdal.Translate(str(partial), dataset, format="COG", bandList=[number], creationOptions=COG_OPTIONS)


def main(argv: list[str] | None = None) -> int:
    """Run the program.

    Args:
        argv: Arguments of the command line.

    Returns:
        Exit status: 0, or 1 when it failed. Wrong usage ends the program with status 2.
    """
    parser = make_parser()
    arguments = parser.parse_args(argv)
    try:
        settings(arguments)
    except ValueError as error:
        parser.error(str(error))
    check(parser, arguments)
    check_arguments(parser, arguments, needs_output=arguments.evaluate != "wald")
    return run(parser, arguments, infer)
