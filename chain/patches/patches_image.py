# SPDX-License-Identifier: Apache-2.0
"""Images of patches stacked vertically, in the format of PatchesExtraction, written piece by piece."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from osgeo import gdal

from chain.raster.writing import check_whole


class PatchesImage:
    """A growing image of patches stacked vertically, in the format of PatchesExtraction."""

    def __init__(self, path: Path, size: int, bands: int, capacity: int, gsd: float, names: Sequence[str] = ()):
        """Create the file with room for `capacity` patches.

        Raises:
            RuntimeError: the file cannot be written.
        """
        self.path, self.size, self.bands, self.capacity, self.count = path, size, bands, capacity, 0
        self._dataset = gdal.GetDriverByName("GTiff").Create(
            str(path), size, size * max(capacity, 1), bands, gdal.GDT_UInt16, options=_options(size)
        )
        self._dataset.SetGeoTransform((-gsd / 2, gsd, 0.0, gsd / 2, 0.0, -gsd))
        for number, name in enumerate(names, 1):
            self._dataset.GetRasterBand(number).SetDescription(name)

    def append(self, patches: np.ndarray) -> None:
        """Write patches (n, size, size, bands), uint16, after the existing ones.

        Raises:
            RuntimeError: they cannot be written, for example because the disk is full.
        """
        count = len(patches)
        try:
            self._dataset.WriteRaster(
                0,
                self.count * self.size,
                self.size,
                count * self.size,
                np.ascontiguousarray(patches).tobytes(),
                buf_pixel_space=2 * self.bands,
                buf_line_space=2 * self.bands * self.size,
                buf_band_space=2,
            )
            self._dataset.FlushCache()
        except RuntimeError as error:
            raise RuntimeError(f"{self.path}: cannot be written (is the disk full?): {error}") from error
        self.count += count

    def close(self) -> None:
        """Finish the file, without the unused room.

        Raises:
            RuntimeError, OSError: the file cannot be written.
        """
        self._dataset.FlushCache()
        self._dataset = None
        if self.count == 0:
            self.path.unlink()
        elif self.count < self.capacity:
            whole = self.path.with_name(f"{self.path.stem}_shrunk.tif")
            window = [0, 0, self.size, self.size * self.count]
            gdal.Translate(
                str(whole), str(self.path), format="GTiff", srcWin=window, creationOptions=_options(self.size)
            )
            whole.replace(self.path)
        if self.count:
            check_whole(self.path)


def _options(size: int) -> list[str]:
    """Return the creation options of an image of patches: one block per patch."""
    return ["INTERLEAVE=PIXEL", f"BLOCKYSIZE={size}", "BIGTIFF=IF_SAFER", "SPARSE_OK=YES"]
