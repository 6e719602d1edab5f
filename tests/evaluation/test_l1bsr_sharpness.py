# SPDX-License-Identifier: Apache-2.0
"""What is measured of L1BSR's products without a truth, against closed forms."""

import json

import numpy as np
import pytest

from evaluation.l1bsr_sharpness import BORDER, REACH, gradient_energy, inconsistency, main, measure, profiles
from models.base import export
from models.l1bsr import BANDS, CSR, REC

pytestmark = pytest.mark.keras


def test_gradient_energy_of_a_plane_is_the_sum_of_its_squared_slopes():
    y, x = np.indices((7, 9), dtype=np.float32)
    image = np.stack([3 * x - 4 * y, x], axis=-1)
    np.testing.assert_allclose(gradient_energy(image), [25, 1])


def test_products_of_which_the_sensor_sees_the_image_are_consistent():
    """A wave of two of the image's pixels is seen at 0.61; a wrong level is off by itself.

    A Gaussian that transfers 0.6 does so when it is sampled.
    """
    wave = 100 * np.cos(np.pi * np.arange(80) / 2)[:, np.newaxis, np.newaxis]
    product = 400 + np.broadcast_to(wave, (80, 96, 4))
    registered = 400 + 0.61 * (product[::2, ::2] - 400)
    np.testing.assert_allclose(inconsistency(registered, product), 0, atol=0.2)
    np.testing.assert_allclose(inconsistency(registered + 3, product), 3, atol=0.2)
    np.testing.assert_allclose(inconsistency(product[::2, ::2], product), 39, atol=0.2)


def test_overshoot_is_what_lies_beyond_the_levels_of_edges():
    """Beside an edge of 200 counts, along rows or columns, the product swings over by 14 counts on its bright side."""
    registered = np.full((48, 48), 300.0)
    registered[:, 24:] = 500.0
    product = np.repeat(np.repeat(registered, 2, axis=0), 2, axis=1)
    passed, beyond = profiles(registered, product)
    assert passed.shape == (48 - 2 * BORDER, 2 * REACH + 1)
    np.testing.assert_array_equal(passed, np.broadcast_to(np.arange(-REACH, REACH + 1) >= 0, passed.shape))
    assert passed.min() == 0 and passed.max() == 1 and not beyond.any()
    product[:, 49] += 14
    for one, made in ((registered, product), (registered.T, product.T), (800 - registered, 800 - product)):
        passed, beyond = profiles(one, made)
        np.testing.assert_allclose(passed.mean(axis=0).max(), 1.07)
        np.testing.assert_allclose(beyond, 0.07)
    assert profiles(registered / 10, product / 10)[0].shape == (0, 2 * REACH + 1)


def test_measures_of_bands():
    registered = np.full((48, 48, 4), 300.0)
    registered[:, 24:] = 500.0
    registered[..., 3] = 300.0
    interpolated = np.repeat(np.repeat(registered, 2, axis=0), 2, axis=1)
    found = measure(registered, 2 * interpolated, interpolated)
    assert found.keys() == set(BANDS) and found["B02"]["gradient_energy"] == pytest.approx(4)
    assert found["B08"]["overshoot"] is None and found["B08"]["beyond"] is None and found["B08"]["edges"] == 0
    # 300 and 500 are 600 and 1000: the levels 0 and 1 have become 1.5 and 3.5
    assert found["B02"]["overshoot"] == pytest.approx(2.5)


@pytest.mark.slow
def test_program_writes_scores_and_figures(tmp_path, write_raster, capsys):
    counts = np.random.default_rng(0).integers(200, 400, (96, 96, 4)).astype(np.uint16)
    image = write_raster("image.tif", counts)
    export(CSR.from_bands(depth=1), tmp_path / "csr")
    sizes = {"num_groups": 1, "num_blocks": 1, "depth": 4, "reduction": 2}
    export(REC.from_bands(**sizes, registered=True), tmp_path / "rec")
    words = ["--images", str(image), "--csr", str(tmp_path / "csr")]
    files = ["--scores", str(tmp_path / "s.json"), "--figures", str(tmp_path / "figures")]
    assert main([*words, "--rec", str(tmp_path / "rec"), *files]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "s.json").read_text())
    assert printed.keys() == {"image.tif"} and printed["image.tif"].keys() == {"bicubic", "rec"}
    assert all(band["gradient_energy"] == 1 for band in printed["image.tif"]["bicubic"].values())
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"image.png", "image_B08.png"}
    export(REC.from_bands(**sizes), tmp_path / "other")
    assert main([*words, "--rec", str(tmp_path / "other")]) == 1
    assert "--rec: expected a model for registered images" in capsys.readouterr().err
