# SPDX-License-Identifier: Apache-2.0
"""A whole Sentinel-2 scene: its bands at their native resolutions, whatever they come in.

To what `chain.sentinel2` opens, this adds: rasters whose bands only the user can name; images without georeference,
whose pixels are then counted from their own corner; stacks in which all bands were resampled to 10 m, which are
brought back to their native resolution (`chain.native_grid`); and pixels that a mask or the scene classification
takes out.

    with opened_scene(["S_10m.tif", "S_20m.tif", "S_60m.tif"]) as scene:
        scene.product.image(("B05", "B06"))
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from osgeo import gdal

from chain.bands import BANDS
from chain.native_grid import native_product
from chain.sentinel2 import Product, open_files, open_product
from chain.vsimem import new_name

gdal.UseExceptions()

TOLERANCE = 1e-3
"""Relative difference between spacings that count as the same."""


@dataclass(frozen=True)
class Scene:
    """A scene that is open."""

    product: Product
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
    names: Sequence[str], offset: int | None = None, naming: Mapping[float, Sequence[str]] | None = None
) -> Iterator[Scene]:
    """Open a scene for a while.

    Args:
        names: files of the scene, or the one name of what holds it, as `chain.sentinel2.open_product` takes them.
        offset: offset of the digital numbers, which overrides the metadata.
        naming: bands, in order, of rasters that do not describe them, by their pixel size in metres.

    Raises:
        ValueError: the input is no scene, or a band is missing or at a resolution from which it cannot be brought back.
        StacError: an item's images cannot be reached.
    """
    product = _open_named(names, offset, naming) if naming else _open(names, offset)
    try:
        if _is_unplaced(product):
            _place(product)
        factor = _pyramid_factor(product)
        if factor is not None:
            yield Scene(product, 10.0 * factor)
            return
        with tempfile.TemporaryDirectory(prefix="native_bands_") as folder:
            native, resampled = native_product(product, Path(folder))
            yield Scene(native, 10.0, resampled)
    finally:
        product.close()


def _open(names: Sequence[str], offset: int | None) -> Product:
    """Open a scene whose files say what they hold."""
    return open_product(list(names) if len(names) > 1 else names[0], offset=offset)


def _open_named(names: Sequence[str], offset: int | None, naming: Mapping[float, Sequence[str]]) -> Product:
    """Open rasters whose bands the user names."""
    named = {}
    for name in names:
        try:
            named[name] = _bands_of(gdal.Open(name), name, naming)
        except RuntimeError as error:
            raise ValueError(f"{name}: a raster is wanted where bands are named. Received: {error}") from error
    return open_files(names, offset=offset, naming=named)


def _bands_of(dataset: gdal.Dataset, name: str, naming: Mapping[float, Sequence[str]]) -> Sequence[str]:
    """Return the names given for a raster: those of its pixel size, else, without georeference, of its count."""
    spacing = dataset.GetGeoTransform()[1]
    by_size = [bands for gsd, bands in naming.items() if abs(spacing - gsd) < TOLERANCE * gsd]
    by_count = [bands for bands in naming.values() if len(bands) == dataset.RasterCount]
    found = by_size or (by_count if dataset.GetGeoTransform(can_return_null=True) is None else [])
    if len(found) != 1 or len(found[0]) != dataset.RasterCount:
        options = ", ".join(f"--bands-{gsd:g}m" for gsd in naming)
        raise ValueError(
            f"{name}: one of {options} that names its {dataset.RasterCount} bands of {spacing:g} m is wanted. "
            f"Received: {', '.join(f'{len(bands)} at {gsd:g} m' for gsd, bands in naming.items())}"
        )
    return found[0]


def _is_unplaced(product: Product) -> bool:
    """Return whether none of the bands has a georeference."""
    datasets = [gdal.Open(name) for name in product.bands.values()]
    return all(
        not dataset.GetProjection() and dataset.GetGeoTransform(can_return_null=True) is None for dataset in datasets
    )


def _place(product: Product) -> None:
    """Count pixels from the images' common corner: as many metres as the largest image makes a pixel of 10 m.

    Raises:
        ValueError: an image's size is not a whole fraction of the largest one's.
    """
    sizes = {band: gdal.Open(name).RasterXSize for band, name in product.bands.items()}
    finest = min(BANDS[band] for band, size in sizes.items() if size == max(sizes.values()))
    for band, name in list(product.bands.items()):
        ratio = round(max(sizes.values()) / sizes[band])
        if ratio not in (1, round(BANDS[band] / finest)):
            raise ValueError(
                f"{band}: an image of {max(sizes.values())} or {max(sizes.values()) * finest / BANDS[band]:g} columns, "
                f"as the others', is wanted. Received: {sizes[band]}"
            )
        placed = new_name(f"sentinel2_{band}_placed", "vrt")
        dataset = gdal.Translate(placed, gdal.Open(name), format="VRT")
        dataset.SetGeoTransform((0.0, finest * ratio, 0.0, 0.0, 0.0, -finest * ratio))
        dataset.FlushCache()
        product.bands[band] = placed


def _pyramid_factor(product: Product) -> float | None:
    """Return by how much pixels are larger than native ones, None when that differs from band to band.

    Raises:
        ValueError: the images have no coordinates in metres.
    """
    factors = []
    for band, name in product.bands.items():
        dataset = gdal.Open(name)
        crs = dataset.GetSpatialRef()
        if crs is not None and not (crs.IsProjected() and crs.GetLinearUnits() == 1.0):
            raise ValueError(f"input: a projected coordinate system in metres is wanted. Received: {crs.GetName()}")
        factors.append(dataset.GetGeoTransform()[1] / BANDS[band])
    return factors[0] if max(factors) - min(factors) < TOLERANCE * factors[0] else None
