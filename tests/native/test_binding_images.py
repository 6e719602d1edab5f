# SPDX-License-Identifier: Apache-2.0
"""Images through the binding: geometry, metadata, chains and regions, against GDAL and numpy."""

import gc

import numpy as np
import otbApplication as otb
import pytest
from osgeo import gdal

from tests.native.regions import region_of


def create(name, parameters=None):
    app = otb.Registry.CreateApplicationWithoutLogger(name)
    app.SetParameters(parameters or {})
    return app


@pytest.fixture
def bands(write_raster):
    """Two bands at 10 m, as files and as one array (height, width, 2)."""
    array = np.random.default_rng(1).integers(0, 4000, (40, 50, 2)).astype(np.uint16)
    return [str(write_raster(f"b{i}.tif", array[:, :, i])) for i in range(2)], array


def test_geometry(bands):
    (path, _), array = bands
    app = create("ExtractROI", {"in": path, "startx": 5, "starty": 7, "sizex": 20, "sizey": 10})
    app.Execute()
    assert list(app.GetImageSize("out")) == [20, 10]
    assert list(app.GetImageOrigin("out")) == [300055.0, 4999965.0]
    assert list(app.GetImageSpacing("out")) == [10.0, -10.0]
    assert app.GetImageNbBands("out") == 1
    assert "UTM zone 31N" in app.GetImageProjection("out")
    assert list(app.GetImageSize("in")) == [50, 40]
    assert app.GetImageBasePixelType("out") == otb.ImagePixelType_float


def test_chain_against_numpy(bands, write_raster):
    """ConcatenateImages -> Superimpose on a 5 m grid -> BandMathX, nearest neighbour: exact."""
    paths, array = bands
    reference = str(write_raster("ref.tif", np.zeros((60, 70), np.uint8), gsd=5.0, origin=(300050.0, 4999990.0)))
    stack = create("ConcatenateImages", {"il": paths})
    aligned = create("Superimpose", {"inr": reference, "interpolator": "nn"})
    assert aligned.ConnectImage("inm", stack, "out")
    double = create("BandMathX", {"exp": "im1 * 2"})
    double.ConnectImage("il", aligned, "out")
    double.Execute()
    expected = np.repeat(np.repeat(array, 2, axis=0), 2, axis=1)[10:70, 10:80].astype(float) * 2
    result = double.GetVectorImageAsNumpyArray("out")
    np.testing.assert_array_equal(result, expected)


def test_upstream_survives_in_the_chain(bands):
    paths, array = bands

    def chain():
        stack = create("ConcatenateImages", {"il": paths})
        last = create("BandMathX", {"exp": "im1 + im1"})
        last.ConnectImage("il", stack, "out")
        return last

    last = chain()
    gc.collect()
    last.Execute()
    np.testing.assert_array_equal(last.GetVectorImageAsNumpyArray("out"), array * 2.0)


def test_requested_region_is_the_crop(bands):
    paths, array = bands

    def smoothed():
        stack = create("ConcatenateImages", {"il": paths})
        smooth = create("Smoothing", {"type": "mean", "type.mean.radius": 2})
        smooth.ConnectImage("in", stack, "out")
        smooth.Execute()
        return smooth

    whole = smoothed().GetVectorImageAsNumpyArray("out")
    smooth = smoothed()
    region = region_of(11, 13, 20, 9)
    assert smooth.PropagateRequestedRegion("out", region) > 0
    assert smooth.GetImageRequestedRegion("out") == region
    exported = smooth.ExportImage("out")
    np.testing.assert_array_equal(exported["array"], whole[13:22, 11:31])
    assert exported["region"] == region
    assert list(exported["size"]) == [50, 40]


def test_connection_through_files(bands, tmp_path):
    paths, array = bands
    stack = create("ConcatenateImages", {"il": paths, "out": str(tmp_path / "stack.tif")})
    app = create("BandMathX", {"exp": "im1 + im1", "out": str(tmp_path / "out.tif")})
    app.ConnectImage("il", stack, "out")
    app.PropagateConnectMode(False)
    app.ExecuteAndWriteOutput()
    assert (tmp_path / "stack.tif").exists()
    np.testing.assert_array_equal(gdal.Open(str(tmp_path / "out.tif")).ReadAsArray().transpose(1, 2, 0), array * 2)


def test_images_given_as_objects(bands):
    paths, array = bands
    first, second = (create("ExtractROI", {"in": path}) for path in paths)
    for app in (first, second):
        app.Execute()
    stack = create("ConcatenateImages")
    for app in (first, second):
        stack.AddImageToParameterInputImageList("il", app.GetParameterOutputImage("out"))
    del app, first, second
    gc.collect()
    assert stack.GetNumberOfElementsInParameterInputImageList("il") == 2
    stack.Execute()
    np.testing.assert_array_equal(stack.GetVectorImageAsNumpyArray("out"), array)
    image = stack.GetParameterOutputImage("out")
    last = create("ExtractROI")
    last.SetParameterInputImage("in", image)
    last.Execute()
    np.testing.assert_array_equal(last.GetVectorImageAsNumpyArray("out"), array)


@pytest.mark.parametrize(
    ("pixel_type", "gdal_type"),
    [
        (otb.ImagePixelType_uint8, gdal.GDT_Byte),
        (otb.ImagePixelType_int16, gdal.GDT_Int16),
        (otb.ImagePixelType_uint16, gdal.GDT_UInt16),
        (otb.ImagePixelType_int32, gdal.GDT_Int32),
        (otb.ImagePixelType_uint32, gdal.GDT_UInt32),
        (otb.ImagePixelType_float, gdal.GDT_Float32),
        (otb.ImagePixelType_double, gdal.GDT_Float64),
    ],
)
def test_written_pixel_types(bands, tmp_path, pixel_type, gdal_type):
    (path, _), array = bands
    app = create("BandMath", {"il": [path], "exp": "im1b1 / 20", "out": str(tmp_path / "out.tif")})
    app.SetParameterOutputImagePixelType("out", pixel_type)
    app.ExecuteAndWriteOutput()
    written = gdal.Open(str(tmp_path / "out.tif"))
    assert written.GetRasterBand(1).DataType == gdal_type
    exact = array[:, :, 0] / 20
    np.testing.assert_allclose(written.ReadAsArray(), exact, atol=1e-3 if gdal_type >= gdal.GDT_Float32 else 1)


def test_extended_filename_box(bands, tmp_path):
    (path, _), array = bands
    app = create("ExtractROI", {"in": path, "out": f"{tmp_path / 'out.tif'}?&box=3:5:20:10"})
    app.SetParameterOutputImagePixelType("out", otb.ImagePixelType_uint16)
    app.ExecuteAndWriteOutput()
    np.testing.assert_array_equal(gdal.Open(str(tmp_path / "out.tif")).ReadAsArray(), array[5:15, 3:23, 0])


def test_metadata(bands):
    (path, _), _ = bands
    app = create("ExtractROI", {"in": path})
    app.Execute()
    metadata = app.GetImageMetadata("out")
    assert isinstance(metadata, otb.ImageMetadata)
    assert "UTM zone 31N" in metadata.GetProjectionWKT()
    assert "UTM zone 31N" in metadata.GetProjectedGeometry()
    assert len(metadata.Bands) == 1
    assert "SunElevation" in metadata.GetKeyListNum().split() and "Instrument" in metadata.GetKeyListStr().split()
    metadata["SunElevation"] = 31.5
    metadata["Instrument"] = "MSI"
    metadata["anything"] = "else"
    assert metadata.get_num("SunElevation") == metadata["SunElevation"] == 31.5
    assert metadata.get_str("Instrument") == "MSI"
    assert metadata.get_extra("anything") == "else" and metadata.is_extra("anything")
    assert metadata.is_num("SunElevation") and metadata.is_time("AcquisitionDate")
    assert metadata.is_l1d("SpectralSensitivity") and not metadata.is_str("SunElevation")
    assert not metadata.has("AcquisitionDate")
    metadata["ProjectionWKT"] = "LOCAL_CS[]"
    assert metadata.GetProjectedGeometry() == "LOCAL_CS[]" and not metadata.is_extra("ProjectionWKT")
    with pytest.raises(RuntimeError, match="SunAzimuth"):
        metadata.get_num("SunAzimuth")
    with pytest.raises(RuntimeError, match="SunAzimuth"):
        metadata["SunAzimuth"]
    assert metadata["nonsense"] is None
    app.SetImageMetadata(metadata, "out")
    assert app.GetImageMetadata("out").get_num("SunElevation") == 31.5


def test_metadata_dictionary(bands):
    (path, _), _ = bands
    app = create("ExtractROI", {"in": path})
    app.Execute()
    dictionary = dict(app.GetMetadataDictionary("out"))
    assert "UTM zone 31N" in dictionary["ProjectionRef"]
    assert dictionary["GeoTransform"] == gdal.Open(path).GetGeoTransform()
    assert type(dictionary["DataType"]) is int
    with pytest.raises(IndexError, match="Key not recognized"):
        app.GetMetadataDictionary("out")["nonsense"]


def test_free_ressources_and_again(bands):
    paths, array = bands
    app = create("ConcatenateImages", {"il": paths})
    app.Execute()
    kept = app.GetVectorImageAsNumpyArray("out")
    app.FreeRessources()
    np.testing.assert_array_equal(kept, array)
    app.Execute()
    np.testing.assert_array_equal(app.GetVectorImageAsNumpyArray("out"), array)
