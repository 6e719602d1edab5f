# SPDX-License-Identifier: Apache-2.0
"""Expected errors against errors of a known distribution, and against those on real crops never trained on."""

import numpy as np
import pytest

from datasets.wald import degrade
from evaluation.expected_error import ErrorModel, Errors, calibrated, coverage, detail, errors_of, fit, read_models
from models.build import build
from models.description import read_description
from models.weights_file import load_weights
from tests.real_tiles import PROJECT_WEIGHTS, tiles_of

SCENES = {
    "forest": ("s2_l1c_ssl4eo_brazil_native", "l1c_T24KUF_20180302"),
    "fields, L1C": ("s2_ssl4eo_T43RCP_native", "l1c_T43RCP_20200604"),
    "fields, L2A": ("s2_ssl4eo_T43RCP_native", "l2a_T43RCP_20200813"),
    "snow": ("s2_terramesh_native", "TM_L2A_609U"),
    "lagoon": ("s2_terramesh_native", "TM_L1C_282D"),
}
"""Scenes that the 20 m networks were never trained on."""


def test_bounds_hold_errors_of_a_laplace_distribution():
    """Whose scale is a weighted sum of the parts: it is found again."""
    generator = np.random.default_rng(2)

    def scene(place, weights):
        parts = np.concatenate([generator.gamma(2, 30, (3, 4000, 2)), np.ones((1, 4000, 2))])
        return Errors(place, place, parts, generator.exponential(np.tensordot(weights, parts, 1)))

    models = fit([scene(str(number), (0.2, 0.1, 0.02, 5)) for number in range(4)], ["B05", "B11"])
    np.testing.assert_allclose(coverage(scene("new", (0.2, 0.1, 0.02, 5)), models).T, [[0.5, 0.9]] * 2, atol=0.03)
    np.testing.assert_allclose([model.bounds for model in models.values()], [np.log([2, 10])] * 2, rtol=0.05)


def test_a_scene_calibrates_what_is_expected_of_it():
    """Errors that are so many times as large as expected, by band, make the models as many times as large."""
    generator = np.random.default_rng(3)
    models = {band: ErrorModel((0.2, 0.1, 0.02, 5.0), (0.7, 2.3)) for band in ("B05", "B11")}
    parts = np.concatenate([generator.gamma(2, 30, (3, 9000, 2)), np.ones((1, 9000, 2))])
    expected = np.stack([model.expected(parts[..., index]) for index, model in enumerate(models.values())], axis=1)
    scene = Errors("scene", "place", parts, generator.exponential(expected * [0.5, 3.0]))
    found = calibrated(models, [scene.part(slice(None, 4000)), scene.part(slice(4000, None))])
    for band, factor in (("B05", 0.5), ("B11", 3.0)):
        np.testing.assert_allclose(found[band].weights, np.multiply(models[band].weights, factor), rtol=0.04)
        assert found[band].bounds == models[band].bounds
    assert calibrated(models, []) == calibrated(models, [scene.part(slice(0))]) == models
    few = calibrated(models, [scene.part(slice(2))])["B11"].weights[0]
    assert abs(few / 0.2 - 1) < 0.5  # two pixels are not believed


def test_ground_near_missing_pixels_tells_nothing_of_other_ground():
    """A network made coarser sees more of what fills holes than in a product: errors were 8 times as large."""
    generator = np.random.default_rng(4)
    bands = {"B02": generator.normal(2000, 100, (96, 96)), "B05": generator.normal(2000, 100, (48, 48))}
    bands["B02"][:, 40:42] = np.nan

    def sharpen(coarse, names):
        made = np.repeat(np.repeat(coarse["B05"], 2, 0), 2, 1)
        made[:, 20 - 2 : 21 + 2] += 9000  # where it sees what fills the hole
        return {"B05": made}

    found = errors_of("", "", {name: pixels.astype(np.float32) for name, pixels in bands.items()}, sharpen, ("B05",))
    assert found.errors.max() < 1000 and 1000 < len(found.errors) < 40 * 40


def test_a_gain_of_a_band_multiplies_what_is_expected():
    image = np.random.default_rng(0).normal(2000, 100, (36, 48, 1))
    before, after = detail(image, 6), detail(3 * image, 6)
    np.testing.assert_allclose(after[:3], 3 * before[:3], rtol=1e-3)
    np.testing.assert_array_equal(after[3], before[3])
    assert detail(np.full((36, 48, 1), 2000.0), 6)[:3].max() < 1e-2


@pytest.mark.keras
@pytest.mark.slow
def test_bounds_hold_on_real_ground_never_trained_on(shared_data):
    """Of the 20 m bands: within 5 points over all kinds of ground, and on each when calibrated on its other half."""
    folder = PROJECT_WEIGHTS / "2x"
    description = read_description(folder)
    model = build(description)
    load_weights(model.model, folder)
    sharpen = model.training_model()
    models = read_models(PROJECT_WEIGHTS / "errors.json", description.weights)
    found, own = [], []
    for place, name in SCENES.values():
        tile = tiles_of(shared_data(place) / name, "2x", side=204)[4]
        image = sharpen({key: degrade(pixels, 2)[None] for key, pixels in tile.items()}).numpy()[0] * 1e4
        inner = np.s_[12:-12, 12:-12]
        parts = detail(image, 2)[(slice(None), *inner)].reshape(4, -1, 6)
        errors = np.abs(image - tile["x20"])[inner].reshape(-1, 6)
        found.append(coverage(Errors(name, place, parts, errors), models).mean(axis=1))
        whole = Errors(name, place, parts, errors)
        halves = [whole.part(slice(None, len(errors) // 2)), whole.part(slice(len(errors) // 2, None))]
        for half, other in (halves, halves[::-1]):
            own.append(coverage(half, calibrated(models, [other])).mean(axis=1))
    np.testing.assert_allclose(np.mean(found, axis=0), [0.5, 0.9], atol=0.05)
    np.testing.assert_allclose(found, [[0.5, 0.9]] * len(found), atol=0.10)
    np.testing.assert_allclose(np.mean([own[::2], own[1::2]], axis=0), [[0.5, 0.9]] * len(found), atol=0.05)


def test_missing_pixels_are_left_out():
    generator = np.random.default_rng(0)
    bands = {band: generator.normal(2000, 100, (96, 96)) for band in ("B02", "B03", "B04", "B08")}
    bands["B05"] = generator.normal(2000, 100, (48, 48))
    whole, bands["B05"][30, 30] = bands["B05"].copy(), np.nan

    def nearest(coarse, names):
        return {name: np.repeat(np.repeat(coarse[name], 2, 0), 2, 1) for name in names}

    holes, complete = (errors_of("", "", {**bands, "B05": image}, nearest, ("B05",)) for image in (bands["B05"], whole))
    assert len(complete.errors) == 40**2 and 40**2 - len(holes.errors) == 14**2  # the blur, and NEAR
    assert np.isfinite(holes.parts).all() and np.isin(holes.errors, complete.errors).all()
    empty = errors_of("", "", {**bands, "B05": whole * np.nan}, nearest, ("B05",))
    assert not len(empty.errors)
