# SPDX-License-Identifier: Apache-2.0
"""Applications with Python bodies: geometry, streaming, connections, errors, lifetime."""

import gc
import signal
import subprocess
import sys
import textwrap
import weakref

import numpy as np
import otbApplication as otb
import pytest
from osgeo import gdal

from tests.native.regions import region_of

STRIPS = "streaming:type=stripped&streaming:sizemode=nbsplits&streaming:sizevalue"
TILES = "streaming:type=tiled&streaming:sizemode=height&streaming:sizevalue"


def enlarged(array, factor):
    return np.repeat(np.repeat(array, factor, axis=0), factor, axis=1)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 1000, (41, 53, 3)).astype(np.uint16)


@pytest.fixture
def path(image, write_raster):
    return str(write_raster("in.tif", image))


def zoom(toys, source, factor=2):
    app = toys("ToyZoom")
    if isinstance(source, str):
        app.SetParameterString("in", source)
    else:
        app.ConnectImage("in", source, "out")
    app.SetParameterInt("factor", factor)
    return app


def test_is_an_ordinary_application(toys):
    app = toys("ToyZoom")
    assert isinstance(app, otb.Application)
    assert app.GetName() == "ToyZoom"
    assert app.GetDescription() == "Enlarges an image"
    assert app.GetDocTags() == ("Toy",)
    assert app.GetParametersKeys() == ("in", "out", "factor", "twice", "ram")
    assert app.GetParameterInt("factor") == 2
    assert "ToyZoom" in otb.Registry.GetAvailableApplications()
    app.SetParameterInt("factor", -3)
    assert app.GetParameterInt("factor") == 1


def test_update_parameters(toys):
    app = toys("ToyZoom")
    app.SetParameterInt("factor", 5)
    assert app.GetParameterInt("twice") == 10
    app.SetParameterInt("twice", 3)
    app.UpdateParameters()
    assert app.GetParameterInt("twice") == 3


def test_pixels_and_geometry(toys, image, path):
    app = zoom(toys, path, 4)
    app.Execute()
    exported = app.ExportImage("out")
    np.testing.assert_array_equal(exported["array"], enlarged(image, 4))
    assert tuple(exported["size"]) == (53 * 4, 41 * 4)
    assert tuple(exported["spacing"]) == (2.5, -2.5)
    assert tuple(exported["origin"]) == (300001.25, 5000038.75)
    assert "UTM zone 31N" in app.GetImageProjection("out")


def test_several_writes_and_executions(toys, image, path, tmp_path):
    app = zoom(toys, path)
    out = str(tmp_path / "out.tif")
    app.SetParameterString("out", out)
    app.SetParameterOutputImagePixelType("out", otb.ImagePixelType_uint16)
    for factor in (2, 3):
        app.SetParameterInt("factor", factor)
        app.Execute()
        for _ in range(2):
            app.WriteOutput()
            written = gdal.Open(out)
            np.testing.assert_array_equal(written.ReadAsArray().transpose(1, 2, 0), enlarged(image, factor))
            assert written.GetGeoTransform() == (300000, 10 / factor, 0, 5000040, 0, -10 / factor)


def test_streams_down_and_up(toys, image, path, tmp_path):
    from toy_applications import toy_zoom

    app = zoom(toys, path, 3)
    out = tmp_path / "out.tif"
    app.SetParameterString("out", f"{out}?&{TILES}=32")
    app.Execute()
    toy_zoom.REQUESTED.clear()
    app.WriteOutput()
    assert len(toy_zoom.REQUESTED) == 5 * 4
    for (x, y, width, height), read in toy_zoom.REQUESTED:
        assert width <= 32 and height <= 32
        assert read == (x // 3, y // 3, -(-(x + width) // 3) - x // 3, -(-(y + height) // 3) - y // 3)
    np.testing.assert_array_equal(gdal.Open(str(out)).ReadAsArray().transpose(1, 2, 0), enlarged(image, 3))


def test_requested_region_is_the_crop(toys, image, path):
    from toy_applications import toy_zoom

    first = zoom(toys, path, 2)
    second = zoom(toys, first, 3)
    second.Execute()
    region = region_of(17, 31, 40, 22)
    second.PropagateRequestedRegion("out", region)
    toy_zoom.REQUESTED.clear()
    exported = second.ExportImage("out")
    np.testing.assert_array_equal(exported["array"], enlarged(image, 6)[31:53, 17:57])
    assert exported["region"] == region
    assert [requested for requested, _ in toy_zoom.REQUESTED] == [(5, 10, 14, 8), (17, 31, 40, 22)]


def test_between_other_applications(toys, image, path, tmp_path):
    crop = otb.Registry.CreateApplicationWithoutLogger("ExtractROI")
    crop.SetParameters({"in": path, "startx": 3, "starty": 5, "sizex": 32, "sizey": 30})
    python = zoom(toys, crop)
    smooth = otb.Registry.CreateApplicationWithoutLogger("Smoothing")
    smooth.SetParameters({"type": "mean", "type.mean.radius": 1})
    smooth.ConnectImage("in", python, "out")
    again = zoom(toys, smooth, 2)
    for app in (crop, python, smooth):
        app.PropagateConnectMode(True)
    again.SetParameterString("out", f"{tmp_path / 'out.tif'}?&{STRIPS}=7")
    again.ExecuteAndWriteOutput()
    written = gdal.Open(str(tmp_path / "out.tif"))
    double = enlarged(image[5:35, 3:35].astype(float), 2)
    mean = sum(double[1 + dy : 59 + dy, 1 + dx : 63 + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)) / 9
    result = written.ReadAsArray().transpose(1, 2, 0)
    np.testing.assert_allclose(result[2:-2, 2:-2], enlarged(mean, 2), rtol=1e-5)
    assert written.GetGeoTransform() == (300030, 2.5, 0, 4999990, 0, -2.5)


def test_changes_upstream_pass_down(toys, image, path):
    first = zoom(toys, path, 2)
    second = zoom(toys, first, 2)
    for factor in (1, 3):
        first.SetParameterInt("factor", factor)
        first.Execute()
        second.Execute()
        np.testing.assert_array_equal(second.GetVectorImageAsNumpyArray("out"), enlarged(image, 2 * factor))


def test_list_of_images(toys, image, write_raster):
    paths = [str(write_raster(f"{i}.tif", image + i)) for i in range(3)]
    app = toys("ToyMean")
    app.SetParameterStringList("il", paths)
    app.Execute()
    np.testing.assert_allclose(app.GetVectorImageAsNumpyArray("out"), image + 1.0)


def test_one_image_twice_with_different_regions(toys, image, path, tmp_path):
    source = zoom(toys, path, 1)
    app = toys("ToyMean")
    for _ in range(3):
        app.ConnectImage("il", source, "out")
    app.SetParameterInt("shift", 4)
    app.SetParameterString("out", f"{tmp_path / 'out.tif'}?&{TILES}=16")
    app.ExecuteAndWriteOutput()
    written = gdal.Open(str(tmp_path / "out.tif")).ReadAsArray().transpose(1, 2, 0)
    expected = (image[:, :-8].astype(float) + image[:, 4:-4] + image[:, 8:]) / 3
    np.testing.assert_allclose(written, expected, rtol=1e-6)


def test_exported_arrays_do_not_change(toys, image, path):
    app = zoom(toys, path)
    app.Execute()
    arrays = []
    for x in (0, 20, 40):
        app.PropagateRequestedRegion("out", region_of(x, 0, 20, 30))
        arrays.append(app.GetVectorImageAsNumpyArray("out"))
    for x, array in zip((0, 20, 40), arrays, strict=True):
        np.testing.assert_array_equal(array, enlarged(image, 2)[:30, x : x + 20])


@pytest.mark.parametrize("name", ["float32", "float64", "uint8", "uint16", "int16", "int32"])
def test_output_from_array(toys, image, path, tmp_path, name):
    app = toys("ToyMean")
    app.SetParameterStringList("il", [path])
    app.SetParameterString("type", name)
    out = tmp_path / "out.tif"
    app.SetParameterString("out", f"{out}?&{STRIPS}=4")
    app.SetParameterOutputImagePixelType("out", otb.ImagePixelType_double)
    app.Execute()
    expected = image[1:-1, 1:-1].astype(name)
    array = app.GetVectorImageAsNumpyArray("out")
    assert array.dtype == name
    np.testing.assert_array_equal(array, expected)
    app.WriteOutput()
    written = gdal.Open(str(out))
    np.testing.assert_array_equal(written.ReadAsArray().transpose(1, 2, 0), expected)
    assert written.GetGeoTransform() == (300010, 10, 0, 5000030, 0, -10)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("execute", "^no execution, as asked$"),
        ("information", "^no information, as asked$"),
        ("missing", "^output_information: 'origin' is missing$"),
        ("nothing", "^output_information: expected a dict, got None$"),
        ("regions", "^no regions, as asked$"),
        ("number", "^input_regions: expected 1 regions, one per input, got 0$"),
        ("outside", r"^input_regions: expected a region inside \(0, 0, 53, 41\) for input 0, got \(-1, "),
        ("compute", "^no pixels, as asked$"),
        ("shape", r"^compute: expected an array of shape \(41, 53, 3\) .*, got \(40, 53, 3\)$"),
        ("type", "^compute: expected an array of numbers, got 'pixels'$"),
        ("class", "^KeyError: 'place'$"),
    ],
)
def test_errors_keep_their_message(toys, path, place, message):
    app = toys("ToyFaulty")
    app.SetParameterString("in", path)
    app.SetParameterString("place", place)
    with pytest.raises(RuntimeError, match=message):
        app.Execute()
        app.GetVectorImageAsNumpyArray("out")
    app.SetParameterString("place", "none")
    app.Execute()
    assert app.GetVectorImageAsNumpyArray("out").shape == (41, 53, 3)


def test_errors_surface_downstream(toys, path):
    faulty = toys("ToyFaulty")
    faulty.SetParameterString("in", path)
    faulty.SetParameterString("place", "compute")
    app = otb.Registry.CreateApplicationWithoutLogger("BandMath")
    app.ConnectImage("il", faulty, "out")
    app.SetParameterString("exp", "im1b1")
    app.Execute()
    with pytest.raises(RuntimeError, match="^no pixels, as asked$"):
        app.GetImageAsNumpyArray("out")


@pytest.fixture
def interruptible():
    """Let SIGINT interrupt, also in a process whose shell has it ignored."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


def test_keyboard_interrupt_passes(toys, path, interruptible):
    app = toys("ToyFaulty")
    app.SetParameterString("in", path)
    app.SetParameterString("place", "interrupt")
    app.Execute()
    with pytest.raises(KeyboardInterrupt):
        try:
            app.GetVectorImageAsNumpyArray("out")
        except RuntimeError:
            sum(range(10))


def test_missing_body_is_said(toys):
    message = "^ToyMissing: expected module toy_missing in one of the packages toy_applications, otbtf_applications$"
    with pytest.raises(RuntimeError, match=message):
        toys("ToyMissing")
    assert "ToyMissing" not in otb.Registry.GetAvailableApplications()


def test_nothing_leaks(toys, path, monkeypatch):
    from toy_applications import toy_zoom

    filters = []
    create = toy_zoom.Zoom.__init__

    def remember(self, *arguments):
        filters.append(weakref.ref(self))
        create(self, *arguments)

    monkeypatch.setattr(toy_zoom.Zoom, "__init__", remember)
    app = zoom(toys, zoom(toys, path))
    for _ in range(3):
        app.Execute()
        array = app.GetVectorImageAsNumpyArray("out")
    alive = [reference() for reference in filters if reference() is not None]
    assert len(alive) <= 3
    del alive, app
    gc.collect()
    assert not [reference for reference in filters if reference() is not None]
    assert array.shape == (41 * 4, 53 * 4, 3)


def test_threads_do_not_lock_each_other(toy_environment, path):
    """Pipelines of Python, OTB (itself multithreaded) and Python, computed by several threads at once."""
    program = textwrap.dedent(
        f"""
        import threading
        import otbApplication as otb

        def pipeline():
            first = otb.Registry.CreateApplicationWithoutLogger("ToyZoom")
            first.SetParameterString("in", {path!r})
            smooth = otb.Registry.CreateApplicationWithoutLogger("Smoothing")
            smooth.SetParameterString("type", "mean")
            smooth.ConnectImage("in", first, "out")
            last = otb.Registry.CreateApplicationWithoutLogger("ToyZoom")
            last.ConnectImage("in", smooth, "out")
            last.Execute()
            return last

        def work(pipelines):
            for app in pipelines:
                shapes.append(app.GetVectorImageAsNumpyArray("out").shape)

        shapes = []
        threads = [threading.Thread(target=work, args=([pipeline() for _ in range(5)],)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert shapes == [(164, 212, 3)] * 15, shapes
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=toy_environment, timeout=60, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
