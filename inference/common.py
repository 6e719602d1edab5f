# SPDX-License-Identifier: Apache-2.0
"""What the inference programs share: their command line, and the course from a Sentinel-2 input to a product.

The input is opened as a chain of OTB applications in memory, super-resolved region by region through
TensorflowModelServe, and written as a Cloud-Optimized GeoTIFF that exists only when it is whole. Beside it,
`<output>.json` records what it was made of. A run that was interrupted is resumed by the same command.
"""

import argparse
import itertools
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from chain.command_line import add_offset_argument

TILES_PER_REGION = 3
"""Tiles along the side of a region: regions are what an interruption can cost."""
ATTEMPTS = 3
"""Times that a region of a remote input is tried, with new signatures."""


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
        default=1024,
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
    add("--debug", action="store_true", help="show the messages of OTB and TensorFlow, and tracebacks")


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


def check_arguments(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End the program with status 2 when an argument cannot be right, before anything heavy is loaded."""
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
    if arguments.tile_size < 8:
        parser.error(f"argument --tile-size: at least 8 is wanted. Received: {arguments.tile_size}")


def written_files(arguments: argparse.Namespace, output: Path | None, bands: Sequence[str] = ()) -> list[tuple]:
    """Return the files that a program will write, each with the option that names it.

    Args:
        arguments: those of the program.
        output: the product, if there is one.
        bands: bands that are written as files of their own too.
    """
    from chain.record import record_of

    named = [("--output", output), ("--output", output and record_of(output))]
    named += [("--separate", band_file(output, band)) for band in bands if output]
    options = ("quicklook", "metrics", "figure")
    named += [(f"--{option}", getattr(arguments, option, None)) for option in options]
    return [(option, Path(name)) for option, name in named if name]


def band_file(output: Path, band: str) -> Path:
    """Return the name of the file of one band of a product."""
    return output.with_name(f"{output.stem}_{band}.tif")


def check_outputs(arguments: argparse.Namespace, output: Path | None, bands: Sequence[str] = ()) -> None:
    """Refuse outputs that exist, or whose folder cannot be written. Scores may replace older ones.

    Raises:
        FileExistsError: One exists and must not be replaced.
        OSError: A folder is missing or read-only.
    """
    from chain.product import check_output

    for option, path in written_files(arguments, output, bands):
        may_replace = option in ("--metrics", "--figure") or path.suffix == ".json"
        check_output(path, arguments.overwrite or may_replace, option)


def produce(arguments: argparse.Namespace, output: Path, product, recipe, naming=None, keep_done: bool = False) -> bool:
    """Make a product of an open input.

    Args:
        arguments: Those of `add_arguments`.
        output: The file.
        product: A `chain.sentinel2.Product`.
        recipe: The `chain.recipe.Recipe`.
        naming: Names given to bands that nothing describes.
        keep_done: Leave a product alone that is there and would be made again as it is.

    Returns:
        Whether it was made.

    Raises:
        FileExistsError: A product that would be made otherwise is there.
        ValueError: The input does not suit the recipe.
        RuntimeError: OTB or TensorFlow refuses.
        OSError: The disk refuses.
    """
    from tqdm import tqdm

    from chain.grids import Region, image_grid, plan
    from chain.product import Layout, write_product
    from inference.quicklook import write_quicklook
    from inference.record import differences, identity_of, product_metadata, write_record

    start = time.perf_counter()
    _check_geotransforms(product)
    images = open_images(product, recipe)
    origin, grid, place = ground_of(
        arguments, {name: image_grid(image) for name, image in images.items()}, recipe.gsd, recipe.step
    )
    identity = identity_of(product, recipe, grid, arguments.float, naming)
    if keep_done and output.exists() and not arguments.overwrite:
        changed = differences(output, identity)
        if changed:
            raise FileExistsError(
                f"--output-dir: no product, or the one that would be made, or --overwrite, is wanted. Received: "
                f"{output}, of other {', '.join(changed)}"
            )
        return False
    layout = Layout(
        grid=grid,
        bands=recipe.bands,
        dtype="float32" if arguments.float else "uint16",
        metadata=product_metadata(product, recipe, identity),
    )
    worker = _Worker(product, images, recipe, arguments, place, origin)
    regions = plan(Region(0, 0, place.columns, place.rows), TILES_PER_REGION * recipe.tile(arguments.tile_size))
    with tqdm(total=place.columns * place.rows, unit="px", unit_scale=True, desc=output.name) as progress:
        resumed = write_product(
            output,
            layout,
            regions,
            worker.compute,
            identity,
            arguments.overwrite,
            advance=lambda part: progress.update(part.columns * part.rows),
        )
    write_record(output, arguments, recipe, identity, resumed, time.perf_counter() - start)
    if arguments.quicklook:
        write_quicklook(output, Path(arguments.quicklook))
    print(f"{output}: {place.columns} x {place.rows} pixels of {recipe.gsd:g} m")
    return True


def ground_of(arguments: argparse.Namespace, grids: Mapping, gsd: float, step: int) -> tuple:
    """Return the ground that is asked for: of the whole finest image, or of a part of it.

    Args:
        arguments: Those of `add_arguments`.
        grids: Grids of the images, by name.
        gsd: Spacing of the product, in metres.
        step: Number of the product's pixels that a part is a whole multiple of.

    Returns:
        The corner (x, y) where pixels of all images begin together, the grid of the ground, and its pixels, counted
        from that corner.

    Raises:
        ValueError: The images do not belong together, or the part is not on them.
    """
    from chain.grids import Region, box_region, common_origin, product_grid, shifted
    from chain.region_of_interest import bbox_bounds, bounds_region, geometry_bounds

    native = grids[min(grids, key=lambda name: grids[name].dx)]
    origin = common_origin(grids) if len(grids) > 1 else (native.left, native.top)
    grid = product_grid(native, gsd)
    region = Region(0, 0, grid.columns, grid.rows)
    if arguments.box:
        region = box_region(arguments.box, native, grid, step)
    elif arguments.bbox:
        region = bounds_region(bbox_bounds(arguments.bbox, grid.projection), grid, origin, step, "--bbox")
    elif arguments.geometry:
        region = bounds_region(geometry_bounds(arguments.geometry, grid.projection), grid, origin, step, "--geometry")
    x, y = round((grid.left - origin[0]) / gsd) + region.x, round((origin[1] - grid.top) / gsd) + region.y
    return origin, shifted(grid, region), Region(x, y, region.columns, region.rows)


class _Worker:
    """Computes the regions of a product, with new signatures when those of a remote input expire."""

    def __init__(self, product, images: dict, recipe, arguments: argparse.Namespace, region, origin):
        self._product = product
        self._images = images
        self._recipe = recipe
        self._arguments = arguments
        self._first = region
        self._origin = origin

    def compute(self, part):
        """Return the values and the validity of a region, counted from the product's first pixel."""
        from chain.grids import Region
        from chain.network import retry

        place = Region(self._first.x + part.x, self._first.y + part.y, part.columns, part.rows)
        attempts = itertools.count()

        def attempt():
            if self._product.refresh(force=next(attempts) > 0):
                self._images = open_images(self._product, self._recipe)
            return self._recipe.compute(
                self._images,
                place,
                self._origin,
                floating=self._arguments.float,
                nodata=self._product.nodata,
                tile_size=self._recipe.tile(self._arguments.tile_size),
            )

        return retry(attempt, (RuntimeError,), ATTEMPTS if self._product.hrefs else 1)


def open_images(product, recipe) -> dict:
    """Return the chain of each source: harmonised digital numbers, in memory."""
    return {name: product.image(source.bands) for name, source in recipe.sources.items()}


def _check_geotransforms(product) -> None:
    """Refuse rotated images, which OTB would take for north-up ones."""
    from osgeo import gdal

    for band, name in product.bands.items():
        geotransform = gdal.Open(name).GetGeoTransform()
        if geotransform[2] or geotransform[4]:
            raise ValueError(f"--input: a north-up image is wanted. Received: geotransform {geotransform} of {band}")


def check_files(
    arguments: argparse.Namespace, files: list[str], output: Path | None, bands: Sequence[str] = ()
) -> None:
    """Refuse to write over what is read.

    Args:
        arguments: those of the program.
        files: what is read.
        output: the product, if there is one.
        bands: bands that are written as files of their own too.

    Raises:
        ValueError: a file would be written over.
    """
    inputs = [name for name in arguments.input or () if isinstance(name, str)]
    read = {os.path.realpath(name) for name in (*files, *inputs)}
    for option, path in written_files(arguments, output, bands):
        if os.path.realpath(path) in read:
            raise ValueError(f"{option}: a file that --input does not read is wanted. Received: {path}")
