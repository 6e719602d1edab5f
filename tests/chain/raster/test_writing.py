# SPDX-License-Identifier: Apache-2.0
"""A raster that could not be written whole is an error."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal

from chain.raster.writing import check_whole, write_copy, write_picture

PIXELS = np.random.default_rng(0).integers(0, 65535, (700, 700)).astype(np.uint16)
PROGRAM = """
import sys, resource, numpy as np
from pathlib import Path
from osgeo import gdal
from chain.runtime.files import whole_file
from chain.raster.writing import write_copy, write_picture
memory = gdal.GetDriverByName("MEM").Create("", 700, 700, 1, gdal.GDT_UInt16)
memory.WriteArray(np.random.default_rng(0).integers(0, 65535, (700, 700)).astype(np.uint16))
path, how, size = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
with whole_file(path) as partial:
    write_picture(partial, how, memory) if how != "COG" else write_copy(partial, how, memory, ["COMPRESS=DEFLATE"])
"""


def memory():
    dataset = gdal.GetDriverByName("MEM").Create("", 700, 700, 1, gdal.GDT_UInt16)
    dataset.WriteArray(PIXELS)
    return dataset


@pytest.mark.parametrize("how", ["PNG", "GTiff", "COG"])
def test_what_is_written_is_what_was_there(tmp_path, how):
    path = tmp_path / ("a.png" if how == "PNG" else "a.tif")
    write_picture(path, how, memory()) if how != "COG" else write_copy(path, how, memory(), ["COMPRESS=DEFLATE"])
    np.testing.assert_array_equal(gdal.Open(str(path)).ReadAsArray(), PIXELS)


@pytest.mark.parametrize("how, missing", [("PNG", 1), ("GTiff", 1), ("COG", 1), ("GTiff", 300_000), ("COG", 300_000)])
def test_a_disk_that_is_full_is_an_error_and_leaves_nothing(tmp_path, how, missing):
    whole = tmp_path / ("whole.png" if how == "PNG" else "whole.tif")
    write_picture(whole, how, memory()) if how != "COG" else write_copy(whole, how, memory(), ["COMPRESS=DEFLATE"])
    size = whole.stat().st_size - missing
    path = tmp_path / f"a{whole.suffix}"
    environment = {**os.environ, "PYTHONPATH": f"{Path.cwd()}:{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-c", PROGRAM, str(path), how, str(size)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1 and "OSError: --output: " in done.stderr.splitlines()[-1], done.stderr
    assert [file.name for file in tmp_path.iterdir()] == [whole.name]


def test_a_file_without_its_end_is_told(tmp_path):
    write_copy(tmp_path / "a.tif", "COG", memory(), ["COMPRESS=DEFLATE"])
    check_whole(tmp_path / "a.tif")
    os.truncate(tmp_path / "a.tif", (tmp_path / "a.tif").stat().st_size - 10)
    with pytest.raises(OSError, match="--output: expected a disk that takes a.tif, got .* bytes"):
        check_whole(tmp_path / "a.tif")
