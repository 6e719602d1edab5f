# SPDX-License-Identifier: Apache-2.0
"""The demonstration, on a scene small enough for a test: every step runs, and leaves what it says."""

import json
import subprocess

import pytest
from osgeo import gdal

import demo

pytestmark = pytest.mark.keras


@pytest.mark.slow
def test_from_query_to_report(tmp_path, capfd):
    assert demo.main(["--output", str(tmp_path), "--size", "1024", "--epochs", "5"]) == 0
    printed = capfd.readouterr()
    steps = ["simulate", "dataset", "training", "inference"]
    assert [line.split(":")[0] for line in printed.out.splitlines() if ".log" in line] == steps
    assert "python -m inference.spot7" in printed.out and not printed.err
    for step in steps:
        log = (tmp_path / "logs" / f"{step}.log").read_text()
        assert log and "warning" not in log.lower()
    report = json.loads((tmp_path / "report.json").read_text())
    assert set(report) == {"sr", "bicubic", "seconds"}
    assert set(report["sr"]) == set(report["bicubic"]) == {"l1", "psnr", "ssim", "sam", "ergas"}
    assert report["seconds"]["total"] >= max(report["seconds"].values())
    assert report["sr"]["l1"] < report["bicubic"]["l1"] * 1.1
    truth, product = (gdal.Open(str(tmp_path / name)) for name in ("scenes/held_out/truth.tif", "sr.tif"))
    assert product.GetGeoTransform() == truth.GetGeoTransform()
    assert (product.RasterXSize, product.RasterYSize) == (truth.RasterXSize, truth.RasterYSize)
    picture = gdal.Open(str(tmp_path / "report.png"))
    assert min(picture.RasterXSize, picture.RasterYSize) > 500


@pytest.mark.parametrize("option, value", [("--epochs", "0"), ("--size", "508"), ("--size", "1026")])
def test_usage_errors(tmp_path, capsys, option, value):
    with pytest.raises(SystemExit) as caught:
        demo.main(["--output", str(tmp_path / "demo"), option, value])
    assert caught.value.code == 2 and f"{option}: expected" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()


def test_a_step_that_fails_says_why(tmp_path):
    with pytest.raises(subprocess.CalledProcessError) as caught:
        demo.run(
            "dataset", f"sr_dataset.py --xs '{tmp_path}' --pan none --output '{tmp_path}/patches'", tmp_path / "log"
        )
    assert "error: " in caught.value.output and caught.value.returncode == 1
