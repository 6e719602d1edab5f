# SPDX-License-Identifier: Apache-2.0
"""An area over several tiles: one product, each pixel of which is a pixel of one scene's product."""

import json
import os

import numpy as np
import pystac
import pytest
from osgeo import gdal, osr
from scipy.ndimage import maximum_filter

from chain.runtime.progress import Cancelled
from chain.sentinel2.bands import SURFACE_BANDS
from inference import dsen2
from tests.inference.dsen2.scenes import error_of, read
from tests.products import product_files

pytestmark = pytest.mark.keras

WEST, EAST, TOP = 500000.0, 501200.0, 5400000.0
BANDS = ("B04", "B05")
BOX = (WEST + 300, TOP - 1500, EAST + 1500, TOP - 300)
"""Over both tiles, whose common ground is 501200 to 501920."""
COLUMNS, ROWS = 240, 120


@pytest.fixture
def items(make_sentinel2_item):
    """Two tiles of two days, 1920 m wide and 1200 m apart, with clouds in what they have in common."""
    clear = np.full((96, 96), 4, np.uint8)
    west, east = clear.copy(), clear.copy()
    west[20:40, 70:90] = 9
    east[30:60, 15:25] = 8  # partly under the other's clouds
    east[:, 80:] = 11
    made = {
        "S2A_MSIL2A_20220701T105629_R008_T31UDQ": (west, "2022-07-01", WEST),
        "S2A_MSIL2A_20220704T105629_R008_T31UEQ": (east, "2022-07-04", EAST),
        "S2A_MSIL2A_20220711T105629_R008_T31UEQ": (np.full((96, 96), 9, np.uint8), "2022-07-11", EAST),
    }
    return {
        name: make_sentinel2_item(name, scl, day=day, bands=SURFACE_BANDS, origin=(left, TOP))
        for name, (scl, day, left) in made.items()
    }


@pytest.fixture
def search(items, planetary_computer, models):
    """Return a function that searches and makes a product."""
    server = planetary_computer(list(items.values()))

    def run(output, *more, box=BOX, crs="EPSG:32631"):
        words = ["--search", "2022-06-01/2022-07-31", "--stac-url", server.stac_url, "--model-dir", str(models)]
        words += ["--bbox", ",".join(map(str, box)), "--bbox-crs", crs, "--bands", ",".join(BANDS), "--tile-size", "48"]
        return dsen2.main([*words, "--output", str(output), "--max-cloud-cover", "60", *map(str, more)])

    return run


def on_mosaic(path, bands=BANDS):
    """Return a product's bands, (bands, rows, columns), on the grid of BOX; 0 elsewhere."""
    dataset = gdal.Open(str(path))
    left, _, _, top, _, _ = dataset.GetGeoTransform()
    x, y = round((left - BOX[0]) / 10), round((BOX[3] - top) / 10)
    pixels = dataset.ReadAsArray().reshape(len(bands), dataset.RasterYSize, dataset.RasterXSize)
    found = np.zeros((len(bands), ROWS, COLUMNS), pixels.dtype)
    found[:, y : y + pixels.shape[1], x : x + pixels.shape[2]] = pixels
    return found


def test_each_pixel_is_one_of_the_clearest_scene_s_product(search, items, models, tmp_path, capsys):
    output = tmp_path / "out" / "sr.tif"
    output.parent.mkdir()
    assert search(output, "--report", output.with_suffix(".html")) == 0
    told = capsys.readouterr().err
    assert "no single item contains the area: a mosaic of " in told and "20220711" not in told.split("a mosaic of")[1]
    files = product_files("sr", item=True, classes=True) - {"sr_false_colour.qml"} | {"sr.html"}
    assert set(os.listdir(output.parent)) == files
    page = output.with_suffix(".html").read_text()
    assert "acquired 2022-07-01 10:56 to 2022-07-04 10:56 UTC" in page
    assert "Before and after" in page and "clouds, their shadows or snow" in page and "not in the input" not in page
    options = dsen2.Options(
        model_dir=(str(models),), bands=BANDS, bbox=BOX, bbox_crs="EPSG:32631", tile_size=48, level=None
    )
    alone, classes = [], []
    for name in list(items)[:2]:
        made = dsen2.super_resolve(items[name], tmp_path / f"{name[11:19]}.tif", options)
        alone.append(on_mosaic(made.path))
        classes.append(on_mosaic(made.path.with_name(f"{made.path.stem}_SCL.tif"), ("SCL",))[0])
    near = [maximum_filter(np.isin(each, (8, 9, 11)), 25) for each in classes]
    order = [int("20220704" in line) for line in told.splitlines() if line.startswith("mosaic: ")]
    assert sorted(order) == [0, 1]
    first, second = order
    there = [each.all(axis=0) for each in alone]
    clear = [np.isin(each, (4, 5, 6, 7)) & present for each, present in zip(classes, there)]
    level = [np.int8(there[k]) + clear[k] + (clear[k] & ~near[k]) for k in (0, 1)]
    assert {(int(a), int(b)) for a, b in zip(level[0].ravel(), level[1].ravel())} >= {(3, 2), (2, 3), (1, 3), (3, 1)}
    takes_first = level[first] >= level[second]
    expected = np.where(takes_first, alone[first], alone[second])
    dataset = gdal.Open(str(output))
    assert dataset.GetGeoTransform() == (BOX[0], 10, 0, BOX[3], 0, -10)
    np.testing.assert_array_equal(dataset.ReadAsArray(), expected)
    assert takes_first.any() and not takes_first.all() and (expected > 0).all()
    np.testing.assert_array_equal(
        read(output.with_name("sr_SCL.tif"))[0]["SCL"], np.where(takes_first, classes[first], classes[second])
    )
    record = json.loads(output.with_name("sr.tif.json").read_text())
    shares = record["mosaic"]["scenes"]
    assert f"{100 * takes_first.mean():.2f} % of the pixels" in shares[0] and len(shares) == 2
    item = pystac.Item.from_file(str(output.with_name("sr_stac.json")))
    assert item.datetime is None and item.properties["start_datetime"] == "2022-07-01T10:56:29Z"
    assert item.properties["end_datetime"] == "2022-07-04T10:56:29Z" and len(item.get_links("derived_from")) >= 2


@pytest.mark.slow
def test_a_cancelled_mosaic_goes_on_and_is_the_same(search, items, models, tmp_path):
    options = dsen2.Options(model_dir=(str(models),), bands=BANDS, bbox=BOX, bbox_crs="EPSG:32631", tile_size=48)
    scenes = [items[name] for name in list(items)[:2]]
    calls = []

    def cancelled():
        calls.append(1)
        return len(calls) > 6  # in the second scene

    with pytest.raises(Cancelled):
        dsen2.super_resolve_mosaic(scenes, tmp_path / "sr.tif", options, cancelled=cancelled)
    assert not (tmp_path / "sr.tif").exists() and (tmp_path / "sr.tif.scenes").exists()
    dsen2.super_resolve_mosaic(scenes, tmp_path / "sr.tif", options)
    dsen2.super_resolve_mosaic(scenes, tmp_path / "whole.tif", options)
    assert (tmp_path / "sr.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()
    assert not (tmp_path / "sr.tif.scenes").exists()
    with pytest.raises(FileExistsError, match="--output: .* exists; --overwrite replaces it"):
        dsen2.super_resolve_mosaic(scenes, tmp_path / "sr.tif", options)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--evaluate", "full"], "--evaluate: expected an area of one scene, got one of 2"),
        (["--max-cloud-cover", "1"], "--max-cloud-cover: expected at most 1 % of clouds over each part of the area"),
    ],
)
def test_what_is_for_one_scene_and_cloudy_parts_are_refused(search, tmp_path, capsys, words, message):
    assert search(tmp_path / "sr.tif", *words) == 1
    assert message in error_of(capsys)
    assert not list(tmp_path.glob("sr*"))


def test_ground_that_no_item_covers_is_refused(search, tmp_path, capsys):
    assert search(tmp_path / "sr.tif", box=(BOX[0], BOX[1], BOX[2] + 5000, BOX[3])) == 1
    assert "items found cover 3" in error_of(capsys)


def test_an_area_over_two_zones_is_refused_by_their_names(
    make_sentinel2_item, planetary_computer, models, tmp_path, capsys
):
    """The same ground as 33 pixels further east, in the next zone."""
    source, target = osr.SpatialReference(), osr.SpatialReference()
    source.ImportFromEPSG(32631)
    target.ImportFromEPSG(32632)
    x, y, _ = osr.CoordinateTransformation(source, target).TransformPoint(EAST, TOP)
    clear = np.full((96, 96), 4, np.uint8)
    corner = round(x, -1), round(y, -1)
    made = [
        make_sentinel2_item("S2A_MSIL2A_20220701T105629_T31UDQ", clear, bands=SURFACE_BANDS),
        make_sentinel2_item("S2A_MSIL2A_20220701T105629_T32UKV", clear, bands=("B04",), origin=corner, epsg=32632),
    ]
    server = planetary_computer(made)
    words = ["--search", "2022-06-01/2022-07-31", "--stac-url", server.stac_url, "--model-dir", str(models)]
    box = (WEST + 300, TOP - 1000, EAST + 1000, TOP - 500)
    words += ["--bbox", ",".join(map(str, box)), "--bbox-crs", "32631", "--output", str(tmp_path / "sr.tif")]
    assert dsen2.main(words) == 1
    assert "--bbox: expected an area that tiles of one UTM zone cover, got one over zones 31" in error_of(capsys)
