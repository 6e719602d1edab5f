# SPDX-License-Identifier: Apache-2.0
"""A Spot-6/7 bundle: a multispectral (XS) and a panchromatic (PAN) image of the same place, pansharpened by OTB."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from osgeo import gdal

from chain.patches.correspondence import Correspondence, correspond
from chain.patches.patches import Conditioning
from chain.raster.footprint import Footprint
from chain.raster.gdal_memory import new_name

INTERPOLATION_RADIUS = 2
"""Of OTB's bicubic interpolator, in pixels of what is interpolated."""
SMOOTHING_RADIUS = 3
"""Of the mean of PAN in OTB's RCS pansharpening, in PAN pixels."""


@dataclass(frozen=True)
class Bundle:
    """Both images, ready to be chained."""

    xs: str
    """Multispectral image, its bands in the wanted order."""
    pan: str
    """Panchromatic image."""
    footprint: Footprint
    """Ground of the multispectral image."""
    correspondence: Correspondence
    """How the pixels of the two correspond."""
    bands: tuple[str, ...]
    """Names of the bands."""
    nodata: float | None
    """Digital number without data in both images."""

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
            bands: names of the bands wanted, in order.
            nodata: digital number without data, or None.
            lr_size: side of the patches, in pixels of `xs`.
            hr_size: side of the patches, in pixels of `pan`.

        Raises:
            ValueError: an image is missing, not orthorectified, has other bands, or does not go with the other.
        """
        for option, path, count in (("--xs", xs, len(xs_bands)), ("--pan", pan, 1)):
            try:
                dataset = gdal.Open(str(path))
            except RuntimeError as error:
                raise ValueError(f"{option}: expected a readable raster, got {path} ({error})") from error
            if dataset.RasterCount != count:
                raise ValueError(f"{option}: expected {count} bands, got {dataset.RasterCount} in {path}")
        footprint = Footprint.of(xs)
        correspondence = correspond(footprint, Footprint.of(pan), lr_size, hr_size)
        if list(xs_bands) != list(bands):
            order = [list(xs_bands).index(band) + 1 for band in bands]
            name = new_name("spot", "vrt")
            gdal.Translate(name, xs, format="VRT", bandList=order)
            xs = name
        return cls(xs, pan, footprint, correspondence, tuple(bands), nodata)

    def multispectral(self, lines: Sequence | None = None):
        """Return the multispectral image, 0 where there is no data.

        Args:
            lines: for each band, its gain and offset; valid pixels stay at 1 at least.
        """
        return _expressed(self.xs, len(self.bands), self.nodata, lines)

    def pansharpened(self, lines: Sequence | None = None):
        """Return the multispectral image at the resolution of the panchromatic one, 0 where there is no data.

        Args:
            lines: for each band, the gain and offset of `multispectral`: pansharpening multiplies them by the
                ratio of PAN to its local mean.
        """
        import pyotb

        pan = _expressed(self.pan, 1, self.nodata, None)
        if self.correspondence.reference:
            pan = pyotb.Superimpose(inr=self.correspondence.reference, inm=pan)
        return pyotb.BundleToPerfectSensor(inp=pan, inxs=self.multispectral(lines))

    def conditioning(self, product) -> Conditioning:
        """Return how far nodata spoils what is interpolated and pansharpened from it.

        Args:
            product: Sentinel-2 product which is interpolated on the grid of the multispectral image.
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


def acquisition_date(path: str) -> datetime | None:
    """Return the date at which an image was taken, when its metadata say it."""
    dataset = gdal.Open(path)
    texts = (dataset.GetMetadata("IMAGERY").get("ACQUISITIONDATETIME"), dataset.GetMetadataItem("TIFFTAG_DATETIME"))
    for text, form in zip(texts, ("%Y-%m-%d %H:%M:%S", "%Y:%m:%d %H:%M:%S")):
        try:
            return datetime.strptime(text or "", form)
        except ValueError:
            continue
    return None


def _expressed(path: str, bands: int, nodata: float | None, lines: Sequence | None):
    """Return an image with nodata at 0, and a line of each band; its path when there is nothing to do."""
    import pyotb

    floating = gdal.Open(path).GetRasterBand(1).DataType in (gdal.GDT_Float32, gdal.GDT_Float64)
    if lines is None and not floating and nodata in (None, 0):
        return path
    expressions = []
    for band in (f"im1b{number}" for number in range(1, bands + 1)):
        value = band
        if lines is not None:
            line = lines[len(expressions)]
            value = f"max({band} * {line.gain!r} + ({line.offset!r}), 1)"
        missing = [f"{band} != {band}"] if floating else []
        if nodata is not None and not math.isnan(nodata):
            everywhere = " && ".join(f"im1b{number} == {nodata!r}" for number in range(1, bands + 1))
            missing.append(f"({everywhere})")
        expressions.append(f"({' || '.join(missing)}) ? 0 : {value}" if missing else value)
    images = [pyotb.BandMath(il=[path], exp=expression) for expression in expressions]
    return pyotb.ConcatenateImages(il=images) if bands > 1 else images[0]
