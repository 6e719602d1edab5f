# SPDX-License-Identifier: Apache-2.0
"""What the inference programs share: their command line, and the course from a Sentinel-2 input to a product.

The input is opened as a chain of OTB applications in memory, super-resolved region by region through
TensorflowModelServe, and written as a Cloud-Optimized GeoTIFF that exists only when it is whole. Beside it,
`<output>.json` records what it was made of. A run that was interrupted is resumed by the same command.
"""

import argparse
import re
from pathlib import Path

from chain.runtime.command_line import add_offset_argument, add_program_arguments
from chain.serving.precision import options as precision_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that all inference programs have."""
    add = parser.add_argument
    add_offset_argument(parser)
    part = parser.add_argument_group("part to super-resolve (default: all)").add_mutually_exclusive_group()
    part.add_argument(
        "--box",
        type=box,
        metavar="X,Y,W,H",
        help="input pixels: first column and row, width and height",
    )
    part.add_argument("--bbox", type=bbox, metavar="W,S,E,N", help="box of longitudes and latitudes, in degrees")
    part.add_argument("--geometry", metavar="FILE", help="bounds of the geometries of a file, such as a GeoJSON")
    add(
        "--tile-size",
        type=int,
        default=768,
        metavar="N",
        help="side of what one run of the network writes, in output pixels; it bounds the memory "
        "(default: %(default)s)",
    )
    add(
        "--float",
        action="store_true",
        help="write reflectance, float32, nodata NaN (default: 10 000 x reflectance, uint16)",
    )
    add("--quicklook", metavar="PNG", help="picture of the product, at most 1024 pixels a side")
    add("--overwrite", action="store_true", help="replace --output when it exists")
    precision_arguments.add_arguments(parser.add_argument_group("precision and engine"))
    work = parser.add_argument_group("work")
    work.add_argument(
        "--threads", type=positive, metavar="N", help="threads to compute with (default: the cores there are)"
    )
    work.add_argument(
        "--restart",
        action="store_true",
        help="begin anew an interrupted product whose input, weights or options were others (default: refuse)",
    )
    steps = work.add_mutually_exclusive_group()
    steps.add_argument(
        "--block-range",
        type=block_range,
        metavar="I/N",
        help="make the I-th of N shares of the regions only, I from 1 on, beside other processes that make the others; "
        "--assemble finishes",
    )
    steps.add_argument(
        "--assemble", action="store_true", help="make the product of the regions that --block-range has made"
    )
    work.add_argument(
        "--scheduler",
        type=scheduler,
        metavar="ADDRESS",
        help="make regions on workers of Dask: of the scheduler at tcp://HOST:PORT or tls://HOST:PORT, or of this "
        "machine, by `processes`; --threads is then that of each worker (default: none)",
    )
    work.add_argument(
        "--workers", type=positive, metavar="N", help="number of workers of `processes` (default: the cores there are)"
    )
    work.add_argument(
        "--worker-memory",
        type=memory,
        metavar="SIZE",
        help="memory at which a worker of `processes` is ended and started anew, such as 3GB (default: its share of "
        "the machine's)",
    )
    add_program_arguments(parser)


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the names of what is made."""
    parser.add_argument("--output", metavar="TIF", help="the product, a Cloud-Optimized GeoTIFF (.tif)")
    parser.add_argument(
        "--output-dir", metavar="DIR", help="folder of the products, one for each scene; those that are done stay"
    )


def positive(text: str) -> int:
    """Read a number of at least 1."""
    if not re.fullmatch(r"0*[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"a number of at least 1 is wanted. Received: {text}")
    return int(text)


def block_range(text: str):
    """Read i/n."""
    from chain.serving.journal import Share

    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(f"i/n with i from 1 to n is wanted. Received: {text}")
    return Share(int(found[1]), int(found[2]))


def scheduler(text: str) -> str:
    """Read where workers are."""
    if text != "processes" and not re.fullmatch(r"(tcp|tls)://[^/\s]+:\d+", text):
        raise argparse.ArgumentTypeError(f"processes, tcp://host:port or tls://host:port is wanted. Received: {text}")
    return text


def memory(text: str) -> str:
    """Read a size of memory."""
    if not re.fullmatch(r"0*[1-9]\d*(\.\d+)? ?[kMGT]i?B", text):
        raise argparse.ArgumentTypeError(f"a size such as 3GB or 3000MiB is wanted. Received: {text}")
    return text


def box(text: str) -> tuple[int, ...]:
    """Read x,y,w,h."""
    if not re.fullmatch(r"\d+,\d+,\d+,\d+", text):
        raise argparse.ArgumentTypeError(f"x,y,w,h in input pixels is wanted. Received: {text}")
    return tuple(int(number) for number in text.split(","))


def bbox(text: str) -> tuple[float, ...]:
    """Read west,south,east,north."""
    try:
        west, south, east, north = (float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"west,south,east,north in degrees is wanted. Received: {text}") from None
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise argparse.ArgumentTypeError(f"west < east and south < north, in degrees, are wanted. Received: {text}")
    return west, south, east, north


def check_arguments(parser: argparse.ArgumentParser, arguments: argparse.Namespace, needs_output: bool = True) -> None:
    """End the program with status 2 when an argument cannot be right, before anything heavy is loaded."""
    if arguments.output and arguments.output_dir:
        parser.error("argument --output: it or --output-dir is wanted")
    if needs_output and not (arguments.output or arguments.output_dir):
        parser.error("argument --output: it or --output-dir is wanted")
    if arguments.quicklook and arguments.output_dir:
        parser.error("argument --quicklook: --output, not --output-dir, beside it is wanted")
    if arguments.input and not all(arguments.input):
        parser.error("argument --input: names of files or folders are wanted. Received: an empty one")
    if arguments.output and not arguments.output.lower().endswith((".tif", ".tiff")):
        parser.error(f"argument --output: a name that ends with .tif is wanted. Received: {arguments.output}")
    if arguments.output and Path(arguments.output).exists() and not arguments.overwrite:
        parser.error(
            f"argument --output: a file that does not exist is wanted, or --overwrite. Received: {arguments.output}"
        )
    if arguments.quicklook and not arguments.quicklook.lower().endswith(".png"):
        parser.error(f"argument --quicklook: a name that ends with .png is wanted. Received: {arguments.quicklook}")
    if arguments.quicklook and Path(arguments.quicklook).exists() and not arguments.overwrite:
        parser.error(
            "argument --quicklook: a file that does not exist is wanted, or --overwrite. "
            f"Received: {arguments.quicklook}"
        )
    for option, suffix in (("metrics", ".json"), ("figure", ".png")):
        name = getattr(arguments, option, None)
        if name and not name.lower().endswith(suffix):
            parser.error(f"argument --{option}: a name that ends with {suffix} is wanted. Received: {name}")
    precision_arguments.check(parser, arguments)
    if arguments.block_range and arguments.overwrite:
        parser.error("argument --block-range: it without --overwrite is wanted: the product is replaced by --assemble")
    if arguments.scheduler and (arguments.block_range or arguments.assemble):
        parser.error("argument --scheduler: it, or --block-range and --assemble, is wanted")
    for option in ("workers", "worker_memory"):
        if getattr(arguments, option) and arguments.scheduler != "processes":
            parser.error(f"argument --{option.replace('_', '-')}: --scheduler processes beside it is wanted")
    if arguments.tile_size < 8:
        parser.error(f"argument --tile-size: at least 8 is wanted. Received: {arguments.tile_size}")
