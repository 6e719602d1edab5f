# SPDX-License-Identifier: Apache-2.0
"""`python -m inference.dsen2 --output-dir`: many scenes, done ones, killed runs."""

import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from inference import dsen2
from tests.inference.dsen2.scenes import (
    check_product,
    infer,
    read,
    write_safe,
)

pytestmark = pytest.mark.keras


def test_separate_files_are_made_up_for_and_kept(files, models, tmp_path, capsys):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in files("S2A_MSIL2A_1_N0213"):
        shutil.move(name, folder)
    assert infer(folder, tmp_path / "products", models, "--bands", "B02,B05") == 0
    assert infer(folder, tmp_path / "products", models, "--bands", "B02,B05", "--separate") == 0
    assert "done before" in capsys.readouterr().out
    made = sorted(path.name for path in (tmp_path / "products").glob("*_SR_*.tif"))
    assert made == ["S2A_MSIL2A_1_N0213_SR_B02.tif", "S2A_MSIL2A_1_N0213_SR_B05.tif"]


def test_done_products_are_known_from_elsewhere_and_by_other_words(files, models, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in files("S2A_MSIL2A_1_N0213"):
        shutil.move(name, folder)
    assert infer(folder, tmp_path / "products", models, "--bands", "B02,B05") == 0
    monkeypatch.chdir(folder)
    shutil.copytree(models, tmp_path / "copied")
    more = ["--bands", "B02,B05", "--offset", "0", "--level", "L2A", "--tile-size", "96"]
    arguments = ["--input", ".", "--output-dir", "../products", "--model-dir", str(tmp_path / "copied")]
    assert dsen2.main([*arguments, *more]) == 0
    assert "done before" in capsys.readouterr().out


@pytest.mark.slow
def test_settings_of_an_env_file_stand_for_options(files, pixels, tmp_path, monkeypatch, shared_data):
    vectors = shared_data("dsen2_vectors")
    (tmp_path / "images").mkdir()
    for name in files("S2A_MSIL1C_x_N0204"):
        shutil.move(name, tmp_path / "images")
    settings = {
        "IMAGES_PATH": tmp_path / "images",
        "SR_IMAGES_PATH": tmp_path / "products",
        "SR_20M_PATH": vectors / "rspstyle_v0.2_state_dict_20.pt",
        "SR_60M_PATH": vectors / "random_dsen2_60_weights.hdf5",
    }
    (tmp_path / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in settings.items()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert dsen2.main(["--bands", "B05,B01,B02"]) == 0
    result, _ = read(tmp_path / "products" / "S2A_MSIL1C_x_N0204_SR.tif")
    assert tuple(result) == ("B05", "B01", "B02")
    np.testing.assert_array_equal(result["B02"], pixels["B02"])
    assert len(list((tmp_path / "cache" / "otb-super-resolution").glob("dsen2-*"))) == 2


@pytest.mark.slow
def test_a_killed_batch_goes_on_and_equals_an_uninterrupted_one(files, models, pixels, tmp_path, write_raster):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in (1, 2):
        for name in files(f"S2A_MSIL2A_{number}_N0213"):
            shutil.move(name, folder)
    (tmp_path / "safe").mkdir()
    shutil.move(write_safe(tmp_path / "safe", pixels, write_raster, "L2A"), folder)
    command = ["--input", str(folder), "--model-dir", str(models), "--tile-size", "24", "--output-dir"]
    environment = {"env": None, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, "-m", "inference.dsen2", *command, str(tmp_path / "a")], **environment)
    while not list(tmp_path.glob("a/*2_N0213_SR.tif.parts/*_*.tif")):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    first = tmp_path / "a" / "S2A_MSIL2A_1_N0213_SR.tif"
    written = first.stat().st_mtime_ns
    assert dsen2.main([*command, str(tmp_path / "a")]) == 0
    assert first.stat().st_mtime_ns == written
    assert dsen2.main([*command, str(tmp_path / "b")]) == 0
    names = sorted(path.name for path in (tmp_path / "b").glob("*.tif"))
    assert len(names) == 4 and names == sorted(path.name for path in (tmp_path / "a").glob("*.tif"))
    assert sum(name.endswith("_SCL.tif") for name in names) == 1
    for name in names:
        for one, other in zip(*(read(tmp_path / side / name)[0].values() for side in "ab")):
            np.testing.assert_array_equal(one, other)
    check_product(first, pixels)


@pytest.mark.slow
def test_a_batch_goes_on_after_a_scene_that_fails_and_notices_other_options(files, models, tmp_path, capsys):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in (1, 2, 3):
        for name in files(f"S2A_MSIL2A_{number}_N0213"):
            shutil.move(name, folder)
    (folder / "S2A_MSIL2A_2_N0213_20m.tif").write_bytes(b"no raster")
    assert infer(folder, tmp_path / "products", models) == 1
    output = capsys.readouterr()
    assert "1 of 3 scenes failed: S2A_MSIL2A_2_N0213" in output.err and "failed:" in output.out
    assert len(list((tmp_path / "products").glob("*_SR.tif"))) == 2
    assert infer(folder, tmp_path / "products", models, "--bands", "B05") == 1
    assert "_SR.tif exists, made of other " in capsys.readouterr().err
    assert infer(folder, tmp_path / "products", models) == 1
    assert "done before" in capsys.readouterr().out
