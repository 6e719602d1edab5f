# SPDX-License-Identifier: Apache-2.0
"""Inputs of `inference.deepsum` that are not as they should be: zeros, other numbers, few images, bands as dates."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal

from datasets.deepsum.preparation import prepare
from evaluation.cpsnr import cpsnr
from inference.deepsum import main
from inference.deepsum.normalization import Moments
from tests.examples import slow
from tests.inference.deepsum.conftest import COUNT, GSD, ORIGIN
from tests.inference.deepsum.scenes import SIDE, draw_scene, write_png, write_scene

pytestmark = pytest.mark.keras

DAYS = [f"2022-07-{day:02d}" for day in range(1, COUNT + 1)]


@pytest.fixture
def make_scene(model_dir, tmp_path, capsys):
    """Return a function that makes the image of a scene; gives it and what was told."""

    def make(lr, qm, *words, name="a", hr=None):
        folder = write_scene(tmp_path / name / "imgset0001", lr, qm, hr)
        output = tmp_path / f"{name}.png"
        words = ["--input", folder, "--output", output, "--model-dir", model_dir, *words]
        assert main(list(map(str, words))) == 0
        return gdal.Open(str(output)).ReadAsArray(), capsys.readouterr().err

    return make


def refused(words, model_dir, tmp_path, capsys, status=1):
    """Return the one line by which the program refuses."""
    words = [*words, "--output", tmp_path / "refused.tif", "--model-dir", model_dir]
    capsys.readouterr()
    assert main(list(map(str, words))) == status
    error = capsys.readouterr().err
    assert not list(tmp_path.glob("refused*"))
    return error.splitlines()[-1]


def test_dates_of_zeros_are_left_out(scene, stack, infer, tmp_path, capsys):
    lr = scene[0].copy()
    lr[[3, 7]] = 0
    images, _ = stack(lr)
    others = [name for number, name in enumerate(images) if number not in (3, 7)]
    wanted = infer(others, [], "--unmasked").ReadAsArray()
    found = infer(images, [], "--unmasked", name="b.tif").ReadAsArray()
    np.testing.assert_array_equal(found, wanted)
    told = capsys.readouterr().err
    assert "d03: 100.0 % of the pixels are 0, treated as missing (--valid-zero keeps them)" in told
    assert "left out: d07: no clear pixel" in told
    dates = json.loads((tmp_path / "b.tif.json").read_text())["dates"]
    assert {date["name"] for date in dates if not date["used"]} == {"d03", "d07"}
    kept = infer(images, [], "--unmasked", "--valid-zero", name="c.tif").ReadAsArray()
    assert np.abs(kept.astype(float) - wanted).mean() > 10


def test_edges_of_zeros_are_as_declared_ones(scene, stack, infer):
    lr = scene[0].copy()
    lr[4, :, :7] = 0
    lr[6, 20:] = 0
    wanted = infer(stack(lr, nodata=0)[0], [], "--unmasked").ReadAsArray()
    images = stack(lr)[0]
    np.testing.assert_array_equal(infer(images, [], "--unmasked", name="b.tif").ReadAsArray(), wanted)
    kept = infer(images, [], "--unmasked", "--valid-zero", name="c.tif").ReadAsArray()
    assert (kept != wanted).mean() > 0.5


def test_images_of_zeros_in_scenes_are_left_out(scene, make_scene):
    lr, qm = scene[0].copy(), np.ones_like(scene[1])
    wanted, told = make_scene(np.delete(lr, (3, 7), 0), np.delete(qm, (3, 7), 0))
    assert "treated as missing" not in told
    lr[[3, 7]] = 0
    found, told = make_scene(lr, qm, name="b")
    np.testing.assert_array_equal(found, wanted)
    assert "left out: LR003.png: all pixels are 0" in told and "left out: LR007.png" in told


def test_edges_of_zeros_in_scenes_are_concealed(scene, make_scene):
    """Nearly the image of the whole scene, and not one that the zeros have drawn down."""
    lr, qm = scene[0].copy(), np.ones_like(scene[1])
    wanted = make_scene(lr, qm)[0].astype(float)
    lr[4, :, :7] = 0
    lr[6, 20:] = 0
    found, told = make_scene(lr, qm, name="b")
    assert "pixels that are 0 in 2 images, up to 29.2 %, are treated as missing" in told
    kept = make_scene(lr, qm, "--valid-zero", name="c")[0]
    assert np.abs(found - wanted).mean() < 0.5 * np.abs(kept - wanted).mean()
    masked, told = make_scene(lr, lr > 0, name="d")
    assert "treated as missing" not in told
    np.testing.assert_array_equal(masked, make_scene(lr, lr > 0, "--valid-zero", name="e")[0])


@pytest.mark.parametrize("factor,dtype", [(0.3, np.uint16), (1 / 64, np.uint8)])
def test_other_numbers_in_scenes_are_told(scene, make_scene, factor, dtype):
    lr, qm = scene
    wanted, told = make_scene(lr, qm, "--statistics", "data")
    assert "do not match" not in told and "do not match" not in make_scene(lr, qm, name="model")[1]
    others = np.rint(lr * factor).astype(dtype)
    told = make_scene(others, qm, name="kept")[1]
    assert "imgset0001: its pixels (mean " in told and "--statistics data rescales them" in told
    found, told = make_scene(others, qm, "--statistics", "data", name="brought")
    assert "do not match" not in told
    off = found - factor * wanted.astype(float)
    assert np.sqrt(np.mean(np.square(off))) < 0.02 * factor * wanted.std() + 1.0


def test_other_numbers_of_rasters_are_told_where_they_are_kept(scene, stack, infer, capsys):
    lr = (scene[0] * 0.3).astype(np.uint16)
    images, masks = stack(lr)
    infer(images, masks)
    assert "do not match" not in capsys.readouterr().err
    infer(images, masks, "--repeat", "--statistics", "model", name="b.tif")
    assert "warning: d00: its pixels (mean " in capsys.readouterr().err


@pytest.mark.parametrize(
    "mean,deviation,unlike",
    [(7754, 2316, False), (4900, 1400, False), (10000, 1300, False), (2783, 800, True), (1500, 500, True),
     (100, 40, True), (0.3, 0.1, True), (7754, 0, True)],
)  # fmt: skip
def test_numbers_are_compared_by_their_statistics(mean, deviation, unlike):
    assert Moments(mean, deviation).unlike(Moments(7754.66, 2316.34)) == unlike


def test_images_of_a_scene_differ(scene, make_scene, model_dir, tmp_path, capsys):
    lr, qm = (array[[*range(8), 0, 1]] for array in scene)
    folder = write_scene(tmp_path / "imgset0007", lr, qm)
    line = refused(["--input", folder], model_dir, tmp_path, capsys)
    assert "imgset0007: expected at least 9 different images, got 8 among 10; --repeat repeats them" in line
    _, told = make_scene(*(array[[*range(9), 0]] for array in scene))
    assert "imgset0001: the same pixels in LR000.png and LR009.png, which adds no detail" in told


def test_truth_of_another_unit_is_not_scored(model_dir, tmp_path, capsys):
    lr, qm, hr = draw_scene()
    folder = write_scene(tmp_path / "imgset0001", lr, qm, hr // 64)
    words = ["--input", folder, "--metrics", tmp_path / "scores.json", "--model-dir", model_dir]
    assert main(list(map(str, words))) == 1
    assert "imgset0001: expected images and truth in one unit, got clear pixels of" in capsys.readouterr().err
    assert not (tmp_path / "scores.json").exists()


def test_the_truth_of_a_scene_stays(scene, model_dir, tmp_path, capsys):
    folder = write_scene(tmp_path / "imgset0001", *scene, draw_scene()[2])
    words = ["--input", folder, "--output", folder / "HR.png", "--overwrite", "--model-dir", model_dir]
    assert main(list(map(str, words))) == 1
    assert "--output: expected a file that is not read as input" in capsys.readouterr().err


def test_scores_of_other_numbers_are_in_their_unit(model_dir, tmp_path):
    lr, qm, hr = draw_scene(seed=3)
    lr, hr = lr // 4, hr // 4
    folder = write_scene(tmp_path / "imgset0001", lr, qm, hr)
    words = ["--input", folder, "--metrics", tmp_path / "m.json", "--statistics", "data", "--model-dir", model_dir]
    assert main(list(map(str, words))) == 0
    scores = json.loads((tmp_path / "m.json").read_text())["scenes"]["imgset0001"]
    clear = gdal.Open(str(folder / "SM.png")).ReadAsArray() != 0
    assert scores["clearest"]["cpsnr"] == pytest.approx(cpsnr(hr, prepare(lr, qm).images[0], clear), abs=1e-3)


def test_scenes_without_masks(scene, make_scene, model_dir, tmp_path, capsys):
    """Masks of images are needed unless all is clear; that of the truth for scores alone."""
    lr, qm, hr = *scene, draw_scene(COUNT, seed=5)[2]
    wanted = make_scene(lr, np.ones_like(qm))[0]
    folder = write_scene(tmp_path / "bare" / "imgset0001", lr, qm, hr)
    (folder / "SM.png").unlink()
    for path in folder.glob("QM*.png"):
        path.unlink()
    line = refused(["--input", folder], model_dir, tmp_path, capsys)
    assert "expected QM000.png beside LR000.png, found none; --unmasked treats all pixels as clear" in line
    line = refused(["--input", folder, "--unmasked", "--metrics", tmp_path / "m.json"], model_dir, tmp_path, capsys)
    assert "expected SM.png beside HR.png, found none" in line and not (tmp_path / "m.json").exists()
    words = ["--input", folder, "--unmasked", "--output", tmp_path / "b.png", "--model-dir", model_dir]
    assert main(list(map(str, words))) == 0
    np.testing.assert_array_equal(gdal.Open(str(tmp_path / "b.png")).ReadAsArray(), wanted)


@pytest.mark.parametrize(
    "names",
    [
        slow(DAYS),
        [f"{day}_B8" for day in DAYS],
        slow([f"{day.replace('-', '')}.nir" for day in DAYS]),
    ],
)
def test_bands_named_after_days_are_dates(scene, stack, infer, write_raster, names, capsys):
    wanted = infer(*stack()).ReadAsArray()
    place = {"gsd": GSD, "origin": ORIGIN}
    dates = write_raster("dates.tif", np.dstack(list(scene[0])), bands=names, **place)
    masks = write_raster("masks.tif", np.dstack(list(scene[1])).astype(np.uint8), **place)
    found = infer([dates], [masks], name="b.tif")
    np.testing.assert_array_equal(found.ReadAsArray(), wanted)
    told = capsys.readouterr().err
    assert f"its {COUNT} bands are treated as dates" in told and f"reference: dates:{names[0]}, 95.8 % clear" in told


def test_bands_are_dates_where_that_is_said(scene, stack, infer, write_raster, model_dir, tmp_path, capsys):
    """Twelve bands may be Sentinel-2's: without a word, or with names of bands, they are no dates."""
    wanted = infer(stack()[0], [], "--unmasked").ReadAsArray()
    cube = np.dstack(list(scene[0]))
    numbers = range(1, COUNT + 1)
    for names in (
        None,
        [f"B{number}" for number in numbers],
        [f"{DAYS[0]}_{number}" for number in numbers],
        [f"{day}_{number}" for number, day in zip(numbers, DAYS)],
    ):
        dates = write_raster("dates.tif", cube, gsd=GSD, origin=ORIGIN, bands=names)
        line = refused(["--input", dates, "--unmasked"], model_dir, tmp_path, capsys)
        assert (
            "--band: expected one of the bands 1 to 11" in line
            and "--bands-are-dates treats each band as a date" in line
        )
    found = infer([dates], [], "--unmasked", "--bands-are-dates", name="b.tif").ReadAsArray()
    np.testing.assert_array_equal(found, wanted)


def test_few_images_are_repeated_if_asked(scene, stack, infer, model_dir, tmp_path, capsys):
    images, masks = (names[:5] for names in stack())
    line = refused(["--input", *images, "--clear-masks", *masks], model_dir, tmp_path, capsys)
    assert "--input: expected at least 9 images, got 5; --repeat repeats them until there are nine" in line
    found = infer(images, masks, "--repeat", "--statistics", "model").ReadAsArray()
    assert "warning: frames: 5, repeated to fill 9" in capsys.readouterr().err
    shares = scene[1][:5].mean(axis=(1, 2))
    more = np.argsort(-shares, kind="stable")[:4]
    images, masks = ([*names, *(names[number] for number in more)] for names in (images, masks))
    wanted = infer(images, masks, "--repeat", "--statistics", "model", name="b.tif")
    np.testing.assert_array_equal(found, wanted.ReadAsArray())
    infer(images[:1], masks[:1], "--repeat", name="one.tif")
    assert "frames: 1, repeated to fill 9" in capsys.readouterr().err


def test_scenes_of_few_images_are_repeated_if_asked(scene, make_scene, model_dir, tmp_path, capsys):
    lr, qm = (array[:6] for array in scene)
    _, told = make_scene(lr, qm, "--repeat")
    assert "frames: 6, repeated to fill 9" in told
    full = write_scene(tmp_path / "full" / "imgset0001", *scene)
    for number in range(4):
        write_png(full / f"LR{number:03d}.png", np.full((SIDE, SIDE), 65535, np.uint16))
    line = refused(["--input", full], model_dir, tmp_path, capsys)
    assert "got 7 of 11 (LR000: numbers above 60000, LR001: " in line and line.endswith(
        "; --repeat repeats them until there are nine"
    )
    shutil.rmtree(tmp_path / "full")


def test_alpha_is_no_data(scene, stack, infer, tmp_path):
    """A pixel that it hides is missing."""
    lr = scene[0].copy()
    wanted = infer(stack(np.where(np.arange(SIDE) < 3, 0, lr).astype(np.uint16))[0], [], "--unmasked").ReadAsArray()
    images = []
    for number, image in enumerate(lr):
        images.append(str(tmp_path / f"alpha{number:02d}.tif"))
        dataset = gdal.GetDriverByName("GTiff").Create(images[-1], SIDE, SIDE, 2, gdal.GDT_UInt16, ["ALPHA=YES"])
        dataset.SetGeoTransform((ORIGIN[0], GSD, 0, ORIGIN[1], 0, -GSD))
        dataset.SetProjection(gdal.Open(str(tmp_path / "d00.tif")).GetProjection())
        dataset.GetRasterBand(1).WriteArray(image)
        alpha = np.where(np.arange(SIDE) < 3, 0, 255) * np.ones((SIDE, 1))
        dataset.GetRasterBand(2).WriteArray(alpha.astype(np.uint16))
        dataset = None
    np.testing.assert_array_equal(infer(images, [], "--unmasked", name="b.tif").ReadAsArray(), wanted)


def with_points(path):
    dataset = gdal.Open(path, gdal.GA_Update)
    corners = [gdal.GCP(3e5 + 300 * x, 5e6 - 300 * y, 0, x, y) for x in (0, SIDE) for y in (0, SIDE)]
    array, projection = dataset.ReadAsArray(), dataset.GetProjection()
    dataset = gdal.GetDriverByName("GTiff").Create(path, SIDE, SIDE, 1, gdal.GDT_UInt16)
    dataset.WriteArray(array)
    dataset.SetGCPs(corners, projection)


def with_scale(path):
    dataset = gdal.Open(path, gdal.GA_Update)
    dataset.GetRasterBand(1).SetScale(0.0001)
    dataset.GetRasterBand(1).SetOffset(-0.1)


def with_reflectance(path):
    dataset = gdal.Open(path)
    array = dataset.ReadAsArray() / np.float32(1e4)
    copy = gdal.GetDriverByName("GTiff").Create(path, SIDE, SIDE, 1, gdal.GDT_Float32)
    copy.SetGeoTransform(dataset.GetGeoTransform())
    copy.SetProjection(dataset.GetProjection())
    copy.WriteArray(array)


@pytest.mark.parametrize(
    "spoil,message",
    [
        (with_points, "d04.tif with ground control points or RPCs only: warp it first"),
        (with_scale, "--input: expected one scale and offset, got 1 and 0 of d00 beside 0.0001 and -0.1 of d04"),
        (with_reflectance, "--input: expected images in one unit, got mean 0."),
    ],
)
def test_images_that_do_not_belong_together_are_refused(stack, model_dir, tmp_path, capsys, spoil, message):
    images, masks = stack()
    spoil(images[4])
    assert message in refused(["--input", *images, "--clear-masks", *masks], model_dir, tmp_path, capsys)


def test_rasters_of_products_with_and_without_an_offset_are_refused(stack, model_dir, tmp_path, capsys):
    images, masks = stack()
    moved = []
    for index, image in enumerate(images):
        year, baseline = (2021, "N0301") if index < 4 else (2022, "N0400")
        folder = tmp_path / f"S2A_MSIL2A_{year}0{index % 9 + 1}01T105629_{baseline}_R094_T31UDQ_x.SAFE"
        folder.mkdir()
        moved.append(str(Path(image).rename(folder / Path(image).name)))
    arguments = ["--input", *moved, "--clear-masks", *masks]
    message = "--input: expected digital numbers of one offset, got 0 of d03 beside -1000 of d10"
    assert message in refused(arguments, model_dir, tmp_path, capsys)
    assert main([*arguments, "--offset", "0", "--info", "--model-dir", str(model_dir)]) == 0


def holed(scene, fill, low, pixels):
    """Return images from `low` to 9800, of which one holds `fill` in some pixels."""
    lr = np.interp(scene[0], (scene[0].min(), scene[0].max()), (low, 9800)).astype(np.float32)
    lr[2, 3, :pixels] = fill
    return lr


@pytest.mark.parametrize(
    "fill, low, pixels, dtype",
    [
        (-9999, 300, 1, np.int16),
        (-9999, -0.3, 20, np.float32),
        (-10000, -1999, 20, np.int16),
        (-32768, -2000, 20, np.int16),
        (-3.4e38, 300, 20, np.float32),
        (65535, 300, 20, np.uint16),
        (32767, -2000, 20, np.int16),
        (1e20, 300, 20, np.float32),
    ],
)
def test_undeclared_fill_is_asked_for(scene, stack, model_dir, tmp_path, capsys, fill, low, pixels, dtype):
    images, _ = stack(holed(scene, fill, low, pixels).astype(dtype))
    message = f"expected nodata that the raster declares, got {fill:g} in "
    assert message in refused(["--input", *images, "--unmasked"], model_dir, tmp_path, capsys)
    images, _ = stack(holed(scene, fill, low, pixels).astype(dtype), nodata=fill)
    assert main(["--input", *images, "--unmasked", "--info", "--model-dir", str(model_dir)]) == 0


@pytest.mark.parametrize("fill, low, pixels", [(-900, 300, 20), (-10000, -9000, 20)])
def test_negative_numbers_that_others_are_near_to_are_data(scene, stack, model_dir, fill, low, pixels):
    images, _ = stack(holed(scene, fill, low, pixels).astype(np.int16))
    assert main(["--input", *images, "--unmasked", "--info", "--model-dir", str(model_dir)]) == 0


def test_bright_numbers_that_others_are_near_to_are_data(scene, stack, model_dir):
    images, _ = stack(holed(scene, 14000, 300, 20).astype(np.uint16))
    assert main(["--input", *images, "--unmasked", "--info", "--model-dir", str(model_dir)]) == 0


def test_clipped_clouds_are_data(scene, stack, model_dir):
    bright = np.clip(np.interp(scene[0], (scene[0].min(), scene[0].max()), (300, 90000)), 0, 65535)
    images, _ = stack(bright.astype(np.uint16))
    assert main(["--input", *images, "--unmasked", "--info", "--model-dir", str(model_dir)]) == 0


def test_an_offset_is_refused_for_rasters(stack, model_dir, tmp_path, capsys):
    words = ["--input", *stack()[0], "--unmasked", "--offset", "-1000"]
    assert "--offset: expected none for rasters, " in refused(words, model_dir, tmp_path, capsys)
