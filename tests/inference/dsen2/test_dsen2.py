# SPDX-License-Identifier: Apache-2.0
"""`python -m inference.dsen2`: every kind of input, choice of bands and weights, batches, scores, errors."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal, osr

from chain.sentinel2.bands import BANDS
from inference import dsen2
from tests import toy_models

pytestmark = pytest.mark.keras

LEFT, TOP = 300000.0, 5000040.0
ALL = tuple(band for band in BANDS if band != "B10")
FILES = {10: ("B02", "B03", "B04", "B08"), 20: ("B05", "B06", "B07", "B8A", "B11", "B12"), 60: ("B01", "B09")}
ROWS, COLUMNS = 126, 162


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder of networks that repeat pixels: they make the product's pixels known."""
    root = tmp_path_factory.mktemp("models")
    for level in ("L1C", "L2A"):
        for role in ("2x", "6x"):
            toy_models.dsen2(root / level / role, role, levels=(level,))
    return root


@pytest.fixture(scope="module")
def pixels():
    """Digital numbers of all 13 bands at native resolution, smooth enough for interpolations to be told apart."""
    rng = np.random.default_rng(0)
    found = {}
    for band, gsd in BANDS.items():
        size = round(ROWS * 10 / gsd), round(COLUMNS * 10 / gsd)
        found[band] = rng.integers(1001, 5000, size).astype(np.uint16)
    return found


def expected(pixels, band):
    """Return a band of the product of the networks that repeat pixels."""
    factor = round(BANDS[band] / 10)
    return np.repeat(np.repeat(pixels[band], factor, 0), factor, 1)


@pytest.fixture
def files(pixels, write_raster):
    """Return a function that writes a scene as three files."""

    def write(stem="S2A_MSIL2A_20200101T000000_N0213_R000_T31UDQ", change=None, **options):
        names = []
        for gsd, bands in FILES.items():
            cube = np.stack([pixels[band] for band in bands], axis=2)
            cube = change(cube, gsd) if change else cube
            names.append(str(write_raster(f"{stem}_{gsd}m.tif", cube, gsd=float(gsd), bands=bands, **options)))
        return names

    return write


def infer(inputs, output, models, *more):
    inputs = [inputs] if isinstance(inputs, str | Path) else inputs
    where = ["--output-dir" if Path(output).suffix == "" else "--output", str(output)]
    models = ["--model-dir", str(models)] if models else []
    return dsen2.main(["--input", *map(str, inputs), *where, *models, "--tile-size", "48", *more])


def read(path):
    dataset = gdal.Open(str(path))
    bands = [dataset.GetRasterBand(number + 1) for number in range(dataset.RasterCount)]
    return {band.GetDescription(): band.ReadAsArray() for band in bands}, dataset


def error_of(capsys):
    lines = [line for line in capsys.readouterr().err.splitlines() if " error: " in line]
    assert len(lines) == 1, lines
    return lines[0]


def check_product(path, pixels, bands=ALL, offset=0):
    result, dataset = read(path)
    assert tuple(result) == bands
    for band in bands:
        np.testing.assert_array_equal(result[band], expected(pixels, band).astype(int) + offset)
    return dataset


def test_the_product_has_twelve_bands_on_their_ground(files, models, pixels, tmp_path):
    assert infer(files(), tmp_path / "sr.tif", models) == 0
    dataset = check_product(tmp_path / "sr.tif", pixels)
    assert dataset.GetGeoTransform() == (LEFT, 10, 0, TOP, 0, -10)
    assert dataset.GetRasterBand(5).GetNoDataValue() == 0 and dataset.GetRasterBand(5).DataType == gdal.GDT_UInt16
    assert dataset.GetMetadataItem("SR_SYSTEM") == "dsen2" and dataset.GetMetadataItem("SR_OFFSET") == "0"
    record = json.loads((tmp_path / "sr.tif.json").read_text())
    assert [model["arguments"]["role"] for model in record["models"]] == ["2x", "6x"]


def write_safe(folder, pixels, write_raster, level, offset_element="", skip=()):
    """Write a SAFE product of JPEG 2000 files, with the copies at other resolutions that L2A has."""
    name = f"S2A_MSI{level}_20200101T000000_N0400_R000_T31UDQ_20200101T000000.SAFE"
    images = folder / name / "GRANULE" / "L_T31UDQ" / "IMG_DATA"
    for band in (*ALL, "B10") if level == "L1C" else ALL:
        gsd = round(BANDS[band])
        copies = [gsd] if level == "L1C" or gsd == 60 else [gsd, 60]
        for size in copies:
            place = images if level == "L1C" else images / f"R{size}m"
            place.mkdir(parents=True, exist_ok=True)
            step = size // gsd
            raster = write_raster("band.tif", pixels[band][::step, ::step], gsd=float(size))
            suffix = "" if level == "L1C" else f"_{size}m"
            options = ["REVERSIBLE=YES", "QUALITY=100"]
            gdal.Translate(
                str(place / f"T31UDQ_x_{band}{suffix}.jp2"),
                str(raster),
                format="JP2OpenJPEG",
                creationOptions=options,
            )
    if level == "L2A":
        classes = np.full((ROWS // 2, COLUMNS // 2), 4, np.uint8)
        classes[10:20, 30:50] = 9
        raster = write_raster("scl.tif", classes, gsd=20.0)
        gdal.Translate(
            str(images / "R20m" / "T31UDQ_x_SCL_20m.jp2"),
            str(raster),
            format="JP2OpenJPEG",
            creationOptions=["REVERSIBLE=YES", "QUALITY=100"],
        )
    tag = "BOA" if level == "L2A" else "RADIO"
    offsets = "".join(f'<{tag}_ADD_OFFSET band_id="{k}">-1000</{tag}_ADD_OFFSET>' for k in range(13))
    text = f"<r><PROCESSING_BASELINE>04.00</PROCESSING_BASELINE><PRODUCT_URI>{name}</PRODUCT_URI>{offsets}</r>"
    (folder / name / f"MTD_MSI{level}.xml").write_text(text)
    return folder / name


@pytest.mark.parametrize("level", ["L1C", "L2A"])
@pytest.mark.parametrize("zipped", [False, True])
def test_safe_folders_and_zips_of_both_levels(level, zipped, models, pixels, tmp_path, write_raster, capfd):
    safe = write_safe(tmp_path, pixels, write_raster, level)
    if zipped:
        shutil.make_archive(str(tmp_path / safe.stem), "zip", tmp_path, safe.name)
        safe = tmp_path / f"{safe.stem}.zip"
    assert infer(safe, tmp_path / "sr.tif", models) == 0
    check_product(tmp_path / "sr.tif", pixels, offset=-1000)
    assert f"level {level}, offset -1000" in capfd.readouterr().err
    record = json.loads((tmp_path / "sr.tif.json").read_text())
    assert all(model["levels"] == [level] for model in record["models"])


def test_clouds_of_the_scene_classification_are_left_out(models, pixels, tmp_path, write_raster):
    safe = write_safe(tmp_path, pixels, write_raster, "L2A")
    assert infer(safe, tmp_path / "sr.tif", models, "--mask-classes", "3,8,9,10") == 0
    result, _ = read(tmp_path / "sr.tif")
    cloudy = np.zeros((ROWS, COLUMNS), bool)
    cloudy[20:40, 60:100] = True
    for band in ALL:
        np.testing.assert_array_equal(result[band] == 0, cloudy)
        np.testing.assert_array_equal(result[band][~cloudy], expected(pixels, band)[~cloudy] - 1000)


def test_a_mask_of_the_users(files, models, pixels, tmp_path, write_raster):
    mask = np.zeros((ROWS, COLUMNS), np.uint8)
    mask[3:8, 100:] = 7
    path = str(write_raster("mask.tif", mask))
    assert infer(files(), tmp_path / "sr.tif", models, "--exclude-mask", path, "--bands", "B8A,B02,B01") == 0
    result, _ = read(tmp_path / "sr.tif")
    for band in ("B8A", "B02", "B01"):
        np.testing.assert_array_equal(result[band] == 0, mask == 7)


@pytest.fixture
def stack(pixels, write_raster, tmp_path):
    """Return a function that writes all bands on one grid of 10 m, the coarse ones resampled by GDAL."""

    def write(method, bands=ALL, described=True):
        cube = []
        for band in bands:
            name = str(write_raster("one.tif", pixels[band], gsd=BANDS[band]))
            bounds = (LEFT, TOP - 10 * ROWS, LEFT + 10 * COLUMNS, TOP)
            fine = gdal.Warp("", name, format="MEM", xRes=10, yRes=10, resampleAlg=method, outputBounds=bounds)
            cube.append(fine.ReadAsArray())
        names = bands if described else None
        return str(write_raster(f"S2A_MSIL2A_x_N0213_{method}.tif", np.stack(cube, 2), bands=names))

    return write


@pytest.mark.parametrize("method", ["near", "bilinear", "cubic"])
def test_a_stack_of_resampled_bands_is_brought_back_first(method, stack, models, pixels, tmp_path, capfd):
    assert infer(stack(method), tmp_path / "sr.tif", models) == 0
    result, _ = read(tmp_path / "sr.tif")
    for band in ALL:
        assert np.abs(result[band].astype(int) - expected(pixels, band)).max() <= (0 if method == "near" else 2)
    said = {"near": "nearest"}.get(method, method)
    assert f"({said}): brought back" in capfd.readouterr().err


def test_a_stack_of_13_undescribed_bands_is_named_and_b10_passed_through(stack, models, pixels, tmp_path):
    path = stack("near", tuple(BANDS), described=False)
    names = ",".join(BANDS)
    assert infer(path, tmp_path / "sr.tif", models, "--bands-10m", names, "--with-b10") == 0
    result, _ = read(tmp_path / "sr.tif")
    assert tuple(result) == (*ALL, "B10")
    native = result["B10"].reshape(ROWS // 6, 6, COLUMNS // 6, 6).mean((1, 3))
    assert np.corrcoef(native.ravel(), pixels["B10"].ravel())[0, 1] > 0.9


def test_a_stack_of_another_interpolation_is_refused(pixels, models, tmp_path, write_raster, capsys):
    cube = np.stack([pixels["B02"] + k for k in range(12)], axis=2).astype(np.uint16)
    path = str(write_raster("S2A_MSIL2A_x_N0213.tif", cube, bands=ALL))
    assert infer(path, tmp_path / "sr.tif", models) == 1
    line = error_of(capsys)
    assert "B01" in line and "nearest, bilinear or cubic" in line
    assert not list(tmp_path.glob("sr.tif*"))


def test_item_files_and_stack_give_the_same_product(files, stack, models, tmp_path, pixels, write_raster):
    assets = {}
    for band in ALL:
        path = write_raster(f"{band}.tif", pixels[band], gsd=BANDS[band])
        assets[band] = {"href": str(path), "type": "image/tiff"}
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "S2A_MSIL2A_20200101T000000_R000_T31UDQ_20200101T000000",
        "geometry": None,
        "properties": {"datetime": "2020-01-01T00:00:00Z", "s2:processing_baseline": "02.13"},
        "links": [],
        "assets": assets,
    }
    (tmp_path / "item.json").write_text(json.dumps(item))
    for name, source in (("item", tmp_path / "item.json"), ("files", files()), ("stack", stack("near"))):
        assert infer(source, tmp_path / f"{name}.tif", models) == 0
        check_product(tmp_path / f"{name}.tif", pixels)


def test_an_item_of_a_search(models, tmp_path, planetary_computer, make_sentinel2_item):
    bands = tuple(ALL)
    clear, cloudy = np.full((96, 96), 4), np.full((96, 96), 9)
    server = planetary_computer(
        [
            make_sentinel2_item("S2A_MSIL2A_one", cloudy, bands=bands),
            make_sentinel2_item("S2A_MSIL2A_two", clear, day="2022-07-03", bands=bands),
        ]
    )
    geo, utm = osr.SpatialReference(), osr.SpatialReference()
    geo.ImportFromEPSG(4326)
    utm.ImportFromEPSG(32631)
    geo.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    to_geo = osr.CoordinateTransformation(utm, geo)
    west, south, east, north = to_geo.TransformBounds(500300, 5398700, 501200, 5399600, 21)
    arguments = ["--search", "2022-06-01/2022-07-31", "--stac-url", server.stac_url, "--model-dir", str(models)]
    box = ["--bbox", f"{west},{south},{east},{north}", "--bands", "B02,B05,B01", "--output", str(tmp_path / "sr.tif")]
    assert dsen2.main([*arguments, *box]) == 0
    result, dataset = read(tmp_path / "sr.tif")
    left, top = dataset.GetGeoTransform()[0], dataset.GetGeoTransform()[3]
    assert (left - 500000) % 60 == 0 and (5400000 - top) % 60 == 0 and left <= 500300 and top >= 5399600
    assert dataset.GetMetadataItem("SR_INPUT") == "S2A_MSIL2A_two"
    x, y = round(left - 500000) // 10, round(5400000 - top) // 10
    native = gdal.Open(str(tmp_path / "sentinel2" / "S2A_MSIL2A_two" / "B05.tif")).ReadAsArray().astype(int)
    whole = np.repeat(np.repeat(np.where(native > 0, np.maximum(native - 1000, 1), 0), 2, 0), 2, 1)
    rows, columns = result["B05"].shape
    np.testing.assert_array_equal(result["B05"], whole[y : y + rows, x : x + columns])


def test_a_box_is_a_part_of_the_whole_product_snapped_to_60_m(files, models, pixels, tmp_path):
    assert infer(files(), tmp_path / "sr.tif", models, "--box", "31,20,40,33") == 0
    result, dataset = read(tmp_path / "sr.tif")
    assert dataset.GetGeoTransform() == (LEFT + 300, 10, 0, TOP - 180, 0, -10)
    for band in ALL:
        np.testing.assert_array_equal(result[band], expected(pixels, band)[18:54, 30:72])


def test_a_box_is_snapped_to_60_m_whichever_bands_are_made(files, models, pixels, tmp_path):
    assert infer(files(), tmp_path / "sr.tif", models, "--bands", "B02,B05", "--box", "13,17,80,80") == 0
    assert read(tmp_path / "sr.tif")[1].GetGeoTransform() == (LEFT + 120, 10, 0, TOP - 120, 0, -10)


def test_scores_of_a_scene_cut_off_the_60_m_grid(stack, models, tmp_path):
    """What is compared lies on the same ground: repeated pixels are the input when they are averaged."""
    whole = stack("near")
    gdal.Translate(str(tmp_path / "S2A_MSIL2A_cut_N0213.tif"), whole, srcWin=[2, 4, COLUMNS - 2, ROWS - 4])
    more = ["--evaluate", "full", "--metrics", str(tmp_path / "m.json")]
    assert infer(tmp_path / "S2A_MSIL2A_cut_N0213.tif", tmp_path / "sr.tif", models, *more) == 0
    bands = json.loads((tmp_path / "m.json").read_text())["bands"]
    assert all(abs(band["bias"]) < 1e-3 * band["mean"] for band in bands.values())
    more = ["--evaluate", "full", "--bands", "B05", "--box", "14,14,80,80", "--figure", str(tmp_path / "f.png")]
    assert infer(whole, tmp_path / "part.tif", models, *more) == 0


def test_inputs_are_never_written_over(files, models, tmp_path, capsys):
    names = files()
    content = Path(names[2]).read_bytes()
    (tmp_path / "m.json").symlink_to(names[2])
    for output, *more in (
        (tmp_path / "a.tif", "--evaluate", "wald", "--metrics", str(tmp_path / "m.json")),
        (names[2], "--overwrite"),
    ):
        assert infer(names, output, models, *more) == 1
        assert "expected a file that is not read as input" in error_of(capsys)
        assert Path(names[2]).read_bytes() == content


def test_bands_of_the_input_are_not_written_over_by_those_of_the_product(
    models, pixels, tmp_path, write_raster, capsys
):
    paths = [write_raster(f"x_N0213_{band}.tif", pixels[band], gsd=BANDS[band]) for band in ALL]
    content = [path.read_bytes() for path in paths]
    more = ["--separate", "--overwrite", "--level", "L2A"]
    assert infer(paths, tmp_path / "x_N0213.tif", models, *more) == 1
    assert "--separate: expected a file that is not read as input" in error_of(capsys)
    assert [path.read_bytes() for path in paths] == content


def test_separate_files_are_made_up_for_and_kept(files, models, tmp_path, capsys):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in files("S2A_MSIL2A_1_N0213"):
        shutil.move(name, folder)
    assert infer(folder, tmp_path / "products", models, "--bands", "B02,B05") == 0
    assert infer(folder, tmp_path / "products", models, "--bands", "B02,B05", "--separate") == 0
    assert "done before" in capsys.readouterr().out
    made = sorted(path.name for path in (tmp_path / "products").glob("*_SR_*.tif"))
    assert made == ["S2A_MSIL2A_1_N0213_SR_B02.tif", "S2A_MSIL2A_1_N0213_SR_B05.tif"]


def test_done_products_are_known_from_elsewhere_and_by_other_words(files, models, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in files("S2A_MSIL2A_1_N0213"):
        shutil.move(name, folder)
    assert infer(folder, tmp_path / "products", models, "--bands", "B02,B05") == 0
    monkeypatch.chdir(folder)
    shutil.copytree(models, tmp_path / "copied")
    more = ["--bands", "B02,B05", "--offset", "0", "--level", "L2A", "--tile-size", "96"]
    arguments = ["--input", ".", "--output-dir", "../products", "--model-dir", str(tmp_path / "copied")]
    assert dsen2.main([*arguments, *more]) == 0
    assert "done before" in capsys.readouterr().out


def test_missing_pixels_of_one_band_stay_missing_there_alone(files, models, pixels, tmp_path):
    def change(cube, gsd):
        cube = cube.astype(np.float32)
        if gsd == 20:
            cube[5:9, 7:12, 1] = np.nan
        return cube

    assert infer(files(change=change), tmp_path / "sr.tif", models) == 0
    result, _ = read(tmp_path / "sr.tif")
    hole = np.zeros((ROWS, COLUMNS), bool)
    hole[10:18, 14:24] = True
    for band in ALL:
        np.testing.assert_array_equal(result[band] == 0, hole if band == "B06" else hole & False)
        np.testing.assert_array_equal(result[band][~hole], expected(pixels, band)[~hole])


def test_without_60_m_bands_the_product_has_ten(files, models, pixels, tmp_path):
    names = files()[:2]
    assert infer(names, tmp_path / "sr.tif", models) == 0
    check_product(tmp_path / "sr.tif", pixels, tuple(band for band in ALL if band not in FILES[60]))


def test_separate_files_of_the_bands(files, models, pixels, tmp_path):
    assert infer(files(), tmp_path / "sr.tif", models, "--separate", "--bands", "B03,B11") == 0
    for band in ("B03", "B11"):
        result, dataset = read(tmp_path / f"sr_{band}.tif")
        np.testing.assert_array_equal(result[band], expected(pixels, band))
        assert dataset.GetGeoTransform() == (LEFT, 10, 0, TOP, 0, -10)


@pytest.mark.parametrize(
    "more, message",
    [
        (("--bands", "B05,B10"), "expected bands B10, got B01"),
        (("--offset", "auto", "--level", "L1C"), ""),
        (("--bbox", "10,10,11,11"), "--bbox: expected ground of the image"),
        (("--geometry", "/nonexistent.geojson"), "--geometry: expected a readable vector file"),
        (("--mask-classes", "9"), "expected a product with a scene classification (SCL)"),
        (("--exclude-mask", "/nonexistent.tif"), "--exclude-mask: expected a readable raster"),
        (("--box", "500,0,6,6"), "--box: expected x,y,w,h inside 162 x 126 input pixels"),
        (("--tiling", "original", "--box", "0,0,60,60"), "at least 112 x 112 pixels of 10 m"),
    ],
)
def test_options_that_do_not_suit_are_refused_in_one_line(files, models, tmp_path, capsys, more, message):
    status = infer(files(), tmp_path / "sr.tif", models, *more)
    if not message:
        assert status == 0
        return
    assert status == 1 and message in error_of(capsys)
    assert not list(tmp_path.glob("sr.tif*"))


def test_weights_of_another_level_are_refused_unless_the_level_is_stated(files, models, pixels, tmp_path, capsys):
    names = files("S2A_MSIL1C_20200101T000000_N0209_R000_T31UDQ")
    assert infer(names, tmp_path / "sr.tif", models / "L2A") == 1
    line = error_of(capsys)
    assert "expected weights of the 2x network for a product of level L1C" in line
    assert "L2A" in line and "--level" in line
    assert infer(names, tmp_path / "sr.tif", models / "L2A", "--level", "L2A") == 0
    check_product(tmp_path / "sr.tif", pixels)


def test_a_product_of_unknown_level_needs_weights_for_all_or_a_word(files, models, tmp_path, capsys):
    names = files("scene_N0213")
    assert infer(names, tmp_path / "sr.tif", models) == 1
    assert "; --level says what the product is" in error_of(capsys)
    assert infer(names, tmp_path / "sr.tif", models, "--level", "L2A") == 0


def test_ambiguous_offset_and_missing_bands(files, models, tmp_path, capsys):
    assert infer(files("S2A_MSIL2A_x"), tmp_path / "sr.tif", models) == 1
    assert "--offset -1000" in error_of(capsys)
    names = files()
    assert infer([names[0], names[2]], tmp_path / "sr.tif", models) == 1
    assert "expected bands B05 B06 B07 B8A B11 B12, got B01 B02 B03 B04 B08 B09" in error_of(capsys)


def test_networks_of_another_system_are_refused(files, models, tmp_path, capsys):
    toy_models.nearest(tmp_path / "other")
    assert infer(files(), tmp_path / "sr.tif", tmp_path / "other") == 1
    assert "expected a model of 'dsen2'" in error_of(capsys)


def test_few_dark_pixels_prove_the_offset_of_files_given_together(files, models, pixels, tmp_path):
    def change(cube, gsd):
        cube = cube.copy()
        if gsd == 20:
            cube[: cube.shape[0] // 3] -= 1000
        return cube

    assert infer(files("S2A_MSIL2A_x", change), tmp_path / "sr.tif", models) == 0
    assert read(tmp_path / "sr.tif")[1].GetMetadataItem("SR_OFFSET") == "0"


@pytest.mark.parametrize(
    "more, argument",
    [
        (["--output", "sr.tif"], "--input"),
        (["--input", "a.tif"], "--output"),
        (["--input", "a.tif", "--output", "sr.tif", "--output-dir", "d"], "--output"),
        (["--input", "a.tif", "--search", "2020-01-01/2020-02-01", "--output", "sr.tif"], "--search"),
        (["--search", "2020-01-01/2020-02-01", "--output", "sr.tif"], "--search"),
        (["--input", "a.tif", "--output", "sr.tif", "--weights", "w", "--model-dir", "m"], "--weights"),
        (["--input", "a.tif", "--output", "sr.tif", "--metrics", "m.json"], "--metrics"),
        (["--input", "a.tif", "--output", "sr.tif", "--bands", "B13"], "--bands"),
        (["--input", "a.tif", "--output", "sr.png"], "--output"),
        (["--input", "a.tif", "--output", "sr.tif", "--bbox", "3,2,1,4"], "--bbox"),
        (["--input", "a.tif", "--output", "sr.tif", "--mask-classes", "cloud"], "--mask-classes"),
        (["--input", "a.tif", "--output-dir", "d", "--quicklook", "q.png"], "--quicklook"),
        (["--env", "/nonexistent.env"], "--env"),
    ],
)
def test_wrong_usage_ends_with_status_2(tmp_path, monkeypatch, capsys, more, argument):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        dsen2.main(more)
    assert end.value.code == 2 and argument in capsys.readouterr().err


def test_help_loads_nothing_heavy():
    code = (
        "import sys, inference.dsen2 as s\n"
        "try: s.main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'numpy', 'tensorflow', 'osgeo', 'otbApplication', 'pyotb', 'tqdm'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


def test_settings_of_an_env_file_stand_for_options(files, pixels, tmp_path, monkeypatch, shared_data):
    vectors = shared_data("dsen2_vectors")
    (tmp_path / "images").mkdir()
    for name in files("S2A_MSIL1C_x_N0204"):
        shutil.move(name, tmp_path / "images")
    settings = {
        "IMAGES_PATH": tmp_path / "images",
        "SR_IMAGES_PATH": tmp_path / "products",
        "SR_20M_PATH": vectors / "rspstyle_v0.2_state_dict_20.pt",
        "SR_60M_PATH": vectors / "random_dsen2_60_weights.hdf5",
    }
    (tmp_path / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in settings.items()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert dsen2.main(["--bands", "B05,B01,B02"]) == 0
    result, _ = read(tmp_path / "products" / "S2A_MSIL1C_x_N0204_SR.tif")
    assert tuple(result) == ("B05", "B01", "B02")
    np.testing.assert_array_equal(result["B02"], pixels["B02"])
    assert len(list((tmp_path / "cache" / "otb-super-resolution").glob("dsen2-*"))) == 2


@pytest.mark.slow
def test_a_killed_batch_goes_on_and_equals_an_uninterrupted_one(files, models, pixels, tmp_path, write_raster):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in (1, 2):
        for name in files(f"S2A_MSIL2A_{number}_N0213"):
            shutil.move(name, folder)
    (tmp_path / "safe").mkdir()
    shutil.move(write_safe(tmp_path / "safe", pixels, write_raster, "L2A"), folder)
    command = ["--input", str(folder), "--model-dir", str(models), "--tile-size", "24", "--output-dir"]
    environment = {"env": None, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, "-m", "inference.dsen2", *command, str(tmp_path / "a")], **environment)
    while not list(tmp_path.glob("a/*2_N0213_SR.tif.parts/*_*.tif")):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    first = tmp_path / "a" / "S2A_MSIL2A_1_N0213_SR.tif"
    written = first.stat().st_mtime_ns
    assert dsen2.main([*command, str(tmp_path / "a")]) == 0
    assert first.stat().st_mtime_ns == written
    assert dsen2.main([*command, str(tmp_path / "b")]) == 0
    names = sorted(path.name for path in (tmp_path / "b").glob("*.tif"))
    assert len(names) == 3 and names == sorted(path.name for path in (tmp_path / "a").glob("*.tif"))
    for name in names:
        for one, other in zip(*(read(tmp_path / side / name)[0].values() for side in "ab")):
            np.testing.assert_array_equal(one, other)
    check_product(first, pixels)


def test_a_batch_goes_on_after_a_scene_that_fails_and_notices_other_options(files, models, tmp_path, capsys):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in (1, 2, 3):
        for name in files(f"S2A_MSIL2A_{number}_N0213"):
            shutil.move(name, folder)
    (folder / "S2A_MSIL2A_2_N0213_20m.tif").write_bytes(b"no raster")
    assert infer(folder, tmp_path / "products", models) == 1
    output = capsys.readouterr()
    assert "1 of 3 scenes failed: S2A_MSIL2A_2_N0213" in output.err and "failed:" in output.out
    assert len(list((tmp_path / "products").glob("*_SR.tif"))) == 2
    assert infer(folder, tmp_path / "products", models, "--bands", "B05") == 1
    assert "_SR.tif exists, made of other " in capsys.readouterr().err
    assert infer(folder, tmp_path / "products", models) == 1
    assert "done before" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name",
    ["sr20_c", "sr60_b", *(pytest.param(name, marks=pytest.mark.slow) for name in ("sr20_a", "sr20_b", "sr60_a"))],
)
def test_original_tiling_equals_the_original_code(name, tmp_path, shared_data, monkeypatch):
    vectors, scene = shared_data("dsen2_vectors"), shared_data("s2_l1c_dsen2_native")
    golden = np.load(vectors / "golden_outputs_T33UUB_keras215.npz")[name]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    weights, bands = ("20", "B05,B06,B07,B8A,B11,B12") if "20" in name else ("60", "B01,B09")
    inputs = sorted(map(str, scene.glob("*.tif")))
    rows, columns = golden.shape[:2]
    more = ["--weights", str(vectors / f"random_dsen2_{weights}_weights.hdf5"), "--tiling", "original", "--float"]
    box = ["--box", f"0,0,{columns},{rows}", "--bands", bands]
    assert infer(inputs, tmp_path / "sr.tif", None, *more, *box) == 0
    result = np.stack(list(read(tmp_path / "sr.tif")[0].values()), axis=2) * 1e4
    assert np.abs(result - golden).max() <= 0.02


def test_scores_by_walds_protocol(files, models, tmp_path):
    metrics, figure = tmp_path / "m.json", tmp_path / "f.png"
    more = ["--evaluate", "wald", "--metrics", str(metrics), "--figure", str(figure), "--model-dir", str(models)]
    assert dsen2.main(["--input", *files(), *more]) == 0
    scores = json.loads(metrics.read_text())
    assert set(scores["bands"]) == {*FILES[20], *FILES[60]} and scores["sam"] > 0 and figure.stat().st_size > 1000
    assert {"rmse", "bicubic_rmse", "sre", "uiq", "bias"} <= set(scores["bands"]["B05"])
    assert {"mean_20m", "mean_60m"} <= set(scores)


def test_scores_by_walds_protocol_are_those_of_the_repeated_pixels(files, models, pixels, tmp_path):
    from datasets.wald import degrade

    metrics = tmp_path / "m.json"
    more = ["--evaluate", "wald", "--metrics", str(metrics), "--model-dir", str(models), "--bands", "B05,B11"]
    assert dsen2.main(["--input", *files()[:2], *more]) == 0
    truth = pixels["B05"][:62, :80].astype(np.float64)
    repeated = np.repeat(np.repeat(degrade(truth.astype(np.float32)[..., None], 2)[..., 0], 2, 0), 2, 1)
    rmse = np.sqrt(np.mean((repeated - truth) ** 2))
    assert json.loads(metrics.read_text())["bands"]["B05"]["rmse"] == pytest.approx(rmse, rel=1e-5)


def test_scores_of_a_product_without_reference(files, models, tmp_path):
    metrics, figure = tmp_path / "m.json", tmp_path / "f.png"
    more = ["--evaluate", "full", "--metrics", str(metrics), "--figure", str(figure)]
    assert infer(files(), tmp_path / "sr.tif", models, *more) == 0
    scores = json.loads(metrics.read_text())
    assert abs(scores["bands"]["B11"]["bias"]) < 1 and figure.stat().st_size > 1000


@pytest.mark.slow
def test_a_real_tile_of_cogs_through_item_files_and_stack(models, tmp_path, shared_data):
    """A whole tile, ten times coarser than it was."""
    folder = shared_data("s2_l2a_cog_stac_29RKH_decimated")
    item = json.loads((folder / "S2A_29RKH_20200219_0_L2A.json").read_text())
    for asset in item["assets"].values():
        asset["href"] = str(folder / Path(asset["href"]).name)
    (tmp_path / "item.json").write_text(json.dumps(item))
    fine = gdal.Open(str(folder / "B02.tif"))
    cube = [
        gdal.Warp(
            "",
            str(folder / f"{band}.tif"),
            format="MEM",
            width=fine.RasterXSize,
            height=fine.RasterYSize,
            resampleAlg="bilinear",
        ).ReadAsArray()
        for band in ALL
    ]
    stack = gdal.GetDriverByName("GTiff").Create(
        str(tmp_path / "stack.tif"), fine.RasterXSize, fine.RasterYSize, len(ALL), gdal.GDT_UInt16
    )
    stack.SetGeoTransform(fine.GetGeoTransform())
    stack.SetProjection(fine.GetProjection())
    for number, band in enumerate(ALL, start=1):
        stack.GetRasterBand(number).WriteArray(cube[number - 1])
        stack.GetRasterBand(number).SetDescription(band)
    del stack
    more = ["--box", "300,600,240,180"]
    assert infer(tmp_path / "item.json", tmp_path / "a.tif", models, *more) == 0
    assert infer(folder, tmp_path / "b.tif", models, "--offset", "0", "--level", "L2A", *more) == 0
    assert infer(tmp_path / "stack.tif", tmp_path / "c.tif", models, "--offset", "0", "--level", "L2A", *more) == 0
    item_bands, dataset = read(tmp_path / "a.tif")
    assert dataset.GetGeoTransform()[1] == 100
    for band in ALL:
        native = gdal.Open(str(folder / f"{band}.tif"))
        factor = round(native.GetGeoTransform()[1] / 100)
        part = native.ReadAsArray(300 // factor, 600 // factor, 240 // factor, 180 // factor)
        np.testing.assert_array_equal(item_bands[band], np.repeat(np.repeat(part, factor, 0), factor, 1))
        np.testing.assert_array_equal(read(tmp_path / "b.tif")[0][band], item_bands[band])
        assert np.abs(read(tmp_path / "c.tif")[0][band].astype(int) - item_bands[band]).max() <= 1


def test_names_that_contradict_descriptions_are_refused(files, models, tmp_path, capsys):
    names = ["--bands-10m", "B04,B03,B02,B08"]
    assert infer(files()[:2], tmp_path / "sr.tif", models, *names) == 1
    line = error_of(capsys)
    assert "expected names as it describes its bands itself, B02,B03,B04,B08, or none" in line
    assert infer(files()[:2], tmp_path / "sr.tif", models, "--bands-10m", "B02,B03,B04,B08") == 0
