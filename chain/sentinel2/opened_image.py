# SPDX-License-Identifier: Apache-2.0
"""What an opened image has to offer to be super-resolved: the programs and `chain.serving` ask for nothing else.

`chain.sentinel2.image.Sentinel2Image` is one; a reader of another sensor's images would make another.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from chain.sentinel2.decision import Decision


class OpenedImage(Protocol):
    """An image whose bands can be read, with what a product needs to know of it."""

    @property
    def bands(self) -> Mapping[str, str]:
        """For each band, by the sensor's name for it, a raster of one band that GDAL and OTB open by this name."""

    @property
    def nodata(self) -> float:
        """The number that stands for missing pixels in what `image` returns."""

    @property
    def offset(self) -> int:
        """What `image` adds to valid numbers of the rasters, to obtain 10 000 x reflectance."""

    @property
    def level(self) -> str:
        """The processing level, by which weights are chosen: `L1C`, `L2A`, or `unknown`."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """Where the pixels come from: `id`, the scene's name, and whatever a record keeps; JSON."""

    @property
    def decisions(self) -> Sequence[Decision]:
        """What was decided about the input where it could be read in several ways, and why."""

    @property
    def classes(self) -> str | None:
        """A raster of the classes of the ground and the clouds (SCL), a URL or a name for GDAL; None without one."""

    @property
    def hrefs(self) -> Mapping[str, str]:
        """For each remote band, its URL without signature; empty where all are local."""

    @property
    def originals(self) -> Mapping[str, str]:
        """For each band that was brought to another grid for the time being, the raster that it was made of."""

    def image(self, bands: Sequence[str]) -> Any:
        """Return bands of one grid as a `pyotb` image, in memory: 10 000 x reflectance, `nodata` where missing.

        Raises:
            ValueError: a band is missing, or the bands are not on one grid.
        """

    def refresh(self, force: bool = False) -> bool:
        """Renew what expires of remote bands, in any case with `force`.

        Returns:
            Whether names in `bands` changed: what `image` returned before is to be made anew.

        Raises:
            chain.raster.http.RemoteError: a remote band cannot be reached.
        """

    def close(self) -> None:
        """Release what the image holds in memory."""
