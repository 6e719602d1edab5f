# SPDX-License-Identifier: Apache-2.0
"""Python-bodied applications in OTB's own programs: launcher, exit statuses, QGIS descriptors."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal

NATIVE = Path(__file__).resolve().parents[2] / "native"
OTBCLI = NATIVE / "bin" / "otbcli"
APPLICATIONS = ("PatchesExtraction", "PatchesSelection", "TensorflowModelServe")

pytestmark = pytest.mark.skipif(
    shutil.which("otbApplicationLauncherCommandLine") is None, reason="OTB's launcher is not installed (otb-bin)"
)


def run(*command, env, timeout=60):
    return subprocess.run([str(part) for part in command], env=env, capture_output=True, text=True, timeout=timeout)


@pytest.fixture
def image():
    return np.arange(30 * 40, dtype=np.uint16).reshape(30, 40)


@pytest.fixture
def path(image, write_raster):
    return write_raster("in.tif", image)


def test_success(toy_environment, path, image, tmp_path):
    out = tmp_path / "out.tif"
    done = run(OTBCLI, "ToyZoom", "-in", path, "-factor", 3, "-out", out, "uint16", env=toy_environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Enlarging 40 x 30 pixels" in done.stdout + done.stderr
    written = gdal.Open(str(out))
    assert written.GetRasterBand(1).DataType == gdal.GDT_UInt16
    np.testing.assert_array_equal(written.ReadAsArray(), np.repeat(np.repeat(image, 3, axis=0), 3, axis=1))


@pytest.mark.parametrize(
    ("place", "message"), [("execute", "no execution, as asked"), ("compute", "no pixels, as asked")]
)
def test_failure(toy_environment, path, tmp_path, place, message):
    done = run(OTBCLI, "ToyFaulty", "-in", path, "-place", place, "-out", tmp_path / "out.tif", env=toy_environment)
    assert done.returncode == 1
    assert f"(FATAL) ToyFaulty: {message}" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_traceback_on_request(toy_environment, path, tmp_path):
    environment = {**toy_environment, "OTB_PYTHON_TRACEBACK": "1"}
    done = run(OTBCLI, "ToyFaulty", "-in", path, "-place", "execute", "-out", tmp_path / "out.tif", env=environment)
    assert done.returncode == 1
    assert "toy_faulty.py" in done.stderr


def test_missing_body(toy_environment):
    done = run(OTBCLI, "ToyMissing", "-in", "in.tif", env=toy_environment)
    assert done.returncode == 1
    assert "ToyMissing: expected module toy_missing in one of the packages" in done.stderr


def test_missing_parameter(toy_environment):
    assert run(OTBCLI, "ToyZoom", "-factor", 2, env=toy_environment).returncode == 1


def test_usage(toy_environment):
    done = run(OTBCLI, env=toy_environment)
    assert done.returncode == 2
    assert "Usage" in done.stderr


def test_stock_application(toy_environment, path, image, tmp_path):
    out = tmp_path / "out.tif"
    done = run(OTBCLI, "BandMath", "-il", path, "-exp", "im1b1*2", "-out", out, "uint16", env=toy_environment)
    assert done.returncode == 0
    np.testing.assert_array_equal(gdal.Open(str(out)).ReadAsArray(), image * 2)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_help_without_tensorflow(name, tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise RuntimeError('tensorflow was imported')")
    done = run(OTBCLI, name, "-help", env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path)})
    text = done.stdout + done.stderr
    assert f"-{'in' if name == 'PatchesSelection' else 'source1.il'} " in text
    assert "tensorflow was imported" not in text


def test_number_of_sources_from_the_arguments():
    environment = {"PATH": "/usr/bin:/bin"}
    text = run(OTBCLI, "PatchesExtraction", "-source3.il", "-help", env=environment)
    assert "-source3.patchsizex" in text.stdout + text.stderr
    environment["OTB_TF_NSOURCES"] = "2"
    text = run(OTBCLI, "PatchesExtraction", "-source3.il", "-help", env=environment)
    assert "-source2.patchsizex" in text.stdout + text.stderr
    assert "-source3.patchsizex" not in text.stdout + text.stderr


@pytest.mark.skipif(shutil.which("otbQgisDescriptor") is None, reason="otbQgisDescriptor is not installed (otb-qgis)")
@pytest.mark.parametrize("name", APPLICATIONS)
def test_qgis_descriptor(name, tmp_path):
    done = run(
        "otbQgisDescriptor", name, NATIVE / "build" / "applications", f"{tmp_path}/", env={"PATH": "/usr/bin:/bin"}
    )
    assert done.returncode == 0
    lines = (tmp_path / f"{name}.txt").read_text().splitlines()
    assert lines[0].split("|")[0] == name
    assert any(line.startswith("QgsProcessingParameter") for line in lines)
    assert f"|{name}" in (tmp_path / "algs.txt").read_text()


@pytest.mark.parametrize("name", APPLICATIONS)
def test_names_that_otbtf_has(toy_environment, name):
    done = run(NATIVE / "bin" / f"otbcli_{name}", "-help", env=toy_environment)
    assert f"This is the {name} application" in done.stdout + done.stderr


def test_patches_are_selected_by_otbtfs_name(toy_environment, path, tmp_path):
    points = tmp_path / "points.geojson"
    words = ["-in", path, "-grid.step", 8, "-grid.psize", 8, "-strategy", "all", "-outtrain", points]
    done = run(NATIVE / "bin" / "otbcli_PatchesSelection", *words, env=toy_environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert gdal.OpenEx(str(points)).GetLayer(0).GetFeatureCount() == 12
