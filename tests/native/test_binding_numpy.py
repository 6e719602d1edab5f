# SPDX-License-Identifier: Apache-2.0
"""numpy arrays in and out: types, shapes, shared memory, lifetimes."""

import gc
import weakref

import numpy as np
import otbApplication as otb
import pytest

from tests.native.regions import pair, region_of

TYPES = {
    "uint8": otb.ImagePixelType_uint8,
    "int16": otb.ImagePixelType_int16,
    "uint16": otb.ImagePixelType_uint16,
    "int32": otb.ImagePixelType_int32,
    "uint32": otb.ImagePixelType_uint32,
    "float32": otb.ImagePixelType_float,
    "float64": otb.ImagePixelType_double,
    "complex64": otb.ImagePixelType_cfloat,
    "complex128": otb.ImagePixelType_cdouble,
}
REAL_TYPES = [name for name in TYPES if not name.startswith("complex")]


def create(name):
    return otb.Registry.CreateApplicationWithoutLogger(name)


def random(shape, dtype):
    return np.random.default_rng(2).integers(0, 200, shape).astype(dtype)


def test_names_of_pixel_types():
    app = create("ExtractROI")
    assert {app.ConvertPixelTypeToNumpy(value): value for value in TYPES.values()} == TYPES


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("bands", [1, 3])
def test_vector_image(dtype, bands):
    array = random((7, 9, bands), dtype)
    app = create("ExtractROI")
    app.SetVectorImageFromNumpyArray("in", array)
    assert app.GetImageBasePixelType("in") == TYPES[dtype]
    assert list(app.GetImageSize("in")) == [9, 7] and app.GetImageNbBands("in") == bands
    app.Execute()
    np.testing.assert_array_equal(app.GetVectorImageAsNumpyArray("out"), array.astype(np.float32))


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("shape", [(7, 9), (7, 9, 1)])
def test_image(dtype, shape):
    array = random(shape, dtype)
    app = create("BandMath")
    app.SetImageFromNumpyArray("il", array)
    app.SetParameterString("exp", "im1b1 + 1")
    app.Execute()
    np.testing.assert_array_equal(app.GetImageAsNumpyArray("out"), array.reshape(7, 9) + 1.0)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_image_is_known(dtype):
    app = create("ExtractROI")
    app.SetImageFromNumpyArray("in", random((4, 5), dtype))
    assert app.GetImageBasePixelType("in") == TYPES[dtype]


def test_list_of_arrays():
    arrays = [random((7, 9, 2), "uint16") + i for i in range(3)]
    app = create("ConcatenateImages")
    for i, array in enumerate(arrays):
        app.SetVectorImageFromNumpyArray("il", array, i)
    app.Execute()
    np.testing.assert_array_equal(app.GetVectorImageAsNumpyArray("out"), np.concatenate(arrays, axis=2))


def test_dictionary_round_trip(write_raster):
    source = create("ExtractROI")
    source.SetParameterString("in", str(write_raster("in.tif", random((20, 30, 3), "uint16"))))
    source.Execute()
    source.PropagateRequestedRegion("out", region_of(4, 6, 10, 8))
    exported = source.ExportImage("out")
    assert list(exported) == ["array", "origin", "spacing", "size", "region", "metadata"]
    exported["array"] = exported["array"] * 2
    target = create("ExtractROI")
    target.ImportVectorImage("in", exported)
    assert target.GetImageProjection("in") == source.GetImageProjection("out")
    assert list(target.GetImageOrigin("in")) == [300005.0, 5000035.0]
    assert list(target.GetImageSpacing("in")) == [10.0, -10.0]
    assert target.GetImageRequestedRegion("in") == region_of(4, 6, 10, 8)
    exported["array"] = exported["array"][:, :, :1].copy()
    target.ImportImage("in", exported)
    assert target.GetImageNbBands("in") == 1


def test_import_of_a_dictionary(capfd):
    app = create("ExtractROI")
    information = {
        "array": random((4, 5, 2), "float32"),
        "origin": pair(otb.itkPoint, 5.0, -5.0),
        "spacing": pair(otb.itkVector, 10.0, -10.0),
        "size": pair(otb.itkSize, 5, 4),
        "metadata": None,
    }
    with pytest.raises(TypeError):
        app.ImportVectorImage("in", {**information, "origin": (5.0, -5.0), "region": region_of(0, 0, 5, 4)})
    app.ImportVectorImage("in", {**information, "region": region_of(0, 0, 5, 4)})
    app.Execute()
    assert list(app.GetImageOrigin("out")) == [5.0, -5.0]
    assert list(app.GetImageSpacing("out")) == [10.0, -10.0]
    app.ImportVectorImage("in", {**information, "region": region_of(0, 0, 4, 4)})
    assert "Given buffered size doesn't match actual buffer size" in capfd.readouterr().err
    assert list(app.GetImageOrigin("in")) == [5.0, -5.0]


def test_import_does_not_copy():
    array = random((4, 5, 2), "float32")
    app = create("ExtractROI")
    app.SetVectorImageFromNumpyArray("in", array)
    array[1, 2, 1] = 777
    app.Execute()
    assert app.GetVectorImageAsNumpyArray("out")[1, 2, 1] == 777


def test_import_keeps_the_array_alive():
    array = random((4, 5, 2), "float32")
    expected = array.copy()
    reference = weakref.ref(array)
    app = create("ExtractROI")
    app.SetVectorImageFromNumpyArray("in", array)
    del array
    gc.collect()
    assert reference() is not None
    app.Execute()
    np.testing.assert_array_equal(app.GetVectorImageAsNumpyArray("out"), expected)
    del app
    gc.collect()
    assert reference() is None


def test_views_and_foreign_byte_order_are_refused():
    array = random((8, 10, 3), "uint16")
    for view, message in (
        (array[::2, 1:, ::-1], "A non-contiguous array was given"),
        (np.asfortranarray(array), "A non-contiguous array was given"),
        (array.astype(">u2"), "A byte-swapped array was given"),
    ):
        with pytest.raises(TypeError, match=message):
            create("ExtractROI").SetVectorImageFromNumpyArray("in", view)


def test_export_does_not_copy(write_raster):
    app = create("ExtractROI")
    app.SetParameterString("in", str(write_raster("in.tif", random((20, 30, 3), "uint16"))))
    app.Execute()
    first, second = (app.GetVectorImageAsNumpyArray("out") for _ in range(2))
    assert np.shares_memory(first, second) and not first.flags.owndata
    expected = first.copy()
    del app
    gc.collect()
    np.testing.assert_array_equal(first, expected)
    assert first.shape == (20, 30, 3) and first.flags.c_contiguous and first.flags.writeable


@pytest.mark.parametrize("dtype", ["int8", "int64", "float16", "bool"])
def test_unknown_types_are_refused(dtype):
    app = create("ExtractROI")
    with pytest.raises(ValueError, match=f"Can't convert Numpy array of dtype {dtype}"):
        app.SetVectorImageFromNumpyArray("in", np.zeros((4, 5, 2), dtype))


@pytest.mark.parametrize("written_first", [True, False])
def test_exported_arrays_keep_their_values(write_raster, tmp_path, written_first):
    small, large = (random((size, size), "uint16") for size in (40, 400))
    app = create("BandMath")
    app.SetParameterStringList("il", [str(write_raster("small.tif", small))])
    app.SetParameterString("exp", "im1b1")
    app.SetParameterString("out", str(tmp_path / "out.tif"))
    if written_first:
        app.ExecuteAndWriteOutput()
    app.Execute()
    first = app.GetImageAsNumpyArray("out")
    app.SetParameterString("exp", "im1b1 + 1")
    app.Execute()
    second = app.GetImageAsNumpyArray("out")
    app.SetParameterStringList("il", [str(write_raster("large.tif", large))])
    app.Execute()
    np.testing.assert_array_equal(app.GetImageAsNumpyArray("out"), large + 1)
    np.testing.assert_array_equal(first, small)
    np.testing.assert_array_equal(second, small + 1)


def test_wrong_shapes_are_refused():
    app = create("ExtractROI")
    with pytest.raises(ValueError, match="Expected 2 or 3 dimensions"):
        app.SetVectorImageFromNumpyArray("in", np.zeros(4, np.uint8))
    with pytest.raises(ValueError, match="More than 1 band"):
        app.SetImageFromNumpyArray("in", np.zeros((4, 5, 2), np.uint8))
    app.SetVectorImageFromNumpyArray("in", np.zeros((4, 5, 2), np.uint8))
    app.Execute()
    with pytest.raises(ValueError, match="more than 1 band"):
        app.GetImageAsNumpyArray("out")


def test_typed_functions_refuse_other_types():
    app = create("ExtractROI")
    app.SetVectorImageFromUInt16NumpyArray_("in", 0, random((4, 5, 2), "uint16"))
    with pytest.raises(TypeError, match="'uint16' and 3 dimensions required. A 3-dimensional array of type 'int32'"):
        app.SetVectorImageFromUInt16NumpyArray_("in", 0, random((4, 5, 2), "int32"))
    app.Execute()
    assert app.GetVectorImageAsFloatNumpyArray_("out").shape == (4, 5, 2)
    with pytest.raises(RuntimeError, match="another pixel type"):
        app.GetVectorImageAsUInt8NumpyArray_("out")


def test_export_before_execute():
    with pytest.raises(RuntimeError, match="out"):
        create("ExtractROI").GetVectorImageAsFloatNumpyArray_("out")
