# SPDX-License-Identifier: Apache-2.0
"""Pairs of Sentinel-2 and Spot-6/7 patches, from a STAC query to images of patches, in memory.

The chain of the super-resolution part of OTBTF's Keras tutorial, without intermediate rasters:

    STAC search -> best item -> ConcatenateImages -> harmonised offset -> Superimpose --+
                                                                                        +-- PatchesSelection,
    XS, PAN -> BundleToPerfectSensor ---------------------------------------------------+   PatchesExtraction

The Sentinel-2 image is the one with the least clouds over the Spot image. Patches are dealt to training, validation
and test by blocks of ground, and those that touch another set are dropped. The folder then holds
{train,valid,test}_{lr,hr}.tif (uint16: Sentinel-2 at 6 m; pansharpened Spot at 1.5 m), contact_sheet.png to look at,
and dataset.json, which records everything and appears when all is whole.

    python sr_dataset.py --xs XS.tif --pan PAN.tif --output patches
"""

import argparse
import contextlib
import itertools
import logging
import signal
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from chain.runtime import command_line

SETS = ("train", "valid", "test")
BANDS = ("B04", "B03", "B02", "B08")
"""Bands of the patches, in order."""

log = logging.getLogger("sr_dataset")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="sr_dataset.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--xs", required=True, help="Spot multispectral image, orthorectified: GeoTIFF, JPEG 2000 or DIMAP .XML")
    add("--pan", required=True, help="Spot panchromatic image of the same place")
    add(
        "--xs-bands",
        type=command_line.band_names,
        default=BANDS,
        metavar="NAMES",
        help=f"bands of --xs in their order, by Sentinel-2's names (default: {','.join(BANDS)})",
    )
    add("--output", required=True, type=Path, help="folder of the patches")
    dates = parser.add_argument_group("choice of the Sentinel-2 image")
    add = dates.add_argument
    add("--start-date", default="2022-06-15", help="first day, YYYY-MM-DD (default: %(default)s)")
    add("--end-date", default="2022-08-15", help="last day (default: %(default)s)")
    add("--dates", nargs=2, metavar=("START", "END"), help="both at once")
    add(
        "--max-cloud-cover",
        type=float,
        default=5.0,
        help="most clouds and missing data over the Spot image, in percent (default: %(default)g)",
    )
    add(
        "--stac-url",
        default="https://planetarycomputer.microsoft.com/api/stac/v1",
        help="root of the STAC API (default: %(default)s)",
    )
    add("--collection", default="sentinel-2-l2a", help="STAC collection (default: %(default)s)")
    add("--item", help="identifier of the item to take, whatever its clouds")
    add(
        "--sentinel2",
        nargs="+",
        metavar="PATH",
        help="Sentinel-2 image to take instead of searching: SAFE, raster, one raster per band, STAC item",
    )
    add(
        "--bands",
        type=command_line.band_names,
        metavar="NAMES",
        help="names of the bands of a raster that does not describe them, in order, such as B04,B03,B02,B08",
    )
    command_line.add_offset_argument(dates)
    patches = parser.add_argument_group("patches")
    add = patches.add_argument
    add("--lr-patch-size", type=int, default=32, help="in pixels of --xs (default: %(default)d)")
    add("--hr-patch-size", type=int, default=128, help="in pixels of --pan (default: %(default)d)")
    add("--step", type=int, help="distance between patches, in pixels of --xs (default: --lr-patch-size)")
    add(
        "--split",
        nargs=3,
        type=float,
        default=(0.8, 0.1, 0.1),
        metavar=("TRAIN", "VALID", "TEST"),
        help="proportions of the sets (default: 0.8 0.1 0.1)",
    )
    add("--nodata", default="0", help="digital number of Spot's nodata, or 'none' (default: %(default)s)")
    add(
        "--match-radiometry",
        action="store_true",
        help="bring Spot's bands to Sentinel-2's radiometry, by a gain and an offset for each",
    )
    add("--tfrecords", action="store_true", help="write the sets as TFRecords too, into folders train, valid, test")
    add("--seed", type=int, default=0, help="of the split (default: %(default)d)")
    parser.add_argument("--overwrite", action="store_true", help="replace the patches in --output")
    command_line.add_program_arguments(parser)
    return parser


def check_arguments(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End with status 2 when arguments make no sense."""
    if arguments.dates:
        arguments.start_date, arguments.end_date = arguments.dates
    for option in ("start_date", "end_date"):
        try:
            datetime.strptime(getattr(arguments, option), "%Y-%m-%d")
        except ValueError:
            parser.error(
                f"--{option.replace('_', '-')}: a day YYYY-MM-DD is wanted. Received: {getattr(arguments, option)}"
            )
    if arguments.start_date > arguments.end_date:
        parser.error(f"--end-date: a day from {arguments.start_date} on is wanted. Received: {arguments.end_date}")
    arguments.step = arguments.lr_patch_size if arguments.step is None else arguments.step
    for option in ("lr_patch_size", "hr_patch_size", "step"):
        if getattr(arguments, option) < 1:
            parser.error(f"--{option.replace('_', '-')}: at least 1 is wanted. Received: {getattr(arguments, option)}")
    if min(arguments.split) < 0 or arguments.split[0] <= 0:
        parser.error(
            f"--split: proportions of at least 0, and some for training, are wanted. "
            f"Received: {' '.join(map(str, arguments.split))}"
        )
    if sorted(arguments.xs_bands) != sorted(BANDS):
        parser.error(f"--xs-bands: {','.join(BANDS)} in some order is wanted. Received: {','.join(arguments.xs_bands)}")
    if not 0 <= arguments.max_cloud_cover <= 100:
        parser.error(f"--max-cloud-cover: 0 to 100 percent is wanted. Received: {arguments.max_cloud_cover}")
    try:
        arguments.nodata = None if arguments.nodata.lower() == "none" else float(arguments.nodata)
    except ValueError:
        parser.error(f"--nodata: a number or 'none' is wanted. Received: {arguments.nodata}")


def find_sentinel2(arguments: argparse.Namespace, footprint):
    """Return the Sentinel-2 product to pair with the Spot image, and what was measured of its clouds."""
    from chain.patches import spot
    from chain.sentinel2 import cloud_cover, stac_search
    from chain.sentinel2.image import open_product

    if arguments.sentinel2:
        return open_product(arguments.sentinel2, arguments.bands, arguments.offset), None
    if arguments.item:
        item = stac_search.find_item(arguments.item, arguments.stac_url, arguments.collection)
        candidate = cloud_cover.measure(item, footprint)
    else:
        days = (arguments.start_date, arguments.end_date)
        items = stac_search.search(footprint, "/".join(days), arguments.stac_url, arguments.collection)
        log.info("%d Sentinel-2 items touch the image between %s and %s", len(items), *days)
        date = spot.acquisition_date(arguments.xs) or stac_search.middle(days)
        candidate = cloud_cover.choose(items, footprint, arguments.max_cloud_cover, date)
    log.info("Sentinel-2: %s", candidate.item.id)
    measured = {"cloudy": round(candidate.cloudy, 4), "uncovered": round(candidate.uncovered, 4)}
    return open_product(candidate.item, BANDS, arguments.offset), measured


def check_place(arguments: argparse.Namespace, product, footprint) -> None:
    """Refuse a Sentinel-2 image, chosen by hand, of another place than the Spot image.

    Raises:
        ValueError: it is.
    """
    from chain.raster.footprint import Footprint

    option, name = ("--sentinel2", arguments.sentinel2) if arguments.sentinel2 else ("--item", arguments.item)
    if not name:
        return
    ground = Footprint.of(next(iter(product.bands.values())))
    if not ground.geometry().Intersects(footprint.geometry()):
        received = name if isinstance(name, str) else " ".join(name)
        raise ValueError(f"{option}: an image of the place of --xs is wanted. Received: {received}")


class Chain:
    """The chain of OTB applications which gives both images; built anew when signatures expire."""

    def __init__(self, product, spot):
        """Chain a Sentinel-2 product and a Spot bundle."""
        self.product, self.spot, self.lines = product, spot, None
        self._images = None

    def __call__(self, renew: bool = False) -> tuple:
        """Return the images LR (Sentinel-2 on the grid of XS) and HR (pansharpened Spot).

        Args:
            renew: after a failure: sign anew, and forget what GDAL remembers.
        """
        import pyotb

        if self.product.refresh(force=renew) or renew or self._images is None:
            sentinel2 = self.product.image(BANDS)
            lr = pyotb.Superimpose(inr=self.spot.xs, inm=sentinel2)
            self._images = lr, self.spot.pansharpened(self.lines)
        return self._images

    def match(self, lines: list) -> None:
        """Bring Spot's bands to another radiometry from now on."""
        self.lines, self._images = lines, None

    def pull(self, read: Callable):
        """Return what `read` makes of both images; tried again, with a renewed chain, while a server fails."""
        from chain.raster.http import retry

        pulls = itertools.count()
        return retry(lambda: read(*self(next(pulls) > 0)), (RuntimeError,), self.attempts, on_failure=self.tell)

    @property
    def attempts(self) -> int:
        """How often a failure is worth an attempt: local files do not mend."""
        from chain.patches.patches import ATTEMPTS

        return ATTEMPTS if self.product.hrefs else 1

    def tell(self, error: Exception, attempt: int, pause: float) -> None:
        """Log a failure which is not the last one."""
        log.warning("%s; attempt %d of %d in %g s", command_line.one_line(error), attempt + 1, self.attempts, pause)


def match_radiometry(chain: Chain, footprint) -> list:
    """Return the line, for each band, which brings Spot to Sentinel-2's radiometry."""
    from chain.patches import radiometry
    from chain.raster import grids, otb

    xs = chain.spot.multispectral()
    places = grids.spread(footprint.size, side=160, count=25)
    lines = radiometry.fit(
        (otb.read(xs, place), chain.pull(lambda lr, _, place=place: otb.read(lr, place))) for place in places
    )
    for band, line in zip(BANDS, lines):
        log.info(
            "%s: Sentinel-2 = %.4f x Spot %+.1f (correlation %.3f over %d cells)",
            band,
            line.gain,
            line.offset,
            line.correlation,
            line.cells,
        )
    return lines


def run(arguments: argparse.Namespace, folder: Path) -> dict:
    """Write the patches into a folder; return the record of the run."""
    from chain.patches import patches, split
    from chain.patches.spot import Bundle
    from chain.patches.statistics import Statistics, inspect
    from chain.raster import http

    begun, before = time.monotonic(), http.traffic()
    bundle = Bundle.open(
        arguments.xs,
        arguments.pan,
        arguments.xs_bands,
        BANDS,
        arguments.nodata,
        arguments.lr_patch_size,
        arguments.hr_patch_size,
    )
    log.info("LR/HR: %s", bundle.correspondence.reason)
    grid = bundle.correspondence.grid
    if min(grid.lr_shape) < grid.lr_size:
        raise ValueError(
            f"--xs: at least {grid.lr_size} x {grid.lr_size} pixels, one patch of --lr-patch-size, are wanted. "
            f"Received: {grid.lr_shape[0]} x {grid.lr_shape[1]} pixels"
        )
    product, measured = find_sentinel2(arguments, bundle.footprint)
    check_place(arguments, product, bundle.footprint)
    log.info("Sentinel-2: level %s, offset of digital numbers %d", product.level, product.offset)
    chain = Chain(product, bundle)
    if arguments.match_radiometry:
        chain.match(match_radiometry(chain, bundle.footprint))

    starts = patches.select(bundle.xs, bundle.footprint, arguments.lr_patch_size, arguments.step, arguments.nodata)
    starts = starts[grid.inside(starts)]
    if not len(starts):
        raise ValueError(
            f"--lr-patch-size: an image with room for patches of {grid.lr_size} pixels is wanted. "
            f"Received: {grid.lr_shape[0]} x {grid.lr_shape[1]} pixels of --xs, none of them valid"
        )
    deal = split.deal(starts, grid.lr_size, arguments.step, arguments.split, arguments.seed)
    log.info(
        "%d patches: %s; %d dropped between blocks of %d x %d patches",
        len(starts),
        ", ".join(f"{count} {name}" for name, count in zip(SETS, deal.counts)),
        deal.dropped,
        deal.block,
        deal.block,
    )

    statistics = Statistics(len(BANDS))
    written = write_patches(chain, bundle, starts, deal, folder, statistics)
    alignment = inspect(folder, "train", written["train"])
    tell_alignment(alignment, grid.scale)
    record = {
        "sentinel2": {**product.identity, "level": product.level, "offset": product.offset, "cover": measured},
        "spot": {"xs": arguments.xs, "pan": arguments.pan},
        "bands": list(BANDS),
        "patches": {**written, "rejected": sum(deal.counts) - sum(written.values()), "dropped": deal.dropped},
        "block": deal.block,
        "radiometry": [vars(line) for line in chain.lines] if chain.lines else None,
        "statistics": statistics.report(list(BANDS)),
        "alignment": {**alignment, "grids": bundle.correspondence.reason},
    }
    if arguments.tfrecords:
        write_tfrecords(folder, written, arguments.seed)
    product.close()
    fetched = http.traffic() - before
    log.info("fetched by GDAL: %s", fetched)
    return {**record, "fetched": vars(fetched), "seconds": round(time.monotonic() - begun, 1)}


def write_patches(chain: Chain, bundle, starts, deal, folder: Path, statistics) -> dict[str, int]:
    """Extract the patches strip by strip into the images of the sets; return the number of patches of each."""
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    from chain.patches import patches
    from chain.patches.patches_image import PatchesImage
    from chain.raster import http

    grid = bundle.correspondence.grid
    gsd = float(bundle.footprint.spacing[0])
    images = {
        (number, side): PatchesImage(folder / f"{name}_{side}.tif", size, len(BANDS), count, pixel, BANDS)
        for number, (name, count) in enumerate(zip(SETS, deal.counts))
        for side, size, pixel in (("lr", grid.lr_size, gsd), ("hr", grid.hr_size, gsd / grid.scale))
    }

    strips = patches.extract(
        chain, starts, deal.groups, grid, bundle.conditioning(chain.product), chain.attempts, chain.tell
    )
    fetched = http.traffic()
    with logging_redirect_tqdm(), tqdm(total=sum(deal.counts), unit="patch", disable=not sys.stderr.isatty()) as bar:
        for cut in strips:
            for number, (lr, hr) in cut.items():
                images[number, "lr"].append(lr)
                images[number, "hr"].append(hr)
                statistics.add(lr, hr)
            count = sum(len(lr) for lr, _ in cut.values())
            now = http.traffic()
            log.info("strip of %d patches: %s", count, now - fetched)
            fetched = now
            bar.update(count)
    for image in images.values():
        image.close()
    written = {name: images[number, "lr"].count for number, name in enumerate(SETS)}
    for name, proportion, count in zip(SETS, deal.proportions, written.values()):
        if proportion and not count:
            raise ValueError(
                f"--nodata: some valid patches for '{name}' are wanted. Received: none, all "
                f"{sum(deal.counts) - sum(written.values())} rejected hold nodata"
            )
    return written


def tell_alignment(alignment: dict, scale: int) -> None:
    """Log how the contents of LR and HR correspond."""
    correlations = alignment["correlation_unshifted"], alignment["correlation"]
    shift = alignment["shift_x"], alignment["shift_y"]
    log.info("LR/HR: correlation %.3f, at best %.3f with HR shifted by (%d, %d) HR pixels", *correlations, *shift)
    if max(map(abs, shift)) > scale:
        log.warning("LR/HR: the images seem to be shifted by more than an LR pixel: look at contact_sheet.png")


def write_tfrecords(folder: Path, written: dict[str, int], seed: int) -> None:
    """Write the sets as TFRecords, with keys `lr` and `hr`."""
    import numpy as np
    import otbtf

    np.random.seed(seed)
    for name, count in written.items():
        if count:
            files = {side: [str(folder / f"{name}_{side}.tif")] for side in ("lr", "hr")}
            dataset = otbtf.DatasetFromPatchesImages(files, use_streaming=True)
            dataset.to_tfrecords(str(folder / name), drop_remainder=False)


def make_dataset(arguments: argparse.Namespace) -> None:
    """Write the patches and the record of the run into the output folder, all or nothing."""
    from chain.raster import http
    from chain.runtime import provenance
    from chain.runtime.files import whole_folder

    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    logging.getLogger("chain").setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    http.configure()
    quiet_gdal = contextlib.nullcontext() if arguments.debug else http.quiet_gdal()
    with quiet_gdal, whole_folder(arguments.output, "dataset.json", arguments.overwrite) as folder:
        result = run(arguments, folder)
        content = {**result, "arguments": vars(arguments), "versions": provenance.versions()}
        provenance.write(folder / "dataset.json", content)
    log.info("%s: %s", arguments.output, ", ".join(f"{result['patches'][name]} {name}" for name in SETS))


def main(argv: list[str] | None = None) -> int:
    """Make the dataset; return 0, or 1 when it failed."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    check_arguments(parser, arguments)
    return command_line.run(parser, arguments, make_dataset)


if __name__ == "__main__":
    sys.exit(main())
