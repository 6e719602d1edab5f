# SPDX-License-Identifier: Apache-2.0
"""`--scheduler` and `--precision` of DeepSUM: scenes made by workers of another process, and in 16 bits."""

import json

import numpy as np
import pytest
from osgeo import gdal

from inference.deepsum import Options, main, super_resolve
from tests.inference.deepsum.scenes import draw_scene, write_scene

pytestmark = pytest.mark.keras


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder of three scenes; the last has too few images."""
    root = tmp_path_factory.mktemp("probav")
    for number in range(3):
        lr, qm, _ = draw_scene(seed=number, count=11 if number < 2 else 4)
        write_scene(root / f"imgset{number:04d}", lr, qm)
    return root


def read(path):
    return gdal.Open(str(path)).ReadAsArray()


@pytest.mark.slow
def test_workers_make_the_same_images(root, model_dir, tmp_path, capsys):
    pytest.importorskip("distributed", reason="Dask is not installed: pip install -r requirements/dask.txt")
    words = ["--input", root, "--model-dir", model_dir, "--on-error", "skip"]
    workers = ["--scheduler", "processes", "--workers", "1", "--threads", "1"]
    assert main(list(map(str, [*words, "--output-dir", tmp_path / "alone"]))) == 0
    assert main(list(map(str, [*words, "--output-dir", tmp_path / "shared", *workers]))) == 0
    assert capsys.readouterr().out.count("2 of 3 scenes, 1 skipped") == 2
    for name in ("imgset0000.png", "imgset0001.png"):
        np.testing.assert_array_equal(read(tmp_path / "shared" / name), read(tmp_path / "alone" / name))
    assert main(list(map(str, [*words, "--output-dir", tmp_path / "shared"]))) == 0
    assert "2 done before" in capsys.readouterr().out


def test_images_of_several_dates_have_no_use_for_workers(stack, tmp_path):
    images, _ = stack()
    with pytest.raises(ValueError, match="^--scheduler: expected scenes for --output-dir"):
        super_resolve(images, tmp_path / "sr.tif", Options(scheduler="processes", unmasked=True))


@pytest.mark.slow
def test_bfloat16_is_near_float32(root, model_dir, tmp_path):
    words = ["--input", root / "imgset0000", "--model-dir", model_dir]
    for precision in ("float32", "bfloat16"):
        output = tmp_path / f"{precision}.png"
        assert main(list(map(str, [*words, "--output", output, "--precision", precision]))) == 0
        record = json.loads(output.with_name(f"{output.name}.json").read_text())
        assert record["models"][0]["precision"] == record["precision"]["precision"] == precision
    exact, rounded = (read(tmp_path / f"{name}.png").astype(float) for name in ("float32", "bfloat16"))
    assert 0 < np.sqrt(np.mean(np.square(rounded - exact))) < 0.05 * exact.std()
