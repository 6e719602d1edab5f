# SPDX-License-Identifier: Apache-2.0
"""`inference.deepsum` as a library: what it returns, progress, cancelling; and `--info`, which runs no network."""

import json
from dataclasses import replace

import numpy as np
import pytest
from osgeo import gdal, osr

from chain.runtime.progress import Cancelled
from inference.deepsum import Command, Options, describe, main, super_resolve, super_resolve_scenes
from inference.deepsum.network import DeepSumNetwork
from tests.inference.deepsum.conftest import GSD, ORIGIN
from tests.inference.deepsum.scenes import SIDE, draw_scene, write_scene

pytestmark = pytest.mark.keras


@pytest.fixture
def idle(monkeypatch):
    """Let no network run."""

    def run(self, images, masks):
        raise AssertionError("the network ran")

    monkeypatch.setattr(DeepSumNetwork, "run", run)


@pytest.fixture
def root(tmp_path):
    for number in range(2):
        lr, qm, hr = draw_scene(seed=number)
        write_scene(tmp_path / "probav" / "train" / "NIR" / f"imgset000{number}", lr, qm, hr)
    return tmp_path / "probav"


def test_products_say_what_they_are(stack, infer, model_dir, tmp_path, capsys):
    images, masks = stack()
    wanted = infer(images, masks)
    capsys.readouterr()
    told = []
    options = Options(clear_masks=masks, model_dir=str(model_dir), quicklook=str(tmp_path / "look.png"))
    product = super_resolve(images, tmp_path / "lib.tif", options, progress=lambda *words: told.append(words))
    np.testing.assert_array_equal(gdal.Open(str(product.path)).ReadAsArray(), wanted.ReadAsArray())
    assert (product.bands, product.dtype, product.nodata, product.outcome) == (("nir",), "uint16", 0, "made")
    assert str(product) == f"{tmp_path / 'lib.tif'}: {3 * SIDE} x {3 * SIDE} pixels of 100 m"
    degrees = replace(product.grid, projection=osr.SRS_WKT_WGS84_LAT_LONG, dx=1 / 12000)
    assert str(replace(product, grid=degrees)).endswith("pixels of 8.33e-05 degrees")
    assert product.grid.geotransform == (ORIGIN[0], GSD / 3, 0, ORIGIN[1], 0, -GSD / 3)
    record = json.loads(product.record.read_text())
    assert record["arguments"]["clear_masks"] == masks and record["models"][0]["system"] == "deepsum"
    assert gdal.Open(str(product.path)).GetMetadataItem("SR_SYSTEM") == "deepsum"
    assert gdal.Open(str(tmp_path / "look.png")).RasterXSize == 3 * SIDE
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] > 0.9
    assert {text for _, text in told} >= {"images", "network"}
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err == ""


@pytest.mark.parametrize("times, kept", [(1, 0), (3, 2)])
def test_work_that_is_cancelled_keeps_what_the_network_has_made(times, kept, stack, model_dir, tmp_path):
    images, _ = stack()
    told, output = [], tmp_path / "sr.tif"
    with pytest.raises(Cancelled):
        super_resolve(
            images,
            output,
            Options(unmasked=True, model_dir=str(model_dir)),
            progress=lambda _, text: told.append(text),
            cancelled=lambda: told.count("network") == times,
        )
    assert not output.exists() and len(list(tmp_path.glob("sr.tif.parts/block_*"))) == kept
    assert bool(kept) == (tmp_path / "sr.tif.parts").exists()


def test_scenes_say_what_became_of_them(root, model_dir, tmp_path, capsys):
    options = Options(split="train", model_dir=str(model_dir), on_error="skip")
    scenes = super_resolve_scenes(root, tmp_path / "out", options, scored=True)
    assert dict(scenes.outcomes) == {"imgset0000": "made", "imgset0001": "made"}
    assert scenes.paths["imgset0001"] == tmp_path / "out" / "imgset0001.png"
    assert scenes.scores["mean"]["sr"]["cpsnr"] == pytest.approx(
        np.mean([scores["sr"]["cpsnr"] for scores in scenes.scores["scenes"].values()])
    )
    scenes.paths["imgset0001"].unlink()
    (root / "train" / "NIR" / "imgset0001" / "LR000.png").write_bytes(b"")
    again = super_resolve_scenes([root], tmp_path / "out", options)
    assert again.outcomes["imgset0000"] == "done before" and again.scores is None
    assert (
        again.outcomes["imgset0001"].startswith("skipped: ") and str(again) == "1 of 2 scenes, 1 done before, 1 skipped"
    )
    alone = super_resolve_scenes(root / "train" / "NIR" / "imgset0000", options=options, output=tmp_path / "a.png")
    assert alone.paths["imgset0000"].read_bytes() == again.paths["imgset0000"].read_bytes()
    assert super_resolve_scenes(alone_folder(root), options=options, scored=True).outcomes == {"imgset0000": "scored"}
    assert capsys.readouterr().out == ""


def alone_folder(root):
    return root / "train" / "NIR" / "imgset0000"


def test_functions_refuse_each_others_inputs(root, stack, tmp_path):
    with pytest.raises(ValueError, match="expected images of several dates, got .*imgset0000, which is a scene"):
        super_resolve(alone_folder(root), tmp_path / "sr.tif")
    with pytest.raises(ValueError, match="expected a scene .* got .*d00.tif$"):
        super_resolve_scenes(stack()[0], tmp_path / "out")
    with pytest.raises(ValueError, match="not both, got .*d00.tif$"):
        super_resolve([str(alone_folder(root)), *stack()[0]], tmp_path / "sr.tif")
    with pytest.raises(ValueError, match="--output: expected a .tif file for images of several dates, got '.*sr.png'$"):
        super_resolve(stack()[0], tmp_path / "sr.png", Options(unmasked=True))
    with pytest.raises(ValueError, match="^--qa: only for images of several dates, got scenes$"):
        super_resolve_scenes(alone_folder(root), tmp_path / "out", Options(qa="1"))
    with pytest.raises(ValueError, match="^--float: only for images of several dates, got scenes$"):
        super_resolve_scenes(alone_folder(root), tmp_path / "out", Options(floating=True))


def test_stacks_are_told_of(idle, scene, stack, model_dir, tmp_path, capsys):
    lr = scene[0].copy()
    lr[7] = 0
    images, masks = stack(lr)
    options = Options(clear_masks=masks, model_dir=str(model_dir))
    told = json.loads(json.dumps(describe(images, tmp_path / "sr.tif", options)))
    source, product = told["input"], told["product"]
    assert source["reference"] == "d00" and len(source["images"]) == 11
    first, last = source["images"][0], source["images"][-1]
    assert (first["name"], first["left_out"], first["shift"]) == ("d00", None, [0, 0])
    assert (last["name"], last["left_out"], last["missing"], last["clear"]) == ("d07", "no clear pixel", 1.0, 0.0)
    assert source["grid"]["crs"] == "EPSG:32631" and source["grid"]["columns"] == SIDE
    assert source["statistics"]["mean"] == pytest.approx(lr[scene[1] & (lr > 0)].mean())
    assert product["path"] == str(tmp_path / "sr.tif") and product["bands"] == ["nir"] and product["nodata"] == 0
    assert (product["grid"]["columns"], product["grid"]["spacing"]) == (3 * SIDE, GSD / 3)
    assert (product["frames"], product["windows_at_most"], product["repeated"]) == (10, 2, False)
    capsys.readouterr()
    words = ["--input", *images, "--clear-masks", *masks, "--model-dir", str(model_dir), "--info"]
    assert main([*words, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    told["product"]["path"] = None
    assert printed == told
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "  reference: d00\n" in printed and "    left_out: no clear pixel" in printed
    assert not list(tmp_path.glob("sr*"))


def test_scenes_are_told_of(idle, root, model_dir, tmp_path, capsys):
    words = ["--input", str(root), "--split", "train", "--model-dir", str(model_dir), "--info", "--json"]
    assert main([*words, "--output-dir", str(tmp_path / "out")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told) == ["imgset0000", "imgset0001"] and not (tmp_path / "out").exists()
    source, product = told["imgset0001"]["input"], told["imgset0001"]["product"]
    assert (source["band"], source["reference"], source["truth"]) == ("NIR", "LR000.png", True)
    assert [image["left_out"] for image in source["images"]] == [None] * 11
    assert product["path"] == str(tmp_path / "out" / "imgset0001.png") and product["grid"]["rows"] == 3 * SIDE


@pytest.mark.parametrize(
    "words,message",
    [
        (["--masks", "a.tif"], "--masks is now called --clear-masks"),
        (["--json"], "--json requires --info"),
        (["--clear-masks", "a.tif", "--unmasked"], "--clear-masks and --unmasked are mutually exclusive"),
        (["--bands-are-dates", "--band", "1"], "--bands-are-dates and --band are mutually exclusive"),
        (["--norm", "norm.csv"], "--norm requires --metrics"),
        (["--box", "1,2,3"], "--box: expected x,y,w,h in input pixels, got '1,2,3'"),
    ],
)
def test_options_that_do_not_go_together(words, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--input", "b.tif", "--output", "sr.tif", *words])
    assert ended.value.code == 2 and message in capsys.readouterr().err


def test_notebooks_get_the_same_errors():
    with pytest.raises(ValueError, match="^--clear-masks and --qa are mutually exclusive$"):
        Options(clear_masks=["a.tif"], qa="SCL")
    with pytest.raises(ValueError, match="^--submission requires --output-dir$"):
        Command(submission="a.zip")
