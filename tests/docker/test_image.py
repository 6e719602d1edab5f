# SPDX-License-Identifier: Apache-2.0
"""Each program in a simulated otbtf image: read-only files of root, another user, old packages on the path."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal, osr

from chain.runtime.provenance import VERSION
from chain.sentinel2.bands import BANDS
from simulate.probav_scenes import write_scenes
from tests.docker.conftest import DOCKER, PROJECT, context_files, in_context
from tests.examples import slow
from tests.train.conftest import patches

__all__ = ["patches"]

USERS = (1234, 54321)
NAME = "S2A_MSIL2A_20200101T000000_N0213_R000_T31UDQ"
FOLDERS = ("datasets", "evaluation", "inference", "simulate", "train", "weights")
PROGRAMS = ["demo", "sr_dataset"] + [
    ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__main__")
    for folder in FOLDERS
    for path in sorted((PROJECT / folder).rglob("*.py"))
    if '__name__ == "__main__"' in path.read_text() or path.name == "__main__.py"
]


def write(path, pixels, gsd, bands):
    """Write digital numbers (rows, columns, bands) as a GeoTIFF that any user may read."""
    rows, columns, count = pixels.shape
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), columns, rows, count, gdal.GDT_UInt16)
    dataset.SetGeoTransform((300000, gsd, 0, 5000040, 0, -gsd))
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(32631)
    dataset.SetProjection(crs.ExportToWkt())
    for number, band in enumerate(bands, start=1):
        dataset.GetRasterBand(number).WriteArray(pixels[..., number - 1])
        dataset.GetRasterBand(number).SetDescription(band)
    del dataset
    path.chmod(0o644)
    return path


def scene(folder):
    """Write all bands of a small scene, one file for each spacing."""
    rng, names = np.random.default_rng(0), []
    for gsd in (10, 20, 60):
        bands = [band for band, spacing in BANDS.items() if spacing == gsd and band != "B10"]
        pixels = rng.integers(500, 4000, (480 // gsd, 600 // gsd, len(bands))).astype(np.uint16)
        names.append(write(folder / f"{NAME}_{gsd}m.tif", pixels, gsd, bands))
    return names


def check_done(run, product=None, user=None):
    """A program has ended well, and its product carries the version and belongs to the user."""
    assert run.returncode == 0, run.stderr[-2000:]
    if product:
        record = json.loads(product.with_name(f"{product.name}.json").read_text())
        assert record["versions"]["otb-super-resolution"] == VERSION
        assert product.stat().st_uid == user and gdal.Open(str(product)).ReadAsArray().any()


def test_rules_of_the_context_are_dockers():
    rules = ["**", "!chain", "!sr_dataset.py", "**/__pycache__"]
    assert in_context("chain/serving/tensorflow_model_serve.py", rules) and in_context("sr_dataset.py", rules)
    assert not any(in_context(name, rules) for name in ("pyproject.toml", "chain/__pycache__/a.pyc", "native/a"))


def test_context_has_what_programs_need_and_nothing_that_the_image_has():
    names = context_files()
    assert not [name for name in names if name.startswith(("native/", "tests/", "docs/", ".git"))]
    assert "pyproject.toml" not in names and "requirements/runtime.txt" in names
    assert {"sr_dataset.py", "demo.py", "weights/dsen2/2x/weights.h5"} <= set(names)


def test_docs_and_dockerfile_keep_the_images_path():
    files = [DOCKER / "Dockerfile", DOCKER / "README.md", PROJECT / "README.md", *(PROJECT / "docs").glob("*.md")]
    for path in files:
        for line in path.read_text().splitlines():
            for value in re.findall(r"PYTHONPATH=(\S+)", line):
                assert value.endswith(("$PYTHONPATH", "${PYTHONPATH}")), f"{path.name}: {line}"


@pytest.mark.parametrize("user", USERS)
def test_otbtf_serves_and_nothing_of_native_is_there(image, user, data):
    code = "import chain.serving.engines.opening as e, os; print(e.default_engine(), os.getuid())"
    run = image.run("-c", code, user=user, home=data)
    assert run.stdout.split() == ["otbtf", str(user)], run.stderr


@pytest.mark.parametrize("old_first", [slow(False), True])
def test_planetary_computer_can_be_used_beside_old_packages(image, data, old_first):
    code = "import typing_extensions, planetary_computer, pystac_client; print(typing_extensions.__file__)"
    run = image.run("-c", code, user=USERS[0], home=data, first=[image.old] if old_first else [])
    assert Path(run.stdout.strip()).parent == (image.old if old_first else image.packages), run.stderr


EVERYDAY = "inference.dsen2", "train.dsen2", "sr_dataset"


@pytest.mark.parametrize("program", [each if each in EVERYDAY else slow(each) for each in PROGRAMS])
def test_help(image, data, program):
    words = [f"{program}.py"] if "." not in program else ["-m", program]
    run = image.run(*words, "--help", user=USERS[0], home=data)
    assert run.returncode == 0 and run.stdout.startswith("usage: "), run.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.keras
def test_spot7_is_trained_and_used(image, data, patches):
    shutil.copytree(patches, data / "patches")
    subprocess.run(["chmod", "-R", "a+rX", str(data / "patches")], check=True)
    tiny = ["--size", "small", "--depth", "2", "--blocks", "0", "--batch-size", "4", "--epochs", "1"]
    words = ["-m", "train.spot7", "--patches", data / "patches", "--model-dir", data / "model", *tiny]
    check_done(image.run(*words, user=USERS[0], home=data))
    fine, *_ = scene(data)
    words = ["-m", "inference.spot7", "--input", fine, "--output", data / "sr.tif", "--model-dir", data / "model"]
    words += ["--engine", "otbtf"]
    check_done(image.run(*words, user=USERS[0], home=data), data / "sr.tif", USERS[0])


@pytest.mark.slow
@pytest.mark.keras
def test_dsen2_with_the_projects_weights(image, data):
    """By two users, of whom the second finds the models that the first one has exported; OTBTF makes no difference."""
    names = scene(data)
    for user, engine in zip(USERS, ("otbtf", "tensorflow")):
        product = data / f"{user}.tif"
        words = ["-m", "inference.dsen2", "--input", *names, "--output", product, "--engine", engine]
        run = image.run(*words, user=user, home="/nowhere")
        check_done(run, product, user)
        record = json.loads(product.with_name(f"{product.name}.json").read_text())
        assert {model["engine"] for model in record["models"]} == {engine}
    first, second = (gdal.Open(str(data / f"{user}.tif")) for user in USERS)
    assert first.GetGeoTransform() == second.GetGeoTransform() and first.RasterCount == 12
    assert (first.RasterXSize, first.RasterYSize) == (60, 48)
    np.testing.assert_array_equal(first.ReadAsArray(), second.ReadAsArray())


@pytest.mark.slow
@pytest.mark.keras
def test_l1bsr_with_the_projects_weights(image, data):
    pixels = np.random.default_rng(0).integers(50, 900, (80, 84, 4)).astype(np.uint16)
    image_of_l1b = write(data / "l1b.tif", pixels, 10, ("B02", "B03", "B04", "B08"))
    words = ["-m", "inference.l1bsr", "--input", image_of_l1b, "--output", data / "sr.tif"]
    check_done(image.run(*words, user=USERS[0], home=data), data / "sr.tif", USERS[0])


@pytest.mark.slow
@pytest.mark.keras
def test_deepsum_with_the_projects_weights(image, data):
    write_scenes(data / "probav", 1, rows=64, columns=64, seed=990)
    subprocess.run(["chmod", "-R", "a+rX", str(data / "probav")], check=True)
    folder = data / "probav" / "train" / "NIR" / "imgset0000"
    words = ["-m", "inference.deepsum", "--input", folder, "--output", data / "sr.tif"]
    check_done(image.run(*words, user=USERS[0], home=data), data / "sr.tif", USERS[0])


@pytest.mark.slow
@pytest.mark.keras
def test_demo(image, data):
    """From a STAC query to patches, a training, a product and its report."""
    words = ["demo.py", "--output", data / "demo", "--size", "1024", "--epochs", "5"]
    check_done(image.run(*words, user=USERS[1], home=data))
    assert (data / "demo" / "report.json").stat().st_uid == USERS[1]
