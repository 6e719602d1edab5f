# SPDX-License-Identifier: Apache-2.0
"""`model.json`: read as it was written, without TensorFlow, with clear errors."""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from models.description import FILE_NAME, ModelDescription, Source, read_description, write_description
from tests.examples import slow

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"

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
    with pytest.raises(ValueError, match="^--model-dir: .*got ") as caught:
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
    with pytest.raises(ValueError, match=f"^--model-dir: .*{message}"):
        read_description(tmp_path)


def mutations(value):
    """Yield other values than a value of JSON, at any of its depths."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, -value - 1, value * 2 + 1, str(value), None, float("nan"))
    elif isinstance(value, str):
        yield from (value + "x", value[1:] or "y", value.swapcase() if value.swapcase() != value else "Z", 3, None)
    elif isinstance(value, list):
        yield from (value[:-1], [*value, "B99"], value[::-1] if value[::-1] != value else [None], "B04", None)
        for index, each in enumerate(value):
            yield from ([*value[:index], other, *value[index + 1 :]] for other in mutations(each))
    elif isinstance(value, dict):
        yield from ({**value, "further": 1}, list(value), None)
        for key, each in value.items():
            yield {name: other for name, other in value.items() if name != key}
            yield {f"{name}s" if name == key else name: other for name, other in value.items()}
            yield from ({**value, key: other} for other in mutations(each))


def accepted(folder):
    """Return the description of a folder, or None where it is refused by an error of ours."""
    try:
        return read_description(folder)
    except ValueError as error:
        assert str(error).startswith("--model-dir: ") and "\n" not in str(error)
        return None


SEALED = sorted(WEIGHTS.glob("*/*/model.json"))


@pytest.mark.parametrize(
    "folder",
    [SEALED[0], *(slow(file) for file in SEALED[1:])],
    ids=lambda file: f"{file.parts[-3:-1]}",
)
def test_whatever_is_changed_in_a_sealed_description_is_refused_or_means_the_same(folder, tmp_path):
    content = json.loads(folder.read_text())
    described = read_description(folder.parent)
    changed = list(mutations(content))
    assert len(changed) > 150
    for other in changed:
        (tmp_path / FILE_NAME).write_text(json.dumps(other))
        assert accepted(tmp_path) in (None, described), other
    text, rng = folder.read_text(), random.Random(0)
    for _ in range(450):
        place, length = rng.randrange(len(text)), rng.randrange(1, 4)
        inserted = "".join(rng.choice('0123456789abB_,:"{}[]. \n') for _ in range(rng.randrange(3)))
        (tmp_path / FILE_NAME).write_text(text[:place] + inserted + text[place + length :])
        assert accepted(tmp_path) in (None, described), (place, length, inserted)


def test_what_is_changed_in_the_files_that_a_description_is_of_is_refused(tmp_path):
    (tmp_path / "variables").mkdir()
    for name in ("saved_model.pb", "weights.h5", "variables/variables.index"):
        (tmp_path / name).write_bytes(name.encode())
    write_description(tmp_path, DESCRIPTION.to_json())
    (tmp_path / "run.json").write_text("{}")
    assert read_description(tmp_path) == DESCRIPTION
    for name in ("saved_model.pb", "weights.h5", "variables/variables.index"):
        (tmp_path / name).write_bytes(name.encode()[:-1] + b"?")
        with pytest.raises(ValueError, match=f"expected {Path(name).name} of SHA-256 .* a damaged one"):
            read_description(tmp_path)
        (tmp_path / name).write_bytes(name.encode())


def test_weights_are_held_against_a_description_without_a_seal(tmp_path):
    (tmp_path / "weights.h5").write_bytes(b"other")
    (tmp_path / FILE_NAME).write_text(json.dumps({**DESCRIPTION.to_json(), "weights": "0" * 64}))
    with pytest.raises(ValueError, match="expected weights.h5 of SHA-256 0000"):
        read_description(tmp_path)


@pytest.mark.parametrize("name", [FILE_NAME, "saved_model.pb", "variables/variables.index"])
def test_pipes_and_devices_in_the_folder_of_a_model_are_refused(tmp_path, name):
    folder = shutil.copytree(WEIGHTS / "dsen2" / "2x", tmp_path / "model")
    (folder / name).unlink(missing_ok=True)
    (folder / name).parent.mkdir(exist_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(ValueError, match="^--model-dir: .*a device or a pipe"):
        read_description(folder)


def test_a_description_of_many_levels_is_refused(tmp_path):
    (tmp_path / FILE_NAME).write_text("[" * 200_000)
    with pytest.raises(ValueError, match="^--model-dir: expected a model description in model.json"):
        read_description(tmp_path)
