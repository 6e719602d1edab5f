# SPDX-License-Identifier: Apache-2.0
"""Which numbers L1BSR's program takes for counts, and which sizes of images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from osgeo import gdal

from inference.l1bsr.model import LEAST_SIDE, PROJECT_WEIGHTS, find_network, keras_model
from models.l1bsr import BANDS, OTHERS
from tests.examples import examples
from tests.inference.l1bsr.networks import counts, failure, infer, read, register, twice, warnings

pytestmark = pytest.mark.keras


def test_scale_and_offset_make_counts(tmp_path, image, models):
    pixels = counts(19, 17) * 4 + 1000
    more = ("--count-offset", -1000, "--count-scale", 0.25)
    assert infer(image(pixels), tmp_path / "sr.tif", models["nearest"], *more) == 0
    np.testing.assert_array_equal(read(tmp_path / "sr.tif")[0], twice(counts(19, 17)))


def test_a_constant_band_cannot_be_registered_and_is_told_of_otherwise(tmp_path, image, models, capsys):
    pixels = counts(80, 80)
    pixels[..., 2] = 300
    source = image(pixels)
    assert register(source, tmp_path / "r.tif", models["moving"]) == 1
    assert "expected bands that vary, got one value in B04" in failure(capsys)
    assert infer(source, tmp_path / "sr.tif", models["nearest"]) == 0
    assert warnings(capsys) == ["warning: one value in all of B04"]


DRAWN = np.random.default_rng(4).random((24, 20, 4))


@pytest.mark.parametrize(
    "pixels, message",
    [
        ((0.02 + DRAWN).astype(np.float32), "--count-scale 1400 makes counts, or so, of reflectance from 0 to 1"),
        ((255 * DRAWN).astype(np.uint8), "(8 bits); --count-scale X makes counts of them; --count-scale 1 takes"),
        ((1 + 254 * DRAWN).astype(np.float32), "(8 bits)"),
        ((1 + 99 * DRAWN).astype(np.uint16), "(8 bits)"),
        (
            (300 + 9000 * DRAWN).astype(np.uint16),
            "(10 000 x reflectance); --count-scale 0.14 makes counts of them",
        ),
        ((1010 + 3000 * DRAWN).astype(np.uint16), "--count-offset -1000 --count-scale 0.14 makes counts of them"),
        ((900 * (DRAWN - 0.2)).astype(np.int16), "-179 to 719 (numbers below 0)"),
    ],
)
def test_numbers_that_cannot_be_counts_are_refused(tmp_path, image, models, capsys, pixels, message):
    source, output = image(pixels), tmp_path / "sr.tif"
    assert infer(source, output, models["nearest"]) == 1
    line = failure(capsys)
    assert "--input: expected counts of L1B, up to 4095, got" in line and message in line
    assert not output.exists()


@pytest.mark.parametrize("fill, dtype", [(65535, np.uint16), (32767, np.int16), (1e20, np.float32)])
@pytest.mark.parametrize("rows", [1, 6])
def test_undeclared_fill_is_asked_for(tmp_path, image, models, capsys, fill, dtype, rows):
    pixels = (300 + 900 * DRAWN).astype(dtype)
    pixels[:rows] = fill
    assert infer(image(pixels), tmp_path / "sr.tif", models["nearest"], "--info") == 1
    assert f"got {np.float32(fill):g} in all bands of many pixels, undeclared (gdal_edit.py" in failure(capsys)


def test_bands_that_are_0_where_others_are_not_are_told(tmp_path, image, models, capsys):
    """Bands of L1B begin and end at different rows."""
    pixels = (300 + 900 * DRAWN).astype(np.uint16)
    pixels[:3] = 0
    pixels[3:6, :, 2] = 0
    assert infer(image(pixels), tmp_path / "sr.tif", models["nearest"]) == 0
    told = "warning: B04 is 0 in 14 % of the pixels where others are not, which is taken for data"
    assert warnings(capsys) == [told]


def test_bands_that_hold_the_same_pixels_are_told(tmp_path, image, models, capsys):
    pixels = counts(20, 18)
    pixels[..., 1] = pixels[..., 2]
    assert infer(image(pixels), tmp_path / "sr.tif", models["nearest"]) == 0
    assert warnings(capsys) == ["warning: B03 and B04 hold the same pixels, as no two bands of Sentinel-2 do"]


def test_a_stated_scale_makes_counts_of_them(tmp_path, image, models, capsys):
    source = image((0.02 + DRAWN).astype(np.float32))
    assert infer(source, tmp_path / "sr.tif", models["nearest"], "--count-scale", 1400) == 0
    expected = np.rint((0.02 + DRAWN).astype(np.float32) * np.float32(1400))
    np.testing.assert_array_equal(read(tmp_path / "sr.tif")[0], twice(expected))
    assert not warnings(capsys)


def test_a_dark_image_is_taken_as_it_is_when_its_scale_is_stated(tmp_path, image, models, capsys):
    pixels = counts(20, 18) // 4
    assert infer(image(pixels), tmp_path / "sr.tif", models["nearest"], "--count-scale", 1) == 0
    np.testing.assert_array_equal(read(tmp_path / "sr.tif")[0], twice(pixels))
    assert "expected counts of L1B, up to 4095, got 12 to 224" in warnings(capsys)[0]


def test_outliers_do_not_hide_what_numbers_are(tmp_path, image, models, capsys):
    pixels = np.random.default_rng(0).integers(1, 255, (60, 60, 4)).astype(np.uint16)
    pixels[7, 7] = 65000
    assert infer(image(pixels), tmp_path / "sr.tif", models["nearest"]) == 1
    assert "(8 bits)" in failure(capsys)


@pytest.mark.parametrize("rows, columns", [(1, 64), (64, 1), (15, 40), (16, 15)])
def test_images_too_small_for_super_resolution_are_refused(tmp_path, image, models, capsys, rows, columns):
    assert infer(image(counts(rows, columns)), tmp_path / "sr.tif", models["nearest"]) == 1
    assert f"expected at least 16 x 16 pixels, of which REC makes right ones, got {columns} x {rows};" in failure(
        capsys
    )


@pytest.mark.parametrize("rows, columns", [(16, 16), (79, 200), (200, 79)])
def test_images_too_small_for_registration_are_refused(tmp_path, image, models, capsys, rows, columns):
    source, message = image(counts(rows, columns)), "expected at least 80 x 80 pixels, of which CSR makes right ones"
    assert register(source, tmp_path / "r.tif", models["moving"]) == 1
    assert message in failure(capsys)
    assert infer(source, tmp_path / "sr.tif", models["for registered"], "--csr", models["moving"]) == 1
    assert message in failure(capsys)


@pytest.fixture(scope="module")
def real_image(shared_data):
    """A real image of L1B, (rows, columns, bands), float32."""
    pixels = gdal.Open(str(shared_data("l1bsr") / "00.tif")).ReadAsArray(20, 20, 300, 300)
    return np.moveaxis(pixels, 0, -1).astype(np.float32)


def part_of(image, data, least):
    """Draw a part of an image: its corner, and a size from the least side on."""
    sides = st.integers(least, least + 60)
    rows, columns = data.draw(sides, "rows"), data.draw(sides, "columns")
    top = data.draw(st.integers(0, image.shape[0] - rows), "top")
    left = data.draw(st.integers(0, image.shape[1] - columns), "left")
    return top, left, rows, columns


@pytest.fixture(scope="module")
def rec():
    """The project's REC, as a function of an image."""
    network = keras_model(find_network(str(PROJECT_WEIGHTS / "REC"), "REC")).model
    return lambda image: network({"x10": image[np.newaxis]})["sr"].numpy()[0]


@pytest.fixture(scope="module")
def csr():
    """The project's CSR, as a function of an image that returns the registered image and the flow."""
    network = keras_model(find_network(str(PROJECT_WEIGHTS / "CSR"), "CSR")).model

    def run(image):
        outputs = network({"x10": image[np.newaxis]})
        return outputs["sr"].numpy()[0], outputs["flow"].numpy()[0]

    return run


@pytest.fixture(scope="module")
def registered(real_image, csr):
    """The registered real image, and its flow."""
    return csr(real_image)


def alone_and_mirrored(rec, part):
    """Return what is made of part of an image, alone and mirrored on all sides."""
    mirrored = np.pad(part, ((15, 15), (15, 15), (0, 0)), mode="symmetric")
    return rec(part), rec(mirrored)[30:-30, 30:-30]


@pytest.mark.slow
@settings(max_examples=examples(60), deadline=None)
@given(data=st.data())
def test_rec_is_right_from_its_least_side_on(registered, rec, data):
    """What is made of a part is as bright as the part, and what is made of the part mirrored on all sides."""
    top, left, rows, columns = part_of(registered[0], data, LEAST_SIDE["REC"])
    part = registered[0][top : top + rows, left : left + columns]
    made, embedded = alone_and_mirrored(rec, part)
    np.testing.assert_allclose(made.mean(axis=(0, 1)), part.mean(axis=(0, 1)), rtol=0.03)
    np.testing.assert_allclose(made.mean(axis=(0, 1)), embedded.mean(axis=(0, 1)), rtol=0.03)
    assert np.median(np.abs(made - embedded)) < 0.01 * part.mean()


@pytest.mark.slow
def test_rec_would_be_wrong_along_one_row(registered, rec):
    """Its brightness is right, as that of all images which are consistent with their input; its details are not."""
    row = registered[0][100:101, 40:104]
    made, embedded = alone_and_mirrored(rec, row)
    np.testing.assert_allclose(made.mean(), row.mean(), rtol=0.01)
    assert np.median(np.abs(made - embedded)) > 0.02 * row.mean()


@pytest.mark.slow
@settings(max_examples=examples(40), deadline=None)
@given(data=st.data())
def test_csr_is_right_from_its_least_side_on(real_image, registered, csr, data):
    """The flows of B02 and B04 in a part are those of the whole image."""
    top, left, rows, columns = part_of(real_image, data, LEAST_SIDE["CSR"])
    _, found = csr(real_image[top : top + rows, left : left + columns])
    differences = found - registered[1][top : top + rows, left : left + columns]
    errors = np.hypot(differences[..., 0::2], differences[..., 1::2]).mean(axis=(0, 1))
    of_band = dict(zip((BANDS[other] for other in OTHERS), errors))
    assert of_band["B02"] < 0.3 and of_band["B04"] < 0.3
