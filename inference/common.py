# SPDX-License-Identifier: Apache-2.0
"""What the inference programs share: their command line, and the course from a Sentinel-2 input to a product.

The input is opened as a chain of OTB applications in memory, super-resolved region by region through
TensorflowModelServe, and written as a Cloud-Optimized GeoTIFF that exists only when it is whole. Beside it,
`<output>.json` records what it was made of. A run that was interrupted is resumed by the same command.
"""

import argparse
import itertools
import math
import os
import re
import time
from pathlib import Path

from chain.command_line import band_names, offset

TILES_PER_REGION = 3
"""Tiles along the side of a region: regions are what an interruption can cost."""
ATTEMPTS = 3
"""Times that a region of a remote input is tried, with new signatures."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that all inference programs have."""
    add = parser.add_argument
    add(
        "--input",
        required=True,
        nargs="+",
        metavar="IMG",
        help="Sentinel-2: a raster with several bands, one raster per band, a SAFE folder or zip, "
        "a STAC item (JSON file or URL)",
    )
    add("--output", required=True, metavar="TIF", help="the product, a Cloud-Optimized GeoTIFF (.tif)")
    add("--model-dir", required=True, metavar="DIR", help="folder of the exported model, as the training makes it")
    add(
        "--bands",
        type=band_names,
        metavar="NAMES",
        help="names of the bands of a raster that does not describe them, in order, such as B04,B03,B02,B08",
    )
    add(
        "--offset",
        type=offset,
        metavar="DN",
        help="added to the digital numbers: 0, or -1000 for baseline 04.00 on; auto: as the metadata says "
        "(default: auto)",
    )
    add(
        "--box",
        type=box,
        metavar="X,Y,W,H",
        help="part to super-resolve: first column and row, width and height, in input pixels (default: all)",
    )
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


def check_arguments(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End the program with status 2 when an argument cannot be right, before anything heavy is loaded."""
    if not all(arguments.input):
        parser.error("argument --input: names of files or folders are wanted. Received: an empty one")
    if not arguments.output.lower().endswith((".tif", ".tiff")):
        parser.error(f"argument --output: a name that ends with .tif is wanted. Received: {arguments.output}")
    if Path(arguments.output).exists() and not arguments.overwrite:
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
    if arguments.tile_size < 8:
        parser.error(f"argument --tile-size: at least 8 is wanted. Received: {arguments.tile_size}")


def infer(arguments: argparse.Namespace, system: str) -> Path:
    """Super-resolve a Sentinel-2 input with an exported model.

    Args:
        arguments: Those of `add_arguments`.
        system: Name of the system that the model has to be of.

    Returns:
        The product's path.

    Raises:
        ValueError: The model is of another system, or the input does not suit it.
        RuntimeError: OTB or TensorFlow refuses.
        OSError: The disk refuses.
    """
    import otbApplication  # noqa: F401  (before TensorFlow: its copy of SQLite would hide GDAL's)
    from osgeo import gdal
    from tqdm import tqdm

    from chain.grids import Region, box_region, image_grid, plan, product_grid, shifted
    from chain.product import Layout, check_output, write_product
    from chain.sentinel2 import open_product
    from chain.serve import fields
    from inference.quicklook import write_quicklook
    from inference.record import files_of, identity_of, product_metadata, write_record
    from models.description import read_description

    gdal.UseExceptions()
    start = time.perf_counter()
    output = Path(arguments.output)
    check_output(output, arguments.overwrite)
    if arguments.quicklook:
        check_output(Path(arguments.quicklook), arguments.overwrite, "--quicklook")
    description = read_description(arguments.model_dir)
    if description.system != system:
        raise ValueError(
            f"--model-dir: a model of '{system}' is wanted. Received: {arguments.model_dir}, of {description.system!r}"
        )
    product = open_product(
        arguments.input if len(arguments.input) > 1 else arguments.input[0],
        bands=arguments.bands or _bands_to_open(arguments.input, description),
        offset=arguments.offset,
    )
    try:
        _check_geotransforms(product)
        _check_files(arguments, files_of(product))
        images = _open_images(product, description)
        native = image_grid(images[description.sources[0].name])
        grid = product_grid(native, description)
        field = fields(description)
        region = Region(0, 0, grid.columns, grid.rows)
        if arguments.box:
            region = box_region(arguments.box, native, grid, math.lcm(*field.ratios))
        tile = max(arguments.tile_size // field.expression, 1) * field.expression
        identity = identity_of(arguments, product, description)
        layout = Layout(
            grid=shifted(grid, region),
            bands=description.bands,
            dtype="float32" if arguments.float else "uint16",
            metadata=product_metadata(product, description),
        )
        worker = _Worker(product, images, description, arguments, region, tile)
        regions = plan(Region(0, 0, region.columns, region.rows), TILES_PER_REGION * tile)
        with tqdm(total=region.columns * region.rows, unit="px", unit_scale=True, desc=output.name) as progress:
            resumed = write_product(
                output,
                layout,
                regions,
                worker.compute,
                identity,
                arguments.overwrite,
                advance=lambda part: progress.update(part.columns * part.rows),
            )
    finally:
        product.close()
    write_record(output, arguments, identity, resumed, time.perf_counter() - start)
    if arguments.quicklook:
        write_quicklook(output, Path(arguments.quicklook))
    print(f"{output}: {region.columns} x {region.rows} pixels of {description.gsd:g} m")
    return output


def _bands_to_open(names: list[str], description) -> tuple[str, ...] | None:
    """Return the model's bands for inputs that hold each band apart, None for rasters, whose bands have to be found."""
    apart = (".json", ".geojson", ".zip", ".xml")
    if len(names) == 1 and (names[0].lower().endswith(apart) or "/collections/" in names[0] or Path(names[0]).is_dir()):
        return tuple(dict.fromkeys(band for source in description.sources for band in source.bands))
    return None


class _Worker:
    """Computes the regions of a product, with new signatures when those of a remote input expire."""

    def __init__(self, product, images: dict, description, arguments: argparse.Namespace, region, tile: int):
        self._product = product
        self._images = images
        self._description = description
        self._arguments = arguments
        self._first = region
        self._tile = tile

    def compute(self, part):
        """Return the values and the validity of a region, counted from the product's first pixel."""
        from chain.grids import Region
        from chain.network import retry
        from chain.super_resolution import super_resolve

        place = Region(self._first.x + part.x, self._first.y + part.y, part.columns, part.rows)
        attempts = itertools.count()

        def attempt():
            if self._product.refresh(force=next(attempts) > 0):
                self._images = _open_images(self._product, self._description)
            return super_resolve(
                self._images,
                self._description,
                self._arguments.model_dir,
                place,
                output_kind="float" if self._arguments.float else "integer",
                nodata=self._product.nodata,
                tile_size=self._tile,
            )

        return retry(attempt, (RuntimeError,), ATTEMPTS if self._product.hrefs else 1)


def _open_images(product, description) -> dict:
    """Return the chain of each source: harmonised digital numbers, in memory."""
    return {source.name: product.image(source.bands) for source in description.sources}


def _check_geotransforms(product) -> None:
    """Refuse rotated images, which OTB would take for north-up ones."""
    from osgeo import gdal

    for band, name in product.bands.items():
        geotransform = gdal.Open(name).GetGeoTransform()
        if geotransform[2] or geotransform[4]:
            raise ValueError(f"--input: a north-up image is wanted. Received: geotransform {geotransform} of {band}")


def _check_files(arguments: argparse.Namespace, files: list[str]) -> None:
    """Refuse to write over what is read."""
    read = {os.path.realpath(name) for name in (*files, *arguments.input)}
    written = {"--output": (arguments.output, f"{arguments.output}.json"), "--quicklook": (arguments.quicklook,)}
    for option, names in written.items():
        for name in names:
            if name and os.path.realpath(name) in read:
                raise ValueError(f"{option}: a file that --input does not read is wanted. Received: {name}")
