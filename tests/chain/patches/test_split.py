# SPDX-License-Identifier: Apache-2.0
"""Blocks of ground for each set, none touching another."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.patches.split import DROPPED, deal
from tests.examples import examples


def _grid(columns, rows, step, origin=(1, 2)):
    return np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).reshape(-1, 2) * step + origin


def _closest(starts, groups, size):
    """Smallest gap, in pixels, between patches of different sets; negative when they overlap."""
    gaps = []
    for one in range(3):
        for other in range(one + 1, 3):
            a, b = starts[groups == one], starts[groups == other]
            if len(a) and len(b):
                gaps.append((np.abs(a[:, None] - b[None]).max(axis=-1) - size).min())
    return min(gaps, default=np.inf)


@settings(max_examples=examples(25), deadline=None)
@given(columns=st.integers(5, 24), rows=st.integers(5, 24), step=st.integers(4, 40), seed=st.integers(0, 99))
def test_sets_neither_overlap_nor_touch(columns, rows, step, seed):
    starts = _grid(columns, rows, step)
    size = 16
    try:
        dealt = deal(starts, size, step, (0.8, 0.1, 0.1), seed)
    except ValueError:
        assert columns * rows < 16 * (1 + 2 * (size // step)) ** 2
        return
    assert _closest(starts, dealt.groups, size) > 0
    assert dealt.counts == tuple((dealt.groups == group).sum() for group in range(3))
    assert dealt.dropped == (dealt.groups == DROPPED).sum() and min(dealt.counts) > 0


@pytest.mark.parametrize("columns, rows, step, tolerance", [(40, 40, 32, 0.03), (15, 15, 32, 0.04), (60, 60, 8, 0.06)])
def test_proportions_are_approximated_and_little_is_lost(columns, rows, step, tolerance):
    starts = _grid(columns, rows, step)
    dealt = deal(starts, 32, step, (0.8, 0.1, 0.1), 3)
    shares = np.array(dealt.counts) / sum(dealt.counts)
    assert np.abs(shares - (0.8, 0.1, 0.1)).max() <= tolerance
    assert dealt.dropped <= 0.3 * len(starts)


def test_seed_decides():
    starts = _grid(12, 12, 32)
    first, same, other = (deal(starts, 32, 32, (0.8, 0.1, 0.1), seed).groups for seed in (1, 1, 2))
    assert np.array_equal(first, same) and not np.array_equal(first, other)


def test_holes_in_the_image_are_no_patches():
    starts = _grid(12, 12, 32)
    starts = starts[(starts[:, 0] - starts[:, 1]) < 150]
    dealt = deal(starts, 32, 32, (0.6, 0.2, 0.2), 0)
    assert sum(dealt.counts) + dealt.dropped == len(starts) and _closest(starts, dealt.groups, 32) > 0


def test_a_set_of_proportion_zero_stays_empty():
    dealt = deal(_grid(10, 10, 32), 32, 32, (0.8, 0.2, 0.0), 0)
    assert dealt.counts[2] == 0 and dealt.counts[1] > 0
    assert deal(_grid(3, 1, 32), 32, 32, (1.0, 0.0, 0.0), 0).counts == (3, 0, 0)


def test_too_small_an_image():
    with pytest.raises(ValueError, match="--split.*got 4 patches"):
        deal(_grid(2, 2, 32), 32, 32, (0.8, 0.1, 0.1), 0)
