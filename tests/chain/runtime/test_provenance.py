# SPDX-License-Identifier: Apache-2.0
"""What a run leaves behind."""

import json
import platform
import re
import subprocess
from pathlib import Path

import numpy as np

from chain.runtime import provenance

PROJECT = Path(__file__).resolve().parents[3]


def test_versions_are_those_in_use():
    from osgeo import gdal

    versions = provenance.versions()
    assert versions["python"] == platform.python_version()
    assert versions["numpy"] == np.__version__
    assert versions["gdal"] == gdal.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", versions["tensorflow"])


def test_software_version_names_the_commit():
    command = ["git", "-C", str(PROJECT), "rev-parse", "HEAD"]
    head = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    number, _, commit = provenance.software_version().partition("+")
    assert number == provenance.VERSION
    assert re.search(r"^version: (.*)$", (PROJECT / "CITATION.cff").read_text(), re.MULTILINE)[1] == number
    assert head.startswith(commit) and bool(head) == bool(commit)


def test_a_record_replaces_another_whole(tmp_path):
    path = tmp_path / "record.json"
    for content in ({"seconds": 1.5, "path": tmp_path}, {"bands": ("B04",)}):
        provenance.write(path, content)
        assert json.loads(path.read_text()) == json.loads(json.dumps(content, default=str))
    assert [entry.name for entry in tmp_path.iterdir()] == ["record.json"]
