# SPDX-License-Identifier: Apache-2.0
"""Reports of made products: numbers held against numpy and closed forms, pages against what browsers need."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal

from chain.raster.grids import Region
from chain.serving.report.doubts import doubts, is_other
from chain.serving.report.native import Given, NativeBand, input_names
from chain.serving.report.numbers import Measurement
from chain.serving.report.places import most_detailed, places_in
from chain.serving.report.subject import COUNT, SIDE, Subject
from chain.serving.report.write import write_report
from datasets.wald import degrade
from models.consistency import ConsistentUpsampling
from tests.pages import checked, chromium

BANDS = ("B8A", "B11", "B12")
ACCENT = (0x0A, 0x6C, 0x74)


@pytest.fixture
def native():
    """Digital numbers at 20 m, (rows, columns, bands)."""
    ground = np.random.default_rng(5).uniform(500, 2500, (40, 48))
    return np.stack([ground * 1.4, ground, ground * 0.6], axis=-1).round().astype(np.uint16)


@pytest.fixture
def make(native, write_raster):
    """Return a function that writes a product, given its detail at 10 m, and opens it beside its input."""

    def made(detail=0, base=None, nodata=None, dtype=np.uint16, given=True, name="sr.tif"):
        base = native.repeat(2, axis=0).repeat(2, axis=1) if base is None else base
        pixels = (base.astype(np.float64) + detail).astype(dtype)
        if nodata is not None:
            pixels[nodata] = 0
        product = write_raster(name, pixels, gsd=10.0, bands=BANDS, nodata=0)
        dataset = gdal.Open(str(product), gdal.GA_Update)
        for number in range(len(BANDS)):
            dataset.GetRasterBand(number + 1).SetScale(1e-4)
        dataset = None
        raster = str(write_raster("input.tif", native + 1000, gsd=20.0, bands=BANDS, nodata=0))
        bands = {band: NativeBand(raster, number, -1000, 1) for number, band in enumerate(BANDS, start=1)}
        return product, Given(bands) if given else None

    return made


def measured(product, given):
    subject = Subject(product, given)
    measurement, places = Measurement(subject), []
    for region, pairs in subject.pairs(list(subject.natives)):
        made = {name: subject.read(name, region) for name in subject.bands}
        measurement.add(made, pairs)
        places += places_in(region, pairs)
    return subject, measurement.numbers, places


def consistent(native):
    """Return (2 rows, 2 columns, bands) that networks call consistent, with pixels that see the borders left out."""
    return ConsistentUpsampling(2)(native[np.newaxis].astype(np.float32)).numpy()[0]


def checkers(native, height):
    """Return detail whose mean over each native pixel is 0, blurred or not, (rows, columns, 1)."""
    rows, columns = np.indices((2 * native.shape[0], 2 * native.shape[1]))
    return (height * (-1) ** (rows + columns))[..., np.newaxis]


@pytest.mark.keras
def test_what_consistent_networks_make_is_consistent(make, native):
    _, numbers, _ = measured(*make(checkers(native, 50), consistent(native), dtype=np.float32))
    inner = native[1:-1, 1:-1]
    for index, band in enumerate(BANDS):
        found = numbers.bands[band]
        assert found.consistency == pytest.approx(0, abs=2e-3) and found.shift == pytest.approx(0, abs=1e-3)
        assert found.mean == pytest.approx(inner[..., index].mean(), rel=1e-6)
        assert found.compared == inner[..., index].size and found.spacing == 20
    assert numbers.angles.max() == pytest.approx(0, abs=1e-3)


def test_windows_see_what_lies_beside_them(make, native, monkeypatch):
    product, given = make()
    whole = measured(product, given)[1].bands["B11"]
    monkeypatch.setattr("chain.serving.report.subject.SIDE", 24)
    in_parts = measured(product, given)[1].bands["B11"]
    assert in_parts.compared == whole.compared and in_parts.consistency == pytest.approx(whole.consistency, rel=1e-6)
    expected = degrade(native.repeat(2, 0).repeat(2, 1).astype(np.float32), 2) - native
    assert whole.consistency == pytest.approx(np.sqrt(np.square(expected[1:-1, 1:-1, 1]).mean()), rel=1e-4)


@pytest.mark.keras
def test_what_is_added_to_a_product_is_its_shift_and_its_consistency(make, native):
    wave = np.where(np.arange(2 * native.shape[1]) < native.shape[1], 30, -10)
    _, numbers, _ = measured(*make(wave[np.newaxis, :, np.newaxis], consistent(native), dtype=np.float32))
    found = numbers.bands["B11"]
    beside, other = np.exp(-2), np.exp(-8)  # a Gaussian of half a pixel, one and two pixels from its middle
    total = 1 + 2 * beside + 2 * other
    step = 20 * (1 - (beside + 2 * other) / total)  # of the native pixels at the step: half of them see so much beyond
    columns = native.shape[1] - 2
    assert found.shift == pytest.approx(10, abs=1e-3)
    expected = np.sqrt(10**2 + ((columns - 2) * 20**2 + 2 * step**2) / columns)
    assert found.consistency == pytest.approx(expected, rel=1e-5)
    assert found.relative == pytest.approx(found.consistency / native[1:-1, 1:-1, 1].mean(), rel=1e-6)


def test_bands_that_are_laid_onto_others_are_not_compared(make, native):
    product, given = make(np.array([900.0, 0, 900.0]))
    assert len(doubts(*measured(product, given)[:2])) >= 2
    subject, numbers, places = measured(product, replace(given, moved=frozenset({"B8A", "B12"})))
    assert np.isnan(numbers.bands["B8A"].consistency) and np.isfinite(numbers.bands["B11"].consistency)
    assert numbers.bands["B8A"].sharpness > 0 and not numbers.angles.size and places
    assert not [text for text in doubts(subject, numbers) if "made as coarse" in text or "shifted" in text]


def test_sharpness_is_the_ratio_of_steps_between_neighbours(make, native):
    product, given = make(checkers(native, 50))
    subject, numbers, _ = measured(product, given)
    pair = subject.pair("B8A", subject.whole)
    steps = [sum(np.abs(np.diff(image.astype(float), axis=axis)).sum() for axis in (0, 1)) for image in
             (pair.made, pair.bicubic)]  # fmt: skip
    assert numbers.bands["B8A"].sharpness == pytest.approx(steps[0] / steps[1], rel=1e-6)
    assert numbers.bands["B8A"].sharpness > 1


@pytest.mark.keras
def test_angles_are_those_between_spectra(make, native):
    gain = np.array([1, 1, 2.0])
    _, numbers, _ = measured(*make(0, consistent(native * gain), dtype=np.float32))
    spectra = native[1:-1, 1:-1].reshape(-1, 3).astype(float)
    other = spectra * gain
    cosine = (spectra * other).sum(1) / np.linalg.norm(spectra, axis=1) / np.linalg.norm(other, axis=1)
    np.testing.assert_allclose(np.sort(numbers.angles), np.sort(np.degrees(np.arccos(cosine))), atol=1e-3)


def test_histograms_hold_the_pixels_between_their_edges(make, native):
    subject, numbers, _ = measured(*make())
    found = numbers.bands["B12"]
    expected = np.histogram(subject.read("B12", subject.whole), found.edges)[0]
    np.testing.assert_array_equal(found.made_bars, expected)
    np.testing.assert_array_equal(4 * found.native_bars, expected)


def test_the_most_detailed_place_is_where_detail_was_added(make, native, monkeypatch):
    monkeypatch.setattr("chain.serving.report.places.SQUARE", 16)
    detail = np.zeros((2 * native.shape[0], 2 * native.shape[1], 1))
    detail[32:48, 64:80] = checkers(native, 400)[32:48, 64:80]
    subject, _, places = measured(*make(detail))
    chosen = most_detailed(places, subject)
    assert chosen[0].region == Region(64, 32, 16, 16)
    assert all(abs(one.region.x - other.region.x) > 16 or abs(one.region.y - other.region.y) > 16
               for one in chosen for other in chosen if one is not other)  # fmt: skip


def test_what_is_unusual_is_told(make, native):
    subject, numbers, _ = measured(*make(np.array([0, 300.0, 0])))
    assert any(text.startswith("B11: the level is shifted by +2") for text in doubts(subject, numbers))
    usual = measured(*make(checkers(native, 40)))
    assert doubts(*usual[:2]) == []
    missing = np.s_[:20]
    assert "25.0% of the pixels are missing." in doubts(*measured(*make(nodata=missing))[:2])
    high = np.zeros((2 * native.shape[0], 2 * native.shape[1], 3))
    high[:4, :, 2] = 65535 - native[..., 2].repeat(2, 0).repeat(2, 1)[:4]
    told = doubts(*measured(*make(high))[:2])
    assert any("ends of what 16 bits hold" in text for text in told)
    assert any("beyond the input's range" in text for text in told)


def test_bands_that_are_mixed_up_are_told(make, write_raster, native):
    product, given = make()
    dataset = gdal.Open(str(product), gdal.GA_Update)
    dataset.GetRasterBand(2).SetDescription("B08")
    dataset = None
    subject, numbers, _ = measured(product, None)
    assert numbers.ratios == {("B8A", "B08"): pytest.approx(1.4, abs=0.01)}
    assert any(text.startswith("B8A / B08 is 1.40 in the middle") for text in doubts(subject, numbers))


def test_files_that_changed_are_told_but_not_files_that_moved():
    state = {"name": "a.tif", "bytes": 3, "mtime_ns": 1, "sample": "ab"}
    record = {"input": {"files": {"/a.tif": state, "/b.tif": {"name": "b.tif", "bytes": 1}}}}
    assert not is_other(record, {"/moved/a.tif": {**state, "mtime_ns": 2}})
    assert is_other(record, {"/a.tif": {**state, "sample": "cd"}})
    assert not is_other({}, {"/a.tif": state})


def test_names_of_inputs_are_kept_from_the_root_and_without_credentials(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.tif").touch()
    kept = input_names(["a.tif", "https://host/item.json?sig=secret", {"id": "item"}, "NETCDF:a.nc:B02"])
    assert kept[0] == str(tmp_path / "a.tif") and "secret" not in kept[1] and kept[2:] == ["NETCDF:a.nc:B02"]


def test_a_page_is_well_formed_and_loads_nothing(make, native, tmp_path):
    product, given = make(checkers(native, 50))
    record = {"models": [{"system": "dsen2", "weights": "f" * 64}], "decisions": ["<b>offset</b>: 0"]}
    (tmp_path / "sr.tif.json").write_text(json.dumps(record))
    write_report(product, tmp_path / "sr.html", given)
    text = checked(tmp_path / "sr.html")
    for words in ("Before and after", "Where most detail was added", "Band by band", "Spectral angle", "Histograms",
                  "Where it comes from", "<b>offset</b>: 0", "Nothing unusual was found"):  # fmt: skip
        assert words in text, words
    assert "Error layer" not in text


def test_an_error_layer_is_shown(make, native, tmp_path, write_raster):
    product, given = make()
    write_raster("sr_error.tif", np.full((80, 96, 1), 25, np.uint16), gsd=10.0, bands=("B11_error",), nodata=0)
    write_report(product, tmp_path / "sr.html", given)
    assert "Error layer" in checked(tmp_path / "sr.html")


def test_without_an_input_the_page_says_so_and_shows_the_rest(make, tmp_path):
    product, _ = make(given=False)
    write_report(product, tmp_path / "sr.html", None, "The input is not where it was: a.tif.")
    text = checked(tmp_path / "sr.html")
    assert "The input is not where it was: a.tif." in text and "Histograms" in text
    assert "Before and after" not in text and "Band by band" not in text


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (6, 200)])
@pytest.mark.parametrize("is_missing", [False, True])
def test_small_products_and_those_without_data_have_a_page(shape, is_missing, write_raster, tmp_path):
    fine = np.full((*shape, 3), 0 if is_missing else 700, np.uint16)
    native = np.full((-(-shape[0] // 2), -(-shape[1] // 2), 3), 0 if is_missing else 700, np.uint16)
    product = write_raster("sr.tif", fine, gsd=10.0, bands=BANDS, nodata=0)
    raster = str(write_raster("input.tif", native, gsd=20.0, bands=BANDS))
    given = Given({band: NativeBand(raster, number) for number, band in enumerate(BANDS, start=1)})
    write_report(product, tmp_path / "sr.html", given)
    text = checked(tmp_path / "sr.html")
    assert ("100.0% of the pixels are missing" in text) == is_missing


def test_an_input_of_other_ground_is_refused(make, native, write_raster):
    product, _ = make()
    raster = str(write_raster("far.tif", native, gsd=20.0, bands=BANDS, origin=(900000.0, 5000040.0)))
    with pytest.raises(ValueError, match="^--input: expected an image of the product's ground, got another one for B8"):
        Subject(product, Given({"B8A": NativeBand(raster)}))


def test_of_a_whole_tile_some_windows_are_read(tmp_path):
    path = str(tmp_path / "tile.tif")
    gdal.GetDriverByName("GTiff").Create(path, 10980, 10980, 1, gdal.GDT_UInt16, ["SPARSE_OK=TRUE", "TILED=YES"])
    subject = Subject(Path(path), None)
    assert len(subject.windows) == COUNT and subject.sampled < 0.05
    assert all(window.columns == SIDE == window.rows for window in subject.windows)


def test_a_browser_shows_the_page_and_runs_its_slider(make, native, tmp_path):
    from PIL import Image

    product, given = make(checkers(native, 50))
    page, picture = tmp_path / "sr.html", tmp_path / "page.png"
    write_report(product, page, given)
    dom = chromium("--dump-dom", page.as_uri())
    assert "--cut: 50%" in dom
    chromium("--window-size=1200,2600", f"--screenshot={picture}", page.as_uri())
    pixels = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    assert pixels.shape == (2600, 1200, 3)
    assert (np.abs(pixels - ACCENT).sum(axis=-1) < 12).sum() > 500
    left, right = pixels[:, 100:400].std(axis=(1, 2)), pixels[:, 500:800].std(axis=(1, 2))
    assert (left > 20).sum() > 400 and (right > 20).sum() > 400
