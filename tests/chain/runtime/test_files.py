# SPDX-License-Identifier: Apache-2.0
"""A folder of results is whole or not there; grids of XS and PAN correspond or are made to."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal, osr

from chain.patches.correspondence import correspond
from chain.raster.footprint import Footprint
from chain.raster.grids import Region
from chain.raster.otb import read
from chain.runtime.files import locked, name_new, read_document, replace, scratch_folder, whole_file, whole_folder


def _write(folder, overwrite=False, text="new", fail=False):
    with whole_folder(folder, "mark.json", overwrite) as partial:
        (partial / "data").write_text(text)
        (partial / "records").mkdir()
        (partial / "records" / "0").write_text(text)
        if fail:
            raise RuntimeError("half way")
        (partial / "mark.json").write_text("{}")


def test_content_appears_when_it_is_whole(tmp_path):
    folder = tmp_path / "a" / "b"
    _write(folder)
    assert sorted(os.listdir(folder)) == ["data", "mark.json", "records"]
    with pytest.raises(ValueError, match="--overwrite"):
        _write(folder, text="other")
    assert (folder / "data").read_text() == "new"
    _write(folder, True, "other")
    assert (folder / "data").read_text() == (folder / "records" / "0").read_text() == "other"


def test_failure_leaves_what_was_there(tmp_path):
    folder = tmp_path / "absent"
    with pytest.raises(RuntimeError, match="half way"):
        _write(folder, fail=True)
    assert not folder.exists()
    _write(folder)
    with pytest.raises(RuntimeError, match="half way"):
        _write(folder, True, "other", fail=True)
    assert sorted(os.listdir(folder)) == ["data", "mark.json", "records"]
    assert (folder / "data").read_text() == "new"


def test_remains_of_a_killed_process_are_cleared(tmp_path):
    (tmp_path / ".partial").mkdir()
    (tmp_path / ".partial" / "old").write_text("old")
    (tmp_path / ".lock").write_text("")
    _write(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["data", "mark.json", "records"]


def test_output_which_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="--output: expected a folder"):
        _write(tmp_path / "file")


def test_a_folder_does_not_take_the_place_of_one_that_is_not_its_own(tmp_path):
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "letter.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds records already; --overwrite replaces it"):
        _write(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["records"] and (tmp_path / "records" / "letter.txt").exists()


def test_a_folder_that_was_being_moved_when_its_process_was_killed_is_completed(tmp_path):
    (tmp_path / ".lock").write_text("moving")
    (tmp_path / "data").write_text("older")
    _write(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["data", "mark.json", "records"] and (tmp_path / "data").read_text() == "new"


def test_a_file_is_whole_or_not_there_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "a.txt"
    with whole_file(path) as partial:
        partial.write_text("one")
        partial.with_name("a.txt.aux.xml").write_text("beside")
        assert not path.exists() and partial.parent.stat().st_mode & 0o777 == 0o700
    with pytest.raises(KeyError), whole_file(path) as partial:
        partial.write_text("two")
        raise KeyError
    assert path.read_text() == "one" and os.listdir(tmp_path) == ["a.txt"]


def test_a_link_with_a_foreseen_temporary_name_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("mine")
    for name in ("a.txt.partial", "lock"):
        (tmp_path / name).symlink_to("precious")
    with whole_file(tmp_path / "a.txt") as partial:
        partial.write_text("one")
    with pytest.raises(OSError, match="symbolic links"), locked(tmp_path / "lock", ValueError()):
        raise AssertionError
    assert (tmp_path / "precious").read_text() == "mine" and (tmp_path / "a.txt").read_text() == "one"


def test_a_file_never_takes_the_place_of_a_folder(tmp_path):
    (tmp_path / "a.txt").mkdir()
    (tmp_path / "a.txt" / "mine").touch()
    with pytest.raises(OSError, match="--figure: expected a file that can be written, got .*Is a directory"):
        with whole_file(tmp_path / "a.txt", "--figure") as partial:
            partial.touch()
    assert (tmp_path / "a.txt" / "mine").exists()


@pytest.mark.parametrize("error, told", [(OSError(28, "No space left on device"), "No space"), (OSError("h5"), "h5")])
def test_why_a_file_cannot_be_written_is_told(tmp_path, error, told):
    with pytest.raises(OSError, match=f"--output: expected a file that can be written, got .*{told}"):
        with whole_file(tmp_path / "a.txt"):
            raise error


def test_a_new_file_replaces_nothing(tmp_path, monkeypatch):
    (tmp_path / "new").write_text("new")
    (tmp_path / "there").write_text("there")
    for link in (os.link, _no_link):
        monkeypatch.setattr(os, "link", link)
        with pytest.raises(FileExistsError):
            name_new(tmp_path / "new", tmp_path / "there")
        assert (tmp_path / "there").read_text() == "there"
        name_new(tmp_path / "new", tmp_path / "name")
        assert sorted(os.listdir(tmp_path)) == ["name", "there"]
        (tmp_path / "name").rename(tmp_path / "new")


def _no_link(*_):
    raise PermissionError(1, "Operation not permitted")


def test_a_file_and_its_name_are_brought_to_the_disk(tmp_path, monkeypatch):
    calls, fsync, rename = [], os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda number: (calls.append(os.readlink(f"/proc/self/fd/{number}")), fsync(number))
    )
    monkeypatch.setattr(os, "replace", lambda *names: (calls.append("replace"), rename(*names)))
    (tmp_path / "new").touch()
    replace(tmp_path / "new", tmp_path / "name")
    assert calls == [str(tmp_path / "new"), "replace", str(tmp_path)]


def _stay(folder, inside):
    with scratch_folder(folder, ".kind-") as scratch:
        (scratch / "file").touch()
        inside.set()
        time.sleep(60)


def test_what_a_killed_process_has_left_is_removed_and_what_others_use_stays(tmp_path):
    context = multiprocessing.get_context("fork")
    for name in (".kind-mine", ".kind-12345678x", "kind-12345678"):
        (tmp_path / name).mkdir()
    event = context.Event()
    kept, killed = (context.Process(target=_stay, args=(tmp_path, event)) for _ in range(2))
    kept.start()
    assert event.wait(20)
    event.clear()
    killed.start()
    assert event.wait(20)
    before = set(os.listdir(tmp_path))
    assert len(before) == 5
    os.kill(killed.pid, signal.SIGKILL)
    killed.join()
    with scratch_folder(tmp_path, ".kind-") as scratch:
        assert len(set(os.listdir(tmp_path)) & before) == 4 and not list(scratch.iterdir())
    kept.terminate()
    kept.join()


def _hold(folder, inside, leave):
    with whole_folder(folder, "mark.json", False):
        inside.set()
        leave.wait(20)


def test_two_processes(tmp_path):
    context = multiprocessing.get_context("fork")
    inside, leave = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, inside, leave))
    other.start()
    assert inside.wait(20)
    with pytest.raises(RuntimeError, match="another process"):
        _write(tmp_path)
    leave.set()
    other.join()
    _write(tmp_path)


def _footprint(left, top, width, height, gsd, epsg=32631):
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(epsg)
    return Footprint((left, gsd, 0.0, top, 0.0, -gsd), (width, height), reference.ExportToWkt())


XS = _footprint(500000.0, 5400000.0, 100, 80, 6.0)


@pytest.mark.parametrize("dx, dy", [(0, 0), (3, -2), (-7, 11)])
def test_grids_which_correspond(dx, dy):
    pan = _footprint(500000.0 - 1.5 * dx, 5400000.0 + 1.5 * dy, 420, 400, 1.5)
    found = correspond(XS, pan, 32, 128)
    assert found.reference is None and found.grid.hr_offset == (dx, dy) and found.grid.scale == 4


@pytest.mark.parametrize(
    "pan",
    [
        _footprint(500000.75, 5400000.0, 400, 320, 1.5),
        _footprint(500000.0, 5400000.0, 400, 320, 1.4997),
        "another CRS",
    ],
)
def test_grids_which_do_not_correspond_are_resampled_to_the_one_lr_implies(pan):
    if pan == "another CRS":
        x, y, _ = osr.CoordinateTransformation(
            *(osr.SpatialReference(_footprint(0, 0, 1, 1, 1, epsg).projection) for epsg in (32631, 2154))
        ).TransformPoint(500000.0, 5400000.0)
        pan = _footprint(x - 30.0, y + 30.0, 500, 420, 1.5, 2154)
    found = correspond(XS, pan, 32, 128)
    reference = Footprint.of(found.reference)
    assert reference.size == found.grid.hr_shape == (400, 320) and found.grid.hr_offset == (0, 0)
    assert reference.geotransform == (500000.0, 1.5, 0.0, 5400000.0, 0.0, -1.5)
    assert "resampled" in found.reason


@pytest.mark.parametrize(
    "pan, sizes, message",
    [
        (_footprint(600000.0, 5400000.0, 400, 320, 1.5), (32, 128), "--pan: expected an image that overlaps"),
        (_footprint(500000.0, 5400000.0, 400, 320, 1.5), (32, 64), "--hr-patch-size: expected 4 times"),
        (_footprint(500000.0, 5400000.0, 400, 320, 1.5), (32, 100), "--hr-patch-size: expected a multiple"),
    ],
)
def test_images_which_do_not_go_together(pan, sizes, message):
    with pytest.raises(ValueError, match=message):
        correspond(XS, pan, *sizes)


def test_resampled_pan_lies_on_its_ground(write_raster):
    """A ramp in easting and northing, on a grid half a pixel off, comes out as the same ramp on the implied grid."""
    from chain.patches.spot import Bundle

    def ramp(columns, rows, left, top, gsd):
        x = left + gsd * (np.arange(columns) + 0.5) - 500000.0
        y = 5400000.0 - (top - gsd * (np.arange(rows) + 0.5))
        return (500 + 2 * x[None, :] + 3 * y[:, None]).astype(np.float32)

    xs = write_raster("xs.tif", np.stack([ramp(60, 50, 500000.0, 5400000.0, 6.0)] * 4, -1), 6.0, (500000.0, 5400000.0))
    pan = write_raster("pan.tif", ramp(240, 200, 500000.75, 5400000.75, 1.5), 1.5, (500000.75, 5400000.75))
    bands = ("B04", "B03", "B02", "B08")
    bundle = Bundle.open(str(xs), str(pan), bands, bands, 0, 8, 32)
    assert bundle.correspondence.reference
    sharpened = read(bundle.pansharpened(), Region(40, 40, 100, 80))
    expected = ramp(240, 200, 500000.0, 5400000.0, 1.5)[40:120, 40:140]
    assert np.abs(sharpened[..., 2] - expected).max() < 1.0


@pytest.mark.parametrize("nodata", [0, 65535, float("nan")])
def test_nodata_of_spot_becomes_zero_and_bands_change_places(write_raster, nodata):
    from chain.patches.spot import Bundle

    array = np.stack([np.full((20, 20), 100.0 * band) for band in range(1, 5)], -1)
    array[4:6, 4:6] = nodata
    array[10, 10, 0] = 0.0
    array = array.astype(np.float32 if nodata != nodata else np.uint16)
    xs = write_raster("xs.tif", array, 6.0)
    pan = write_raster("pan.tif", np.full((80, 80), 50, np.uint16), 1.5)
    order = ("B02", "B03", "B04", "B08")
    bundle = Bundle.open(str(xs), str(pan), order, ("B04", "B03", "B02", "B08"), nodata, 8, 32)
    pixels = read(bundle.multispectral(), Region(0, 0, 20, 20))
    assert np.all(pixels[4:6, 4:6] == 0) and pixels[0, 0].tolist() == [300, 200, 100, 400]
    assert (pixels == 0).all(axis=2).sum() == 4


def test_virtual_grid_needs_no_memory():
    pan = _footprint(500000.75, 5400000.0, 400000, 400000, 1.5)
    found = correspond(_footprint(500000.0, 5400000.0, 100000, 100000, 6.0), pan, 32, 128)
    assert gdal.VSIStatL(found.reference).size < 10_000


def test_documents_are_files_of_a_size_that_can_be_read(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    assert read_document(tmp_path / "a.json") == "{}"
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    with open(tmp_path / "large.json", "wb") as stream:
        stream.truncate(1 << 40)
    for name, message in (
        ("pipe.json", "a device or a pipe"),
        ("zero.json", "a device or a pipe"),
        ("large.json", "at most 64 MiB, got 1099511627776 bytes"),
        ("none.json", "No such file"),
    ):
        with pytest.raises(OSError, match=message):
            read_document(tmp_path / name)


@pytest.mark.parametrize("name", ["made", ".partial"])
def test_an_end_in_the_moment_when_a_folder_is_made_leaves_nothing(tmp_path, monkeypatch, name):
    """A signal's exception comes between any two steps, also right behind the making of a folder."""
    make = Path.mkdir

    def ended(path, *arguments, **named):
        make(path, *arguments, **named)
        if path.name == name:
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "mkdir", ended)
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "made", "mark", overwrite=False):
        raise AssertionError("not begun")
    assert not (tmp_path / "made").exists()
