# SPDX-License-Identifier: Apache-2.0
"""Inputs that would eat the machine, or never end, are refused by name."""

import os
import time
import zipfile

import numpy as np
import pytest

from chain.raster.area_of_interest import geometry_bounds
from chain.runtime.provenance import read, record_of
from chain.sentinel2.image import open_product
from datasets.deepsum.kelvins import read_png

MIB = 1 << 20


def test_metadata_that_unpack_to_gigabytes_are_refused(tmp_path):
    path, start = tmp_path / "S2A_MSIL2A.zip", time.monotonic()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("S2A.SAFE/MTD_MSIL2A.xml", "w") as member:
            for _ in range(100):
                member.write(bytes(MIB))
    assert path.stat().st_size < MIB
    with pytest.raises(ValueError, match="MTD_MSIL2A.xml: expected metadata of at most 64 MiB, got 104857600 bytes"):
        open_product(path)
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("name", ["S2A_B04.tif", "item.json"])
@pytest.mark.parametrize("kind", ["pipe", "endless"])
def test_pipes_and_devices_are_refused(tmp_path, name, kind):
    path = tmp_path / name
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=f"{name}: expected .*a device or a pipe"):
        open_product(path)


@pytest.mark.parametrize("name", ["MTD_MSIL1C.xml", "manifest.safe"])
@pytest.mark.parametrize("kind", ["pipe", "endless"])
def test_pipes_and_devices_in_safe_products_are_refused(tmp_path, name, kind):
    folder = tmp_path / "S2A_MSIL1C_20210908T042701_N0301_R133_T46RER_20210908T070248.SAFE"
    folder.mkdir()
    (folder / "MTD_MSIL1C.xml").write_text("<a/>")
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name) if kind == "pipe" else (folder / name).symlink_to("/dev/zero")
    with pytest.raises((ValueError, OSError), match=f"{name}: expected a readable file, got .*a device or a pipe"):
        open_product(folder)


@pytest.mark.parametrize("ending", ["tif.aux.xml", "tif.ovr", "tfw"])
def test_pipes_beside_rasters_are_refused(tmp_path, write_raster, ending):
    path = write_raster("B04.tif", np.full((8, 8), 2000, np.uint16), bands=["B04"])
    os.mkfifo(tmp_path / f"B04.{ending}")
    with pytest.raises(ValueError, match=f"B04.{ending}: expected a readable raster, got a device or a pipe"):
        open_product(path)


def test_pipes_elsewhere_are_refused(tmp_path):
    os.mkfifo(tmp_path / "a.shp")
    with pytest.raises(ValueError, match="^--geometry: .*a.shp: .*a device or a pipe"):
        geometry_bounds(str(tmp_path), "")
    os.mkfifo(record_of(tmp_path / "sr.tif"))
    assert read(record_of(tmp_path / "sr.tif")) == {}
    with pytest.raises(ValueError, match="a.shp: .*a device or a pipe"):
        read_png(tmp_path / "a.shp")


def test_a_document_of_many_levels_is_refused(tmp_path):
    (tmp_path / "item.json").write_text("[" * 200_000)
    with pytest.raises(ValueError, match="item.json: expected a STAC item"):
        open_product(tmp_path / "item.json")
