# SPDX-License-Identifier: Apache-2.0
"""pyotb, unmodified, on the binding: its public interface, against numpy and GDAL."""

import numpy as np
import otbApplication as otb
import pyotb
import pytest
from osgeo import gdal


@pytest.fixture
def array():
    return np.random.default_rng(4).integers(1, 250, (60, 50, 4)).astype(np.uint8)


@pytest.fixture
def path(array, write_raster):
    return str(write_raster("in.tif", array))


@pytest.fixture
def image(path):
    return pyotb.Input(path)


def test_properties(image):
    assert image.dtype == "uint8"
    assert image.shape == (60, 50, 4)
    assert image.transform == (10.0, 0.0, 300000.0, 0.0, -10.0, 5000040.0)
    assert image.input_key == image.input_image_key == "in"
    assert image.output_key == image.output_image_key == "out"
    assert (image.parameters["sizex"], image.parameters["sizey"]) == (50, 60)
    assert image.get_rowcol_from_xy(300025, 5000005) == (3, 2)


def test_metadata(image):
    assert "UTM zone 31N" in image.metadata["ProjectionRef"]


def test_to_numpy(image, array):
    np.testing.assert_array_equal(image.to_numpy(), array)
    assert image.to_numpy().dtype == np.uint8
    assert image.to_numpy(copy=True) is not image.to_numpy()
    np.testing.assert_array_equal(np.array(image), array)
    assert isinstance(image.exports_dic["out"]["array"], np.ndarray)


def test_to_rasterio(image, array):
    pixels, profile = image.to_rasterio()
    np.testing.assert_array_equal(pixels, array.transpose(2, 0, 1))
    assert profile["transform"] == image.transform
    assert (profile["count"], profile["height"], profile["width"], profile["dtype"]) == (4, 60, 50, np.uint8)


def test_pixel_values(image, array):
    assert image[3, 7] == list(array[3, 7])
    assert image[3, 7, 1] == array[3, 7, 1]
    assert image[3, 7, 1:3] == list(array[3, 7, 1:3])


def test_slices(image, array):
    np.testing.assert_array_equal(image[5:45, 10:30, :3].to_numpy(), array[5:45, 10:30, :3])
    np.testing.assert_array_equal(image[:, :, -1].to_numpy(), array[:, :, 3:])
    np.testing.assert_array_equal(image[:, :, [0, 2]].to_numpy(), array[:, :, [0, 2]])
    assert image[:40, :20, :].shape == (40, 20, 4)


def test_operators(image, array):
    exact = array.astype(float)
    np.testing.assert_allclose((image / 255 * 128 + 1).to_numpy(), exact / 255 * 128 + 1, rtol=1e-6)
    np.testing.assert_allclose((2 - image).to_numpy(), 2 - exact)
    red, nir = image[:, :, 0], image[:, :, 3]
    ndvi = (nir - red) / (nir + red)
    expected = (exact[..., 3] - exact[..., 0]) / (exact[..., 3] + exact[..., 0])
    np.testing.assert_allclose(ndvi.to_numpy()[..., 0], expected, rtol=1e-5, atol=1e-6)
    assert ndvi.exp == "((im1b4 - im1b1) / (im1b4 + im1b1))"
    np.testing.assert_allclose(sum(image[:, :, band] for band in range(4)).to_numpy()[..., 0], exact.sum(axis=2))
    np.testing.assert_array_equal((image > 100).to_numpy(), array > 100)


def test_functions(image, array):
    mask = pyotb.where(pyotb.any(image[:, :, 0] == value for value in (10, 20, 30)), 255, 0)
    np.testing.assert_array_equal(mask.to_numpy()[..., 0], np.isin(array[..., 0], (10, 20, 30)) * 255)
    bright = pyotb.where(pyotb.all(image[:, :, band] > 50 for band in range(4)), 1, 0)
    np.testing.assert_array_equal(bright.to_numpy()[..., 0], (array > 50).all(axis=2))
    np.testing.assert_array_equal(pyotb.clip(image, 20, 200).to_numpy(), np.clip(array, 20, 200))


def test_numpy_functions(image, array):
    noisy = image + np.full(image.shape, 0.5)
    assert isinstance(noisy, pyotb.core.App)
    np.testing.assert_allclose(noisy.to_numpy(), array + 0.5)
    assert noisy.transform == image.transform
    np.testing.assert_allclose(np.sqrt(image * 1.0).to_numpy(), np.sqrt(array.astype(np.float32)), rtol=1e-6)


def test_chain_in_memory(path, array):
    crop = pyotb.ExtractROI(path, startx=5, starty=10, sizex=20, sizey=30)
    double = pyotb.BandMathX([crop], exp="im1 * 2")
    stack = pyotb.ConcatenateImages([crop, double])
    expected = np.concatenate([array[10:40, 5:25], array[10:40, 5:25] * 2.0], axis=2)
    np.testing.assert_array_equal(stack.to_numpy(), expected)
    assert stack.transform == (10.0, 0.0, 300050.0, 0.0, -10.0, 4999940.0)


def test_superimpose(path, array, write_raster):
    reference = str(write_raster("ref.tif", np.zeros((40, 60), np.uint8), gsd=5.0, origin=(300100.0, 4999940.0)))
    aligned = pyotb.Superimpose(inr=reference, inm=pyotb.Input(path), interpolator="nn")
    expected = np.repeat(np.repeat(array, 2, axis=0), 2, axis=1)[20:60, 20:80]
    np.testing.assert_array_equal(aligned.to_numpy(), expected)


def test_write(image, array, tmp_path):
    out = tmp_path / "new" / "out.tif"
    out.parent.mkdir()
    assert image.write(out, pixel_type="uint16", ext_fname="nodata=0&gdal:co:COMPRESS=DEFLATE&box=0:0:30:20")
    written = gdal.Open(str(out))
    assert written.GetRasterBand(1).DataType == gdal.GDT_UInt16
    assert written.GetRasterBand(1).GetNoDataValue() == 0
    assert written.GetMetadataItem("COMPRESSION", "IMAGE_STRUCTURE") == "DEFLATE"
    np.testing.assert_array_equal(written.ReadAsArray().transpose(1, 2, 0), array[:20, :30])
    assert image["out"].filepath == out and image["out"].exists()
    assert image.dtype == "uint16"


def test_write_frozen_and_dictionary(path, array, tmp_path):
    app = pyotb.BandMath(path, exp="im1b1 + 1", frozen=True)
    assert app.write({"out": str(tmp_path / "out.tif")}, pixel_type={"out": "int16"}, ext_fname={"nodata": 5})
    written = gdal.Open(str(tmp_path / "out.tif"))
    assert written.GetRasterBand(1).DataType == gdal.GDT_Int16
    np.testing.assert_array_equal(written.ReadAsArray(), array[..., 0].astype(int) + 1)


def test_output_given_at_once(path, array, tmp_path):
    pyotb.BandMath(path, exp="im1b2", out=str(tmp_path / "out.tif"))
    np.testing.assert_array_equal(gdal.Open(str(tmp_path / "out.tif")).ReadAsArray(), array[..., 1])


def test_several_outputs(path, tmp_path):
    app = pyotb.MeanShiftSmoothing(path)
    assert app.write({"fout": str(tmp_path / "a.tif"), "foutpos": str(tmp_path / "b.tif")})
    assert gdal.Open(str(tmp_path / "a.tif")).RasterCount == 4
    assert gdal.Open(str(tmp_path / "b.tif")).RasterCount == 2


def test_information_and_statistics(image, array):
    information = image.get_info()
    assert (information["sizex"], information["sizey"], information["numberbands"]) == (50, 60, 4)
    statistics = image.get_statistics()
    np.testing.assert_allclose(statistics["out.mean"], array.mean(axis=(0, 1)), rtol=1e-5)
    np.testing.assert_allclose(statistics["out.max"], array.max(axis=(0, 1)))
    assert pyotb.get_nbchannels(image) == 4
    assert pyotb.get_pixel_type(image) == otb.ImagePixelType_uint8


def test_summarize(path):
    first = pyotb.BandMath([path], exp="im1b1 + 1")
    last = pyotb.ManageNoData(first, mode="changevalue")
    summary = pyotb.summarize(last)
    assert summary["name"] == "ManageNoData"
    assert summary["parameters"]["mode"] == "changevalue"
    assert summary["parameters"]["in"] == {"name": "BandMath", "parameters": {"il": [path], "exp": "im1b1 + 1"}}
    assert summary["parameters"]["usenan"] is False
    stripped = pyotb.summarize(pyotb.ExtractROI(f"{path}?&skipcarto=1"), strip_inpath=True)
    assert stripped["parameters"]["in"] == path


def test_errors(path):
    with pytest.raises(KeyError, match="was not recognized"):
        pyotb.BandMath(path, expression="im1b1")
    with pytest.raises(RuntimeError, match="error before execution, while setting 'startx'"):
        pyotb.ExtractROI(path, startx="left")
    with pytest.raises(RuntimeError, match="missing.tif"):
        pyotb.ExtractROI("missing.tif")


def test_own_applications_are_there():
    for name in ("PatchesSelection", "PatchesExtraction", "TensorflowModelServe"):
        assert name in pyotb.apps.AVAILABLE_APPLICATIONS


def test_python_bodied_application(toys, path, array, tmp_path):
    crop = pyotb.ExtractROI(path, startx=5, starty=10, sizex=20, sizey=30)
    zoom = pyotb.App("ToyZoom", crop, factor=3)
    double = pyotb.BandMathX([zoom], exp="im1 * 2")
    expected = np.repeat(np.repeat(array[10:40, 5:25], 3, axis=0), 3, axis=1)
    np.testing.assert_array_equal(double.to_numpy(), expected * 2.0)
    np.testing.assert_array_equal(zoom[9:33, 3:15, :2].to_numpy(), expected[9:33, 3:15, :2])
    assert zoom.write(tmp_path / "out.tif", pixel_type="uint8")
    np.testing.assert_array_equal(gdal.Open(str(tmp_path / "out.tif")).ReadAsArray().transpose(1, 2, 0), expected)
    with pytest.raises(RuntimeError, match="no execution, as asked"):
        pyotb.App("ToyFaulty", path, place="execute")
