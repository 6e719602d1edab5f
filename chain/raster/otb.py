# SPDX-License-Identifier: Apache-2.0
"""Regions of images in OTB's memory: reading them, planning them, handing arrays back to OTB."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Region:
    """A rectangle of an image, in pixels."""

    x: int
    """First column."""
    y: int
    """First row."""
    width: int
    """Columns."""
    height: int
    """Rows."""

    def scaled(self, factor: int) -> "Region":
        """Return the same ground on a grid `factor` times finer."""
        return Region(self.x * factor, self.y * factor, self.width * factor, self.height * factor)

    def grown(self, margin: int, size: tuple[int, int]) -> "Region":
        """Return the region with a margin on each side, within an image of this size (columns, rows)."""
        x, y = max(self.x - margin, 0), max(self.y - margin, 0)
        right = min(self.x + self.width + margin, size[0])
        bottom = min(self.y + self.height + margin, size[1])
        return Region(x, y, right - x, bottom - y)


def grow(mask: np.ndarray, reach: int) -> np.ndarray:
    """Grow a mask by `reach` pixels in both directions of both axes."""
    for axis in (0, 1):
        padding = [(reach + 1, reach) if side == axis else (0, 0) for side in (0, 1)]
        sums = np.cumsum(np.pad(mask.astype(np.int64), padding), axis=axis)
        length, window = mask.shape[axis], 2 * reach + 1
        mask = np.take(sums, np.arange(window, window + length), axis) > np.take(sums, np.arange(length), axis)
    return mask


def spread(size: tuple[int, int], side: int, count: int) -> list[Region]:
    """Return about `count` square regions, apart from each other, spread over an image of this size (columns, rows)."""
    width, height = (min(side, length) for length in size)
    most = max(1, round(count**0.5))
    lefts, tops = (
        np.linspace(0, length - extent, min(most, length // extent)).astype(int).tolist()
        for length, extent in ((size[0], width), (size[1], height))
    )
    return [Region(left, top, width, height) for top in tops for left in lefts]


def read(image, region: Region) -> np.ndarray:
    """Pull one region through the chain behind a `pyotb` image.

    Returns:
        Array (height, width, bands), float32, owned by the caller.

    Raises:
        RuntimeError: OTB cannot compute or read it.
    """
    import pyotb

    extract = pyotb.ExtractROI(
        {
            "in": image,
            "startx": region.x,
            "starty": region.y,
            "sizex": region.width,
            "sizey": region.height,
        }
    )
    return np.array(extract.app.ExportImage("out")["array"], dtype=np.float32)


def in_memory(array: np.ndarray, origin: tuple[float, float], spacing: tuple[float, float]):
    """Return an array (height, width, bands) as a `pyotb` image without a file.

    Args:
        array: pixels; the image keeps them alive, as OTB only points to them.
        origin: centre of the first pixel.
        spacing: of columns and rows; negative for rows of a north-up image.
    """
    import otbApplication
    import pyotb

    height, width = array.shape[:2]
    description = {
        "array": np.ascontiguousarray(array, dtype=np.float32),
        "origin": otbApplication.itkPoint(),
        "spacing": otbApplication.itkVector(),
        "size": otbApplication.itkSize(),
        "region": otbApplication.itkRegion(),
        "metadata": otbApplication.ImageMetadata(),
    }
    for key, values in (("origin", origin), ("spacing", spacing), ("size", (width, height))):
        for axis, value in enumerate(values):
            description[key].SetElement(axis, value)
    first = otbApplication.itkIndex()
    first.Fill(0)
    description["region"].SetIndex(first)
    description["region"].SetSize(description["size"])
    image = pyotb.ExtractROI(frozen=True)
    image.app.ImportVectorImage("in", description)
    image.execute()
    image.pixels = description["array"]
    return image
