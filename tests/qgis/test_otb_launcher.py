# SPDX-License-Identifier: Apache-2.0
"""What QGIS's OTB provider starts: arguments, environment, and failures that cannot be overlooked."""

import json
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

LAUNCHER = REPOSITORY / "qgis" / "otb_launcher.py"
DESCRIPTION = """Toy|out
Toy
Learning
QgsProcessingParameterMultipleLayers|source1.il|Images|3|None|False
QgsProcessingParameterRasterDestination|out|Output image|None|False
QgsProcessingParameterVectorDestination|points|Points|None|True
*QgsProcessingParameterEnum|outputpixeltype|Type|uint8;float|False|2|True
"""
FAKE = """#!/usr/bin/env python3
import json, os, sys
print(json.dumps({"words": sys.argv[1:], "environment": dict(os.environ)}))
sys.exit(int(os.environ.get("STATUS", "0")))
"""


@pytest.fixture
def start(tmp_path):
    """Return a function that starts the launcher as QGIS does, with an OTB that tells what it gets."""
    (tmp_path / "otb/bin").mkdir(parents=True)
    (tmp_path / "otb/description").mkdir()
    (tmp_path / "otb/description/Toy.txt").write_text(DESCRIPTION)
    fake = tmp_path / "otb.py"
    fake.write_text(FAKE)
    fake.chmod(0o755)
    link = tmp_path / "otb/bin/otbApplicationLauncherCommandLine"
    link.symlink_to(LAUNCHER)

    def run(*words, status=0):
        environment = {"OTB_APPLICATION_PATH": "/a:/b", "PATH": "/usr/bin:/bin", "STATUS": str(status)}
        settings = {"launcher": str(fake), "environment": environment}
        (tmp_path / "otb/environment.json").write_text(json.dumps(settings))
        done = subprocess.run(
            [sys.executable, link, "Toy", "/a:/b", *map(str, words)],
            env={"LC_NUMERIC": "C"},
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout

    return run


def told(output):
    return json.loads(next(line for line in output.splitlines() if line.startswith("{")))


def test_environment_and_folders_reach_otb(start):
    status, output = start("-source1.il", "a.tif", "b.tif", "-out", "o.tif", "uint16")
    assert status == 0
    assert told(output)["words"] == ["Toy", "-source1.il", "a.tif", "b.tif", "-out", "o.tif", "uint16"]
    environment = told(output)["environment"]
    assert environment["OTB_APPLICATION_PATH"] == "/a:/b" and environment["LC_NUMERIC"] == "C"
    assert environment["OTB_TF_NSOURCES"] == "1"


@pytest.mark.parametrize("sources", [1, 2, 3])
def test_parameters_of_sources_that_are_not_there_are_left_out(start, sources):
    given = [
        word for n in range(1, sources + 1) for word in (f"-source{n}.il", f"{n}.tif", f"-source{n}.rfieldx", "16")
    ]
    left = [word for n in range(sources + 1, 4) for word in (f"-source{n}.rfieldx", "1", f"-source{n}.nodata", "-1")]
    _, output = start(*given, *left, "-out", "o.tif")
    assert told(output)["words"] == ["Toy", *given, "-out", "o.tif"]
    assert told(output)["environment"]["OTB_TF_NSOURCES"] == str(sources)


def test_lists_are_separated_and_negative_numbers_are_values(start):
    _, output = start("-output.names", "sr other", "-output.bv", "-1.5", "-source1.il", "with space.tif")
    expected = ["-output.names", "sr", "other", "-output.bv", "-1.5", "-source1.il", "with space.tif"]
    assert told(output)["words"] == ["Toy", *expected]


def test_a_failure_is_told_and_what_lies_there_is_not_taken_for_the_result(start, tmp_path):
    older, points = tmp_path / "o.tif", tmp_path / "p.geojson"
    older.write_text("older")
    words = ["-source1.il", older.with_name("in.tif"), "-out", f"{older}?&gdal:co:COMPRESS=DEFLATE", "uint16"]
    status, output = start(*words, "-points", points, status=3)
    assert status == 3
    assert "ERROR: Toy failed with exit status 3" in output
    assert f"ERROR: {older} is not the result of this run: it is now o.tif.failed" in output
    assert not older.exists() and (tmp_path / "o.tif.failed").read_text() == "older"
    assert str(points) not in "".join(line for line in output.splitlines() if line.startswith("ERROR"))


def test_a_success_leaves_files_alone(start, tmp_path):
    made = tmp_path / "o.tif"
    made.write_text("made")
    status, output = start("-source1.il", "a.tif", "-out", made)
    assert status == 0 and made.read_text() == "made" and "ERROR" not in output
