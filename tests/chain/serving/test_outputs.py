# SPDX-License-Identifier: Apache-2.0
"""No file that is written is one that is read, by whatever name."""

import os
from dataclasses import dataclass

import pytest

from chain.runtime.options import option
from chain.serving.options import FileOptions
from chain.serving.outputs import check_files, check_outputs


@dataclass(frozen=True, kw_only=True)
class Options(FileOptions):
    mask: str | None = option(None, "a mask", reads=True)
    models: tuple[str, ...] | None = option(None, "models", many=True, reads=True)
    metrics: str | None = option(None, "scores", writes=(".json",), replaces=True)


@pytest.fixture
def folder(tmp_path):
    for name in ("image.tif", "mask.png", "mask.json"):
        (tmp_path / name).write_bytes(b"read")
    (tmp_path / "soft.tif").symlink_to(tmp_path / "image.tif")
    os.link(tmp_path / "image.tif", tmp_path / "hard.tif")
    return tmp_path


@pytest.mark.parametrize("name", ["image.tif", "soft.tif", "hard.tif", "../{}/image.tif"])
def test_links_lead_to_the_file_itself(folder, name):
    with pytest.raises(ValueError, match="^--output: expected a file that is not read as input, got "):
        check_files(Options(), [str(folder / "image.tif")], [], folder / name.format(folder.name))


def test_files_that_options_name_are_read_too(folder):
    mask, scores = str(folder / "mask.png"), str(folder / "mask.json")
    with pytest.raises(ValueError, match="^--quicklook: expected a file that is not read"):
        check_files(Options(mask=mask, quicklook=mask), [], [], folder / "sr.tif")
    with pytest.raises(ValueError, match="^--metrics: expected a file that is not read"):
        check_files(Options(models=(mask, scores), metrics=scores), [], [], folder / "sr.tif")


def test_two_things_do_not_go_into_one_file(folder):
    record = str(folder / "sr.tif.json")
    with pytest.raises(ValueError, match="^--metrics: expected another file than that of --output, got "):
        check_files(Options(metrics=record), [], [], folder / "sr.tif")
    check_files(Options(metrics=str(folder / "m.json")), ["https://x/a.tif"], [], folder / "sr.tif")


def test_what_exists_is_replaced_on_request_alone(folder):
    with pytest.raises(FileExistsError, match="^--output: .*image.tif exists; --overwrite replaces it$"):
        check_outputs(Options(), folder / "image.tif")
    check_outputs(Options(overwrite=True), folder / "image.tif")
    check_outputs(Options(metrics=str(folder / "mask.json")), None)
