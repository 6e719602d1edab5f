# SPDX-License-Identifier: Apache-2.0
"""Super-resolve Sentinel-2 L1B, or lay its bands onto each other, with L1BSR (Nguyen et al. 2023).

`superresolution` doubles the resolution of B02, B03, B04 and B08 and lays them all on the grid of B03, by `REC`;
`registration` lays them on it as they are, by `CSR`, and tells by how much each was moved. Both work on the counts of
L1B (digital numbers that are no reflectance). Pixel (2y, 2x) of the finer image is centred on pixel (y, x) of the
input: its corner lies a quarter of an input's pixel further right and down.

A REC may be made for images that CSR has registered, as the project's is; then this is done first, beside the output.

Both networks look at the whole image. It is computed at once where memory holds it; larger ones piece by piece, REC
layer by layer, CSR after a first pass that takes the bands' statistics: equal to one count, in bounded memory, on disk
beside the output for the time being (REC: 16 bytes x features x pixels).

Deviations from the original (arXiv:2304.06871): numbers are rounded and clipped to 1..65535, not cut and wrapped
(`--original-cast` does as the authors); missing pixels, which are 0 in all bands or as the raster declares, stay
missing; products are georeferenced where inputs are, and are plain TIFFs otherwise.

    python -m inference.l1bsr --input 00.tif --output sr.tif
    python -m inference.l1bsr --task registration --input 00.tif --output r.tif --flow flow.tif --metrics m.json
    python -m inference.l1bsr --input B02.tif B03.tif B04.tif B08.tif --model-dir models/l1bsr/REC --output sr.tif
"""

import argparse
import sys
import time
from pathlib import Path

from chain.runtime.command_line import add_program_arguments, band_names, run
from chain.runtime.resources import prepare_process
from chain.serving.options import memory, positive
from chain.serving.outputs import check_files, check_outputs

NETWORKS = {"superresolution": "REC", "registration": "CSR"}
"""The network of each task."""
PNG, JSON, TIFF = (".png",), (".json",), (".tif", ".tiff")
SUFFIXES = {"output": TIFF, "flow": TIFF, "metrics": JSON, "quicklook": PNG}
"""What names of files end with."""


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m inference.l1bsr",
        description="Make the 10 m bands of Sentinel-2 L1B 5 m fine, or lay them onto each other.",
    )
    add = parser.add_argument
    add(
        "--input",
        required=True,
        nargs="+",
        metavar="IMG",
        help="B02, B03, B04 and B08 of L1B: a raster (GeoTIFF, plain TIFF, JPEG 2000), or one for each band",
    )
    add("--output", required=True, metavar="TIF", help="the product, a Cloud-Optimized GeoTIFF (.tif) of counts")
    add(
        "--task",
        choices=list(NETWORKS),
        default="superresolution",
        help="what is made: all bands at 5 m on the grid of B03, or the bands as they are on it (default: %(default)s)",
    )
    add(
        "--model-dir",
        metavar="DIR",
        help="folder of the model REC (superresolution) or CSR (registration), or of both (default: the project's)",
    )
    add(
        "--csr",
        metavar="DIR",
        help="superresolution by a REC for registered images: folder of the model CSR that registers them first "
        "(default: the project's)",
    )
    add(
        "--bands",
        type=band_names,
        metavar="NAMES",
        help="names of all bands of the input, in order (default: as descriptions or names of files say; of a raster "
        "of four bands that does not say, B02,B03,B04,B08)",
    )
    numbers = parser.add_argument_group("numbers: counts = scale x (digital number + offset)")
    numbers.add_argument("--scale", type=float, default=1.0, metavar="X", help="for other levels than L1B (default: 1)")
    numbers.add_argument(
        "--offset",
        type=float,
        default=0.0,
        metavar="DN",
        help="added to digital numbers, such as -1000 for L1C and L2A of baseline 04.00 on (default: 0)",
    )
    numbers.add_argument(
        "--original-cast",
        action="store_true",
        help="cut fractions off and wrap numbers modulo 65536, as the authors' program (default: round and clip)",
    )
    registration = parser.add_argument_group("registration")
    registration.add_argument(
        "--flow",
        metavar="TIF",
        help="file of the flow: where bands show what B03 does, x and y of B02, B04 and B08, in pixels, float32",
    )
    registration.add_argument(
        "--metrics", metavar="JSON", help="file of the median flow of each band, and its correlation with B03"
    )
    work = parser.add_argument_group("work")
    work.add_argument(
        "--mode",
        choices=["auto", "whole", "strips"],
        default="auto",
        help="whole: the whole image at once; strips: piece by piece, equal to one count, in bounded memory; auto: "
        "whole where memory holds it (default: %(default)s)",
    )
    work.add_argument(
        "--memory", type=memory, metavar="SIZE", help="memory to use, such as 3GB (default: 3/4 of what there is)"
    )
    work.add_argument(
        "--threads", type=positive, metavar="N", help="threads to compute with (default: the cores there are)"
    )
    work.add_argument(
        "--restart",
        action="store_true",
        help="begin anew an interrupted product whose input, weights or options were others (default: refuse)",
    )
    add("--quicklook", metavar="PNG", help="picture of the product, at most 1024 pixels a side")
    add("--overwrite", action="store_true", help="replace --output when it exists")
    add_program_arguments(parser)
    return parser


def check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End the program with status 2 when an argument cannot be right, before anything heavy is loaded."""
    for option, suffixes in SUFFIXES.items():
        name = getattr(arguments, option)
        if name and not name.lower().endswith(suffixes):
            parser.error(f"argument --{option}: a name that ends with {suffixes[0]} is wanted. Received: {name}")
        if name and option != "metrics" and Path(name).exists() and not arguments.overwrite:
            parser.error(f"argument --{option}: a file that does not exist is wanted, or --overwrite. Received: {name}")
        if name and option in ("flow", "metrics") and arguments.task != "registration":
            parser.error(f"argument --{option}: --task registration beside it is wanted")
    if arguments.csr and arguments.task == "registration":
        parser.error("argument --csr: it is for --task superresolution; --model-dir is the network that registers")
    if not arguments.scale > 0:
        parser.error(f"argument --scale: more than 0 is wanted. Received: {arguments.scale:g}")
    if len(set(arguments.bands or ())) < len(arguments.bands or ()):
        parser.error(f"argument --bands: each band once is wanted. Received: {','.join(arguments.bands)}")


def infer(arguments: argparse.Namespace) -> None:
    """Make the product of the command line.

    Raises:
        FileExistsError: a product that would be made otherwise is there, or was begun.
        ValueError: the image, the model or the options do not suit each other.
        RuntimeError: OTB or TensorFlow refuses.
        OSError: the disk refuses.
    """
    start = time.perf_counter()
    prepare_process(arguments.threads)
    from chain.runtime.resources import bytes_of
    from chain.serving.provenance import files_behind, write_record
    from chain.serving.quicklook import write_quicklook
    from inference.l1bsr.image import open_image, read_counts
    from inference.l1bsr.model import choose_mode, find_network
    from inference.l1bsr.product import ProductInputs
    from inference.l1bsr.scratch import Scratch

    output = Path(arguments.output)
    network = find_network(arguments.model_dir, NETWORKS[arguments.task])
    registrar = find_network(arguments.csr, "CSR", "--csr") if network.description.arguments.get("registered") else None
    image = open_image(arguments.input, arguments.bands)
    check_files(arguments, files_behind(image.files), output)
    check_outputs(arguments, output)
    scratch = Scratch(output.parent)
    _warn(image)
    counts = read_counts(image, scratch, arguments.scale, arguments.offset)
    if counts.constant and (registrar or arguments.task == "registration"):
        raise ValueError(f"--input: bands that vary are wanted. Received: one value in {', '.join(counts.constant)}")
    if counts.constant:
        _say(f"one value in all of {', '.join(counts.constant)}")
    memory_size = bytes_of(arguments.memory) if arguments.memory else None
    mode = choose_mode(arguments.mode, network.description, counts.present.size, memory_size)
    print(f"{arguments.task} by {network.description.model}: {mode}")
    work = ProductInputs(arguments, image, counts, network, mode, scratch, registrar)
    if arguments.task == "registration":
        resumed = _register(work)
    else:
        resumed = _super_resolve(work, memory_size)
    write_record(output, arguments, work.notes, work.identity, resumed, time.perf_counter() - start)
    if arguments.quicklook:
        write_quicklook(output, Path(arguments.quicklook))
    scale = round(network.description.scale)
    print(f"{output}: {scale * image.grid.columns} x {scale * image.grid.rows} pixels")


def _super_resolve(work, memory: int | None) -> int:
    """Super-resolve, what is registered first if the network wants it. Return the number of regions that were there."""
    from inference.l1bsr.registration import register_first, registered_file
    from inference.l1bsr.super_resolution import super_resolve

    if not work.registrar:
        return super_resolve(work)
    resumed = super_resolve(register_first(work, memory))
    registered_file(work.output).unlink()
    return resumed


def _register(work) -> int:
    """Register, measure what came of it, and keep what is asked for. Return the number of regions that were there."""
    from chain.runtime.provenance import write
    from inference.l1bsr.registration import flow_file, keep_flow, register
    from inference.l1bsr.registration_metrics import in_words, registration_metrics

    resumed = register(work)
    metrics = registration_metrics(work.counts, work.output, flow_file(work))
    keep_flow(work)
    for band, measured in metrics.items():
        print(in_words(band, measured))
    if work.arguments.metrics:
        write(Path(work.arguments.metrics), metrics)
    return resumed


def _warn(image) -> None:
    """Say what may make a product other than it is expected."""
    if image.assumed:
        _say(f"nothing names the bands of {image.files[0]}: they are taken for B02, B03, B04, B08, in this order")
    if image.level not in ("L1B", "unknown"):
        _say(
            f"{image.level}: the networks are made for counts of L1B, whose bands are neither resampled nor laid onto "
            "each other; --scale and --offset make such counts of other numbers"
        )


def _say(text: str) -> None:
    """Print a warning."""
    print(f"warning: {text}", file=sys.stderr)


def main(argv: list[str] | None = None) -> int:
    """Run the program.

    Args:
        argv: Arguments of the command line.

    Returns:
        Exit status: 0, or 1 when it failed. Wrong usage ends the program with status 2.
    """
    parser = make_parser()
    arguments = parser.parse_args(argv)
    check(parser, arguments)
    return run(parser, arguments, infer)
