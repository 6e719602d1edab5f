# SPDX-License-Identifier: Apache-2.0
"""Spectra of a training: what is like one of them, what is not, and their file."""

import numpy as np
import pytest

from models.description import SPECTRA_NAME
from models.spectra import Spectra, covering, read_spectra

BANDS = ("B04", "B08", "B11")


def pixels(seed=0, count=4000):
    """Two kinds of ground that differ by noise of 10 %, as bright as may be."""
    generator = np.random.default_rng(seed)
    kinds = np.array([[400, 3000, 1500], [600, 300, 100]])[generator.integers(2, size=count)]
    return kinds * generator.lognormal(0, 0.1, kinds.shape) * generator.uniform(0.5, 2, (count, 1))


def test_ground_of_the_same_kinds_is_like_that_of_the_training():
    spectra = covering(BANDS, pixels())
    assert len(spectra.shares) < 10
    assert spectra.unlike(pixels(1)).mean() < 0.005
    assert spectra.unlike(5 * pixels(1)).mean() < 0.005  # the level is no part of it


def test_ground_of_other_ratios_is_not():
    spectra = covering(BANDS, pixels())
    for gains in ([4, 1, 1], [1, 0.1, 1], [1, 1, 4]):
        assert spectra.unlike(pixels(1) * gains).mean() > 0.99


def test_single_pixels_are_not_learnt_from():
    odd = np.array([[3000, 100, 100]])
    few, many = (covering(BANDS, np.concatenate([pixels(), np.repeat(odd, count, 0)])) for count in (4, 5))
    assert few.unlike(odd).all() and not many.unlike(odd).any()


def test_dark_pixels_without_any_signal_are_no_error():
    assert covering(BANDS, pixels()).unlike(np.array([[0, 0, 0], [-5, -3, 0]])).all()


def test_what_a_training_goes_on_with_has_been_seen_too():
    before, then = covering(BANDS, pixels()), covering(BANDS, pixels() * [1, 1, 4])
    joined = then.joined(before)
    for ground in (pixels(1), pixels(1) * [1, 1, 4]):
        assert joined.unlike(ground).mean() < 0.01
    with pytest.raises(ValueError, match="^spectra: expected bands B04, B08, B11, got B04, B08, B12$"):
        then.joined(Spectra(("B04", "B08", "B12"), before.shares))


def test_file(tmp_path):
    assert read_spectra(tmp_path) is None
    spectra = covering(BANDS, pixels())
    spectra.write(tmp_path)
    read = read_spectra(tmp_path)
    assert read.bands == BANDS
    np.testing.assert_array_equal(read.shares, spectra.shares)
    for text in ("{", '{"bands": ["B04"]}', '{"bands": ["B04"], "shares": [[1, 2]]}'):
        (tmp_path / SPECTRA_NAME).write_text(text)
        with pytest.raises(ValueError, match=f"^--model-dir: expected spectra in .*{SPECTRA_NAME}, got "):
            read_spectra(tmp_path)
