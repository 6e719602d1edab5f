# SPDX-License-Identifier: Apache-2.0
"""The project's weights of L1BSR, on simulated pairs that no training has seen, and on real images of L1B."""

import json

import numpy as np
import pytest

from datasets.l1bsr.folders import read_pairs
from evaluation.l1bsr import band_flows, baselines, read_example, register, score_csr, score_rec
from evaluation.l1bsr_networks import open_model
from evaluation.l1bsr_sharpness import measure
from inference import l1bsr
from inference.l1bsr.model import PROJECT_WEIGHTS
from models.l1bsr import BANDS, CSR, REC
from simulate.detector_pairs import write_pairs
from tests.examples import slow

pytestmark = pytest.mark.keras

DIRECT_FITS = {
    "00": ((-0.48, 0.90), (-2.06, -1.06)),
    "01": ((1.44, 0.75), (-0.36, -0.93)),
    "02": ((-0.25, 0.47), (-1.37, -0.75)),
    "03": ((0.07, 0.77), (0.52, 0.40)),
    "04": ((-0.79, 0.94), (0.10, 0.41)),
}
"""Displacements (x, y) of B02 and B04 at which they correlate best with B03, found without a network."""


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs") / "set"
    write_pairs(folder, 3, rows=160, columns=160, seed=987)
    return read_pairs(folder)


@pytest.fixture(scope="module")
def csr():
    return open_model(CSR, PROJECT_WEIGHTS / "CSR")


@pytest.fixture(scope="module")
def rec():
    return open_model(REC, PROJECT_WEIGHTS / "REC")


@pytest.mark.slow
def test_flows_are_near_the_true_ones(pairs, csr):
    errors = score_csr(csr, pairs, {})["end_point_error"]
    assert errors["B02"]["median"] < 0.1 and errors["B04"]["median"] < 0.1
    assert errors["cross"]["median"] < 0.1 and errors["B08"]["median"] < 0.2


@pytest.mark.slow
def test_images_are_better_than_bicubic_after_registration(pairs, csr, rec):
    scores = score_rec(rec, csr, pairs)["sharp_truth"]
    made, registered = scores["rec"], scores["registered_bicubic"]
    assert made["mean"] > registered["mean"] + 1.5
    assert all(made[band] > registered[band] for band in BANDS)


@pytest.mark.slow
def test_images_are_right_up_to_their_edges(pairs, csr, rec):
    """The outermost pixels of 5 m, one ring after the other, are as bright as the true ones."""
    network = rec.training_model()
    for image, truth in zip(pairs.left, pairs.truth):
        registered = register(image, band_flows(csr.pair_model(), image)).astype(np.float32)
        made = network({"x10": registered[np.newaxis]}, training=False)[0].numpy()
        for distance in range(6):
            rings = [_ring(picture, distance).mean(axis=0) for picture in (made, truth["sharp_left"])]
            np.testing.assert_allclose(*rings, rtol=0.03)


def _ring(image, distance):
    """Return the pixels (number, bands) at a distance from the border."""
    inner = image[distance : len(image) - distance, distance : image.shape[1] - distance]
    return np.concatenate([inner[0], inner[-1], inner[1:-1, 0], inner[1:-1, -1]])


@pytest.mark.parametrize(
    "name, part",
    [
        ("01", np.s_[80:192, 100:212]),
        *(slow(name, np.s_[:]) for name in DIRECT_FITS),
    ],
)
def test_real_images_become_sharper_and_stay_consistent(shared_data, csr, rec, name, part):
    """Sharper by half, and no less consistent or more ringing than promised, in each band."""
    image = read_example(shared_data("l1bsr") / f"{name}.tif")[part]
    registered = register(image, band_flows(csr.pair_model(), image)).astype(np.float32)
    made = rec.training_model()({"x10": registered[np.newaxis]}, training=False)[0].numpy()
    for found in measure(registered, made, baselines(registered, ())["bicubic"]).values():
        assert found["gradient_energy"] > 1.4 and found["inconsistency"] < 1.5
        assert found["edges"] > 30 and found["overshoot"] < 0.035


@pytest.mark.parametrize(
    "name, part",
    [slow(name, []) for name in DIRECT_FITS],
)
def test_real_images_are_registered(shared_data, tmp_path, name, part):
    source, metrics = shared_data("l1bsr") / f"{name}.tif", tmp_path / "m.json"
    command = ["--task", "registration", "--input", str(source), "--output", str(tmp_path / "r.tif"), *part]
    assert l1bsr.main([*command, "--metrics", str(metrics)]) == 0
    found = json.loads(metrics.read_text())
    for band, (dx, dy) in zip(("B02", "B04"), DIRECT_FITS[name]):
        assert abs(found[band]["dx"] - dx) < 0.3 and abs(found[band]["dy"] - dy) < 0.3
        assert found[band]["correlation_after"] > found[band]["correlation_before"]
