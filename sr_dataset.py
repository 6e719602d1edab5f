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
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from chain.patches.options import BANDS, Command, Options
from chain.runtime.command_line import is_quiet, one_line, run_program
from chain.runtime.progress import LOG, Progress

if TYPE_CHECKING:
    import numpy as np

    from chain.patches.radiometry import Line
    from chain.patches.split import Deal
    from chain.patches.spot import Bundle
    from chain.patches.statistics import Statistics
    from chain.raster.footprint import Footprint
    from chain.sentinel2.image import Sentinel2Image

__all__ = ["BANDS", "Command", "Dataset", "Options", "main", "make_dataset"]

SETS = ("train", "valid", "test")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Dataset:
    """What was made.

    Attributes:
        path: folder of the patches.
        patches: number of pairs of patches of each set.
        bands: bands of the patches, in order.
        record: content of `dataset.json`.
    """

    path: Path
    patches: dict[str, int]
    bands: tuple[str, ...]
    record: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.path}: {', '.join(f'{count} {name}' for name, count in self.patches.items())}"


def find_sentinel2(xs: str, options: Options, footprint: "Footprint") -> "tuple[Sentinel2Image, dict | None]":
    """Return the Sentinel-2 image to pair with the Spot image, and what was measured of its clouds."""
    from chain.patches.dates import moment_of
    from chain.sentinel2 import cloud_cover, stac_search
    from chain.sentinel2.image import open_product

    if options.sentinel2:
        return open_product(options.sentinel2, options.bands, options.offset), None
    if options.item:
        item = stac_search.find_item(options.item, options.stac_url, options.collection)
        candidate = cloud_cover.measure(item, footprint)
    else:
        items = stac_search.search(footprint, "/".join(options.days), options.stac_url, options.collection)
        LOG.info("%d Sentinel-2 items touch the image between %s and %s", len(items), *options.days)
        moment = moment_of(xs)
        date = moment.time if moment else stac_search.middle(options.days)
        candidate = cloud_cover.choose(items, footprint, options.max_cloud_cover, date)
    LOG.info("Sentinel-2: %s", candidate.item.id)
    measured = {"cloudy": round(candidate.cloudy, 4), "uncovered": round(candidate.uncovered, 4)}
    return open_product(candidate.item, BANDS, options.offset), measured


def check_place(options: Options, product: "Sentinel2Image", footprint: "Footprint") -> None:
    """Refuse a Sentinel-2 image, chosen by hand, of another place than the Spot image.

    Raises:
        ValueError: it is.
    """
    from chain.raster.footprint import Footprint

    named = [str(name) for name in options.sentinel2]
    option, name = ("--sentinel2", " ".join(named)) if named else ("--item", options.item)
    if not name:
        return
    ground = Footprint.of(next(iter(product.bands.values())))
    if not ground.geometry().Intersects(footprint.geometry()):
        raise ValueError(f"{option}: expected an image of the place of --xs, got {name}")


class Chain:
    """The chain of OTB applications which gives both images; built anew when signatures expire."""

    def __init__(self, product: "Sentinel2Image", spot: "Bundle"):
        """Chain a Sentinel-2 image and a Spot bundle."""
        self.product, self.spot = product, spot
        self.lines: Sequence[Line] | None = None
        self._images: tuple | None = None

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

    def match(self, lines: "Sequence[Line]") -> None:
        """Bring Spot's bands to another radiometry from now on."""
        self.lines, self._images = lines, None

    def pull(self, read: Callable[..., Result]) -> Result:
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
        """Tell a failure which is not the last one."""
        LOG.warning("%s; attempt %d of %d in %g s", one_line(error), attempt + 1, self.attempts, pause)


def match_radiometry(chain: Chain, footprint: "Footprint") -> "list[Line]":
    """Return the line, for each band, which brings Spot to Sentinel-2's radiometry."""
    from chain.patches import radiometry
    from chain.raster import grids, otb

    xs = chain.spot.multispectral()
    places = grids.spread(footprint.size, side=160, count=25)
    lines = radiometry.fit(
        (otb.read(xs, place), chain.pull(lambda lr, _, place=place: otb.read(lr, place))) for place in places
    )
    for band, line in zip(BANDS, lines):
        LOG.info(
            "%s: Sentinel-2 = %.4f x Spot %+.1f (correlation %.3f over %d cells)",
            band,
            line.gain,
            line.offset,
            line.correlation,
            line.cells,
        )
    return lines


def write_dataset(xs: str, pan: str, folder: Path, options: Options, progress: Progress) -> dict[str, Any]:
    """Write the patches into a folder; return the record of the run."""
    from chain.patches import dates, patches, split
    from chain.patches.content import check_content, tell_size
    from chain.patches.numbers import check_numbers
    from chain.patches.spot import Bundle
    from chain.patches.statistics import Statistics, inspect
    from chain.raster import http
    from chain.sentinel2.integrity import verify
    from chain.serving.input_files import InputWatch, names_behind
    from chain.serving.provenance import acquired, names_of

    begun, before = time.monotonic(), http.traffic()
    progress(0, "images")
    bundle = Bundle.open(xs, pan, options.xs_bands, BANDS, options.nodata, options.lr_patch_size, options.hr_patch_size)
    watches = [InputWatch(names_behind([name]), option) for option, name in (("--xs", xs), ("--pan", pan))]
    dates.check_one_date(xs, pan)
    check_numbers("--xs", bundle.xs, options.nodata, options.match_radiometry)
    check_numbers("--pan", bundle.pan, options.nodata, matched=True)  # it multiplies XS by a ratio, in any unit
    check_content(bundle.xs, bundle.pan, BANDS, options.nodata)
    tell_size(bundle.footprint)
    LOG.info("LR/HR: %s", bundle.correspondence.reason)
    grid = bundle.correspondence.grid
    if min(grid.lr_shape) < grid.lr_size:
        raise ValueError(
            f"--xs: expected at least {grid.lr_size} x {grid.lr_size} pixels, one patch of --lr-patch-size, "
            f"got {grid.lr_shape[0]} x {grid.lr_shape[1]} pixels"
        )
    product, measured = find_sentinel2(xs, options, bundle.footprint)
    check_place(options, product, bundle.footprint)
    watch = InputWatch(names_of(product), "--sentinel2" if options.sentinel2 else product.identity["id"])
    LOG.info("Sentinel-2: level %s, offset of digital numbers %d", product.level, product.offset)
    taken = dates.tell_dates(dates.moment_of(xs), acquired(product.identity))
    chain = Chain(product, bundle)
    if options.match_radiometry:
        chain.match(match_radiometry(chain, bundle.footprint))

    step = options.step or options.lr_patch_size
    starts = patches.select(bundle.xs, bundle.footprint, options.lr_patch_size, step, options.nodata)
    starts = starts[grid.inside(starts)]
    if not len(starts):
        raise ValueError(
            f"--lr-patch-size: expected an image with room for patches of {grid.lr_size} pixels, "
            f"got {grid.lr_shape[0]} x {grid.lr_shape[1]} pixels of --xs, none of them valid"
        )
    deal = split.deal(starts, grid.lr_size, step, options.split, options.seed)
    LOG.info(
        "%d patches: %s; %d dropped between blocks of %d x %d patches",
        len(starts),
        ", ".join(f"{count} {name}" for name, count in zip(SETS, deal.counts)),
        deal.dropped,
        deal.block,
        deal.block,
    )

    statistics = Statistics(len(BANDS))
    with ExitStack() as reading:
        for each in (*watches, watch):
            reading.enter_context(each.reading())
        written = write_patches(chain, bundle, starts, deal, folder, statistics, progress.part(0.1, 0.95))
    alignment = inspect(folder, "train", written["train"])
    tell_alignment(alignment, grid.scale)
    pairs = [(BANDS[one], BANDS[other]) for one, other in statistics.interchanged()]
    for pair in pairs:
        LOG.warning("LR/HR: %s and %s seem to be interchanged in --xs: check --xs-bands", *pair)
    if unit := statistics.other_unit():
        LOG.warning("LR/HR: Spot's numbers are %.2g times Sentinel-2's in all bands: --match-radiometry", unit)
    record = {
        "sentinel2": {**product.identity, "level": product.level, "offset": product.offset, "cover": measured},
        "spot": {"xs": xs, "pan": pan},
        "dates": taken,
        "decisions": [*map(str, product.decisions), *map(str, verify({"XS": xs, "PAN": pan}))],
        "bands": list(BANDS),
        "patches": {**written, "rejected": sum(deal.counts) - sum(written.values()), "dropped": deal.dropped},
        "block": deal.block,
        "radiometry": [vars(line) for line in chain.lines] if chain.lines else None,
        "statistics": {**statistics.report(list(BANDS)), "interchanged": pairs},
        "alignment": {**alignment, "grids": bundle.correspondence.reason},
    }
    if options.tfrecords:
        write_tfrecords(folder, written, options.seed)
    for each in watches:
        each.check_all()
    watch.check_all(names_of(product))
    product.close()
    fetched = http.traffic() - before
    LOG.info("fetched by GDAL: %s", fetched)
    return {**record, "fetched": vars(fetched), "seconds": round(time.monotonic() - begun, 1)}


def write_patches(
    chain: Chain,
    bundle: "Bundle",
    starts: "np.ndarray",
    deal: "Deal",
    folder: Path,
    statistics: "Statistics",
    progress: Progress,
) -> dict[str, int]:
    """Extract the patches strip by strip into the images of the sets; return the number of patches of each."""
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
    fetched, done = http.traffic(), 0
    for cut in strips:
        for number, (lr, hr) in cut.items():
            images[number, "lr"].append(lr)
            images[number, "hr"].append(hr)
            statistics.add(lr, hr)
        count = sum(len(lr) for lr, _ in cut.values())
        now = http.traffic()
        LOG.info("strip of %d patches: %s", count, now - fetched)
        fetched, done = now, done + count
        progress(done / max(sum(deal.counts), 1), f"{done} patches")
    for image in images.values():
        image.close()
    written = {name: images[number, "lr"].count for number, name in enumerate(SETS)}
    for name, proportion, count in zip(SETS, deal.proportions, written.values()):
        if proportion and not count:
            raise ValueError(
                f"--nodata: expected some valid patches for '{name}', got none, "
                f"all {sum(deal.counts) - sum(written.values())} rejected hold nodata"
            )
    return written


def tell_alignment(alignment: dict, scale: int) -> None:
    """Tell how the contents of LR and HR correspond."""
    correlations = alignment["correlation_unshifted"], alignment["correlation"]
    shift = alignment["shift_x"], alignment["shift_y"]
    LOG.info("LR/HR: correlation %.3f, at best %.3f with HR shifted by (%d, %d) HR pixels", *correlations, *shift)
    if max(map(abs, shift)) > scale:
        LOG.warning("LR/HR: the images seem to be shifted by more than an LR pixel: look at contact_sheet.png")


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


def make_dataset(
    xs: str | Path,
    pan: str | Path,
    output: str | Path,
    options: Options = Options(),
    *,
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Dataset:
    """Write the patches and the record of the run into a folder, all or nothing.

    Args:
        xs: Spot multispectral image, orthorectified.
        pan: Spot panchromatic image of the same place.
        output: folder of the patches.
        options: how.
        progress: called with the fraction that is done, 0 to 1, and a short text.
        cancelled: says whether to stop.

    Raises:
        ValueError: an image does not suit, no Sentinel-2 image does, or the folder holds patches already.
        RuntimeError: an image cannot be read, a server fails at every attempt, or a file cannot be written.
        Cancelled: `cancelled` said so; nothing is left in the folder.
    """
    from chain.raster import http
    from chain.runtime import provenance
    from chain.runtime.files import whole_folder

    told, options = Progress(progress, cancelled), options.with_defaults()
    http.configure()
    options.limit_servers()
    quiet_gdal = http.quiet_gdal() if is_quiet() else contextlib.nullcontext()
    with quiet_gdal, whole_folder(Path(output), "dataset.json", options.overwrite) as folder:
        result = write_dataset(str(xs), str(pan), folder, options, told)
        arguments = {**asdict(options), "xs": str(xs), "pan": str(pan), "output": str(output)}
        record = {**result, "arguments": arguments, "versions": provenance.versions()}
        provenance.write(folder / "dataset.json", record)
    told(1, "done")
    return Dataset(Path(output), {name: record["patches"][name] for name in SETS}, BANDS, record)


def command(options: Command, progress: Progress) -> None:
    """Make the patches, and print how many there are."""
    print(make_dataset(options.xs, options.pan, options.output, options, progress=progress))


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        prog="sr_dataset.py",
        description=__doc__.splitlines()[0],
        allow_abbrev=False,
    )
    return run_program(parser, Command, command, argv, doc=__doc__)


if __name__ == "__main__":
    sys.exit(main())
