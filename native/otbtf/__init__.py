# SPDX-License-Identifier: Apache-2.0
"""The documented Python API of OTBTF, for machines without the otbtf image.

This module replaces the package `otbtf` of the images `mdl4eo/otbtf`, with the same names, signatures and conventions.
It behaves like OTBTF 4.3.1 under Keras 2 and like OTBTF 5.0 under Keras 3. It is written from the documentation and the
behaviour of that package, see https://otbtf.readthedocs.io.

python -c "import otbtf; print(otbtf.__version__)"
"""

import warnings

try:  # before TensorFlow, whose copy of sqlite would hide the one GDAL needs for spatial indices
    from otbtf.utils import gdal_open, read_as_np_arr
except ImportError as error:
    if error.name is None or error.name.split(".")[0] != "osgeo":
        raise
    warnings.warn(f"GDAL is missing ({error}): patches images cannot be read, but TFRecords can.", stacklevel=2)
    HAS_GDAL = False
else:
    HAS_GDAL = True

from otbtf import layers, ops
from otbtf.model import KERAS_3, ModelBase
from otbtf.tfrecords import TFRecords

__version__ = "5.0.0+native" if KERAS_3 else "4.3.1+native"

__all__ = ["ModelBase", "TFRecords", "layers", "ops"]

if HAS_GDAL:
    from otbtf.dataset import (
        Buffer,
        Dataset,
        DatasetFromPatchesImages,
        IteratorBase,
        PatchesImagesReader,
        PatchesReaderBase,
        RandomIterator,
    )

    __all__ += [
        "Buffer",
        "Dataset",
        "DatasetFromPatchesImages",
        "IteratorBase",
        "PatchesImagesReader",
        "PatchesReaderBase",
        "RandomIterator",
        "gdal_open",
        "read_as_np_arr",
    ]
