# SPDX-License-Identifier: Apache-2.0
"""Folders and zips of other makers than ESA: MAJA, Sinergise, the Data Space, SNAP, openEO; loose files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from chain.sentinel2.bands import BANDS
from chain.sentinel2.image import open_product
from chain.sentinel2.packings import is_scene, rasters_in, scenes_among
from tests.chain.sentinel2.scenes import (
    ORDER,
    check_native,
    check_stack,
    fine,
    native,
    read,
    reason_of,
    write,
    write_dimap,
    write_files,
    write_netcdf,
    write_stack,
)
from tests.examples import slow

LOSSLESS = ("QUALITY=100", "REVERSIBLE=YES")
MAJA = "SENTINEL2B_20200223-033542-123_L2A_T48QUE_C_V2-2"
MAJA_BANDS = tuple(band for band in ORDER if band not in ("B01", "B09"))


@pytest.fixture(scope="module")
def pixels():
    return native(120)


def maja(folder, pixels, kinds=("FRE", "SRE"), nodata=-10000):
    for kind in kinds:
        for band in MAJA_BANDS:
            array = pixels[band].astype(np.int16) + (0 if kind == "FRE" else 50)
            array[: 12 * 10 // round(BANDS[band])] = -10000
            array[-1, -1] = -35
            name = f"{MAJA}_{kind}_{band.replace('B0', 'B')}.tif"
            write(folder / name, [array], gsd=BANDS[band], nodata=nodata)
    write(folder / "MASKS" / f"{MAJA}_CLM_R1.tif", [np.zeros((120, 120), np.uint8)])
    write(folder / f"{MAJA}_ATB_R1.tif", [np.zeros((120, 120), np.uint8)] * 2)
    return folder


@pytest.mark.parametrize("nodata", [-10000, slow(None)])
def test_flat_reflectance_of_maja_is_taken(tmp_path, pixels, nodata):
    folder = maja(tmp_path / MAJA, pixels, nodata=nodata)
    assert is_scene(folder)
    for source in (folder, sorted(folder.glob("*_FRE_B*.tif"))):
        image = open_product(source)
        assert (image.offset, image.level, set(image.bands)) == (0, "L2A", set(MAJA_BANDS))
        assert "MAJA's reflectance" in reason_of(image, "offset")
        for band in MAJA_BANDS:
            found = read(image, band)
            hidden = 12 * 10 // round(BANDS[band])
            assert np.all(found[:hidden] == 0) and found[-1, -1] == 1
            np.testing.assert_array_equal(found[hidden:-1], pixels[band][hidden:-1])
    both = sorted(folder.glob("*RE_B*.tif"))
    with pytest.raises(ValueError, match="expected one file for each band, got B11 in .*FRE_B11.tif and .*SRE_B11.tif"):
        open_product(both)


def tile(folder, pixels, nested=True):
    for band, array in pixels.items():
        for gsd in (10, 20, 60):
            ratio = gsd // round(BANDS[band])
            if (not nested and ratio != 1) or gsd < BANDS[band]:
                continue
            rows = array.shape[0] // ratio
            coarse = array.reshape(rows, ratio, rows, ratio).mean((1, 3)).astype(np.uint16)
            name = folder / (f"R{gsd}m" if nested else "") / f"{band}.jp2"
            write(name, [coarse], gsd=float(gsd), driver="JP2OpenJPEG", options=LOSSLESS)
    if nested:
        classes = np.full((60, 60), 4, np.uint8)
        write(folder / "R20m" / "SCL.jp2", [classes], gsd=20.0, driver="JP2OpenJPEG", options=LOSSLESS)
    else:
        picture = [np.zeros((40, 40), np.uint8)] * 3
        write(folder / "preview.jp2", picture, gsd=320.0, driver="JP2OpenJPEG")
        write(folder / "TCI.jp2", picture, driver="JP2OpenJPEG")
    return folder


@pytest.mark.parametrize(
    "product, offset, nested",
    [
        ("S2A_MSIL2A_20200223T1_N0214_R1_T48QUE", 0, False),
        ("", 0, True),
        slow("S2A_MSIL2A_20200223T1_N0214_R1_T48QUE", 0, True),
        slow("", 0, False),
    ],
)
def test_tiles_of_sinergise(tmp_path, pixels, nested, product, offset):
    folder = tile(tmp_path / "tiles_48_Q_UE", pixels, nested)
    (folder / "tileInfo.json").write_text("{}")
    (folder / "productInfo.json").write_text(json.dumps({"name": product} if product else {}))
    assert is_scene(folder)
    image = open_product(folder)
    check_native(image, pixels)
    assert (image.offset, image.identity["id"], set(image.bands)) == (offset, "tiles_48_Q_UE", set(ORDER))
    assert image.level == ("L2A" if nested or product else "unknown") and bool(image.classes) == nested
    assert ("02.14" in reason_of(image, "offset")) == bool(product)


def test_a_tile_of_a_baseline_with_an_offset(tmp_path, pixels):
    folder = tile(tmp_path / "t", {band: array + 1000 for band, array in pixels.items()}, False)
    (folder / "productInfo.json").write_text(json.dumps({"name": "S2A_MSIL1C_20230223T1_N0509_R1_T48QUE"}))
    image = open_product(folder)
    check_native(image, pixels)
    assert image.level == "L1C"


@pytest.mark.parametrize("zipped", [False, True])
def test_mosaics_of_the_data_space(tmp_path, pixels, zipped):
    name = "Sentinel-2_mosaic_2023_Q1_33UUP_0_0"
    folder = tmp_path / name
    four = {band: pixels[band].astype(np.int16) for band in ("B02", "B03", "B04", "B08")}
    holed = {band: np.where(np.arange(120) < 20, -32768, array).astype(np.int16) for band, array in four.items()}
    write_files(folder, holed, nodata=-32768)
    write(folder / "observations.tif", [np.full((120, 120), 3, np.uint16)])
    (folder / "userdata.json").write_text("{}")
    source = folder
    if zipped:
        source = shutil.make_archive(str(tmp_path / "m" / name), "zip", tmp_path, name)
        shutil.rmtree(folder)
    image = open_product(source)
    assert image.offset == 0 and "a mosaic of the Copernicus Data Space" in reason_of(image, "offset")
    check_stack(image, four, np.broadcast_to(np.arange(120) < 20, (120, 120)))


def test_a_foreign_raster_in_a_folder_is_left_out_by_name(tmp_path, pixels):
    write_files(tmp_path, pixels)
    write(tmp_path / "dem.tif", [np.full((120, 120), 300.0, np.float32)])
    image = open_product(tmp_path)
    check_native(image, pixels)
    assert reason_of(image, "files") == "files: left out dem.tif (they do not tell which bands they hold)"
    with pytest.raises(ValueError, match="dem.tif: its 1 bands are not described"):
        open_product(sorted(tmp_path.glob("*.tif")))


def test_a_raster_of_erdas_alone_in_a_folder(tmp_path, pixels):
    (tmp_path / "notes.img").write_bytes(b"no raster, and no header beside it")
    write_stack(tmp_path / "scene.img", pixels, driver="HFA")
    check_stack(open_product(tmp_path), pixels)
    assert scenes_among(rasters_in(tmp_path)) == {"scene": [str(tmp_path / "scene.img")]}


def test_a_folder_that_holds_nothing_known_lists_what_it_saw(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("a.txt", "b.csv", *(f"x{number}.log" for number in range(9))):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match="or its rasters, got a.txt, b.csv, sub/, x0.log, .* and 4 more"):
        open_product(tmp_path)


def dimap(folder, pixels, scale=1e-4, offset=0.0, dtype="uint16", nodata=0.0):
    names = [band.replace("B0", "B") for band in pixels]
    arrays = [array.astype(dtype) for array in pixels.values()]
    return write_dimap(folder, arrays, names, [BANDS[band] for band in pixels], scale, offset, nodata)


def test_products_of_snap(tmp_path, pixels):
    path = dimap(tmp_path, pixels)
    for source in (path, tmp_path / "s2.data", tmp_path):
        image = open_product(source)
        check_native(image, pixels)
        assert set(image.bands) == set(ORDER)
    assert rasters_in(tmp_path) == [path] and is_scene(tmp_path / "s2.data")
    (tmp_path / "s2.data" / "B5.img").unlink()
    with pytest.raises(ValueError, match="B5.img, which it names, got no such file"):
        open_product(path)


def test_products_of_snap_with_an_offset(tmp_path, pixels):
    carrying = {band: array + 1000 for band, array in pixels.items()}
    check_native(open_product(dimap(tmp_path, carrying, offset=-0.1)), pixels)
    with pytest.raises(ValueError, match="got 0.0001 and -1000"):
        open_product(dimap(tmp_path, carrying, offset=-1000))


def test_reflectance_of_snap_with_nodata(tmp_path, pixels):
    values = {band: np.where(np.arange(array.shape[1]) < 1, -1.0, array * 1e-4) for band, array in pixels.items()}
    image = open_product(dimap(tmp_path, values, scale=1.0, dtype="float32", nodata=-1.0))
    for band, array in pixels.items():
        np.testing.assert_allclose(read(image, band)[:, 1:], array[:, 1:], atol=1e-3)
        assert np.all(read(image, band)[:, 0] == 0)


def netcdf(path, pixels, dates=1, placed=True):
    arrays = [array.astype(np.int16) for array in pixels.values()]
    return write_netcdf(path, arrays, list(pixels), dates, nodata=-32768, placed=placed)


def test_netcdf_with_variables_as_bands(tmp_path, pixels):
    missing = np.zeros((120, 120), bool)
    missing[:30] = True
    arrays = {band: np.where(missing, -32768, array) for band, array in fine(pixels).items()}
    image = open_product(netcdf(tmp_path / "s2.nc", arrays), offset=0)
    check_stack(image, pixels, missing)
    with pytest.raises(ValueError, match="expected one date, got 2 of B01"):
        open_product(netcdf(tmp_path / "two.nc", arrays, dates=2), offset=0)
    with pytest.raises(ValueError, match="expected coordinates of the variables"):
        open_product(netcdf(tmp_path / "nowhere.nc", arrays, placed=False), offset=0)
    with pytest.raises(ValueError, match="expected variables named as bands, got depth, speed"):
        open_product(netcdf(tmp_path / "sea.nc", {"depth": arrays["B01"], "speed": arrays["B02"]}), offset=0)


def old_safe(folder, pixels, tiles=("T32TQM",), level="L1C", baseline="02.04"):
    kind = "OPER" if level == "L1C" else "USER"
    product = folder / f"S2A_{kind}_PRD_MSI{level}_PDMC_20160627T1.SAFE"
    for name in tiles:
        granule = product / "GRANULE" / f"S2A_{kind}_MSI_{level}_TL_SGS__20160627T1_A005_{name}_N{baseline}"
        for band, array in pixels.items():
            stem = f"S2A_{kind}_MSI_{level}_TL_SGS__20160627T1_A005_{name}_{band}"
            where = granule / "IMG_DATA"
            if level == "L2A":
                where, stem = where / f"R{BANDS[band]:.0f}m", f"{stem}_{BANDS[band]:.0f}m"
            write(where / f"{stem}.jp2", [array], gsd=BANDS[band], driver="JP2OpenJPEG", options=LOSSLESS)
    metadata = product / f"S2A_{kind}_MTD_SAF{level}_PDMC_20160627T1.xml"
    metadata.write_text(f"<a><PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE></a>")
    return product


@pytest.mark.parametrize("level", ["L1C", slow("L2A")])
def test_safe_of_the_layout_before_2016(tmp_path, pixels, level):
    product = old_safe(tmp_path, pixels, level=level)
    granule = next((product / "GRANULE").iterdir())
    for source in (product, granule):
        assert is_scene(source)
        image = open_product(source)
        assert (image.level, image.offset) == (level, 0)
        check_native(image, pixels)


def test_old_safe_of_several_tiles_asks_for_one(tmp_path, pixels):
    product = old_safe(tmp_path, pixels, tiles=("T32TQM", "T32TQL"))
    with pytest.raises(ValueError, match="expected one tile, got .*: pass the folder of one of them, GRANULE/"):
        open_product(product)
    granules = sorted((product / "GRANULE").iterdir())
    check_native(open_product(granules[1]), pixels)


def test_a_copy_beside_an_image_of_safe_is_named(tmp_path, pixels):
    product = old_safe(tmp_path, pixels)
    image = next(product.rglob("*_B04.jp2"))
    shutil.copy(image, image.with_suffix(".tif"))
    with pytest.raises(ValueError, match="expected one file of B04, got .*_B04.(jp2|tif) and .*: remove the copy"):
        open_product(product)


def test_names_that_only_look_like_bands(tmp_path, pixels):
    for name in ("field_B1.tif", "field_B2.tif", "plot_10m_a.tif", "plot_a.tif"):
        write_stack(tmp_path / name, pixels)
    write_stack(tmp_path / "bare_B1.tif", pixels, [""] * 12)
    write_stack(tmp_path / "bare_B2.tif", pixels, [""] * 12)
    scenes = scenes_among(rasters_in(tmp_path))
    assert {name: len(files) for name, files in scenes.items()} == dict.fromkeys(
        ("field_B1", "field_B2", "plot_10m_a", "plot_a", "bare_B1", "bare_B2"), 1
    )
    check_stack(open_product(scenes["field_B2"], offset=0), pixels)


def test_files_of_several_resolutions_are_one_scene(tmp_path, pixels):
    for described in (True, False):
        folder = tmp_path / str(described)
        for gsd in (10.0, 20.0, 60.0):
            chosen = {band: array for band, array in pixels.items() if BANDS[band] == gsd}
            write(folder / f"S_{gsd:.0f}m.tif", list(chosen.values()), list(chosen) if described else (), gsd)
        write_files(folder, {"B10": pixels["B01"]}, stem="S_{band}")
        assert {name: len(files) for name, files in scenes_among(rasters_in(folder)).items()} == {"S": 4}


def test_zips_that_hold_nothing_known(tmp_path):
    (tmp_path / "in").mkdir()
    Path(tmp_path / "in" / "a.txt").touch()
    path = shutil.make_archive(str(tmp_path / "x"), "zip", tmp_path / "in")
    with pytest.raises(ValueError, match="expected a SAFE product with one MTD_MSIL1C.xml"):
        open_product(path)
