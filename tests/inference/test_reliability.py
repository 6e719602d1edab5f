# SPDX-License-Identifier: Apache-2.0
"""Nothing mixed, nothing lost: what `inference.spot7` does when its input, its output or itself is disturbed."""

import json
import os
import shutil

import numpy as np
import pytest
from osgeo import gdal

from chain.serving.input_files import InputChangedError
from inference import spot7
from tests import toy_models
from tests.examples import slow

pytestmark = pytest.mark.keras

BANDS = ("B04", "B03", "B02", "B08")
PIXELS = np.random.default_rng(0).integers(1001, 9000, (70, 70, 4)).astype(np.uint16)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return toy_models.nearest(tmp_path_factory.mktemp("models") / "nearest")


@pytest.fixture
def image(write_raster):
    return write_raster("s2.tif", PIXELS, gsd=6.0, bands=BANDS)


def options(model, **more):
    return spot7.Options(model_dir=model, offset=0, tile_size=64, **more)


def expected(pixels=PIXELS):
    return np.repeat(np.repeat(np.moveaxis(pixels, -1, 0), 4, 1), 4, 2)


def pixels_of(path):
    return gdal.Open(str(path)).ReadAsArray()


def once_at(fraction, action):
    """Return a progress report that acts when so much is done."""
    done = []

    def report(now, text):
        if now >= fraction and not done:
            done.append(now)
            action()

    return report


def test_an_input_of_which_half_is_left_meanwhile_fails_by_name_and_leaves_nothing(tmp_path, image, model):
    def cut():
        os.truncate(image, os.path.getsize(image) // 2)

    expected_error = f"--input: expected a file that stays as it is, got {image}, which has changed"
    with pytest.raises(InputChangedError, match=expected_error) as refusal:
        spot7.super_resolve(str(image), tmp_path / "sr.tif", options(model), progress=once_at(0.01, cut))
    assert "Error while reading image" in str(refusal.value.__context__)
    assert not list(tmp_path.glob("sr.tif*"))


@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.99])
def test_an_input_that_is_overwritten_meanwhile_fails_by_name_and_leaves_nothing(tmp_path, image, model, fraction):
    other = tmp_path / "other.tif"
    shutil.copy2(image, other)
    dataset = gdal.Open(str(other), gdal.GA_Update)
    dataset.GetRasterBand(1).WriteArray(np.full((70, 70), 7, np.uint16))
    del dataset

    def overwrite():
        stamp = os.stat(image).st_mtime_ns
        image.write_bytes(other.read_bytes())
        os.utime(image, ns=(stamp, stamp))

    output = tmp_path / "sr.tif"
    with pytest.raises(RuntimeError, match=f"--input: expected a file that stays as it is, got {image}, which has ch"):
        spot7.super_resolve(str(image), output, options(model), progress=once_at(fraction, overwrite))
    assert not list(tmp_path.glob("sr.tif*"))
    spot7.super_resolve(str(image), output, options(model))
    assert (pixels_of(output)[0] == 7).all()


def test_a_moved_folder_and_another_name_resume(tmp_path, image, model):
    class Stop(Exception):
        pass

    def stop():
        raise Stop

    output = tmp_path / "sr.tif"
    with pytest.raises(Stop):
        spot7.super_resolve(str(image), output, options(model), progress=once_at(0.3, stop))
    (tmp_path / "moved").mkdir()
    image.rename(tmp_path / "moved" / "s2.tif")
    (tmp_path / "link").symlink_to("moved")
    spot7.super_resolve(str(tmp_path / "link" / "s2.tif"), output, options(model))
    assert json.loads((tmp_path / "sr.tif.json").read_text())["resumed_regions"] > 0
    np.testing.assert_array_equal(pixels_of(output), expected())


def test_the_folder_of_somebody_beside_the_output_is_left_as_it_is(tmp_path, image, model):
    parts = tmp_path / "sr.tif.parts"
    parts.mkdir()
    (parts / "letter.txt").write_text("mine")
    for more in ({}, {"overwrite": True}, {"restart": True}):
        with pytest.raises(FileExistsError, match="--output: expected no .*sr.tif.parts"):
            spot7.super_resolve(str(image), tmp_path / "sr.tif", options(model, **more))
    assert (parts / "letter.txt").read_text() == "mine" and os.listdir(parts) == ["letter.txt"]


def command(model, image, output, *more):
    arguments = ["--input", str(image), "--output", str(output), "--model-dir", model, "--offset", "0"]
    return spot7.main([*arguments, "--tile-size", "64", "--quicklook", str(output.with_suffix(".png")), *more])


@pytest.mark.parametrize(
    "lost", [["sr.tif.json", "sr.qml", "sr_false_colour.qml", "sr.png"], ["sr.png"], ["sr.qml", "sr.png"]]
)
def test_a_run_killed_when_its_product_had_got_its_name_is_completed_by_the_same_command(tmp_path, image, model, lost):
    output = tmp_path / "sr.tif"
    assert command(model, image, output) == 0
    names, product = set(os.listdir(tmp_path)), output.read_bytes()
    record = json.loads((tmp_path / "sr.tif.json").read_text())
    for name in lost:
        (tmp_path / name).unlink()
    assert command(model, image, output) == 0
    assert set(os.listdir(tmp_path)) == names and output.read_bytes() == product
    again = json.loads((tmp_path / "sr.tif.json").read_text())
    assert again["identity"] == record["identity"] and again["input"] == record["input"]
    with pytest.raises(SystemExit) as end:
        command(model, image, output)
    assert end.value.code == 2


def test_what_is_missing_is_not_written_for_another_product(tmp_path, image, model, capsys):
    output = tmp_path / "sr.tif"
    assert command(model, image, output) == 0
    (tmp_path / "sr.png").unlink()
    (tmp_path / "sr.tif.json").unlink()
    product = output.read_bytes()
    assert command(model, image, output, "--float") == 1
    assert f"--output: {output} exists, made of other" in capsys.readouterr().err
    assert output.read_bytes() == product and not (tmp_path / "sr.png").exists()


def test_the_regions_of_a_product_that_has_got_its_name_are_removed(tmp_path, image, model, monkeypatch):
    from chain.serving.journal import Journal

    output = tmp_path / "sr.tif"
    remove = Journal.remove

    def stop(journal):
        if output.exists():
            raise KeyboardInterrupt
        remove(journal)

    monkeypatch.setattr(Journal, "remove", stop)
    assert command(model, image, output) == 130
    monkeypatch.setattr(Journal, "remove", remove)
    assert (tmp_path / "sr.tif.parts").exists() and output.exists()
    assert command(model, image, output) == 0
    assert not (tmp_path / "sr.tif.parts").exists() and (tmp_path / "sr.png").exists()
    np.testing.assert_array_equal(pixels_of(output), expected())


@pytest.mark.parametrize("damage", ["", "[1]", *(slow(each) for each in ("{", '"text"', "\x00"))])
def test_a_record_that_is_damaged_is_written_again(tmp_path, image, model, damage):
    output = tmp_path / "sr.tif"
    assert command(model, image, output) == 0
    whole = json.loads((tmp_path / "sr.tif.json").read_text())
    (tmp_path / "sr.tif.json").write_text(damage)
    (tmp_path / "sr.png").unlink()
    assert command(model, image, output) == 0
    again = json.loads((tmp_path / "sr.tif.json").read_text())
    assert again["identity"] == whole["identity"] and (tmp_path / "sr.png").exists()


def test_a_file_of_the_name_of_the_record_that_is_none_stays(tmp_path, image, model):
    (tmp_path / "sr.tif.json").write_text('{"mine": 1}')
    with pytest.raises(FileExistsError, match="^--output: .*sr.tif.json exists, no record; --overwrite replaces it$"):
        spot7.super_resolve(str(image), tmp_path / "sr.tif", options(model))
    assert (tmp_path / "sr.tif.json").read_text() == '{"mine": 1}' and not (tmp_path / "sr.tif").exists()
