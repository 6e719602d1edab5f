# SPDX-License-Identifier: Apache-2.0
"""Setting up a profile: descriptions, settings, and that it changes nothing the second time."""

import importlib.util
import json
import os

import pytest

from tests.conftest import REPOSITORY

SPECIFICATION = importlib.util.spec_from_file_location("qgis_set_up", REPOSITORY / "qgis" / "set_up.py")
set_up = importlib.util.module_from_spec(SPECIFICATION)
SPECIFICATION.loader.exec_module(set_up)


def test_sources_from_the_second_on_are_optional():
    text = (
        "QgsX|source1.il|Images|3|None|False\nQgsX|source2.il|Images|3|None|False\nQgsX|source3.il|I|None|False|True\n"
    )
    expected = text.replace("source2.il|Images|3|None|False", "source2.il|Images|3|None|True")
    assert set_up.with_optional_sources(text) == expected


def test_parameters_of_single_choices_are_optional():
    text = (
        "OTBParameterChoice|strategy|How|split;balanced|0|True\n"
        "QgsX|strategy.balanced.labelimage|Image|None|False\n"
        "QgsX|other.balanced.labelimage|Image|None|False\n"
        "QgsX|in|Image|None|False\n"
    )
    expected = text.replace(
        "strategy.balanced.labelimage|Image|None|False", "strategy.balanced.labelimage|Image|None|True"
    )
    assert set_up.with_optional_branches(text) == expected


@pytest.mark.slow
def test_a_second_run_changes_nothing_and_keeps_what_the_user_has_set(qgis):
    settings = qgis.profile / "QGIS" / "QGIS3.ini"
    assert "Processing/Configuration/OTB_FOLDER" in qgis.told and "plugin super_resolution" in qgis.told
    before = settings.read_text()
    assert qgis.set_up() == f"QGIS: {qgis.profile} is set up already\n"
    assert settings.read_text() == before
    settings.write_text(before + "\n[app]\nmine=1\n")
    qgis.set_up()
    assert "mine=1" in settings.read_text()
    settings.write_text(before)


@pytest.mark.slow
def test_the_folder_has_all_applications_and_a_launcher(qgis):
    folder = qgis.home / "otb"
    listed = (folder / "description" / "algs.txt").read_text().split()
    assert {f"Learning|{name}" for name in set_up.APPLICATIONS} <= set(listed) and len(listed) > 100
    assert os.readlink(folder / "bin" / set_up.LAUNCHER) == str(REPOSITORY / "qgis" / "otb_launcher.py")
    environment = json.loads((folder / "environment.json").read_text())["environment"]
    assert environment["HOME"] == str(qgis.home) and "applications" in environment["OTB_APPLICATION_PATH"]
    serve = (folder / "description" / "TensorflowModelServe.txt").read_text()
    assert "|source1.il|Input image (or list to stack) for source #1|3|None|False" in serve
    assert "|source3.il|Input image (or list to stack) for source #3|3|None|True" in serve
