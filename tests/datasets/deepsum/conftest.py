# SPDX-License-Identifier: Apache-2.0
"""Small scenes and their records."""

import shutil

import pytest

from datasets.deepsum.records import main
from simulate.probav_scenes import write_scenes

SCENES = 7
COMMON = ["--chunks", "3", "--patches", "4"]


@pytest.fixture(scope="session")
def made_scenes(tmp_path_factory):
    """Scenes whose truth has 108 x 108 pixels."""
    folder = tmp_path_factory.mktemp("probav")
    write_scenes(folder, SCENES, rows=36, columns=36, seed=11)
    return folder


@pytest.fixture
def scenes(made_scenes, tmp_path):
    """A copy of them, to be changed."""
    return shutil.copytree(made_scenes, tmp_path / "probav")


@pytest.fixture(scope="session")
def made_records(made_scenes, tmp_path_factory):
    """Their records."""
    folder = tmp_path_factory.mktemp("made") / "records"
    assert main(["--input", str(made_scenes), "--output", str(folder), *COMMON]) == 0
    return folder
