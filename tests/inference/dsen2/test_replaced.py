# SPDX-License-Identifier: Apache-2.0
"""What lies beside a product is of its pixels, also where another one had its name before."""

import os

import numpy as np
import pytest
from osgeo import gdal

from tests.inference.dsen2.scenes import infer, read, write_safe
from tests.products import product_files

pytestmark = pytest.mark.keras

BANDS = "--bands", "B02,B03,B04,B05,B08"


@pytest.fixture
def output(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "sr.tif"


def test_what_went_with_a_replaced_product_goes(files, models, pixels, output, tmp_path, write_raster):
    """Item, classification, single bands and masks of GDAL's were left, and told of other pixels."""
    safe = write_safe(tmp_path, pixels, write_raster, "L2A")
    assert infer(safe, output, models, *BANDS, "--separate") == 0
    separate = {f"sr_{band}.tif" for band in BANDS[1].split(",")}
    assert set(os.listdir(output.parent)) == product_files("sr", item=True, classes=True) | separate
    dataset = gdal.Open(str(output))
    dataset.CreateMaskBand(gdal.GMF_PER_DATASET)
    del dataset
    copy = output.with_name("sr_copy.tif")
    copy.write_bytes(output.read_bytes())
    assert infer(safe, output, models, *BANDS, "--overwrite", "--co", "LEVEL=9") == 0  # the same pixels
    assert set(os.listdir(output.parent)) == product_files("sr", item=True, classes=True) | separate | {copy.name}
    assert infer(files("nothing_N0213"), output, models, *BANDS, "--level", "L2A", "--overwrite") == 0
    assert set(os.listdir(output.parent)) == product_files("sr") | {copy.name}


def test_single_bands_of_an_earlier_product_do_not_complete_another_one(files, models, tmp_path, write_raster, capsys):
    """They were taken for those of the product that is there."""
    names, folder = files(), tmp_path / "products"
    mask = write_raster("mask.tif", np.tri(126, 162, dtype=np.uint8))
    assert infer(names, folder, models, *BANDS, "--separate") == 0
    one = next(folder.glob("*_SR_B05.tif"))
    earlier = one.read_bytes()
    assert infer(names, folder, models, *BANDS, "--exclude-mask", str(mask), "--overwrite") == 0
    one.write_bytes(earlier)  # as versions before this one left it
    assert infer(names, folder, models, *BANDS, "--exclude-mask", str(mask), "--separate") == 0
    assert "done before" in capsys.readouterr().out
    whole, _ = read(one.with_name(one.name.replace("_B05", "")))
    np.testing.assert_array_equal(read(one)[0]["B05"], whole["B05"])
    one.write_bytes(b"mine")
    assert infer(names, folder, models, *BANDS, "--exclude-mask", str(mask), "--separate") == 1
    assert f"--separate: {one} exists; --overwrite replaces it" in capsys.readouterr().err
    assert one.read_bytes() == b"mine"
