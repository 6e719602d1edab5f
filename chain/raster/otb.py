# SPDX-License-Identifier: Apache-2.0
"""Exchange of pixels with OTB in memory: regions read from a chain, and arrays as its input.

OTB is used by one thread at a time. Each use of a parameter compiles a regular expression, and KWSys up to ITK 4.13
does this in memory that all threads of a process share.
"""

import threading
from typing import Any

import numpy as np

from chain.raster.grids import Region

OTB_LOCK = threading.RLock()
"""Held while OTB applications are created, queried or run."""

OtbImage = Any
"""An image of a chain: a `pyotb` application with an image output."""


def read(image: OtbImage, region: Region) -> np.ndarray:
    """Compute a region of an image through the chain behind it.

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
            "sizex": region.columns,
            "sizey": region.rows,
        }
    )
    return np.array(extract.app.ExportImage("out")["array"], dtype=np.float32)


def in_memory(array: np.ndarray, origin: tuple[float, float], spacing: tuple[float, float]) -> OtbImage:
    """Return an array (height, width, bands) as a `pyotb` image without a file.

    Args:
        array: pixels; the image keeps a reference, because OTB only points to them.
        origin: centre of the first pixel.
        spacing: of columns and rows; the latter is negative in a north-up image.
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
