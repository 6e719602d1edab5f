# SPDX-License-Identifier: Apache-2.0
"""Images of several dates, and masks, that do not belong together, or are not what they are taken for."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from inference.deepsum import main
from tests.examples import slow
from tests.inference.deepsum.conftest import COUNT, GSD, ORIGIN
from tests.inference.deepsum.test_odd_inputs import refused

pytestmark = pytest.mark.keras

PLACE = {"gsd": GSD, "origin": ORIGIN}


def copies(images, masks, write_raster):
    """A file of another name with the same pixels."""
    copy = images[2].replace("d02", "copy")
    shutil.copy(images[2], copy)
    return [*images, copy], [*masks, masks[2]], "got the same pixels in d02 and copy; --repeat accepts that"


def bands_of_files(images, masks, write_raster):
    """Two bands of one date, as `*.tif` finds them, without descriptions."""
    arrays = np.random.default_rng(1).integers(900, 999, (COUNT, 24, 24)).astype(np.uint16)
    images = [
        str(write_raster(f"T31UDQ_{number}_{band}_10m.tif", arrays[number], **PLACE))
        for number, band in enumerate(["B08"] * 6 + ["B04"] * 5)
    ]
    return images, masks, "expected images of one band, got B08 in T31UDQ_0_B08_10m and B04 in T31UDQ_6_B04_10m"


def bands_of_descriptions(images, masks, write_raster):
    """A band of another name."""
    other = np.full((24, 24), 9000, np.uint16)
    other[::2] = 7000
    images[3] = str(write_raster("other.tif", other, bands=["red"], **PLACE))
    return images, masks, "expected images of one band, got B08 in d00 and B04 in other; --band chooses one"


def days(images, masks, write_raster):
    """Masks in another order than images."""
    images, masks = (
        [
            str(Path(name).rename(f"{Path(name).parent}/{kind}_2022-07-{day:02d}.tif"))
            for day, name in enumerate(each, 1)
        ]
        for kind, each in (("image", images), ("mask", masks))
    )
    return images, masks[::-1], "got mask_2022-07-11.tif of 20220711 for "


def classes(images, masks, write_raster):
    """A scene classification, which is non-zero everywhere."""
    values = np.full((24, 24), 4, np.uint8)
    values[:9] = 9
    masks[5] = str(write_raster("scl.tif", values, **PLACE))
    return images, masks, "expected 0 where concealed and one other number where clear, got 4, 9 in "


def cut_off(images, masks, write_raster):
    """A mask that was not copied whole."""
    with open(masks[5], "r+b") as stream:
        stream.truncate(600)
    return images, masks, "m05.tif"


@pytest.mark.parametrize("spoil", [copies, bands_of_files, bands_of_descriptions, days, classes, cut_off])
def test_images_and_masks_that_do_not_belong_together_are_refused(
    stack, write_raster, model_dir, tmp_path, capsys, spoil
):
    images, masks, message = spoil(*stack(), write_raster)
    told = refused(["--input", *images, "--clear-masks", *masks], model_dir, tmp_path, capsys)
    assert message in told
    assert ("--clear-masks: " if spoil in (days, classes, cut_off) else "--input: expected images of ") in told


@pytest.mark.parametrize("dtype,nodata", [(np.uint8, 255), slow(np.float32, np.nan)])
def test_what_a_mask_does_not_know_is_concealed(scene, stack, infer, write_raster, dtype, nodata):
    images, masks = stack()
    wanted = infer(images, masks).ReadAsArray()
    for number, mask in enumerate(scene[1]):
        values = np.where(mask, 1, nodata).astype(dtype)
        masks[number] = str(write_raster(f"n{number}.tif", values, nodata=nodata, **PLACE))
    np.testing.assert_array_equal(infer(images, masks, name="b.tif").ReadAsArray(), wanted)


def test_masks_of_clouds_and_coarser_images_are_told(scene, stack, infer, write_raster, capsys):
    images, _ = stack()
    coarse = scene[0][0].reshape(12, 2, 12, 2).mean(axis=(1, 3)).astype(np.uint16)
    images[0] = str(write_raster("coarse.tif", coarse, gsd=2 * GSD, origin=ORIGIN))
    mask = np.zeros((24, 24), np.uint8)
    mask[:6] = 1
    masks = [str(write_raster("cloud.tif", mask, **PLACE))] * COUNT
    infer(images, masks)
    told = capsys.readouterr().err
    assert "no image is clear in more than 25.0 % of its pixels: --clear-masks are non-zero where" in told
    assert "pixels of 600 in coarse and of 300 in d10, which is the reference: the product's are a third" in told


def test_bands_that_are_asked_for_by_number_may_lie_in_files_of_any_name(stack, model_dir):
    images, masks = stack(bands=None)
    moved = [str(Path(name).rename(Path(name).with_name(f"x_B{day}.tif"))) for day, name in enumerate(images, 1)]
    words = ["--input", *moved, "--clear-masks", *masks, "--band", "1", "--info", "--model-dir", str(model_dir)]
    assert main(words) == 0
