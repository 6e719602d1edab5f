# SPDX-License-Identifier: Apache-2.0
"""`--scheduler` of L1BSR: workers of another process make the images of a folder, one that fails among them."""

import numpy as np
import pytest

from inference import l1bsr
from inference.l1bsr import Options
from tests.inference.l1bsr.networks import counts, read

pytest.importorskip("distributed", reason="Dask is not installed: pip install -r requirements/dask.txt")
pytestmark = pytest.mark.keras


@pytest.mark.slow
def test_workers_make_the_same_products(tmp_path, image, models, capfd):
    sources = [image(counts(30, 40, seed), f"image{seed}.tif") for seed in (1, 2)]
    small = image(counts(8, 8), "small.tif")
    words = ["--input", *sources, small, "--model-dir", models["nearest"]]
    workers = ["--scheduler", "processes", "--workers", "1", "--threads", "1"]
    assert l1bsr.main([*words, "--output-dir", str(tmp_path / "alone")]) == 1
    assert l1bsr.main([*words, "--output-dir", str(tmp_path / "shared"), *workers]) == 1
    told = capfd.readouterr()
    assert told.err.count("small: --input: expected at least 16 x 16 pixels") == 2
    alone, shared = (sorted(file.name for file in (tmp_path / name).iterdir()) for name in ("alone", "shared"))
    assert alone == shared
    for name in ("image1_SR.tif", "image2_SR.tif"):
        np.testing.assert_array_equal(read(tmp_path / "shared" / name)[0], read(tmp_path / "alone" / name)[0])
    before = (tmp_path / "shared" / "image1_SR.tif").stat().st_mtime_ns
    assert l1bsr.main([*words, "--output-dir", str(tmp_path / "shared")]) == 1
    assert "image1  " in capfd.readouterr().out
    assert (tmp_path / "shared" / "image1_SR.tif").stat().st_mtime_ns == before


def test_one_image_has_no_use_for_workers(tmp_path, image, models):
    with pytest.raises(ValueError, match="^--scheduler requires --output-dir: an image is made in one piece"):
        l1bsr.super_resolve(image(counts(30, 40)), tmp_path / "sr.tif", Options(scheduler="processes"))
