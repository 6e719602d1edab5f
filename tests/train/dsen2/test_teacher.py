# SPDX-License-Identifier: Apache-2.0
"""A teacher: the mean of networks over the symmetries of the square, and no networks but those of its role."""

import numpy as np
import pytest
import tensorflow as tf

from models.description import write_description
from models.dsen2 import DSen2, FastDSen2
from models.weights_file import save_weights
from train.dsen2.teacher import Teacher

pytestmark = pytest.mark.keras

RNG = np.random.default_rng(0)


def saved(model, folder):
    """Give a model weights at random, and save it."""
    for variable in model.model.weights:
        variable.assign(RNG.normal(0, 0.1, variable.shape))
    folder.mkdir()
    save_weights(model.model, folder / "weights.h5")
    write_description(folder, model.description())
    return str(folder)


@pytest.fixture
def images():
    return {name: RNG.uniform(200, 4000, (side, side, bands)).astype("float32") for name, side, bands in SHAPES}


SHAPES = (("x10", 108, 4), ("x20", 54, 6))


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    models = [DSen2.from_bands("2x", depth=3, num_blocks=0), FastDSen2.from_bands("2x", depth=3, num_blocks=0)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield models, [saved(model, folder / str(number)) for number, model in enumerate(models)]


def test_mean_over_networks_and_symmetries(networks, images):
    """The inner pixels; those at the borders see what the program mirrors there."""
    models, folders = networks
    views = []
    for model in models:
        for turns in range(4):
            for transposed in (False, True):
                seen = {name: np.rot90(image, turns) for name, image in images.items()}
                if transposed:
                    seen = {name: image.transpose(1, 0, 2) for name, image in seen.items()}
                made = model.training_model()({name: tf.constant(image[None].copy()) for name, image in seen.items()})
                made = made.numpy()[0] * 1e4
                views.append(np.rot90(made.transpose(1, 0, 2) if transposed else made, -turns))
    found = Teacher(folders, "2x")(images)
    crop = max(model.crop for model in models)
    inner = np.s_[crop:-crop, crop:-crop]
    np.testing.assert_allclose(found[inner], np.mean(views, axis=0)[inner], atol=0.05)
    mirrored = Teacher(folders, "2x")({name: image[:, ::-1] for name, image in images.items()})
    np.testing.assert_allclose(mirrored, found[:, ::-1], atol=0.05)


def test_teachers_of_16_bits(networks, images):
    folders = networks[1][1:]
    found, exact = (Teacher(folders, "2x", precision)(images) for precision in ("bfloat16", "float32"))
    assert 0 < np.abs(found - exact).max() < 0.05 * exact.max()


def test_other_networks_are_refused(tmp_path):
    folder = saved(DSen2.from_bands("6x", depth=3, num_blocks=0), tmp_path / "6x")
    with pytest.raises(ValueError, match="^--teacher: expected a network of dsen2 2x, got dsen2 6x in "):
        Teacher([folder], "2x")
    with pytest.raises(ValueError, match="^--teacher: expected .*model.json"):
        Teacher([str(tmp_path)], "2x")
