# SPDX-License-Identifier: Apache-2.0
"""PatchesSelection as an OTB application, against what OTBTF 4.3.1 was seen to give and against brute force."""

import json
import shutil
import subprocess
import uuid
from pathlib import Path

import numpy as np
import otbApplication as otb
import pyotb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from osgeo import gdal, ogr

OTBCLI = Path(__file__).resolve().parents[2] / "native" / "bin" / "otbcli"
ORIGIN = (300000.0, 5000040.0)
"""Upper-left corner of the rasters that `write_raster` makes."""


def coded(width=60, height=50):
    """Two bands: column + 1 and row + 1."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns + 1, rows + 1], axis=-1).astype(np.uint16)


def select(image, tmp_path, psize=8, step=8, **parameters):
    """Run the application; keys have `__` for a dot, outputs are names of GeoJSON files."""
    app = otb.Registry.CreateApplicationWithoutLogger("PatchesSelection")
    parameters = {"in": image, "grid__psize": psize, "grid__step": step, "outtrain": "train.geojson", **parameters}
    for key, value in parameters.items():
        value = str(tmp_path / value) if key.startswith("out") else value
        app.SetParameterValue(key.replace("__", "."), str(value) if isinstance(value, Path) else value)
    app.ExecuteAndWriteOutput()
    return [pixels(tmp_path / parameters[key]) for key in ("outtrain", "outvalid", "outtest") if key in parameters]


def pixels(path, gsd=10.0):
    """Return (id, x, y) of the points, in pixels from the upper-left corner."""
    layer_of = gdal.OpenEx(str(path), gdal.OF_VECTOR)
    layer = layer_of.GetLayer(0)
    points = []
    for feature in layer:
        x, y, _ = feature.GetGeometryRef().GetPoint()
        points.append((feature.GetField("id"), (x - ORIGIN[0]) / gsd, (ORIGIN[1] - y) / gsd))
    return np.array(points).reshape(-1, 3)


@pytest.fixture
def image(write_raster):
    return write_raster("image.tif", coded())


def test_parameters_and_defaults():
    app = otb.Registry.CreateApplicationWithoutLogger("PatchesSelection")
    assert list(app.GetParametersKeys()) == [
        "in", "mask", "nodata", "grid", "grid.step", "grid.psize", "grid.offsetx", "grid.offsety", "strategy",
        "strategy.split.random", "strategy.split.trainprop", "strategy.split.validprop", "strategy.split.testprop",
        "strategy.balanced.sp", "strategy.balanced.nclasses", "strategy.balanced.labelimage",
        "outtrain", "outvalid", "outtest", "ram",
    ]  # fmt: skip
    types = {
        "in": otb.ParameterType_InputImage,
        "mask": otb.ParameterType_InputImage,
        "nodata": otb.ParameterType_Float,
        "grid.step": otb.ParameterType_Int,
        "grid.offsetx": otb.ParameterType_Int,
        "strategy": otb.ParameterType_Choice,
        "strategy.split.random": otb.ParameterType_Bool,
        "strategy.split.trainprop": otb.ParameterType_Float,
        "strategy.balanced.labelimage": otb.ParameterType_InputImage,
        "outtrain": otb.ParameterType_OutputVectorData,
        "ram": otb.ParameterType_RAM,
    }
    assert {key: app.GetParameterType(key) for key in types} == types
    mandatory = ["in", "grid.step", "grid.psize", "grid.offsetx", "grid.offsety", "outtrain", "strategy.balanced.sp"]
    mandatory += [f"strategy.split.{name}prop" for name in ("train", "valid", "test")]
    mandatory += ["strategy.balanced.nclasses", "strategy.balanced.labelimage"]
    optional = ["mask", "nodata", "strategy.split.random", "outvalid", "outtest"]
    assert [key for key in mandatory + optional if app.IsMandatory(key)] == mandatory
    assert list(app.GetChoiceKeys("strategy")) == ["chessboard", "split", "all", "balanced"]
    assert app.GetParameterString("strategy") == "chessboard"
    assert [app.GetParameterInt(key) for key in ("grid.offsetx", "grid.offsety", "ram")] == [0, 0, 256]
    proportions = [app.GetParameterFloat(f"strategy.split.{key}prop") for key in ("train", "valid", "test")]
    assert proportions == [50, 25, 25]
    assert app.GetParameterFloat("strategy.balanced.sp") == 0.25
    assert not app.HasValue("nodata")
    app.SetParameterInt("grid.step", 0)
    assert app.GetParameterInt("grid.step") == 1


def test_even_patches_lie_on_lower_left_corners(image, tmp_path):
    (points,) = select(image, tmp_path, strategy="all")
    expected = [(x, y + 1) for y in range(5, 46, 8) for x in range(5, 54, 8)]
    assert points[:, 1:].tolist() == [list(map(float, point)) for point in expected]
    assert points[:, 0].tolist() == list(range(42))


def test_odd_patches_lie_on_pixel_centres(image, tmp_path):
    (points,) = select(image, tmp_path, psize=9, strategy="all")
    expected = [[x + 0.5, y + 0.5] for y in range(5, 46, 8) for x in range(5, 54, 8)]
    assert points[:, 1:].tolist() == expected


def test_chessboard(image, tmp_path):
    train, valid = select(image, tmp_path, outvalid="valid.geojson")
    column, row = ((train[:, 1:] - (5, 6)) / 8).T
    assert np.all((column + row) % 2 == 0)
    assert (len(train), len(valid)) == (21, 21)
    assert train[:, 0].tolist() == list(range(0, 42, 2))
    assert sorted([*train[:, 0], *valid[:, 0]]) == list(range(42))
    (alone,) = select(image, tmp_path)
    assert np.array_equal(alone, train)


@pytest.mark.parametrize(
    ("outputs", "counts"), [(("outvalid", "outtest"), [21, 11, 10]), (("outvalid",), [28, 14]), ((), [42])]
)
def test_split(image, tmp_path, outputs, counts):
    groups = select(image, tmp_path, strategy="split", **{key: f"{key}.geojson" for key in outputs})
    assert [len(points) for points in groups] == counts
    assert sorted(np.concatenate(groups)[:, 0]) == list(range(42))
    if len(outputs) == 1:
        assert groups[1][:, 0].tolist() == list(range(1, 42, 3))


def test_random_split_is_the_one_of_otbtf(image, tmp_path):
    outputs = {"outvalid": "valid.geojson", "outtest": "test.geojson"}
    first, second = (
        select(image, tmp_path, strategy="split", strategy__split__random=True, **outputs) for _ in range(2)
    )
    assert [len(points) for points in first] == [19, 10, 13]
    assert all(np.array_equal(a, b) for a, b in zip(first, second))


def test_strategy_all_has_no_validation_output(image, tmp_path):
    with pytest.raises(RuntimeError, match=r"VectorDataFileWriter.*No input to writer!"):
        select(image, tmp_path, strategy="all", outvalid="valid.geojson")
    assert not (tmp_path / "valid.geojson").exists()


def test_nodata_counts_only_in_all_bands(write_raster, tmp_path):
    array = coded()
    array[20:24, 30:32, 0] = 0
    assert len(select(write_raster("one.tif", array), tmp_path, strategy="all", nodata=0.0)[0]) == 42
    array[20:24, 30:32, 1] = 0
    assert len(select(write_raster("both.tif", array), tmp_path, strategy="all", nodata=0.0)[0]) < 42


def test_mask_alone_is_not_eroded(image, write_raster, tmp_path):
    mask = np.zeros((50, 60), np.uint8)
    mask[:, 21:] = 1
    mask[45, 53] = 2
    path = write_raster("mask.tif", mask)
    (points,) = select(image, tmp_path, strategy="all", mask=path)
    assert sorted(set(points[:, 1])) == [21.0, 29.0, 37.0, 45.0, 53.0]
    assert len(points) == 5 * 6 - 1
    (eroded,) = select(image, tmp_path, strategy="all", mask=path, nodata=0.0)
    assert sorted(set(eroded[:, 1])) == [29.0, 37.0, 45.0, 53.0]
    assert len(eroded) == 4 * 6


def brute_force(array, mask, psize, step, offsets, nodata):
    """List the centre pixels (column, row) in the order of the image."""
    height, width = array.shape[:2]
    radius = psize // 2
    valid = np.ones((height, width), bool)
    if nodata is not None:
        flags = np.all(array == nodata, axis=2)
        if mask is not None:
            flags |= mask == 0
        for row in range(radius, height - radius):
            for column in range(radius, width - radius):
                box = flags[row - radius : row + radius + 1, column - radius : column + radius + 1]
                valid[row, column] = not box.any()
    elif mask is not None:
        valid = mask == 1
    return [
        (column, row)
        for row in range(radius, height - radius)
        for column in range(radius, width - radius)
        if valid[row, column]
        and ((column - radius - 1) % step == offsets[0] % step)
        and ((row - radius - 1) % step == offsets[1] % step)
        and (step == 1 or min(column, row) > radius)
    ]


@settings(deadline=None, max_examples=50)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    psize=st.integers(1, 9),
    step=st.integers(1, 9),
    offsets=st.tuples(st.integers(0, 12), st.integers(0, 12)),
    nodata=st.sampled_from([None, 0.0]),
    masked=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_positions_by_brute_force(size, psize, step, offsets, nodata, masked, seed):
    random = np.random.default_rng(seed)
    array = (random.random((*size, 2)) > 0.1).astype(np.uint8)
    mask = (random.random(size) > 0.05).astype(np.uint8) if masked else None
    folder = Path("/vsimem") / uuid.uuid4().hex
    parameters = {"strategy": "all", "grid__offsetx": offsets[0], "grid__offsety": offsets[1]}
    if nodata is not None:
        parameters["nodata"] = nodata
    if masked:
        parameters["mask"] = in_memory(folder / "mask.tif", mask[..., np.newaxis])
    (points,) = select(in_memory(folder / "image.tif", array), folder, psize, step, **parameters)
    shift = (0.5, 0.5) if psize % 2 else (0.0, 1.0)
    expected = np.array(brute_force(array, mask, psize, step, offsets, nodata)).reshape(-1, 2) + shift
    assert points[:, 1:].tolist() == expected.tolist()
    for name in gdal.ReadDir(str(folder)):
        gdal.Unlink(str(folder / name))


def in_memory(path, array):
    """Write an array (rows, columns, bands) as an in-memory GeoTIFF with the georeference of `write_raster`."""
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), *array.shape[1::-1], array.shape[2], gdal.GDT_Byte)
    dataset.SetGeoTransform((ORIGIN[0], 10, 0, ORIGIN[1], 0, -10))
    dataset.WriteArray(np.moveaxis(array, -1, 0))
    return str(path)


def test_reading_in_blocks_changes_nothing(write_raster, tmp_path):
    random = np.random.default_rng(3)
    array = (random.random((300, 500, 1)) > 0.001).astype(np.uint8)
    image = write_raster("large.tif", array)
    whole, blocks = (
        select(image, tmp_path, psize=11, step=3, strategy="all", nodata=0.0, ram=ram)[0] for ram in (256, 1)
    )
    assert 0 < len(whole) < 163 * 97
    assert np.array_equal(whole, blocks)


def test_all_pixels_are_read_and_a_file_cut_short_fails(write_raster, tmp_path):
    image = write_raster("image.tif", coded())
    with open(image, "r+b") as file:
        file.truncate(image.stat().st_size - 5000)
    for parameters in ({}, {"nodata": 0.0}):
        with pytest.raises(RuntimeError, match="Error while reading image"):
            select(image, tmp_path, strategy="all", **parameters)


def test_an_image_is_needed():
    app = otb.Registry.CreateApplicationWithoutLogger("PatchesSelection")
    with pytest.raises(RuntimeError, match="No input image or filename detected..."):
        app.Execute()


def test_balanced(write_raster, tmp_path):
    labels = np.zeros((96, 96), np.uint8)
    labels[:, 72:] = 1
    image = write_raster("image.tif", coded(96, 96))
    parameters = {"strategy__balanced__labelimage": write_raster("labels.tif", labels), "strategy__balanced__sp": 0.2}
    train, valid = select(
        image, tmp_path, strategy="balanced", strategy__balanced__nclasses=2, outvalid="valid.geojson", **parameters
    )
    assert len(train) + len(valid) == round(0.2 * 11 * 11)
    assert sorted([*train[:, 0], *valid[:, 0]]) == list(range(24))
    for points in (train, valid):
        share = np.mean([labels[int(y) - 4 : int(y) + 4, int(x) - 4 : int(x) + 4].mean() for _, x, y in points])
        assert 0.4 < share < 0.6


def test_balanced_needs_its_label_image(image, tmp_path):
    with pytest.raises(RuntimeError, match="strategy.balanced.labelimage is required by the strategy 'balanced'"):
        select(image, tmp_path, strategy="balanced")
    assert not (tmp_path / "train.geojson").exists()


def test_mask_of_another_size(image, write_raster, tmp_path):
    mask = write_raster("mask.tif", np.ones((50, 59), np.uint8))
    with pytest.raises(RuntimeError, match="^mask: expected the size .* 60x50 pixels, got 59x50$"):
        select(image, tmp_path, mask=mask)
    assert not (tmp_path / "train.geojson").exists()


def test_proportions_all_zero(image, tmp_path):
    assert len(select(image, tmp_path, strategy="split", strategy__split__trainprop=0.0)[0]) == 0


def test_geojson_layer(image, tmp_path):
    select(image, tmp_path, outtrain="points.geojson")
    content = json.loads((tmp_path / "points.geojson").read_text())
    assert list(content) == ["type", "crs", "features"]
    assert content["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::32631"
    assert content["features"][1]["properties"] == {"id": 2}
    layer_of = gdal.OpenEx(str(tmp_path / "points.geojson"))
    assert [feature.GetFID() for feature in layer_of.GetLayer(0)] == list(range(0, 42, 2))


@pytest.mark.parametrize(
    ("name", "layer_name", "geometry", "width"),
    [("p.gpkg", "", ogr.wkbUnknown, 0), ("p.sqlite", "", ogr.wkbUnknown, 0), ("p.shp", "p", ogr.wkbPoint, 9)],
)
def test_other_vector_formats(image, tmp_path, name, layer_name, geometry, width):
    select(image, tmp_path, strategy="all", outtrain=name)
    layer_of = gdal.OpenEx(str(tmp_path / name), gdal.OF_VECTOR)
    layer = layer_of.GetLayer(0)
    assert (layer_of.GetLayerCount(), layer.GetFeatureCount()) == (1, 42)
    assert (layer.GetName(), layer.GetGeomType()) == (layer_name, geometry)
    field = layer.GetLayerDefn().GetFieldDefn(0)
    assert (field.GetName(), field.GetType(), field.GetWidth()) == ("id", ogr.OFTInteger, width)
    assert layer.GetSpatialRef().GetAuthorityCode(None) == "32631"


def test_through_pyotb_on_an_image_in_memory(image, tmp_path):
    cropped = pyotb.ExtractROI({"in": str(image), "startx": 10, "starty": 5, "sizex": 40, "sizey": 40})
    app = pyotb.PatchesSelection(
        {"in": cropped, "grid.step": 8, "grid.psize": 8, "strategy": "split", "strategy.split.random": True}
        | {"outtrain": str(tmp_path / "train.geojson"), "outvalid": str(tmp_path / "valid.geojson")}
    )
    app.write()
    points = np.concatenate([pixels(tmp_path / "train.geojson"), pixels(tmp_path / "valid.geojson")])
    assert sorted(set(points[:, 1])) == [15.0, 23.0, 31.0, 39.0]
    assert sorted(set(points[:, 2])) == [11.0, 19.0, 27.0, 35.0]


launcher = pytest.mark.skipif(
    shutil.which("otbApplicationLauncherCommandLine") is None, reason="no OTB launcher on this machine"
)


@launcher
def test_through_the_launcher(image, tmp_path):
    command = [OTBCLI, "PatchesSelection", "-in", image, "-grid.step", "8", "-grid.psize", "8", "-strategy", "split"]
    command += ["-strategy.split.random", "true", "-outtrain", "t.geojson", "-outvalid", "v.geojson"]
    run = subprocess.run([*command, "-outtest", "e.geojson"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert [len(pixels(tmp_path / f"{name}.geojson")) for name in "tve"] == [19, 10, 13]
    assert "Number of patches selected: 42 of 42 positions" in run.stdout + run.stderr


@launcher
def test_failure_through_the_launcher(image, write_raster, tmp_path):
    mask = write_raster("mask.tif", np.ones((5, 5), np.uint8))
    command = [OTBCLI, "PatchesSelection", "-in", image, "-grid.step", "8", "-grid.psize", "8", "-mask", mask]
    run = subprocess.run([*command, "-outtrain", "t.geojson"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 1
    assert "mask: expected the size of the input image, 60x50 pixels, got 5x5" in run.stdout + run.stderr
    assert "Traceback" not in run.stdout + run.stderr
    assert not (tmp_path / "t.geojson").exists()
