# SPDX-License-Identifier: Apache-2.0
"""A whole Sentinel-2 scene: its bands at their native resolutions, whatever they come in.

To what `chain.sentinel2.image` opens, this adds: rasters whose bands only the user can name; images without
georeference, whose pixels are then counted from their own corner; stacks in which all bands were resampled to 10 m,
which are brought back to their native resolution (`chain.sentinel2.native_bands`); and pixels that a mask or the scene
classification takes out.

    with opened_scene(["S_10m.tif", "S_20m.tif", "S_60m.tif"]) as scene:
        scene.product.image(("B05", "B06"))
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from osgeo import gdal

from chain.raster.gdal_memory import new_name
from chain.runtime.files import scratch_folder
from chain.sentinel2.bands import BANDS, companion_in_name, wanted
from chain.sentinel2.image import Sentinel2Image, open_files, open_product
from chain.sentinel2.layers import release
from chain.sentinel2.native_bands import native_product
from chain.sentinel2.place import check_native_map
from chain.sentinel2.rasters import NOT_TAKEN, data_bands, described, opened_raster
from chain.sentinel2.reading import Reading
from chain.sentinel2.stac_item import FileOrItem

gdal.UseExceptions()

TOLERANCE = 1e-3
"""Relative difference between spacings that count as the same."""
METRES = 'PROJCS["image",GEOGCS["none",DATUM["none",SPHEROID["none",6378137,298.257223563]],PRIMEM["Greenwich",0],\
UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],UNIT["metre",1]]'
"""Coordinate system of images without one while their bands are brought back, which takes metres."""


@dataclass(frozen=True)
class Scene:
    """A scene that is open."""

    product: Sentinel2Image
    """Its bands."""
    spacing: float
    """Ground sampling distance of its 10 m bands, in metres: other than 10 when all its bands were made coarser."""
    resampled: Mapping[str, str] = field(default_factory=dict)
    """For each band that had been resampled, and was brought back, the interpolation that had been used."""

    @property
    def scl(self) -> str | None:
        """Scene classification, as a name for GDAL."""
        return self.product.classes


@contextmanager
def opened_scene(
    names: Sequence[FileOrItem],
    offset: int | None = None,
    naming: Mapping[int, Sequence[str]] | None = None,
    bands: Collection[str] | None = None,
    resampled: str | None = None,
    reading: Reading = Reading(),
) -> Iterator[Scene]:
    """Open a scene for a while.

    Args:
        names: files of the scene, or the one name of what holds it, as `chain.sentinel2.image.open_product` takes them.
        offset: offset of the digital numbers, which overrides the metadata.
        naming: bands, in order, of rasters that do not describe them, by their pixel size in metres.
        bands: the bands that are needed, all by default: others are left out, so that they need not be brought back.
        resampled: how bands were resampled whose pixels do not tell it, one of
            `chain.raster.resampling.interpolation.FORCED`.
        reading: how else it is to be read.

    Raises:
        ValueError: the input is no scene, or a band is missing or at a resolution from which it cannot be brought back.
        RemoteError: an item's images cannot be reached.
    """
    with ExitStack() as stack:
        reading = reading if offset is None else replace(reading, offset=offset)
        product = _open_named(names, naming, reading) if naming else _open(names, reading)
        stack.callback(product.close)
        product = product if bands is None else _restricted(product, bands)
        for name in product.bands.values():
            check_native_map(gdal.Open(name), str(product.identity.get("id", "")))
        unplaced = _is_unplaced(product)
        if unplaced:
            product = _placed(product)
            stack.callback(product.close)
            stack.callback(release, product.classes)
        unit, is_native = _unit(product)
        methods: dict[str, str] = {}
        if not is_native:
            folder = stack.enter_context(scratch_folder(None, "native_bands_"))
            native, methods = native_product(product, folder, unit, resampled)
            product = replace(native, originals={band: product.bands[band] for band in methods})
            stack.callback(product.close)
        if unplaced:
            for name in product.bands.values():
                gdal.Open(name, gdal.GA_Update).SetProjection("")
        yield Scene(product, 10.0 * unit, methods)


def _restricted(product: Sentinel2Image, bands: Collection[str]) -> Sentinel2Image:
    """Return a product without the bands that are not needed.

    Raises:
        ValueError: it has none of those that are.
    """
    if not set(bands) & set(product.bands):
        wanted(product.bands, bands, str(product.identity.get("id", "input")))
    return replace(
        product,
        bands=_only(product.bands, bands),
        hrefs=_only(product.hrefs, bands),
        signed=_only(product.signed, bands),
    )


def _only(values: Mapping[str, str], bands: Collection[str]) -> dict[str, str]:
    """Return the values of some bands."""
    return {band: value for band, value in values.items() if band in bands}


def _open(names: Sequence[FileOrItem], reading: Reading) -> Sentinel2Image:
    """Open a scene whose files say what they hold."""
    return open_product(list(names) if len(names) > 1 else names[0], reading=reading)


def _open_named(names: Sequence[FileOrItem], naming: Mapping[int, Sequence[str]], reading: Reading) -> Sentinel2Image:
    """Open rasters whose bands the user names."""
    for gsd, bands in naming.items():
        for band in bands:
            if band not in BANDS and band != NOT_TAKEN:
                raise ValueError(f"--bands-{gsd:g}m: expected names among {', '.join(BANDS)}, got {band}")
    files = [str(name) for name in names if isinstance(name, str | Path)]
    if len(files) < len(names):
        raise ValueError(f"--bands-{next(iter(naming)):g}m: expected rasters, got a STAC item")
    named = {}
    for name in files:
        if companion_in_name(Path(name).stem):
            continue
        bands_of_file = _bands_of(opened_raster(name), name, naming)
        if bands_of_file:
            named[name] = bands_of_file
    return open_files(files, naming=named, reading=reading)


def _bands_of(dataset: gdal.Dataset, name: str, naming: Mapping[int, Sequence[str]]) -> Sequence[str]:
    """Return the names given for a raster: those of its pixel size, else, without georeference, of its count.

    There are none for a raster that describes its bands, or whose name does.
    """
    spacing = dataset.GetGeoTransform()[1]
    by_size = [bands for gsd, bands in naming.items() if abs(spacing - gsd) < TOLERANCE * gsd]
    by_count = [bands for bands in naming.values() if len(bands) == dataset.RasterCount]
    found = by_size or (by_count if dataset.GetGeoTransform(can_return_null=True) is None else [])
    told = described(dataset, name)
    counts = {dataset.RasterCount, data_bands(dataset)}
    fitting = [bands for bands in found if len(bands) in counts]
    if told.bands and not fitting:
        return ()
    if len(fitting) != 1:
        options = ", ".join(f"--bands-{gsd:g}m" for gsd in naming)
        raise ValueError(
            f"{name}: expected one of {options} that names its {dataset.RasterCount} bands of {spacing:g} m, "
            f"got {', '.join(f'{len(bands)} at {gsd:g} m' for gsd, bands in naming.items())}"
        )
    return fitting[0]


def _is_unplaced(product: Sentinel2Image) -> bool:
    """Return whether none of the bands has a georeference."""
    datasets = [gdal.Open(name) for name in product.bands.values()]
    return all(
        not dataset.GetProjection() and dataset.GetGeoTransform(can_return_null=True) is None for dataset in datasets
    )


def _placed(product: Sentinel2Image) -> Sentinel2Image:
    """Return a product whose pixels are counted from the images' common corner.

    The largest image tells how many metres: its pixels are those of the finest of its bands.

    Raises:
        ValueError: an image's size is not a whole fraction of the largest one's.
    """
    sizes = {band: _size(name) for band, name in product.bands.items()}
    largest = max(sizes.values())
    finest = min(BANDS[band] for band, size in sizes.items() if size == largest)
    ratios = {}
    for band, size in sizes.items():
        native = round(BANDS[band] / finest)
        ratio = next((ratio for ratio in (1, native) if _is_fraction(size, largest, ratio)), None)
        if ratio is None:
            fitting = dict.fromkeys(tuple(-(-side // ratio) for side in largest) for ratio in (1, native))
            raise ValueError(
                f"{band}: expected an image of {' or '.join(f'{x} x {y}' for x, y in fitting)} pixels, as the others', "
                f"got {size[0]} x {size[1]}"
            )
        ratios[band] = ratio
    placed = {
        band: _at_corner(product.bands[band], finest * ratio, f"sentinel2_{band}_placed")
        for band, ratio in ratios.items()
    }
    classes = product.classes
    if classes:
        size = _size(classes)
        ratio = round(largest[0] / size[0])
        fits = _is_fraction(size, largest, ratio)
        classes = _at_corner(classes, finest * ratio, "sentinel2_classes", "") if fits else None
    return replace(product, bands=placed, classes=classes)


def _size(name: str) -> tuple[int, int]:
    """Return columns and rows of a raster."""
    dataset = gdal.Open(name)
    return dataset.RasterXSize, dataset.RasterYSize


def _is_fraction(size: tuple[int, int], largest: tuple[int, int], ratio: int) -> bool:
    """Return whether as many pixels cover an image of the largest size, but for a part of a pixel."""
    return all(abs(side * ratio - whole) < ratio for side, whole in zip(size, largest))


def _at_corner(name: str, spacing: float, stem: str, projection: str = METRES) -> str:
    """Return the name, in GDAL's memory, of a raster whose pixels are counted from its corner."""
    placed = new_name(stem, "vrt")
    dataset = gdal.Translate(placed, gdal.Open(name), format="VRT")
    dataset.SetGeoTransform((0.0, spacing, 0.0, 0.0, 0.0, -spacing))
    dataset.SetProjection(projection)
    dataset.FlushCache()
    return placed


def _unit(product: Sentinel2Image) -> tuple[float, bool]:
    """Return by how much pixels are larger than native ones, and whether that is so in all bands.

    Where it is not, the bands of the largest pixels, compared with their own native ones, are taken to be native. No
    pixels are smaller than Sentinel-2's: where all are, all bands had been resampled.

    Raises:
        ValueError: fine bands were made coarser and others not.
    """
    factors = {}
    for band, name in product.bands.items():
        dataset = gdal.Open(name)
        factors[band] = dataset.GetGeoTransform()[1] / BANDS[band]
    coarsest = max(factors, key=lambda band: factors[band])
    unit = max(factors[coarsest], 1.0)
    is_native = unit - min(factors.values()) < TOLERANCE * unit
    if not is_native and unit > 1 + TOLERANCE and any(abs(factor - 1) < TOLERANCE for factor in factors.values()):
        raise ValueError(f"{coarsest}: expected pixels of {BANDS[coarsest]:g} m, got {unit * BANDS[coarsest]:g} m")
    return unit, is_native
