# SPDX-License-Identifier: Apache-2.0
"""Scenes: files, grids, offsets, clouds and STAC items agree with one another."""

import json
import subprocess
import sys

import numpy as np
import pystac
import pytest
from osgeo import gdal, ogr

from simulate import scenes
from simulate.scene_plan import ACQUISITIONS, layout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("scenes")
    scenes.write_scenes(path, size=240, held_out=120, seed=3)
    return path


def _read(path):
    return gdal.Open(str(path)).ReadAsArray()


def _items(folder):
    return json.loads((folder / "items.json").read_text())["features"]


def _box(path):
    image = gdal.Open(str(path))
    left, gsd, _, top, _, _ = image.GetGeoTransform()
    return left, top - gsd * image.RasterYSize, left + gsd * image.RasterXSize, top


def test_images_are_cogs_of_the_right_type_and_grid(folder):
    for name, gsd, bands, dtype in (
        ("spot7/xs.tif", 6.0, ["R", "G", "B", "NIR"], "uint16"),
        ("spot7/pan.tif", 1.5, ["PAN"], "uint16"),
        ("truth.tif", 1.5, ["R", "G", "B", "NIR"], "uint16"),
        ("held_out/truth.tif", 1.5, ["R", "G", "B", "NIR"], "uint16"),
        ("held_out/sentinel2.tif", 10.0, ["B04", "B03", "B02", "B08"], "uint16"),
        (f"sentinel2/{ACQUISITIONS[0].identity}/B11.tif", 20.0, ["B11"], "uint16"),
        (f"sentinel2/{ACQUISITIONS[0].identity}/B09.tif", 60.0, ["B09"], "uint16"),
        (f"sentinel2/{ACQUISITIONS[0].identity}/SCL.tif", 20.0, ["SCL"], "uint8"),
    ):
        image = gdal.Open(str(folder / name))
        assert image.GetMetadataItem("LAYOUT", "IMAGE_STRUCTURE") == "COG", name
        assert image.GetGeoTransform()[1::4] == (gsd, -gsd), name
        assert [image.GetRasterBand(i + 1).GetDescription() for i in range(image.RasterCount)] == bands
        assert image.ReadAsArray().dtype == dtype and image.GetRasterBand(1).GetNoDataValue() == 0
        assert image.GetSpatialRef().GetAuthorityCode(None) == "32631"
    assert gdal.Open(str(folder / "spot7/pan.tif")).GetRasterBand(1).GetOverviewCount() >= 2


def test_grids_are_as_in_life(folder):
    pan, multispectral, truth = (_box(folder / name) for name in ("spot7/pan.tif", "spot7/xs.tif", "truth.tif"))
    tile = _box(folder / f"sentinel2/{ACQUISITIONS[0].identity}/B04.tif")
    held = _box(folder / "held_out/truth.tif")
    assert pan == multispectral == truth
    assert held == _box(folder / "held_out/sentinel2.tif")
    assert (tile[0] - 399960.0) % 60.0 == 0.0 and (5500020.0 - tile[3]) % 60.0 == 0.0
    assert (pan[0] - tile[0]) % 10.0 and (tile[3] - pan[3]) % 10.0
    for inner in (pan, held):
        assert tile[0] < inner[0] and tile[1] < inner[1] and inner[2] < tile[2] and inner[3] < tile[3]
    assert held[0] >= pan[2] + 100.0


@pytest.mark.parametrize("size, held_out", [(32, 40), (100, 300), (512, 200), (2048, 760)])
def test_any_layout_fits_its_landscape(size, held_out):
    plan = layout(size, held_out)
    assert plan.rows % 40 == 0 and plan.columns % 40 == 0
    for left, top, side in (plan.training, plan.held_out):
        assert left >= 60.0 and left + side * 1.5 <= plan.columns * 1.5 - 60.0
        assert top >= 60.0 and top + side * 1.5 <= plan.rows * 1.5 - 60.0
    assert plan.held_out[0] >= plan.training[0] + size * 1.5 + 60.0
    assert plan.held_out[2] * 1.5 % 30.0 == 0.0


def test_radiometry_compares_directly(folder):
    """Means of Spot-7, the truth and harmonised Sentinel-2 agree over the training area, band by band."""
    multispectral, truth = (_read(folder / name).astype(float) for name in ("spot7/xs.tif", "truth.tif"))
    np.testing.assert_allclose(multispectral.mean((1, 2)), truth.mean((1, 2)), rtol=0.02)
    left, bottom, right, top = _box(folder / "truth.tif")
    for number, name in enumerate(("B04", "B03", "B02", "B08")):
        path = folder / f"sentinel2/{ACQUISITIONS[0].identity}/{name}.tif"
        cut = gdal.Translate("", str(path), format="MEM", projWin=(left, top, right, bottom)).ReadAsArray()
        assert cut.mean() - 1000.0 == pytest.approx(truth[number].mean(), rel=0.06), name


def test_offset_follows_the_baseline(folder):
    """The same clear ground at baselines 03.01 and 04.00 differs by the gain and the 1000."""
    old = _read(folder / f"sentinel2/{ACQUISITIONS[6].identity}/B08.tif").astype(float)
    new = _read(folder / f"sentinel2/{ACQUISITIONS[0].identity}/B08.tif").astype(float) - 1000.0
    assert (ACQUISITIONS[6].baseline, ACQUISITIONS[0].baseline) == ("03.01", "04.00")
    assert old.mean() == pytest.approx(ACQUISITIONS[6].gain * new.mean(), rel=0.01)
    image = gdal.Open(str(folder / "held_out/sentinel2.tif"))
    assert image.GetMetadataItem("BOA_ADD_OFFSET") == "-1000"


def test_scene_classes_tell_clouds(folder):
    """What SCL calls cloud is bright in B01's neighbour B02, and covers what the acquisition says."""
    left, top, _ = layout(240, 120).training
    for acquisition in (ACQUISITIONS[index] for index in (0, 1, 3, 4)):
        classes = _read(folder / f"sentinel2/{acquisition.identity}/SCL.tif")
        cloudy = np.isin(classes, (8, 9, 10))
        inside = cloudy[round(top / 20) : round((top + 360) / 20), round(left / 20) : round((left + 360) / 20)]
        assert inside.mean() == pytest.approx(acquisition.cover, abs=0.02)
        if cloudy.any() and not cloudy.all():
            blue = _read(folder / f"sentinel2/{acquisition.identity}/B02.tif").reshape(classes.shape[0], 2, -1, 2)
            blue = blue.mean((1, 3))
            assert blue[classes == 9].mean() > 2.0 * blue[~cloudy].mean()
    assert ACQUISITIONS[1].tile_cover < ACQUISITIONS[0].tile_cover and ACQUISITIONS[1].cover > 0.2


def test_partial_item_has_no_data_beyond_its_footprint(folder):
    item = _items(folder)[2]
    classes = gdal.Open(str(folder / f"sentinel2/{item['id']}/SCL.tif"))
    missing = classes.ReadAsArray() == 0
    assert missing.mean() * 100.0 == pytest.approx(item["properties"]["s2:nodata_pixel_percentage"], abs=0.01)
    assert 0.2 < missing.mean() < 0.8
    for name in ("B02", "B05", "B09"):
        image = _read(folder / f"sentinel2/{item['id']}/{name}.tif") == 0
        assert image.mean() == pytest.approx(missing.mean(), abs=0.03)
    whole = ogr.CreateGeometryFromJson(json.dumps(_items(folder)[0]["geometry"]))
    part = ogr.CreateGeometryFromJson(json.dumps(item["geometry"]))
    assert part.GetArea() / whole.GetArea() == pytest.approx(1.0 - missing.mean(), abs=0.02)


def test_items_are_stac(folder):
    """Items read back as pystac's, whole, and say of the images what the images say."""
    for document in _items(folder):
        item = pystac.Item.from_dict(document)
        assert item.collection_id == "sentinel-2-l2a" and item.datetime.tzinfo is not None
        west, south, east, north = item.bbox
        for longitude, latitude in item.geometry["coordinates"][0]:
            assert west <= longitude <= east and south <= latitude <= north and 2.0 < longitude < 3.0
        assert {"B01", "B02", "B8A", "B12", "SCL"} <= set(item.assets) and "B10" not in item.assets
        for name, asset in item.assets.items():
            image = gdal.Open(str(folder / "sentinel2" / item.id / f"{name}.tif"))
            assert asset.extra_fields["proj:shape"] == [image.RasterYSize, image.RasterXSize]
            assert asset.href == f"http://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/{item.id}/{name}.tif"


@pytest.mark.slow
def test_same_seed_same_files(folder, tmp_path):
    scenes.write_scenes(tmp_path, size=240, held_out=120, seed=3)
    for name in ("spot7/pan.tif", "held_out/sentinel2.tif", f"sentinel2/{ACQUISITIONS[1].identity}/SCL.tif"):
        np.testing.assert_array_equal(_read(folder / name), _read(tmp_path / name))


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--size", "30"], "--size"),
        (["--size", "33"], "--size"),
        (["--held-out", "10"], "--held-out"),
    ],
)
def test_bad_arguments_are_said_in_one_line(tmp_path, capsys, arguments, said):
    assert scenes.main(["--output", str(tmp_path / "new"), *arguments]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and said in error and "got" in error
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_scenes_are_not_overwritten_unless_asked(tmp_path, capsys):
    command = ["--output", str(tmp_path), "--size", "32", "--held-out", "40"]
    assert scenes.main(command) == 0
    before = _read(tmp_path / "truth.tif")
    assert scenes.main([*command, "--seed", "2"]) == 1
    assert "--overwrite" in capsys.readouterr().err
    np.testing.assert_array_equal(_read(tmp_path / "truth.tif"), before)
    assert scenes.main([*command, "--seed", "2", "--overwrite"]) == 0
    assert (_read(tmp_path / "truth.tif") != before).any()


def _fail(*_):
    raise OSError("No space left on device")


@pytest.mark.slow
def test_a_failure_leaves_nothing_and_older_scenes_as_they_were(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "scenes"
    command = ["--output", str(folder), "--size", "32", "--held-out", "40"]
    with monkeypatch.context() as patched:
        patched.setattr(scenes, "_write_held_out_stack", _fail)
        assert scenes.main(command) == 1
        assert not folder.exists()
    assert scenes.main(command) == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    monkeypatch.setattr(scenes, "_write_held_out_stack", _fail)
    assert scenes.main([*command, "--seed", "2", "--overwrite"]) == 1
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and all("--output: " in line and "No space left" in line for line in lines)


def test_an_output_that_is_a_file(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert scenes.main(["--output", str(tmp_path / "file"), "--size", "32", "--held-out", "40"]) == 1
    assert capsys.readouterr().err.startswith("--output: expected a writable folder")


def test_help_loads_nothing_heavy():
    code = "import sys; from simulate import scenes\ntry: scenes.main(['--help'])\nexcept SystemExit: pass\n"
    code += "assert not {'numpy', 'osgeo', 'scipy'} & set(sys.modules), 'heavy'"
    assert (
        "--held-out" in subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    )
