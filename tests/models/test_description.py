# SPDX-License-Identifier: Apache-2.0
"""`model.json`: read as it was written, without TensorFlow, with clear errors."""

import json
import subprocess
import sys

import pytest

from models.description import FILE_NAME, ModelDescription, Source, read_description

DESCRIPTION = ModelDescription(
    system="spot7",
    arguments={"depth": 8},
    sources=(Source("lr", ("B04", "B08"), 6.0),),
    gsd=1.5,
    bands=("B04", "B08"),
    crop=32,
    outputs={"float": "sr_crop32", "integer": "sr_dn_crop32"},
    software={"keras": "3"},
    weights="abc",
)


def test_round_trip(tmp_path):
    (tmp_path / FILE_NAME).write_text(json.dumps(DESCRIPTION.to_json()))
    assert read_description(tmp_path) == DESCRIPTION
    assert DESCRIPTION.scale == 4


def test_a_description_written_before_a_field_was_added_is_read(tmp_path):
    added = ("model", "whole_image", "shift", "precision", "origin", "levels", "weights")
    content = {key: value for key, value in DESCRIPTION.to_json().items() if key not in added}
    (tmp_path / FILE_NAME).write_text(json.dumps(content))
    description = read_description(tmp_path)
    assert (description.model, description.whole_image, description.shift) == ("", False, 0.0)


def test_no_tensorflow_is_imported():
    code = "import sys, models.description; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"system": "spot7", "arguments": {}, "sources": [{}]}'])
def test_not_a_model(tmp_path, content):
    if content is not None:
        (tmp_path / FILE_NAME).write_text(content)
    with pytest.raises(ValueError, match="^model_dir: .*got ") as caught:
        read_description(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"sources": []}, "expected a source"),
        *(({"crop": crop}, f"expected a crop of 0 to 4096, .*, got {crop}") for crop in (-32, 30, 8192)),
        ({"output": {"bands": ["B04"], "gsd": 0}}, "expected a spacing of more than 0"),
        (
            {"sources": [{"name": name, "bands": ["B04"], "gsd": 6} for name in ("lr", "x20")]},
            "expected bands of different names in all sources, got B04, B04",
        ),
        ({"outputs": {"float": "sr_crop32"}}, "expected outputs float and integer"),
    ],
)
def test_values_that_no_model_has(tmp_path, change, message):
    (tmp_path / FILE_NAME).write_text(json.dumps({**DESCRIPTION.to_json(), **change}))
    with pytest.raises(ValueError, match=f"^model_dir: .*{message}"):
        read_description(tmp_path)
