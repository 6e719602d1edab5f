# SPDX-License-Identifier: Apache-2.0
"""What `python -m inference.dsen2` refuses, each in one line."""

import subprocess
import sys
from pathlib import Path

import pytest

from chain.sentinel2.bands import BANDS
from inference import dsen2
from models import base
from models.dsen2 import FastDSen2
from tests import toy_models
from tests.inference.dsen2.scenes import ALL, check_product, error_of, infer

pytestmark = pytest.mark.keras


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


@pytest.mark.parametrize(
    "more, message",
    [
        (("--bands", "B05,B10"), "expected bands B10, got B02"),
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


@pytest.mark.slow
def test_the_authors_tiling_is_not_for_other_networks(files, tmp_path, capsys):
    """Their patches are smaller than what `FastDSen2` sees."""
    for role in ("2x", "6x"):
        model = FastDSen2.from_bands(role, depth=2, num_blocks=0)
        base.export(model, tmp_path / "models" / role)
    assert infer(files(), tmp_path / "sr.tif", tmp_path / "models", "--tiling", "original", "--level", "L2A") == 1
    assert "--tiling original: expected --model-dir or --weights with networks of the paper's" in error_of(capsys)


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
        (["--input", "a.tif", "--output", "sr.tif", "--mask-classes", "8,12"], "--mask-classes: expected classes"),
        (["--input", "a.tif", "--output-dir", "d", "--quicklook", "q.png"], "--quicklook"),
        (["--env", "/nonexistent.env"], "--env"),
        (["--env", "a" * 300], "--env: no such file"),
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


def test_names_that_contradict_descriptions_are_refused(files, models, tmp_path, capsys):
    names = ["--bands-10m", "B04,B03,B02,B08"]
    assert infer(files()[:2], tmp_path / "sr.tif", models, *names) == 1
    line = error_of(capsys)
    assert "expected names as it describes its bands itself, B02,B03,B04,B08, or none" in line
    assert infer(files()[:2], tmp_path / "sr.tif", models, "--bands-10m", "B02,B03,B04,B08") == 0
