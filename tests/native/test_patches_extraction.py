# SPDX-License-Identifier: Apache-2.0
"""PatchesExtraction as an OTB application, against what OTBTF 4.3.1 was seen to give and against slicing."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import otbApplication as otb
import pyotb
import pytest
from osgeo import gdal, ogr, osr

OTBCLI = Path(__file__).resolve().parents[2] / "native" / "bin" / "otbcli"


def coded(width, height):
    """Two bands: column + 1 and row + 1."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns + 1, rows + 1], axis=-1).astype(np.uint16)


@pytest.fixture
def image(write_raster):
    return str(write_raster("image.tif", coded(60, 50)))


@pytest.fixture
def write_points(tmp_path):
    """Return a function writing points, in pixels from the upper-left corner of a 10 m raster, and their field."""

    def write(positions, values=None, field="label", kind=ogr.OFTInteger, name="points.gpkg"):
        path = tmp_path / name
        crs = osr.SpatialReference()
        crs.ImportFromEPSG(32631)
        dataset = ogr.GetDriverByName("GPKG").CreateDataSource(str(path))
        layer = dataset.CreateLayer("points", crs, ogr.wkbPoint)
        layer.CreateField(ogr.FieldDefn(field, kind))
        for rank, (x, y) in enumerate(positions):
            feature = ogr.Feature(layer.GetLayerDefn())
            feature.SetField(field, rank if values is None else values[rank])
            feature.SetGeometry(ogr.CreateGeometryFromWkt(f"POINT ({300000 + 10 * x!r} {5000040 - 10 * y!r})"))
            layer.CreateFeature(feature)
        return str(path)

    return write


def extraction(monkeypatch, sources, vec, field="label", **parameters):
    """Create the application; a source is (images, patch size, parameters)."""
    monkeypatch.setenv("OTB_TF_NSOURCES", str(len(sources)))
    app = otb.Registry.CreateApplicationWithoutLogger("PatchesExtraction")
    for number, (images, size, options) in enumerate(sources, start=1):
        app.SetParameterStringList(f"source{number}.il", [str(image) for image in images])
        app.SetParameterInt(f"source{number}.patchsizex", size)
        app.SetParameterInt(f"source{number}.patchsizey", size)
        for key, value in options.items():
            app.SetParameterValue(f"source{number}.{key}", str(value) if isinstance(value, Path) else value)
    app.SetParameterString("vec", str(vec))
    app.SetParameterString("field", field)
    for key, value in parameters.items():
        app.SetParameterString(key, str(value))
    return app


def stack(path, size):
    """Return patches (n, rows, columns, bands) of an image of patches."""
    array = gdal.Open(str(path)).ReadAsArray()
    array = array[np.newaxis] if array.ndim == 2 else array
    return np.moveaxis(array, 0, -1).reshape(-1, size, size, array.shape[0])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_parameters(monkeypatch, count):
    monkeypatch.setenv("OTB_TF_NSOURCES", str(count))
    app = otb.Registry.CreateApplicationWithoutLogger("PatchesExtraction")
    keys = list(app.GetParametersKeys())
    for number in range(1, count + 1):
        source = f"source{number}"
        types = {
            "il": otb.ParameterType_InputImageList,
            "out": otb.ParameterType_OutputImage,
            "patchsizex": otb.ParameterType_Int,
            "patchsizey": otb.ParameterType_Int,
            "nodata": otb.ParameterType_Float,
        }
        assert {key: app.GetParameterType(f"{source}.{key}") for key in types} == types
        mandatory = [key for key in types if app.IsMandatory(f"{source}.{key}")]
        assert mandatory == ["il", "out", "patchsizex", "patchsizey"]
        assert app.GetParameterOutputImagePixelType(f"{source}.out") == otb.ImagePixelType_float
        app.SetParameterInt(f"{source}.patchsizex", 0)
        assert app.GetParameterInt(f"{source}.patchsizex") == 1
    assert f"source{count + 1}.il" not in keys
    assert [key for key in keys if not key.startswith("source")] == ["vec", "outlabels", "field"]
    assert [app.IsMandatory(key) for key in ("vec", "outlabels", "field")] == [True, False, True]
    assert app.GetParameterType("vec") == otb.ParameterType_InputVectorData
    assert app.GetParameterType("field") == otb.ParameterType_String
    assert app.GetParameterOutputImagePixelType("outlabels") == otb.ImagePixelType_uint8
    assert "ram" not in keys


def test_number_of_sources_that_is_no_number(monkeypatch):
    monkeypatch.setenv("OTB_TF_NSOURCES", "two")
    with pytest.raises(RuntimeError, match="OTB_TF_NSOURCES: expected a positive integer, got two"):
        otb.Registry.CreateApplicationWithoutLogger("PatchesExtraction")


def test_patches_and_labels(monkeypatch, image, write_points, tmp_path):
    positions = [(30, 31), (5, 6), (40.2, 20.7), (10, 31)]
    vec = write_points(positions, [3, 300, 1, 2])
    out, labels = tmp_path / "patches.tif", tmp_path / "labels.tif"
    extraction(monkeypatch, [([image], 8, {"out": out})], vec, outlabels=labels).ExecuteAndWriteOutput()
    array = coded(60, 50)
    expected = [array[row - 4 : row + 4, column - 4 : column + 4] for column, row in np.floor(positions).astype(int)]
    assert np.array_equal(stack(out, 8), expected)
    dataset = gdal.Open(str(out))
    assert (dataset.RasterXSize, dataset.RasterYSize, dataset.RasterCount) == (8, 32, 2)
    assert dataset.GetRasterBand(1).DataType == gdal.GDT_Float32
    assert dataset.GetGeoTransform() == (-5, 10, 0, 5, 0, -10)
    assert dataset.GetProjection() == ""
    dataset = gdal.Open(str(labels))
    assert dataset.ReadAsArray().tolist() == [[3], [255], [1], [2]]
    assert dataset.GetRasterBand(1).DataType == gdal.GDT_Byte
    assert dataset.GetGeoTransform(can_return_null=True) == (-0.5, 1, 0, -0.5, 0, 1)


def test_labels_of_another_pixel_type(monkeypatch, image, write_points, tmp_path):
    vec = write_points([(30, 31), (5, 6)], [1.7, 70000.2], kind=ogr.OFTReal)
    out, labels = tmp_path / "patches.tif", tmp_path / "labels.tif"
    app = extraction(monkeypatch, [([image], 8, {"out": out})], vec, outlabels=labels)
    app.SetParameterOutputImagePixelType("source1.out", otb.ImagePixelType_uint16)
    app.SetParameterOutputImagePixelType("outlabels", otb.ImagePixelType_int32)
    app.ExecuteAndWriteOutput()
    assert gdal.Open(str(labels)).ReadAsArray().tolist() == [[1], [70000]]
    assert gdal.Open(str(out)).GetRasterBand(1).DataType == gdal.GDT_UInt16


def test_width_and_height_differ(monkeypatch, image, write_points, tmp_path):
    out = tmp_path / "patches.tif"
    app = extraction(monkeypatch, [([image], 8, {"out": out})], write_points([(30, 31), (5, 6)]))
    app.SetParameterInt("source1.patchsizey", 5)
    app.ExecuteAndWriteOutput()
    array = gdal.Open(str(out)).ReadAsArray()
    assert array.shape == (2, 10, 8)
    assert array[:, 0, 0].tolist() == [27, 30]


def test_images_of_a_source_are_stacked(monkeypatch, image, write_raster, write_points, tmp_path):
    other = write_raster("other.tif", np.full((50, 60), 9, np.uint8))
    out = tmp_path / "patches.tif"
    vec = write_points([(30, 31)])
    extraction(monkeypatch, [([image, other], 4, {"out": out})], vec).ExecuteAndWriteOutput()
    assert stack(out, 4)[0, 2, 2].tolist() == [31, 32, 9]
    smaller = write_raster("smaller.tif", np.ones((50, 59), np.uint8))
    with pytest.raises(RuntimeError, match="Input image size number 1 mismatch"):
        extraction(monkeypatch, [([image, smaller], 4, {"out": out})], vec).Execute()


def points_of(image, tmp_path, psize, step, suffix="geojson", **options):
    """Select all patches of an image and return the file of the points."""
    path = tmp_path / f"selected.{suffix}"
    pyotb.PatchesSelection(
        {"in": str(image), "grid.step": step, "grid.psize": psize, "strategy": "all", "outtrain": str(path)} | options
    ).write()
    return path


@pytest.mark.parametrize("origin", [(300000.0, 5000040.0), (412345.7, 4876543.3), (699960.5, 4900021.1)])
@pytest.mark.parametrize("suffix", ["geojson", "gpkg"])
def test_low_and_high_resolution_are_aligned(monkeypatch, write_raster, tmp_path, origin, suffix):
    low = write_raster("low.tif", coded(150, 130), 6.0, origin)
    high = write_raster("high.tif", coded(600, 520), 1.5, origin)
    vec = points_of(low, tmp_path, 8, 8, suffix)
    outputs = tmp_path / "low_patches.tif", tmp_path / "high_patches.tif"
    sources = [([low], 8, {"out": outputs[0]}), ([high], 32, {"out": outputs[1]})]
    extraction(monkeypatch, sources, vec, "id").ExecuteAndWriteOutput()
    low_patches, high_patches = stack(outputs[0], 8), stack(outputs[1], 32)
    assert len(low_patches) == len(high_patches) == 18 * 16
    assert np.array_equal(4 * (low_patches[:, 0, 0] - 1), high_patches[:, 0, 0] - 1)
    assert low_patches[0, 0, 0].tolist() == [2, 3]


def test_nodata_keeps_sources_paired(monkeypatch, write_raster, tmp_path):
    low, high = coded(120, 100), coded(480, 400)
    low[40:60, 50:60] = 0
    high[30, 77, 1] = 0
    low_path, high_path = write_raster("low.tif", low, 6.0), write_raster("high.tif", high, 1.5)
    vec = points_of(low_path, tmp_path, 9, 9)
    outputs = tmp_path / "low_patches.tif", tmp_path / "high_patches.tif", tmp_path / "labels.tif"
    sources = [
        ([low_path], 9, {"out": outputs[0], "nodata": 0.0}),
        ([high_path], 36, {"out": outputs[1], "nodata": 0.0}),
    ]
    app = extraction(monkeypatch, sources, vec, "id", outlabels=outputs[2])
    app.SetParameterOutputImagePixelType("outlabels", otb.ImagePixelType_uint16)
    app.ExecuteAndWriteOutput()
    expected, labels = [], []
    positions = [(x, y) for y in range(1, 100 - 8, 9) for x in range(1, 120 - 8, 9)]
    for label, (x, y) in enumerate(positions):
        # the point is the centre of an odd patch of 1 + 4 + 4 low pixels: half a low pixel further than a corner
        patch = low[y : y + 9, x : x + 9]
        start = 4 * (x + 4) + 2 - 18, 4 * (y + 4) + 2 - 18
        fine = high[start[1] : start[1] + 36, start[0] : start[0] + 36]
        if patch.all() and fine.all():
            expected.append((patch, fine))
            labels.append(label)
    assert 0 < len(expected) < len(positions)
    assert np.array_equal(stack(outputs[0], 9), [pair[0] for pair in expected])
    assert np.array_equal(stack(outputs[1], 36), [pair[1] for pair in expected])
    assert gdal.Open(str(outputs[2])).ReadAsArray().ravel().tolist() == labels


def test_in_memory_between_applications(monkeypatch, image, write_points):
    monkeypatch.setenv("OTB_TF_NSOURCES", "1")
    doubled = pyotb.BandMathX({"il": [image], "exp": "2 * im1"})
    patches = pyotb.PatchesExtraction(
        {"source1.il": [doubled], "source1.patchsizex": 4, "source1.patchsizey": 4, "field": "label"}
        | {"vec": write_points([(30, 31), (5, 6)])}
    )
    halved = pyotb.BandMathX({"il": [patches["source1.out"]], "exp": "0.5 * im1"})
    array = halved.to_numpy()
    assert array.shape == (8, 4, 2)
    assert array[[0, 4], 0].tolist() == [[29, 30], [4, 5]]


def test_missing_field(monkeypatch, image, write_points, tmp_path):
    out = tmp_path / "patches.tif"
    app = extraction(monkeypatch, [([image], 8, {"out": out})], write_points([(30, 31)]), field="absent")
    with pytest.raises(RuntimeError, match="There is no geometry to sample. Geometries must be points."):
        app.ExecuteAndWriteOutput()
    assert not out.exists()


@pytest.mark.parametrize("nodata", [{}, {"nodata": 31.0}])
def test_all_rejected(monkeypatch, image, write_points, tmp_path, nodata):
    out = tmp_path / "patches.tif"
    vec = write_points([(30, 31)] if nodata else [(2, 2), (500, 500)])
    app = extraction(monkeypatch, [([image], 8, {"out": out, **nodata})], vec)
    message = "No patch to sample. Please check that your vector data falls inside your images, and no-data values."
    with pytest.raises(RuntimeError, match=message):
        app.ExecuteAndWriteOutput()
    assert not out.exists()


launcher = pytest.mark.skipif(
    shutil.which("otbApplicationLauncherCommandLine") is None, reason="no OTB launcher on this machine"
)


def run_launcher(image, vec, tmp_path, *more):
    command = [OTBCLI, "PatchesExtraction", "-vec", vec, "-field", "label", *more]
    for number, size in ((1, 8), (2, 16)):
        source = f"-source{number}"
        command += [f"{source}.il", image, f"{source}.patchsizex", str(size), f"{source}.patchsizey", str(size)]
        command += [f"{source}.out", f"patches{number}.tif", "uint16"]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)


@launcher
def test_through_the_launcher(image, write_points, tmp_path):
    run = run_launcher(image, write_points([(30, 31), (5, 6), (20, 20)]), tmp_path, "-outlabels", "labels.tif")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Number of samples collected: 2" in run.stdout + run.stderr
    assert "Number of samples rejected: 1" in run.stdout + run.stderr
    assert stack(tmp_path / "patches1.tif", 8)[:, 4, 4].tolist() == [[31, 32], [21, 21]]
    assert stack(tmp_path / "patches2.tif", 16)[:, 8, 8].tolist() == [[31, 32], [21, 21]]
    assert gdal.Open(str(tmp_path / "patches1.tif")).GetRasterBand(1).DataType == gdal.GDT_UInt16
    assert gdal.Open(str(tmp_path / "labels.tif")).ReadAsArray().ravel().tolist() == [0, 2]


@launcher
@pytest.mark.parametrize("vec", ["absent.geojson", "image.tif"])
def test_failure_through_the_launcher(image, tmp_path, vec):
    before = sorted(path.name for path in tmp_path.iterdir())
    run = run_launcher(image, str(tmp_path / vec), tmp_path)
    assert run.returncode == 1
    assert vec in run.stdout + run.stderr
    assert "Traceback" not in run.stdout + run.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before
