# SPDX-License-Identifier: Apache-2.0
"""Images of an application as numpy arrays (height, width, bands), and back, sharing memory.

An exported array is a view of OTB's buffer and keeps it alive. OTB reads an imported array in place and keeps it alive
as long as needed, which the official wrapper leaves to the caller. Like there, arrays that are not C-contiguous or not
in native byte order are refused.
"""

import numpy as np

from otbApplication import _engine

_NUMPY_NAMES = {
    _engine.ImagePixelType_uint8: "uint8",
    _engine.ImagePixelType_int16: "int16",
    _engine.ImagePixelType_uint16: "uint16",
    _engine.ImagePixelType_int32: "int32",
    _engine.ImagePixelType_uint32: "uint32",
    _engine.ImagePixelType_float: "float32",
    _engine.ImagePixelType_double: "float64",
    _engine.ImagePixelType_cfloat: "complex64",
    _engine.ImagePixelType_cdouble: "complex128",
}
_METHOD_NAMES = {
    _engine.ImagePixelType_uint8: "UInt8",
    _engine.ImagePixelType_int16: "Int16",
    _engine.ImagePixelType_uint16: "UInt16",
    _engine.ImagePixelType_int32: "Int32",
    _engine.ImagePixelType_uint32: "UInt32",
    _engine.ImagePixelType_float: "Float",
    _engine.ImagePixelType_double: "Double",
    _engine.ImagePixelType_cfloat: "CFloat",
    _engine.ImagePixelType_cdouble: "CDouble",
}


def _map(prefix: str, suffix: str) -> dict:
    application = _engine.Application
    return {pixel: getattr(application, f"{prefix}{name}{suffix}") for pixel, name in _METHOD_NAMES.items()}


def pixel_type_to_numpy(app, pixel_type: int) -> str:
    """Return the numpy name of an ImagePixelType_ value, or an empty string for cint16 and cint32."""
    return _NUMPY_NAMES.get(pixel_type, "")


def _set(app, importers: dict, key: str, array: np.ndarray, index: int):
    for pixel_type, importer in importers.items():
        if array.dtype.name == _NUMPY_NAMES[pixel_type]:
            if not array.flags.c_contiguous:
                raise TypeError("Array must be contiguous. A non-contiguous array was given")
            if not array.dtype.isnative:
                raise TypeError("Array must have native byteorder. A byte-swapped array was given")
            return importer(app, key, index, array)
    raise ValueError(f"Can't convert Numpy array of dtype {array.dtype.name}")


def set_image(app, key: str, array: np.ndarray, index: int = 0):
    """Set an input image from an array (height, width) or (height, width, 1), as a scalar image.

    Raises:
        ValueError: the array has more than one band, or a dtype that OTB does not know.
        TypeError: it is not contiguous, or not of native byte order.
    """
    if array.ndim == 2:
        array = array.reshape(*array.shape, 1)
    if array.ndim != 3:
        raise ValueError("Expected 2 or 3 dimensions for numpyarray")
    if array.shape[2] > 1:
        raise ValueError(
            "More than 1 band in numpy array. Cannot convert to Image, use SetVectorImageFromNumpyArray instead"
        )
    return _set(app, app.ImageImporterMap, key, array, index)


def set_vector_image(app, key: str, array: np.ndarray, index: int = 0):
    """Set an input image from an array (height, width) or (height, width, bands), as a vector image.

    Raises:
        ValueError: the array has a dtype that OTB does not know.
        TypeError: it is not contiguous, or not of native byte order.
    """
    if array.ndim == 2:
        array = array.reshape(*array.shape, 1)
    if array.ndim != 3:
        raise ValueError("Expected 2 or 3 dimensions for numpyarray")
    return _set(app, app.VectorImageImporterMap, key, array, index)


def get_vector_image(app, key: str, dt: str = "float") -> np.ndarray:
    """Compute an output image; return it as an array (height, width, bands) of the image's own type.

    `dt` is ignored, as in the official wrapper.

    Raises:
        RuntimeError: the application has not been executed, or computing fails.
        ValueError: numpy has no such pixel type (complex integers).
    """
    pixel_type = app.GetImageBasePixelType(key)
    if pixel_type not in app.NumpyExporterMap:
        raise ValueError(f"Can't convert image of parameter {key} to Numpy: pixel type {pixel_type}")
    return app.NumpyExporterMap[pixel_type](app, key)


def get_image(app, key: str, dt: str = "float") -> np.ndarray:
    """Compute an output image of one band; return it as an array (height, width).

    Raises:
        ValueError: the image has several bands.
    """
    array = get_vector_image(app, key)
    if array.shape[2] > 1:
        raise ValueError(
            "array.shape[2] > 1: output image from application has more than 1 band. "
            "Use GetVectorImageAsNumpyArray, which returns a 3 dimension array."
        )
    return array[:, :, 0]


def _setup(app, image, exported: dict) -> None:
    names = ("origin", "spacing", "size", "region")
    app.SetupImageInformation(image, *(exported[name] for name in names), exported.get("metadata"))


def import_image(app, key: str, exported: dict, index: int = 0) -> None:
    """Set an input image of one band from a dict like that of ExportImage."""
    _setup(app, set_image(app, key, exported["array"], index), exported)


def import_vector_image(app, key: str, exported: dict, index: int = 0) -> None:
    """Set an input image from a dict like that of ExportImage."""
    _setup(app, set_vector_image(app, key, exported["array"], index), exported)


def export_image(app, key: str) -> dict:
    """Compute an output image; return its array, origin, spacing, size, region and metadata."""
    return {
        "array": app.GetVectorImageAsNumpyArray(key),
        "origin": app.GetImageOrigin(key),
        "spacing": app.GetImageSpacing(key),
        "size": app.GetImageSize(key),
        "region": app.GetImageRequestedRegion(key),
        "metadata": app.GetImageMetadata(key),
    }


def extend(application) -> None:
    """Give the class `application` these methods."""
    application.NumpyExporterMap = _map("GetVectorImageAs", "NumpyArray_")
    application.ImageImporterMap = _map("SetImageFrom", "NumpyArray_")
    application.VectorImageImporterMap = _map("SetVectorImageFrom", "NumpyArray_")
    application.ConvertPixelTypeToNumpy = pixel_type_to_numpy
    application.SetImageFromNumpyArray = set_image
    application.SetVectorImageFromNumpyArray = set_vector_image
    application.GetVectorImageAsNumpyArray = get_vector_image
    application.GetImageAsNumpyArray = get_image
    application.ImportImage = import_image
    application.ImportVectorImage = import_vector_image
    application.ExportImage = export_image
