# SPDX-License-Identifier: Apache-2.0
"""What lies beside a product: its STAC Item, and the scene classification on its grid."""

import json
import os
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pystac
import pytest
import requests
from osgeo import gdal
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.eo import EOExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import RasterExtension
from pystac.validation import validate_dict

from chain.serving.up_to_date import identity_in
from tests.inference.dsen2.scenes import COLUMNS, LEFT, ROWS, TOP, infer, read, write_safe
from tests.products import product_files

pytestmark = pytest.mark.keras


@pytest.fixture
def safe(tmp_path, pixels, write_raster):
    (tmp_path / "in").mkdir()
    return write_safe(tmp_path / "in", pixels, write_raster, "L2A")


@pytest.fixture
def output(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "sr.tif"


def classes():
    """The classification that `write_safe` writes, on the grid of 10 m."""
    found = np.full((ROWS, COLUMNS), 4, np.uint8)
    found[20:40, 60:100] = 9
    return found


def item_of(output):
    return json.loads(output.with_name(f"{output.stem}_stac.json").read_text())


def test_the_item_tells_where_when_what_and_of_what(safe, models, output):
    picture = output.with_suffix(".png")
    assert infer(safe, output, models, "--quicklook", str(picture)) == 0
    assert set(os.listdir(output.parent)) == product_files("sr", item=True, classes=True) | {"sr.png"}
    content = item_of(output)
    assert validate_dict(content, extensions=[])  # the core's schema, which pystac ships
    item = pystac.Item.from_file(str(output.with_name("sr_stac.json")))
    assert item.id == "sr" and item.datetime.isoformat() == "2020-01-01T00:00:00+00:00"
    assert item.properties["processing:level"] == "L2A" and item.properties["platform"] == "sentinel-2a"
    software = item.properties["processing:software"]
    weights = {model["weights"] for model in json.loads(output.with_name("sr.tif.json").read_text())["models"]}
    assert {version for name, version in software.items() if name.startswith("weights of dsen2")} == weights
    assert "otb-super-resolution" in software
    place = ProjectionExtension.ext(item)
    assert place.code == "EPSG:32631" and place.shape == [ROWS, COLUMNS]
    assert place.transform == [10, 0, LEFT, 0, -10, TOP]
    assert place.bbox == [LEFT, TOP - 10 * ROWS, LEFT + 10 * COLUMNS, TOP]
    assert all(os.path.isfile(output.parent / asset.href) for asset in item.assets.values())
    assert set(item.assets) == {"data", "SCL", "quicklook", "record"}
    source = item.get_single_link("derived_from")
    assert os.path.samefile(output.parent / source.href, safe) and source.title == safe.name


def test_the_bands_of_the_item_are_those_of_the_product(safe, models, output):
    assert infer(safe, output, models, "--bands", "B04,B8A,B11") == 0
    item = pystac.Item.from_file(str(output.with_name("sr_stac.json")))
    bands = EOExtension.ext(item.assets["data"]).bands
    assert [(band.name, band.common_name, band.center_wavelength) for band in bands] == [
        ("B04", "red", 0.665),
        ("B8A", "nir08", 0.865),
        ("B11", "swir16", 1.61),
    ]
    dataset = gdal.Open(str(output))
    for number, band in enumerate(RasterExtension.ext(item.assets["data"]).bands, 1):
        of_file = dataset.GetRasterBand(number)
        assert (band.nodata, band.data_type, band.scale, band.offset) == (0, "uint16", 0.0001, 0)
        assert (band.statistics.minimum, band.statistics.maximum) == (
            of_file.ReadAsArray().min(),
            of_file.ReadAsArray().max(),
        )
        assert of_file.GetMetadataItem("wavelength") == str(round(bands[number - 1].center_wavelength * 1000))


def test_the_classification_is_the_nearest_class_on_the_product_s_grid(safe, models, output):
    assert infer(safe, output, models) == 0
    found, dataset = read(output.with_name("sr_SCL.tif"))
    np.testing.assert_array_equal(found["SCL"], classes())
    assert dataset.GetGeoTransform() == gdal.Open(str(output)).GetGeoTransform()
    assert dataset.GetMetadataItem("LAYOUT", "IMAGE_STRUCTURE") == "COG"
    band = dataset.GetRasterBand(1)
    assert band.GetNoDataValue() == 0 and band.GetColorTable().GetColorEntry(4) == (0, 160, 0, 255)
    assert dataset.GetMetadataItem("CLASS_9") == "cloud, high probability"
    entries = ElementTree.parse(output.with_name("sr_SCL.qml")).findall("pipe/rasterrenderer/colorPalette/")
    assert {entry.get("value"): entry.get("label") for entry in entries}["4"] == "vegetation"
    item = pystac.Item.from_file(str(output.with_name("sr_stac.json")))
    named = ClassificationExtension.ext(item.assets["SCL"]).classes
    assert [(each.value, each.name) for each in named][4] == (4, "vegetation")


def test_a_part_has_its_own_part_of_the_classification(safe, models, output):
    assert infer(safe, output, models, "--box", "60,12,30,24") == 0
    found, _ = read(output.with_name("sr_SCL.tif"))
    np.testing.assert_array_equal(found["SCL"], classes()[12:36, 60:90])


def test_without_date_or_on_request_there_is_neither(files, safe, models, output, capsys):
    assert infer(files("nothing_N0213", None), output, models, "--level", "L2A") == 0
    assert set(os.listdir(output.parent)) == product_files("sr")
    assert "no STAC Item: the input does not tell both its date and its place" in capsys.readouterr().err
    assert infer(safe, output, models, "--overwrite", "--no-scl", "--no-stac") == 0
    assert set(os.listdir(output.parent)) == product_files("sr")


@pytest.mark.slow
def test_the_same_input_gives_the_same_files(safe, models, output):
    assert infer(safe, output, models) == 0
    names = ("sr.tif", "sr_stac.json", "sr_SCL.tif", "sr_SCL.qml")
    before = {name: (output.parent / name).read_bytes() for name in names}
    assert infer(safe, output, models, "--overwrite") == 0
    assert {name: (output.parent / name).read_bytes() for name in names} == before


@pytest.mark.slow
@pytest.mark.parametrize("lost", [["sr_SCL.tif"], ["sr_stac.json"], ["sr.tif.json", "sr_SCL.tif", "sr_SCL.qml"]])
def test_what_a_killed_run_has_not_written_is_completed(safe, models, output, lost):
    assert infer(safe, output, models) == 0
    before = {name: (output.parent / name).read_bytes() for name in os.listdir(output.parent)}
    for name in lost:
        (output.parent / name).unlink()
    assert infer(safe, output, models) == 0
    after = {name: (output.parent / name).read_bytes() for name in os.listdir(output.parent)}
    assert after.keys() == before.keys()
    assert all(after[name] == before[name] for name in after if name != "sr.tif.json")
    with pytest.raises(SystemExit) as end:
        infer(safe, output, models)
    assert end.value.code == 2


def test_files_of_others_are_not_written_over(safe, models, output, capsys):
    for name, flag in (("sr_stac.json", "--stac"), ("sr_SCL.tif", "--scl")):
        (output.parent / name).write_text("mine")
        assert infer(safe, output, models) == 1
        assert f"{flag}: {output.parent / name} exists; --overwrite replaces it" in capsys.readouterr().err
        assert os.listdir(output.parent) == [name] and (output.parent / name).read_text() == "mine"
        (output.parent / name).unlink()


@pytest.mark.slow
def test_shares_are_assembled_with_the_classification(safe, models, output):
    for share in ("2/2", "1/2"):
        assert infer(safe, output, models, "--block-range", share) == 0
    assert set(os.listdir(output.parent)) == {"sr.tif.parts"}
    assert infer(safe, output, models, "--assemble") == 0
    assert set(os.listdir(output.parent)) == product_files("sr", item=True, classes=True)
    np.testing.assert_array_equal(read(output.with_name("sr_SCL.tif"))[0]["SCL"], classes())
    assert identity_in(output.with_name("sr_SCL.tif")) == identity_in(output)


def test_products_in_a_folder_are_no_scenes_of_it(safe, models, output):
    assert infer(safe, output.parent, models) == 0
    assert infer([safe.parent], output.parent, models) == 0
    scenes = {name for name in os.listdir(output.parent) if name.endswith("_SR.tif")}
    assert infer([safe.parent, output.parent], output.parent, models) == 0
    assert {name for name in os.listdir(output.parent) if name.endswith("_SR.tif")} == scenes


def test_files_are_written_as_the_user_asks_and_pixels_stay(files, models, output):
    names = files()
    assert infer(names, output, models, "--bands", "B04,B05") == 0
    before, _ = read(output)
    words = ["--co", "COMPRESS=LZW", "--co", "BLOCKSIZE=128", "--nodata", "65535", "--overwrite"]
    assert infer(names, output, models, "--bands", "B04,B05", *words) == 0
    after, dataset = read(output)
    assert dataset.GetMetadataItem("COMPRESSION", "IMAGE_STRUCTURE") == "LZW"
    band = dataset.GetRasterBand(1)
    assert band.GetBlockSize() == [128, 128] and band.GetNoDataValue() == 65535
    assert all((after[name] == before[name]).all() for name in before)


def test_missing_pixels_are_the_number_that_is_asked_for(files, models, output):
    def missing(cube, gsd):
        cube = cube.copy()
        cube[: 60 // gsd, : 60 // gsd] = 0
        return cube

    number = 2000
    assert infer(files(change=missing), output, models, "--nodata", str(number)) == 0
    plain = output.with_name("plain.tif")
    assert infer(files(change=missing), plain, models) == 0
    found, (with_0, _) = read(output)[0], read(plain)
    for band, values in found.items():
        expected = np.where(with_0[band] == number, number + 1, with_0[band])
        np.testing.assert_array_equal(values, np.where(with_0[band] == 0, number, expected))
    dataset = gdal.Open(str(output))
    band = dataset.GetRasterBand(1)
    valid = found["B01"][found["B01"] != number]
    assert float(band.GetMetadataItem("STATISTICS_MINIMUM")) == valid.min()
    assert float(band.GetMetadataItem("STATISTICS_MEAN")) == pytest.approx(valid.mean())


READERS = """
import sys
import numpy as np, odc.stac, pystac, rasterio
from rio_cogeo.cogeo import cog_validate
product, item, classes = sys.argv[1:]
for file in (product, classes):
    valid, errors, warnings = cog_validate(file, strict=True)
    assert valid, (file, errors, warnings)
loaded = odc.stac.load([pystac.Item.from_file(item)])
with rasterio.open(product) as dataset:
    for name, pixels in zip(dataset.descriptions, dataset.read()):
        np.testing.assert_array_equal(loaded[name].values[0], pixels)
    assert loaded.odc.geobox.transform == dataset.transform and loaded.odc.geobox.crs == dataset.crs
with rasterio.open(classes) as dataset:
    np.testing.assert_array_equal(loaded["SCL"].values[0], dataset.read(1))
print("read")
"""


@pytest.mark.slow
def test_odc_stac_reads_the_item_and_rio_cogeo_finds_nothing_amiss(safe, models, output):
    """In a process of its own: rasterio brings its own GDAL."""
    python = os.environ.get("SR_READERS_PYTHON", sys.executable)
    found = subprocess.run([python, "-c", "import odc.stac, rio_cogeo"], capture_output=True, text=True)
    if found.returncode:
        pytest.skip(f"odc-stac and rio-cogeo (requirements/test.txt) are not there: {found.stderr.splitlines()[-1]}")
    assert infer(safe, output, models) == 0
    files = [str(output.with_name(name)) for name in ("sr.tif", "sr_stac.json", "sr_SCL.tif")]
    environment = {name: value for name, value in os.environ.items() if name not in ("GDAL_DATA", "PROJ_LIB")}
    told = subprocess.run([python, "-c", READERS, *files], capture_output=True, text=True, env=environment)
    assert told.stdout == "read\n", told.stderr


@pytest.mark.slow
def test_the_schemas_of_the_extensions_take_the_item(safe, models, output):
    """Schemas lie on the network; pystac ships that of the core alone."""
    assert infer(safe, output, models) == 0
    item = pystac.Item.from_file(str(output.with_name("sr_stac.json")))
    try:
        requests.get(item.stac_extensions[0], timeout=5).raise_for_status()
    except requests.RequestException as error:
        pytest.skip(f"schemas of STAC's extensions cannot be reached ({error})")
    assert len(item.validate()) == len(item.stac_extensions) + 1
