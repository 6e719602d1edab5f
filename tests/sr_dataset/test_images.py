# SPDX-License-Identifier: Apache-2.0
"""sr_dataset.py on images of all kinds: what is refused, holes, formats, other orders and coordinate systems."""

import json
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal

from tests.examples import slow
from tests.sr_dataset.program import SMALL, failure, patches_of, run

LIKE_SPOT = ("B02", "B03", "B04", "B08")


def _fill(array):
    array[:] = 0


@pytest.mark.parametrize(
    "which, options, message",
    [
        ("xs", {"change": _fill}, "none of them valid"),
        ("pan", {"change": _fill}, "rejected hold nodata"),
        (
            "xs",
            {"srcWin": [0, 0, 1, 1]},
            "--xs: expected at least 16 x 16 pixels, one patch of --lr-patch-size, got 1 x 1",
        ),
        ("pan", {"srcWin": [0, 0, 1, 1]}, "--lr-patch-size"),
        ("xs", {"bandList": [1, 2, 3]}, "--xs: expected 4 bands, got 3"),
        ("pan", {"outputBounds": [0, 5000, 768, 4232]}, "--pan: expected an image that overlaps"),
        ("pan", {"width": 256}, "--hr-patch-size: expected 2 times"),
    ],
)
def test_unsuitable_images(altered, local, tmp_path, capsys, which, options, message):
    output = tmp_path / "patches"
    images = altered(which, **options)
    assert message in failure(capsys, *images, *local, "--output", output, *SMALL)
    assert not output.exists()


def test_sentinel2_of_another_place(spot, local, tmp_path, capsys):
    moved = []
    for path in local[1:]:
        moved.append(tmp_path / Path(path).name)
        gdal.Translate(str(moved[-1]), path, outputBounds=[600000, 5000000, 601000, 4999000])
    line = failure(capsys, *spot, "--sentinel2", *moved, "--output", tmp_path / "patches", *SMALL)
    assert "--sentinel2: expected an image of the place of --xs, got " in line
    assert not (tmp_path / "patches").exists()


def test_missing_truncated_and_sensor_geometry_images(spot, local, tmp_path, capsys):
    output = ("--output", tmp_path / "patches", *SMALL)
    assert "--xs: expected a readable raster" in failure(
        capsys, "--xs", tmp_path / "no.tif", *spot[2:], *local, *output
    )
    broken = tmp_path / "broken.tif"
    content = Path(spot[3]).read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    failure(capsys, *spot[:2], "--pan", broken, *local, *output)
    gdal.Translate(str(tmp_path / "raw.tif"), spot[1])
    dataset = gdal.Open(str(tmp_path / "raw.tif"), gdal.GA_Update)
    dataset.SetProjection("")
    dataset = None
    assert "orthorectified" in failure(capsys, "--xs", tmp_path / "raw.tif", *spot[2:], *local, *output)
    assert "does not exist" in failure(capsys, *spot, "--sentinel2", tmp_path / "no.SAFE", *output)
    assert not (tmp_path / "patches").exists()


@pytest.mark.parametrize("nodata", ["none", slow("nan")])
def test_holes_and_nan_reject_their_patches_only(altered, local, tmp_path, nodata):
    def hole(array):
        array[..., 40:44, 60:64] = 0

    images = altered("xs", hole)
    assert run(*images, *local, "--output", tmp_path / "one", *SMALL, "--split", 1, 0, 0) == 0
    record = json.loads((tmp_path / "one" / "dataset.json").read_text())
    assert record["patches"]["train"] == 49 - 2 and patches_of(tmp_path / "one", "train_hr").min() > 0
    images = altered("xs", lambda array: array[..., 40:44, 60:64].__setitem__(..., np.nan), outputType=gdal.GDT_Float32)
    assert run(*images, *local, "--output", tmp_path / "two", *SMALL, "--split", 1, 0, 0) == 0
    assert np.array_equal(patches_of(tmp_path / "two", "train_hr"), patches_of(tmp_path / "one", "train_hr"))
    assert run(*images, *local, "--output", tmp_path / "three", *SMALL, "--nodata", nodata, "--split", 1, 0, 0) == 0
    # Where there is no nodata, dark pixels may be 0.
    made = np.maximum(patches_of(tmp_path / "three", "train_hr"), 1)
    assert np.array_equal(made, patches_of(tmp_path / "one", "train_hr"))


def test_bands_of_xs_in_another_order_and_pan_in_another_crs(altered, local, spot, tmp_path, reference):
    images = altered("xs", bandList=[3, 2, 1, 4])
    order = ("--xs-bands", "B02,B03,B04,B08")
    assert run(*images, *local, "--output", tmp_path / "two", *SMALL, *order) == 0
    assert np.array_equal(patches_of(reference, "train_hr"), patches_of(tmp_path / "two", "train_hr"))
    warped = tmp_path / "pan_2154.tif"
    gdal.Warp(str(warped), spot[3], dstSRS="EPSG:2154", xRes=1.5, yRes=1.5, resampleAlg="cubic")
    assert run(*spot[:2], "--pan", warped, *local, "--output", tmp_path / "three", *SMALL) == 0
    record = json.loads((tmp_path / "three" / "dataset.json").read_text())
    assert "another CRS" in record["alignment"]["grids"]
    assert abs(record["alignment"]["shift_x"]) <= 1 and abs(record["alignment"]["shift_y"]) <= 1


@pytest.mark.slow
def test_jpeg_2000_images(spot, local, tmp_path, reference):
    paths = {}
    for name, source in (("xs", spot[1]), ("pan", spot[3])):
        paths[name] = tmp_path / f"{name}.jp2"
        gdal.Translate(
            str(paths[name]), source, format="JP2OpenJPEG", creationOptions=["REVERSIBLE=YES", "QUALITY=100"]
        )
    assert run("--xs", paths["xs"], "--pan", paths["pan"], *local, "--output", tmp_path / "jp2", *SMALL) == 0
    assert np.array_equal(patches_of(tmp_path / "jp2", "test_hr"), patches_of(reference, "test_hr"))


DIMAP = """<?xml version="1.0" encoding="UTF-8"?>
<Dimap_Document>
 <Metadata_Identification><METADATA_FORMAT version="2.0">DIMAP</METADATA_FORMAT></Metadata_Identification>
 <Coordinate_Reference_System><Projected_CRS>
  <PROJECTED_CRS_CODE>urn:ogc:def:crs:EPSG::32631</PROJECTED_CRS_CODE></Projected_CRS></Coordinate_Reference_System>
 <Geoposition><Geoposition_Insert><ULXMAP>{left}</ULXMAP><ULYMAP>{top}</ULYMAP><XDIM>{gsd}</XDIM><YDIM>{gsd}</YDIM>
 </Geoposition_Insert></Geoposition>
 <Raster_Data>
  <Data_Access><Data_Files>
   <Data_File tile_C="1" tile_R="1"><DATA_FILE_PATH href="{name}.TIF"/></Data_File></Data_Files></Data_Access>
  <Raster_Dimensions><NROWS>{size}</NROWS><NCOLS>{size}</NCOLS><NBANDS>{bands}</NBANDS><Tile_Set><NTILES>1</NTILES>
   <Regular_Tiling><NTILES_SIZE ncols="{size}" nrows="{size}"/><NTILES_COUNT ntiles_C="1" ntiles_R="1"/>
   </Regular_Tiling></Tile_Set></Raster_Dimensions>
  <Raster_Encoding><DATA_TYPE>INTEGER</DATA_TYPE><NBITS>16</NBITS><SIGN>UNSIGNED</SIGN></Raster_Encoding>
 </Raster_Data>
</Dimap_Document>
"""


def test_dimap_images(spot, local, tmp_path, reference):
    """The georeference is in the .XML alone, and the pixels in a plain TIFF beside it."""
    for name, source in (("XS", spot[1]), ("PAN", spot[3])):
        image = gdal.Open(source)
        left, gsd, _, top, _, _ = image.GetGeoTransform()
        values = {"left": left, "top": top, "gsd": gsd, "size": image.RasterXSize, "bands": image.RasterCount}
        (tmp_path / f"DIM_{name}.XML").write_text(DIMAP.format(name=name, **values))
        options = ["PROFILE=BASELINE"]
        gdal.Translate(str(tmp_path / f"{name}.TIF"), image, creationOptions=options)
    images = ("--xs", tmp_path / "DIM_XS.XML", "--pan", tmp_path / "DIM_PAN.XML")
    assert run(*images, *local, "--output", tmp_path / "patches", *SMALL) == 0
    for name in ("train_lr", "train_hr"):
        assert np.array_equal(patches_of(tmp_path / "patches", name), patches_of(reference, name))
    assert run("--xs", tmp_path / "DIM_XS.XML", *spot[2:], *local, "--output", tmp_path / "mixed", *SMALL) == 0
    assert "correspond" in json.loads((tmp_path / "mixed/dataset.json").read_text())["alignment"]["grids"]


@pytest.mark.parametrize(
    "change, options, message",
    [
        (
            lambda array: np.divide(array, 1e4, out=array),
            {"outputType": gdal.GDT_Float32},
            "--xs: expected digital num",
        ),
        (
            lambda array: None,
            {"outputType": gdal.GDT_Byte, "scaleParams": [[0, 8000, 0, 255]]},
            "of 16 bits, got 8 bit",
        ),
        (lambda array: array[:, :40].fill(65535), {}, "got 65535 in all bands of 31 % of the pixels, undeclared"),
        (
            lambda array: array[:, :9].fill(-9999),
            {"outputType": gdal.GDT_Int16},
            "got -9999 in all bands of 7 % of the",
        ),
    ],
)
def test_numbers_that_are_no_digital_numbers_of_16_bits(altered, local, tmp_path, capsys, change, options, message):
    images = altered("xs", change, **options)
    assert message in failure(capsys, *images, *local, "--output", tmp_path / "patches", *SMALL)
    assert not (tmp_path / "patches").exists()


def test_reflectance_is_brought_to_digital_numbers_where_that_is_asked_for(altered, local, tmp_path, capsys, reference):
    """Counts of another unit are told."""
    images = altered("xs", lambda array: np.divide(array, 1e4, out=array), outputType=gdal.GDT_Float32)
    words = ["--output", tmp_path / "matched", *SMALL, "--match-radiometry"]
    assert run(*images, *local, *words) == 0
    made = patches_of(tmp_path / "matched", "train_hr").astype(float)
    assert made.mean() == pytest.approx(patches_of(reference, "train_hr").mean(), rel=0.1)
    images = altered("xs", lambda array: np.floor_divide(array, 4, out=array))
    capsys.readouterr()
    assert run(*images, *local, "--output", tmp_path / "counts", *SMALL) == 0
    assert "Spot's numbers are 0.25 times Sentinel-2's in all bands: --match-radiometry" in capsys.readouterr().err


def test_a_bundle_of_two_dates_is_refused_and_dates_are_recorded(spot, local, tmp_path, capsys, reference):
    images = []
    for option, source, name in (("--xs", spot[1], "MS_20220620"), ("--pan", spot[3], "P_20210620")):
        images += [option, tmp_path / f"IMG_SPOT7_{name}1024012_ORT.TIF"]
        gdal.Translate(str(images[-1]), source)
    message = "--pan: expected an image of the date of --xs, 2022-06-20 10:24 (name), got 2021-06-20 10:24 (name)"
    assert message in failure(capsys, *images, *local, "--output", tmp_path / "patches", *SMALL)
    assert not (tmp_path / "patches").exists()
    dates = json.loads((reference / "dataset.json").read_text())["dates"]
    assert dates["spot"].endswith("(TIFFTAG_DATETIME)") and 0 <= dates["days_apart"] < 30


@pytest.mark.parametrize("which, option", [("xs", "--xs"), ("pan", "--pan")])
def test_nodata_that_is_declared_and_not_looked_for_is_refused(altered, local, tmp_path, capsys, which, option):
    images = altered(which, lambda array: array[..., :8, :8].fill(65535), noData=65535)
    arguments = [*images, *local, *SMALL]
    line = failure(capsys, *arguments, "--output", tmp_path / "patches")
    assert f"--nodata: expected 65535, which {option} declares, or none, got 0" in line


def interchanged(altered, words):
    """Give a bundle whose red and blue are interchanged, with descriptions of its bands."""
    images = altered("xs", bandList=[3, 2, 1, 4])
    dataset = gdal.Open(images[1], gdal.GA_Update)
    for number, word in enumerate(words, 1):
        dataset.GetRasterBand(number).SetDescription(word)
    return images


@pytest.mark.parametrize(
    "words",
    [
        ("blue band, 480 nm", "", "", ""),
        *(slow(words) for words in (("Blue", "Green", "Red", "NIR"), ("B", "G", "R", "N"), LIKE_SPOT)),
    ],
)
def test_names_of_bands_that_contradict_descriptions_are_refused(altered, local, tmp_path, capsys, words):
    images = interchanged(altered, words)
    arguments = [*images, *local, *SMALL, "--output", tmp_path / "patches"]
    assert "--xs-bands: expected bands as --xs describes them, " in failure(capsys, *arguments)
    assert run(*arguments, "--xs-bands", ",".join(LIKE_SPOT)) == 0


@pytest.mark.parametrize("words", [slow("1234"), ("B2", "B1", "B0", "B3")])
def test_bands_that_look_interchanged_are_told(altered, local, tmp_path, capsys, words):
    images = interchanged(altered, words)
    assert run(*images, *local, *SMALL, "--output", tmp_path / "patches") == 0
    assert "B02 and B04 seem to be interchanged in --xs: check --xs-bands" in capsys.readouterr().err
    record = json.loads((tmp_path / "patches" / "dataset.json").read_text())
    assert record["statistics"]["interchanged"] == [["B02", "B04"]]
