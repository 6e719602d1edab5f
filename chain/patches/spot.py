# SPDX-License-Identifier: Apache-2.0
"""A Spot-6/7 bundle: a multispectral (XS) and a panchromatic (PAN) image of the same place, pansharpened by OTB."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from osgeo import gdal

from chain.patches.correspondence import Correspondence, correspond
from chain.patches.patches import Conditioning
from chain.patches.radiometry import Line
from chain.raster.footprint import Footprint
from chain.raster.gdal_memory import new_name
from chain.raster.opening import name_for_otb, open_raster
from chain.raster.otb import OtbImage
from chain.sentinel2.bands import COMMON_NAMES

WORDS = {word[:length]: COMMON_NAMES[word] for word in ("blue", "green", "red", "nir") for length in (1, len(word))}
"""What descriptions of bands begin with, words or their initials, and Sentinel-2's bands that are like these."""
INTERPOLATION_RADIUS = 2
"""Radius of OTB's bicubic interpolator, in pixels of the interpolated image."""
SMOOTHING_RADIUS = 3
"""Radius of the mean of PAN in OTB's RCS pansharpening, in PAN pixels."""


@dataclass(frozen=True)
class Bundle:
    """The two images, ready for a chain."""

    xs: str
    """Multispectral image, with its bands in order."""
    pan: str
    """Panchromatic image."""
    footprint: Footprint
    """Footprint of the multispectral image."""
    correspondence: Correspondence
    """How the pixels of the two images correspond."""
    bands: tuple[str, ...]
    """Names of the bands."""
    nodata: float | None
    """Digital number of nodata in both images."""

    @classmethod
    def open(
        cls,
        xs: str,
        pan: str,
        xs_bands: Sequence[str],
        bands: Sequence[str],
        nodata: float | None,
        lr_size: int,
        hr_size: int,
    ) -> "Bundle":
        """Open a bundle.

        Args:
            xs: path of the multispectral image.
            pan: path of the panchromatic image.
            xs_bands: names of the bands of `xs`, in its order.
            bands: names of the bands to use, in order.
            nodata: digital number of nodata, or None.
            lr_size: side of the patches, in pixels of `xs`.
            hr_size: side of the patches, in pixels of `pan`.

        Raises:
            ValueError: an image is missing, not orthorectified, has other bands or nodata, or does not match the other.
        """
        for option, path, count in (("--xs", xs, len(xs_bands)), ("--pan", pan, 1)):
            try:
                dataset = open_raster(str(path))
            except RuntimeError as error:
                raise ValueError(f"{option}: expected a readable raster, got {path} ({error})") from error
            if dataset.RasterCount != count:
                raise ValueError(f"{option}: expected {count} bands, got {dataset.RasterCount} in {path}")
            _check_nodata(dataset, option, nodata)
            if option == "--xs":
                _check_described(dataset, xs_bands)
        xs, pan = name_for_otb(xs), name_for_otb(pan)
        footprint = Footprint.of(xs)
        correspondence = correspond(footprint, Footprint.of(pan), lr_size, hr_size)
        if list(xs_bands) != list(bands):
            order = [list(xs_bands).index(band) + 1 for band in bands]
            name = new_name("spot", "vrt")
            gdal.Translate(name, xs, format="VRT", bandList=order)
            xs = name
        return cls(xs, pan, footprint, correspondence, tuple(bands), nodata)

    def multispectral(self, lines: Sequence[Line] | None = None) -> OtbImage | str:
        """Return the multispectral image, with nodata at 0, where there is one.

        Args:
            lines: gain and offset of each band, to apply; valid pixels remain at least 1.
        """
        return _expressed(self.xs, len(self.bands), self.nodata, lines)

    def pansharpened(self, lines: Sequence[Line] | None = None) -> OtbImage:
        """Return the multispectral image at the resolution of the panchromatic one, with nodata at 0.

        Args:
            lines: gain and offset of each band, applied to `multispectral`: pansharpening multiplies it by the ratio of
                PAN to its local mean.
        """
        import pyotb

        pan = _expressed(self.pan, 1, self.nodata, None)
        if self.correspondence.reference:
            pan = pyotb.Superimpose(inr=self.correspondence.reference, inm=pan)
        return pyotb.BundleToPerfectSensor(inp=pan, inxs=self.multispectral(lines))

    def conditioning(self, product: Any) -> Conditioning:
        """Return how far nodata affects the images that are interpolated and pansharpened.

        Args:
            product: Sentinel-2 image that is interpolated onto the grid of the multispectral image.
        """
        source = Footprint.of(next(iter(product.bands.values())))
        steps = source.to_crs(np.array([source.corner, source.corner + source.spacing]), self.footprint.projection)
        ratio = float(np.abs((steps[1] - steps[0]) / self.footprint.spacing).max())
        scale = self.correspondence.grid.scale
        resampling = INTERPOLATION_RADIUS + 1 if self.correspondence.reference else 0
        hr_margin = max(INTERPOLATION_RADIUS * scale, SMOOTHING_RADIUS) + resampling + 1
        return Conditioning(
            math.ceil(INTERPOLATION_RADIUS * ratio) + 1,
            hr_margin + SMOOTHING_RADIUS,
            self.nodata is not None,
        )


def _check_nodata(dataset: gdal.Dataset, option: str, nodata: float | None) -> None:
    """Refuse a raster that declares another nodata than the one that is looked for; NaN is nodata in any case.

    Raises:
        ValueError: it does.
    """
    declared = dataset.GetRasterBand(1).GetNoDataValue()
    told = nodata is not None and declared is not None and not math.isnan(nodata) and not math.isnan(declared)
    if told and declared != nodata:
        raise ValueError(f"--nodata: expected {declared:g}, which {option} declares, or none, got {nodata:g}")


def _check_described(dataset: gdal.Dataset, names: Sequence[str]) -> None:
    """Refuse names of bands that contradict their descriptions.

    Spot's own numbers, B0 to B3, are not Sentinel-2's: numbers count where they are the names that are asked for.

    Raises:
        ValueError: they do.
    """
    described = [dataset.GetRasterBand(number).GetDescription() for number in range(1, dataset.RasterCount + 1)]
    words = [re.split(r"[^a-z0-9]", text.strip().lower())[0] for text in described]
    told = described if sorted(described) == sorted(names) else [WORDS.get(word, "") for word in words]
    if any(band and band != name for band, name in zip(told, names)):
        raise ValueError(
            f"--xs-bands: expected bands as --xs describes them, {', '.join(described)}, got {','.join(names)}"
        )


def _expressed(path: str, bands: int, nodata: float | None, lines: Sequence[Line] | None) -> OtbImage | str:
    """Return an image with nodata at 0 and a line applied to each band; the path itself if nothing changes.

    Without nodata, 0 is a value: missing pixels (NaN) then stay NaN.
    """
    import pyotb

    floating = gdal.Open(path).GetRasterBand(1).DataType in (gdal.GDT_Float32, gdal.GDT_Float64)
    if lines is None and (nodata is None or not floating and nodata == 0):
        return path
    expressions: list[str] = []
    for band in (f"im1b{number}" for number in range(1, bands + 1)):
        value = band
        if lines is not None:
            line = lines[len(expressions)]
            value = f"max({band} * {line.gain!r} + ({line.offset!r}), 1)"
        missing = [f"{band} != {band}"] if floating else []
        if nodata is not None and not math.isnan(nodata):
            everywhere = " && ".join(f"im1b{number} == {nodata!r}" for number in range(1, bands + 1))
            missing.append(f"({everywhere})")
        nothing = band if nodata is None else "0"
        expressions.append(f"({' || '.join(missing)}) ? {nothing} : {value}" if missing else value)
    images = [pyotb.BandMath(il=[path], exp=expression) for expression in expressions]
    return pyotb.ConcatenateImages(il=images) if bands > 1 else images[0]
