# SPDX-License-Identifier: Apache-2.0
"""What inputs are known by, and what is noticed when they change."""

import functools
import http.server
import os
import shutil
import zipfile

import numpy as np
import pytest
from osgeo import gdal

from chain.serving.input_files import InputChangedError, InputWatch, files_behind, names_behind, stamps, unplaced
from tests.servers import serving

PIXELS = np.arange(16, dtype=np.uint16).reshape(4, 4) + 1


def identity(*names):
    return unplaced(stamps(names_behind([str(name) for name in names])))


@pytest.fixture
def server(tmp_path):
    """Serve the folder `www`; returns its address."""
    (tmp_path / "www").mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "www"))
    handler.log_message = lambda *_: None
    with serving(handler) as served:
        yield f"/vsicurl/{served.url}"
    gdal.VSICurlClearCache()


def test_a_moved_folder_is_the_same_and_a_changed_file_is_not(tmp_path, write_raster):
    (tmp_path / "a").mkdir()
    path = write_raster("a/s.tif", PIXELS)
    before = identity(path)
    (tmp_path / "a").rename(tmp_path / "b")
    path = tmp_path / "b" / "s.tif"
    assert identity(path) == before
    (tmp_path / "link.tif").symlink_to(path)
    status = os.stat(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(0, status.st_mtime_ns))
    assert identity(path) != before
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(0, status.st_mtime_ns))
    assert identity(path) == before
    os.utime(path, ns=(0, status.st_mtime_ns + 1))
    assert identity(path) != before


def test_statistics_that_qgis_leaves_beside_a_file_do_not_count(tmp_path, write_raster):
    path = write_raster("s.tif", PIXELS, bands=["B04"])
    before = identity(path)
    dataset = gdal.Open(str(path))
    dataset.GetRasterBand(1).ComputeStatistics(False)
    dataset.GetRasterBand(1).GetDefaultHistogram(force=1)
    del dataset
    assert (tmp_path / "s.tif.aux.xml").exists() and identity(path) == before
    dataset = gdal.Open(str(path))
    dataset.GetRasterBand(1).SetNoDataValue(7)
    del dataset
    assert identity(path) != before


def test_what_lies_beside_a_file_counts(tmp_path, write_raster):
    path = write_raster("s.tif", PIXELS)
    before = identity(path)
    (tmp_path / "s.tif.aux.xml").write_text("<PAMDataset/>")
    assert identity(path) != before


def test_files_of_mosaics_and_of_mosaics_in_memory_count_with_what_lies_beside_them(tmp_path, write_raster):
    path = write_raster("s.tif", PIXELS)
    for mosaic in (str(tmp_path / "m.vrt"), "/vsimem/test_input_files.vrt"):
        gdal.BuildVRT(mosaic, [str(path)]).FlushCache()
        before = identity(mosaic)
        assert str(path) in names_behind([mosaic])
        (tmp_path / "s.tif.aux.xml").write_text("<PAMDataset/>")
        assert identity(mosaic) != before
        (tmp_path / "s.tif.aux.xml").unlink()
        assert identity(mosaic) == before
    gdal.Unlink("/vsimem/test_input_files.vrt")


def _zip(archive, path, *others):
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.write(path, "S.SAFE/B04.tif")
        for other in others:
            zipped.writestr(other, other)
    return f"/vsizip/{archive}/S.SAFE/B04.tif"


def test_members_of_a_zip_are_known_by_what_they_hold(tmp_path, write_raster):
    path, archive = write_raster("s.tif", PIXELS), tmp_path / "S.zip"
    member = _zip(archive, path)
    before = identity(member)
    assert files_behind([member]) == [str(archive)]
    shutil.copy(archive, tmp_path / "copy.zip")
    assert identity(f"/vsizip/{tmp_path}/copy.zip/S.SAFE/B04.tif") == before
    assert identity(f"/vsizip/{{{archive}}}/S.SAFE/B04.tif") == before
    gdal.VSICurlClearCache()
    assert unplaced(stamps([_zip(archive, path, "S.SAFE/other.xml")])) == before
    assert unplaced(stamps([_zip(archive, write_raster("s.tif", PIXELS + 1))])) != before


def test_two_addresses_of_one_last_name_are_two_inputs(tmp_path, server, write_raster):
    for day in ("jan", "feb"):
        (tmp_path / "www" / day).mkdir()
        write_raster(f"www/{day}/s.tif", PIXELS)
        os.utime(tmp_path / "www" / day / "s.tif", ns=(0, 10**18))
    assert identity(f"{server}/jan/s.tif") != identity(f"{server}/feb/s.tif")
    assert identity(f"{server}/jan/s.tif?a=1") != identity(f"{server}/jan/s.tif?a=2")


def test_an_address_signed_anew_is_the_same_and_what_was_replaced_there_is_not(tmp_path, server, write_raster):
    path = write_raster("www/s.tif", PIXELS)
    os.utime(path, ns=(0, 10**18))
    one, other = (f"{server}/s.tif?sv=1&sig={number}&se={number}" for number in (1, 2))
    before = identity(one)
    assert identity(other) == before and "sig" not in str(before) and str(path.stat().st_size) in str(before)
    watch = InputWatch([one])
    watch.check_all([other])
    os.utime(path, ns=(0, 2 * 10**18))
    gdal.VSICurlClearCache()
    assert identity(one) != before
    with pytest.raises(
        InputChangedError, match=r"--input: .*got /vsicurl/http://127.0.0.1:\d+/s.tif, which has changed"
    ):
        watch.check_all([other])


@pytest.mark.parametrize("how", ["overwritten", "rewritten with its old time", "replaced", "removed"])
def test_a_file_that_changes_is_noticed_by_name(tmp_path, write_raster, how):
    path = write_raster("s.tif", PIXELS)
    status, content = os.stat(path), path.read_bytes()
    watch = InputWatch([str(path)])
    watch.check_all()
    if how == "removed":
        path.unlink()
    elif how == "replaced":
        shutil.copy2(path, tmp_path / "new")
        (tmp_path / "new").replace(path)
    else:
        path.write_bytes(content)
        if how != "overwritten":
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(InputChangedError, match=f"expected a file that stays as it is, got {path}, which has changed"):
        watch.check()
