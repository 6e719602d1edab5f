# SPDX-License-Identifier: Apache-2.0
"""Pairs that are no counts, no pairs, or that are trained on and validated on, are refused; others pass."""

import numpy as np
import pytest

from datasets.l1bsr.checks import check_other_pairs, check_pairs
from datasets.l1bsr.pairs import Pair, Pairs

pytestmark = pytest.mark.keras


def drawn(low, high, seed, name="a/b/1"):
    rng = np.random.default_rng(seed)
    return Pair(name, tuple(rng.integers(low, high, (24, 20, 4)).astype(np.uint16) for _ in range(2)))


@pytest.mark.parametrize("low, high", [(30, 4095), (300, 5001), (900, 2000)])
def test_counts_of_l1b_are_taken(low, high, caplog):
    pairs = Pairs([drawn(low, high, 0), drawn(low, high, 1, "a/b/2")])
    check_pairs(pairs, "--pairs")
    assert not caplog.records


@pytest.mark.parametrize("low, high, what", [(300, 9300, "10 000 x reflectance"), (1, 3, "reflectance")])
def test_numbers_that_cannot_be_counts_are_refused(low, high, what):
    pairs = Pairs([drawn(300, 4000, 0), drawn(low, high, 1, "a/other/2")])
    with pytest.raises(ValueError, match=rf"^--test: expected counts of L1B, up to 4095, .* \({what}\) in a/other$"):
        check_pairs(pairs, "--test")


@pytest.mark.parametrize("low, high, what", [(1, 256, "8 bits"), (1000, 3000, "baseline 04.00")])
def test_numbers_that_are_hardly_counts_are_told(low, high, what, caplog):
    check_pairs(Pairs([drawn(low, high, 0)]), "--pairs")
    (record,) = caplog.records
    assert record.levelname == "WARNING" and what in record.getMessage()


def test_one_image_twice_is_no_pair():
    (image, _) = drawn(300, 4000, 0).images
    with pytest.raises(ValueError, match="^--pairs: expected what two detectors saw, got the same pixels .* a/b/1$"):
        check_pairs(Pairs([Pair("a/b/1", (image, image.copy()))]), "--pairs")


def test_pairs_that_are_trained_on_are_found_whatever_they_are_called():
    training = Pairs([drawn(300, 4000, seed) for seed in (1, 2)])
    check_other_pairs(Pairs([drawn(300, 4000, 3)]), training, "--test")
    with pytest.raises(ValueError, match="^--test: expected other pairs than .*, got x/y/7, which is a/b/1$"):
        check_other_pairs(Pairs([drawn(300, 4000, 3), drawn(300, 4000, 2, "x/y/7")]), training, "--test")
