# SPDX-License-Identifier: Apache-2.0
"""`python -m inference.l1bsr` on small images with tiny networks: pixels, place, files, errors."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from osgeo import gdal

from inference import l1bsr
from inference.l1bsr import model as l1bsr_model
from inference.l1bsr import registration, super_resolution
from models import base
from models.l1bsr import BANDS, CSR, OTHERS, REC
from weights.convert_l1bsr import read_model

pytestmark = pytest.mark.keras

LEFT, TOP = 300000.0, 5000040.0
FLOW = (2.0, -1.0)
"""x and y of the flow that the network of constant flow finds, in pixels."""


def nearest(gain=1.0, bias=0.0):
    """Return a REC that repeats pixels, times `gain`, plus `bias` counts."""
    model = REC.from_bands(num_groups=0, num_blocks=0, depth=4, reduction=2)
    identity = np.zeros((3, 3, 4, 4), np.float32)
    identity[1, 1] = np.eye(4)
    zeros = np.zeros(4, np.float32)
    for name, kernel, biases in (
        ("head", identity, zeros),
        ("body_last", 0 * identity, zeros),
        ("upsample", np.tile(identity, 4), np.tile(zeros, 4)),
        ("last", gain * identity, zeros + bias / 400),
    ):
        model.model.get_layer(name).set_weights([kernel, biases])
    return model


def drawn(model, spread):
    """Return a model whose weights are drawn anew."""
    rng = np.random.default_rng(0)
    for layer in model.model.layers:
        kernels = [rng.normal(0, spread / np.sqrt(np.prod(w.shape[:-1]) or 1), w.shape) for w in layer.get_weights()]
        layer.set_weights(kernels)
    return model


def moving():
    """Return a CSR that finds the same flow everywhere."""
    model = CSR.from_bands(depth=1)
    kernel, _ = model.model.get_layer("flow_2").get_weights()
    model.model.get_layer("flow_2").set_weights([0 * kernel, np.arctanh(np.array(FLOW) / 10)])
    return model


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of exported models by name."""
    root = tmp_path_factory.mktemp("models")
    made = {
        "nearest": nearest(),
        "biased": nearest(gain=40.0, bias=-8000.4),
        "REC": drawn(REC.from_bands(num_groups=2, num_blocks=2, depth=6, reduction=2), 1.5),
        "for registered": drawn(REC.from_bands(num_groups=2, num_blocks=2, depth=6, reduction=2, registered=True), 1.5),
        "moving": moving(),
        "CSR": drawn(CSR.from_bands(depth=2), 2.0),
    }
    for name, model in made.items():
        base.export(model, root / name)
    return {name: str(root / name) for name in made}


@pytest.fixture
def image(write_raster):
    """Return a function that writes an image with described bands and a place."""

    def write(pixels, name="l1b.tif", bands=BANDS, **options):
        return str(write_raster(name, pixels, bands=bands, **options))

    return write


def counts(rows, columns, seed=0):
    return np.random.default_rng(seed).integers(50, 900, (rows, columns, 4)).astype(np.uint16)


def plain(path, pixels, driver="GTiff", **options):
    """Write an image without descriptions and georeference."""
    memory = gdal.GetDriverByName("MEM").Create("", pixels.shape[1], pixels.shape[0], pixels.shape[2], gdal.GDT_UInt16)
    memory.WriteArray(np.ascontiguousarray(np.moveaxis(pixels, 2, 0)))
    gdal.GetDriverByName(driver).CreateCopy(str(path), memory, options=[f"{k}={v}" for k, v in options.items()])
    return str(path)


def twice(pixels):
    return np.repeat(np.repeat(pixels, 2, axis=0), 2, axis=1)


def read(path):
    dataset = gdal.Open(str(path))
    return np.moveaxis(dataset.ReadAsArray(), 0, -1), dataset


def infer(source, output, model, *more):
    sources = [source] if isinstance(source, str) else source
    return l1bsr.main(["--input", *sources, "--output", str(output), "--model-dir", model, *map(str, more)])


def register(source, output, model, *more):
    return infer(source, output, model, "--task", "registration", *more)


@pytest.mark.parametrize("mode", ["whole", "strips"])
def test_a_finer_image_lies_a_quarter_of_a_pixel_right_of_and_below_the_input(tmp_path, image, models, mode):
    pixels, output = counts(21, 34), tmp_path / "sr.tif"
    assert infer(image(pixels), output, models["nearest"], "--mode", mode) == 0
    result, dataset = read(output)
    np.testing.assert_array_equal(result, twice(pixels))
    assert dataset.GetGeoTransform() == (LEFT + 2.5, 5.0, 0, TOP - 2.5, 0, -5.0)
    assert "32631" in dataset.GetProjection()
    assert dataset.GetMetadata("IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert [dataset.GetRasterBand(number).GetDescription() for number in (1, 2, 3, 4)] == list(BANDS)
    assert {dataset.GetRasterBand(number).DataType for number in (1, 2, 3, 4)} == {gdal.GDT_UInt16}
    assert {file.name for file in tmp_path.iterdir()} == {"l1b.tif", "sr.tif", "sr.tif.json"}


@pytest.mark.parametrize("mode", ["whole", "strips"])
def test_a_registered_image_lies_where_the_input_does(tmp_path, image, models, mode):
    pixels, output = counts(35, 42), tmp_path / "r.tif"
    assert register(image(pixels), output, models["moving"], "--mode", mode) == 0
    result, dataset = read(output)
    assert dataset.GetGeoTransform() == (LEFT, 10.0, 0, TOP, 0, -10.0)
    np.testing.assert_array_equal(result[..., 1], pixels[..., 1])
    for other in OTHERS:
        moved = pixels[:-1, 2:, other]  # band(p + (2, -1)) lies at p, rows from 1 on, columns to -2
        assert np.abs(result[1:, :-2, other].astype(int) - moved).max() <= 1
    assert {file.name for file in tmp_path.iterdir()} == {"l1b.tif", "r.tif", "r.tif.json"}


@pytest.mark.parametrize(
    "driver, options", [("GTiff", {"INTERLEAVE": "PIXEL"}), ("JP2OpenJPEG", {"QUALITY": 100, "REVERSIBLE": "YES"})]
)
def test_an_image_that_says_nothing_has_the_usual_bands_and_no_place(tmp_path, models, capsys, driver, options):
    pixels, output = counts(33, 20), tmp_path / "sr.tif"
    source = plain(tmp_path / "00.img", pixels, driver, **options)
    assert infer(source, output, models["nearest"]) == 0
    assert "warning: nothing names the bands of" in capsys.readouterr().err
    result, dataset = read(output)
    np.testing.assert_array_equal(result, twice(pixels))
    assert dataset.GetGeoTransform(can_return_null=True) is None and dataset.GetProjection() == ""


def test_bands_are_found_by_descriptions_names_of_files_or_the_names_given(
    tmp_path, image, write_raster, models, capsys
):
    pixels = counts(16, 18)
    shuffled = np.stack(
        [pixels[..., 3], 0 * pixels[..., 0] + 7, pixels[..., 1], pixels[..., 0], pixels[..., 2]], axis=2
    )
    names = ("B08", "B05", "B03", "B02", "B04")
    separate = [
        str(write_raster(f"T31UDQ_{band}_10m.tif", pixels[..., BANDS.index(band)]))
        for band in ("B08", "B02", "B04", "B03")
    ]
    common = image(pixels[..., ::-1], "common.tif", bands=("nir", "red", "green", "blue"))
    undescribed = plain(tmp_path / "plain.tif", shuffled)
    for number, (source, *more) in enumerate(
        (
            (image(shuffled, "described.tif", bands=names),),
            (common,),
            (separate,),
            (undescribed, "--bands", ",".join(names)),
            (image(pixels[..., ::-1], "wrong.tif"), "--bands", "B08,B04,B03,B02"),
        )
    ):
        output = tmp_path / f"sr{number}.tif"
        assert infer(source, output, models["nearest"], *more) == 0
        np.testing.assert_array_equal(read(output)[0], twice(pixels))
    assert "warning" not in capsys.readouterr().err


def test_numbers_are_rounded_and_clipped_unless_the_authors_cast_is_asked_for(tmp_path, image, models):
    pixels = np.array([[[50, 200, 210, 300], [1850, 1838, 201, 198], [5000, 200, 4000, 60]]], np.uint16)
    exact = pixels * 40.0 - 8000.4
    source = image(pixels)
    assert infer(source, tmp_path / "sr.tif", models["biased"]) == 0
    np.testing.assert_array_equal(read(tmp_path / "sr.tif")[0], twice(np.clip(np.rint(exact), 1, 65535)))
    assert infer(source, tmp_path / "cast.tif", models["biased"], "--original-cast") == 0
    expected = np.trunc(exact).astype(np.int64) % 65536  # -6000.4 is 59536, -0.4 is 0, 66000.6 is 464 - 0
    np.testing.assert_array_equal(read(tmp_path / "cast.tif")[0], twice(expected))
    assert (exact < 0).any() and (exact > 65536).any() and (expected == 0).any()


def varied(rows, columns):
    """Return an image whose halves have other means than the whole."""
    pixels = counts(rows, columns, 1)
    pixels[rows // 2 :] += 800
    return pixels


def test_super_resolution_by_strips_is_that_of_the_whole_image(tmp_path, image, models, monkeypatch):
    monkeypatch.setattr(super_resolution, "REGION_ROWS", 22)
    source = image(varied(75, 41))
    assert infer(source, tmp_path / "whole.tif", models["REC"], "--mode", "whole") == 0
    assert infer(source, tmp_path / "strips.tif", models["REC"], "--mode", "strips") == 0
    whole, strips = (read(tmp_path / f"{mode}.tif")[0].astype(int) for mode in ("whole", "strips"))
    assert np.abs(whole - strips).max() <= 1 and np.mean(whole != strips) < 0.01
    assert np.ptp(whole) > 1000
    half = image(varied(75, 41)[:38], "half.tif")
    assert infer(half, tmp_path / "half_sr.tif", models["REC"]) == 0
    assert np.abs(read(tmp_path / "half_sr.tif")[0].astype(int)[:40] - whole[:40]).max() > 1


@pytest.mark.slow
def test_registration_by_tiles_is_that_of_the_whole_image(tmp_path, image, models, monkeypatch):
    monkeypatch.setattr(registration, "TILE", 48)
    source = image(varied(301, 75))
    for mode in ("whole", "strips"):
        files = ("--flow", tmp_path / f"{mode}_flow.tif", "--mode", mode)
        assert register(source, tmp_path / f"{mode}.tif", models["CSR"], *files) == 0
    whole, strips = (read(tmp_path / f"{mode}.tif")[0].astype(int) for mode in ("whole", "strips"))
    flows = [read(tmp_path / f"{mode}_flow.tif")[0] for mode in ("whole", "strips")]
    assert np.abs(flows[0] - flows[1]).max() < 2e-3 and np.ptp(flows[0]) > 5
    assert np.abs(whole - strips).max() <= 1 and np.mean(whole != strips) < 0.1


def aligned_by_flow(rows, columns):
    """Return an image whose B02 and B04 show what its green band does FLOW away from it; its B08 shows something else.

    Where they would show what is beyond the border, they are random.
    """
    pixels = counts(rows, columns, 2)
    for band in (0, 2):
        pixels[:-1, 2:, band] = pixels[1:, :-2, 1] // (1 + band) + 7
    return pixels


@pytest.mark.parametrize("mode", ["whole", "strips"])
def test_flow_and_metrics(tmp_path, image, models, capsys, mode):
    pixels = aligned_by_flow(64, 50)
    pixels[30:40, 20:25] = 0
    output, flow, metrics = (tmp_path / name for name in ("r.tif", "flow.tif", "m.json"))
    more = ("--flow", flow, "--metrics", metrics, "--mode", mode)
    assert register(image(pixels), output, models["moving"], *more) == 0
    found, dataset = read(flow)
    missing = (pixels == 0).all(axis=2)
    np.testing.assert_allclose(found[~missing], np.broadcast_to(FLOW * 3, (np.sum(~missing), 6)), rtol=1e-5)
    assert np.isnan(found[missing]).all() and dataset.GetRasterBand(1).DataType == gdal.GDT_Float32
    assert dataset.GetGeoTransform() == (LEFT, 10.0, 0, TOP, 0, -10.0)
    names = [dataset.GetRasterBand(number).GetDescription() for number in range(1, 7)]
    assert names == ["B02_dx", "B02_dy", "B04_dx", "B04_dy", "B08_dx", "B08_dy"]
    stated = json.loads(metrics.read_text())
    assert list(stated) == ["B02", "B04", "B08"]
    inner = np.zeros_like(missing)
    inner[10:-10, 10:-10] = True
    valid = inner & ~missing
    registered = read(output)[0]
    for band, values in stated.items():
        assert list(values) == ["dx", "dy", "correlation_before", "correlation_after"]
        assert (values["dx"], values["dy"]) == pytest.approx(FLOW, rel=1e-5)
        for when, bands in (("before", pixels), ("after", registered)):
            expected = np.corrcoef(pixels[valid][:, 1], bands[valid][:, BANDS.index(band)])[0, 1]
            assert values[f"correlation_{when}"] == pytest.approx(expected, abs=1e-9)
    assert stated["B02"]["correlation_after"] > 0.95 > 0.5 > stated["B02"]["correlation_before"]
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("B04: median flow +2.000, -1.000 pixels (x, y); correlation with B03") for line in lines)
    assert {file.name for file in tmp_path.iterdir()} == {"l1b.tif", "r.tif", "r.tif.json", "flow.tif", "m.json"}


def test_metrics_without_an_inner_part_have_no_correlation(tmp_path, image, models):
    assert register(image(counts(40, 20)), tmp_path / "r.tif", models["moving"], "--metrics", tmp_path / "m.json") == 0
    assert json.loads((tmp_path / "m.json").read_text())["B08"]["correlation_after"] is None


@pytest.mark.parametrize("mode", ["whole", "strips"])
@pytest.mark.parametrize(
    "nodata, dtype, value", [(65535, np.uint16, 65535), (None, np.uint16, 0), (None, np.float32, np.nan)]
)
def test_missing_pixels_stay_missing_and_no_further(tmp_path, image, models, mode, nodata, dtype, value):
    pixels = counts(90, 80).astype(dtype)
    pixels[:40, 10:60] = value
    pixels[50, 5] = value
    if value:
        pixels[60:62, 70, 2] = value  # what a band misses is missing
    else:
        pixels[60:62, 70, 2] = 0  # a dark pixel of one band is none
    missing = (pixels == value).all(axis=2) if value == 0 else (np.isnan(pixels) | (pixels == value)).any(axis=2)
    source = image(pixels, nodata=nodata)
    assert infer(source, tmp_path / "sr.tif", models["nearest"], "--mode", mode) == 0
    result, dataset = read(tmp_path / "sr.tif")
    np.testing.assert_array_equal((result == 0).all(axis=2), twice(missing))
    kept = np.maximum(pixels[~missing], 1)
    np.testing.assert_array_equal(result[::2, ::2][~missing], kept)
    assert dataset.GetRasterBand(1).GetNoDataValue() == 0
    assert register(source, tmp_path / "r.tif", models["moving"], "--mode", mode) == 0
    np.testing.assert_array_equal((read(tmp_path / "r.tif")[0] == 0).all(axis=2), missing)


def test_what_missing_pixels_held_does_not_matter(tmp_path, image, models):
    results = []
    for value in (65535, 1):
        pixels = varied(60, 40)
        pixels[5:30, 3:20] = value
        assert infer(image(pixels, nodata=value), tmp_path / f"{value}.tif", models["REC"]) == 0
        results.append(read(tmp_path / f"{value}.tif")[0])
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize(
    "name, metadata, level",
    [
        ("S2A_MSIL1C_20220714_N0400.tif", {}, "L1C"),
        ("image.tif", {"PROCESSING_LEVEL": "Level-2A"}, "L2A"),
        ("image.tif", {"PRODUCT_TYPE": "S2MSI1C"}, "L1C"),
        ("S2A_MSIL1B_20220714.tif", {}, None),
        ("l1bsr_00.tif", {}, None),
    ],
)
def test_other_levels_are_warned_of(tmp_path, image, models, capsys, name, metadata, level):
    path = image(counts(8, 8), name)
    dataset = gdal.Open(path, gdal.GA_Update)
    dataset.SetMetadata(metadata)
    del dataset
    assert infer(path, tmp_path / "sr.tif", models["nearest"]) == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert len(warnings) == (1 if level else 0)
    assert not level or warnings[0].startswith(f"warning: {level}: the networks are made for counts of L1B")


def test_a_band_in_a_product_of_another_level_is_warned_of(tmp_path, write_raster, models, capsys):
    folder = tmp_path / "S2B_MSIL2A_20220714T105629_N0400_R094_T31UDQ_20220714T182657.SAFE"
    folder.mkdir()
    names = [str(write_raster(f"{folder.name}/T31UDQ_{band}_10m.tif", counts(8, 8)[..., 0])) for band in BANDS]
    assert infer(names, tmp_path / "sr.tif", models["nearest"], "--offset", -1000, "--scale", 0.25) == 0
    assert capsys.readouterr().err.count("warning: L2A") == 1


def test_scale_and_offset_make_counts(tmp_path, image, models):
    pixels = counts(9, 7) * 4 + 1000
    assert infer(image(pixels), tmp_path / "sr.tif", models["nearest"], "--offset", -1000, "--scale", 0.25) == 0
    np.testing.assert_array_equal(read(tmp_path / "sr.tif")[0], twice(counts(9, 7)))


def failure(capsys):
    """Return the one line that a failed program printed on the standard error."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_a_model_of_another_class_is_refused(tmp_path, image, models, capsys):
    source, output = image(counts(40, 40)), tmp_path / "sr.tif"
    assert infer(source, output, models["CSR"]) == 1
    assert "--model-dir: the one model l1bsr REC is wanted. Received:" in failure(capsys)
    assert register(source, output, models["REC"]) == 1
    assert "--model-dir: the one model l1bsr CSR is wanted. Received:" in failure(capsys)
    assert infer(source, output, str(l1bsr_model.PROJECT_WEIGHTS.parent / "dsen2")) == 1
    assert "of dsen2, dsen2" in failure(capsys)
    assert infer(source, output, str(tmp_path)) == 1
    assert "--model-dir: a folder with model.json" in failure(capsys)
    assert not output.exists()


def test_weights_of_the_project_are_the_default(tmp_path, image, models, monkeypatch, capsys):
    source = image(counts(5, 5))
    monkeypatch.setattr(l1bsr_model, "PROJECT_WEIGHTS", tmp_path / "weights")
    arguments = ["--input", source, "--output", str(tmp_path / "sr.tif")]
    assert l1bsr.main(arguments) == 1
    assert "weights.convert_l1bsr" in failure(capsys)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "REC").symlink_to(models["nearest"])
    assert l1bsr.main(arguments) == 0
    np.testing.assert_array_equal(read(tmp_path / "sr.tif")[0], twice(counts(5, 5)))


def test_images_that_do_not_suit_are_refused_in_one_line(tmp_path, image, write_raster, models, capsys):
    pixels, output = counts(40, 40), tmp_path / "sr.tif"
    whole = plain(tmp_path / "whole.tif", pixels)
    truncated = tmp_path / "truncated.tif"
    truncated.write_bytes((tmp_path / "whole.tif").read_bytes()[:-3000])
    rotated = image(pixels, "rotated.tif")
    dataset = gdal.Open(rotated, gdal.GA_Update)
    dataset.SetGeoTransform((LEFT, 10.0, 1.0, TOP, 1.0, -10.0))
    del dataset
    elsewhere = [
        str(write_raster(f"{band}.tif", pixels[..., 0], origin=(LEFT + 10 * (band == "B08"), TOP))) for band in BANDS
    ]
    for source, more, message in (
        (plain(tmp_path / "three.tif", pixels[..., :3]), (), "the bands B02, B03, B04, B08, .* Received: 3 without"),
        (image(pixels, "b5.tif", bands=("B02", "B03", "B04", "B05")), (), "wanted. Received: B02, B03, B04, B05$"),
        ([elsewhere[0]], (), "the bands .* are wanted. Received: B02$"),
        ([elsewhere[0], *elsewhere], (), "each band once is wanted. Received: B02 twice"),
        (elsewhere, (), "bands of one grid are wanted. Received: .*B08.tif, not on that of .*B02.tif"),
        (whole, ("--bands", "B02,B03"), "--bands: names of the 4 bands of --input, in order, are wanted"),
        (
            str(truncated),
            ("--bands", ",".join(BANDS)),
            "a raster that can be read is wanted. Received: .*truncated.tif",
        ),
        (str(tmp_path / "none.tif"), (), "a raster that can be read is wanted. Received: .*none.tif"),
        (rotated, (), "a north-up image is wanted"),
        (image(0 * pixels, "zero.tif"), (), "valid pixels are wanted. Received: nodata only"),
    ):
        assert infer(source, output, models["nearest"], *more) == 1
        line = failure(capsys)
        assert line.startswith("python -m inference.l1bsr: error: -")
        assert re.search(message, line), line
        assert not output.exists() and not (tmp_path / "sr.tif.parts").exists()


def test_a_constant_band_cannot_be_registered_and_is_told_of_otherwise(tmp_path, image, models, capsys):
    pixels = counts(40, 40)
    pixels[..., 2] = 300
    source = image(pixels)
    assert register(source, tmp_path / "r.tif", models["CSR"]) == 1
    assert "bands that vary are wanted. Received: one value in B04" in failure(capsys)
    assert infer(source, tmp_path / "sr.tif", models["nearest"]) == 0
    assert failure(capsys) == "warning: one value in all of B04"


@pytest.mark.parametrize(
    "more, message",
    [
        (["--output", "sr.png"], "--output: a name that ends with .tif"),
        (["--flow", "f.tif"], "--flow: --task registration beside it"),
        (["--metrics", "m.json"], "--metrics: --task registration beside it"),
        (["--task", "registration", "--csr", "d"], "--csr: it is for --task superresolution"),
        (["--scale", "0"], "--scale: more than 0"),
        (["--bands", "B02,B02"], "--bands: each band once"),
        (["--memory", "much"], "--memory: a size such as 3GB"),
    ],
)
def test_wrong_usage(tmp_path, capsys, more, message):
    with pytest.raises(SystemExit, match="2"):
        l1bsr.main(["--input", "a.tif", "--output", str(tmp_path / "sr.tif"), *more])
    assert message in capsys.readouterr().err


def test_what_exists_is_kept_unless_it_is_to_be_replaced(tmp_path, image, models, capsys):
    source = image(counts(30, 30))
    for option, name in (("--output", "r.tif"), ("--flow", "flow.tif"), ("--quicklook", "r.png")):
        (tmp_path / name).write_text("older")
        files = {"--output": "r.tif", "--flow": "flow.tif", "--quicklook": "r.png", "--metrics": "m.json"}
        names = [word for key, value in files.items() for word in (key, str(tmp_path / value))]
        arguments = ["--task", "registration", "--input", source, "--model-dir", models["moving"], *names]
        with pytest.raises(SystemExit, match="2"):
            l1bsr.main(arguments)
        assert f"argument {option}: a file that does not exist is wanted, or --overwrite" in capsys.readouterr().err
        assert (tmp_path / name).read_text() == "older"
        if option == "--quicklook":
            assert l1bsr.main([*arguments, "--overwrite"]) == 0
        (tmp_path / name).unlink()
    assert (tmp_path / "m.json").exists()
    capsys.readouterr()
    assert infer(source, source, models["nearest"], "--overwrite") == 1
    assert "a file that --input does not read is wanted" in failure(capsys)


class Interrupting:
    """Does as a function does, a number of times; then raises."""

    def __init__(self, function, times):
        self.function, self.times = function, times

    def __call__(self, *arguments):
        if not self.times:
            raise KeyboardInterrupt
        self.times -= 1
        return self.function(*arguments)


def test_an_interrupted_super_resolution_is_resumed(tmp_path, image, models, monkeypatch, capsys):
    monkeypatch.setattr(super_resolution, "REGION_ROWS", 20)
    source, output = image(varied(40, 30)), tmp_path / "sr.tif"
    with monkeypatch.context() as patch:
        keep = super_resolution.keep_region
        patch.setattr(super_resolution, "keep_region", Interrupting(keep, 3))
        assert infer(source, output, models["REC"], "--mode", "strips") == 1
    assert not output.exists() and len(list((tmp_path / "sr.tif.parts").glob("*_*.tif"))) == 3
    assert infer(source, output, models["nearest"], "--mode", "whole") == 1
    assert "--output: the models that" in capsys.readouterr().err
    assert infer(source, output, models["REC"], "--mode", "whole") == 0
    assert json.loads((tmp_path / "sr.tif.json").read_text())["resumed_regions"] == 3
    assert infer(source, tmp_path / "again.tif", models["REC"]) == 0
    assert np.abs(read(output)[0].astype(int) - read(tmp_path / "again.tif")[0]).max() <= 1
    assert not (tmp_path / "sr.tif.parts").exists()


def test_an_interrupted_registration_goes_on_with_the_flow_it_has(tmp_path, image, models, monkeypatch):
    monkeypatch.setattr(registration, "TILE", 48)
    source, output, flow = image(varied(150, 60)), tmp_path / "r.tif", tmp_path / "flow.tif"
    more = ("--flow", flow, "--mode", "strips")
    with monkeypatch.context() as patch:
        tiles = registration.CsrByTiles
        limited = Interrupting(tiles.flow, 5)
        patch.setattr(tiles, "flow", lambda self, region: limited(self, region))
        assert register(source, output, models["CSR"], *more) == 1
    made = len(list((tmp_path / ".flow.flow.tif.parts").glob("*_*.tif")))
    assert 0 < made < 8 and not output.exists() and not flow.exists()
    with monkeypatch.context() as patch:
        patch.setattr(registration, "sample", Interrupting(registration.sample, 4))
        assert register(source, output, models["CSR"], *more) == 1
    assert (tmp_path / ".flow.flow.tif").exists() and not flow.exists() and not output.exists()
    with monkeypatch.context() as patch:
        patch.delattr(registration.CsrByTiles, "flow")  # nothing of it is computed again
        assert register(source, output, models["CSR"], *more) == 0
    assert {file.name for file in tmp_path.iterdir()} == {"l1b.tif", "r.tif", "r.tif.json", "flow.tif"}
    assert register(source, tmp_path / "again.tif", models["CSR"], "--mode", "whole") == 0
    assert np.abs(read(output)[0].astype(int) - read(tmp_path / "again.tif")[0]).max() <= 1


@pytest.mark.parametrize("mode", ["whole", "strips"])
def test_a_network_for_registered_images_is_given_such(tmp_path, image, models, mode):
    """It makes of an image what a network of the same weights makes of what --task registration makes of it."""
    pixels = varied(40, 30)
    pixels[:3] = 0
    source, output = image(pixels), tmp_path / "sr.tif"
    assert infer(source, output, models["for registered"], "--csr", models["CSR"], "--mode", mode) == 0
    record = json.loads((tmp_path / "sr.tif.json").read_text())
    assert [model["model"] for model in record["models"]] == ["REC", "CSR"]
    assert {file.name for file in tmp_path.iterdir()} == {"l1b.tif", "sr.tif", "sr.tif.json"}
    assert register(source, tmp_path / "r.tif", models["CSR"]) == 0
    assert infer(str(tmp_path / "r.tif"), tmp_path / "two.tif", models["REC"]) == 0
    (made, dataset), (wanted, other) = read(output), read(tmp_path / "two.tif")
    assert np.abs(made.astype(int) - wanted).max() <= 1 and not made[:6].any()
    assert dataset.GetGeoTransform() == other.GetGeoTransform()


def test_an_interrupted_super_resolution_goes_on_with_the_registered_image(tmp_path, image, models, monkeypatch):
    source, output = image(varied(40, 30)), tmp_path / "sr.tif"
    command = (source, output, models["for registered"], "--csr")
    with monkeypatch.context() as patch:
        patch.setattr(super_resolution, "keep_region", Interrupting(None, 0))
        assert infer(*command, models["CSR"]) == 1
    assert (tmp_path / ".sr.registered.tif").exists() and not output.exists()
    with monkeypatch.context() as patch:
        patch.delattr(registration, "sample")  # it is not registered again
        assert infer(*command, models["CSR"]) == 0
    assert {file.name for file in tmp_path.iterdir()} == {"l1b.tif", "sr.tif", "sr.tif.json"}


def test_an_image_registered_otherwise_makes_another_product(tmp_path, image, models, monkeypatch, capsys):
    source, output = image(varied(40, 30)), tmp_path / "sr.tif"
    command = (source, output, models["for registered"], "--csr")
    with monkeypatch.context() as patch:
        patch.setattr(super_resolution, "keep_region", Interrupting(None, 0))
        assert infer(*command, models["CSR"]) == 1
    assert infer(*command, models["moving"]) == 1
    assert "--output: the models that" in capsys.readouterr().err
    assert infer(*command, models["moving"], "--restart") == 0
    assert register(source, tmp_path / "r.tif", models["moving"]) == 0
    assert infer(str(tmp_path / "r.tif"), tmp_path / "two.tif", models["REC"]) == 0
    assert np.abs(read(output)[0].astype(int) - read(tmp_path / "two.tif")[0]).max() <= 1


def test_memory_chooses_how_an_image_is_computed(tmp_path, image, models, capsys):
    source = image(counts(40, 40))
    for memory, words in (
        ("3GB", "whole image at once, in about"),
        ("100MB", "piece by piece, exactly; at once, about"),
    ):
        assert infer(source, tmp_path / f"{memory}.tif", models["nearest"], "--memory", memory) == 0
        assert f"superresolution by REC: {words} 0.5 GB" in capsys.readouterr().out


def test_record_and_quicklook(tmp_path, image, models):
    source, picture = image(counts(20, 30)), tmp_path / "sr.png"
    assert infer(source, tmp_path / "sr.tif", models["nearest"], "--quicklook", picture) == 0
    assert gdal.Open(str(picture)).RasterXSize == 60
    record = json.loads((tmp_path / "sr.tif.json").read_text())
    assert list(record["input"]["files"]) == [source] and record["input"]["bands"]["B08"] == [source, 4]
    assert record["models"][0]["model"] == "REC" and record["arguments"]["task"] == "superresolution"
    metadata = gdal.Open(str(tmp_path / "sr.tif")).GetMetadata()
    assert metadata["SR_SYSTEM"] == "l1bsr" and metadata["SR_WEIGHTS"] == record["models"][0]["weights"]


def test_help_loads_nothing_heavy():
    code = "import sys, inference.l1bsr as p; p.make_parser(); print({'tensorflow', 'osgeo'} & set(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "set()"


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["whole", "strips"])
def test_the_whole_of_00_tif_is_registered_as_by_the_authors_program(tmp_path, shared_data, mode):
    vectors, images = shared_data("l1bsr_vectors"), shared_data("l1bsr")
    base.export(read_model(vectors / "csr_random.pth.tar"), tmp_path / "CSR")
    more = ("--original-cast", "--mode", mode)
    assert register(str(images / "00.tif"), tmp_path / "r.tif", str(tmp_path / "CSR"), *more) == 0
    expected = np.load(vectors / "e2e_00tif_full_image.npz")
    result = gdal.Open(str(tmp_path / "r.tif")).ReadAsArray().astype(int)
    assert result.shape == tuple(expected["reg_shape"])
    assert np.abs(result[:, 100:164, 100:164] - expected["reg_uint16_rows100_164_cols100_164"]).max() <= 1
    np.testing.assert_allclose(result.mean(axis=(1, 2)), expected["reg_mean"], atol=0.05)
