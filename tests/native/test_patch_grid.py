# SPDX-License-Identifier: Apache-2.0
"""Positions and groups against the numbers seen with OTBTF 4.3.1, and against brute force for any size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from otbtf_applications import patch_grid


@pytest.mark.parametrize(
    ("length", "psize", "step", "expected"),
    [
        (60, 8, 8, [5, 13, 21, 29, 37, 45, 53]),
        (60, 9, 8, [5, 13, 21, 29, 37, 45, 53]),
        (50, 8, 8, [5, 13, 21, 29, 37, 45]),
        (60, 16, 16, [9, 25, 41]),
        (60, 1, 8, [1, 9, 17, 25, 33, 41, 49, 57]),
        (60, 3, 1, list(range(1, 59))),
        (60, 1, 1, list(range(60))),
        (10, 32, 1, []),
    ],
)
def test_candidates_as_in_otbtf(length, psize, step, expected):
    assert patch_grid.candidates(length, psize, step).tolist() == expected


def test_offset():
    assert patch_grid.candidates(60, 8, 8, 3).tolist() == [8, 16, 24, 32, 40, 48]
    assert patch_grid.candidates(60, 8, 8, 11).tolist() == [8, 16, 24, 32, 40, 48]
    assert patch_grid.candidates(60, 8, 8, -3).tolist() == []


@given(st.integers(1, 120), st.integers(1, 40), st.integers(1, 50), st.integers(-60, 60))
def test_candidates_by_brute_force(length, psize, step, offset):
    def remainder(value):
        return abs(value) % step * (1 if value >= 0 else -1)

    radius = psize // 2
    expected = [
        pixel
        for pixel in range(length)
        if radius <= pixel <= length - 1 - radius and remainder(pixel - radius - 1) == remainder(offset)
    ]
    assert patch_grid.candidates(length, psize, step, offset).tolist() == expected


def test_split_groups_as_in_otbtf():
    assert patch_grid.split_groups(7, [50, 25, 25]).tolist() == [0, 1, 2, 0, 0, 1, 2]
    assert np.bincount(patch_grid.split_groups(42, [50, 25, 25])).tolist() == [21, 11, 10]
    assert patch_grid.split_groups(6, [50, 25]).tolist() == [0, 1, 0, 0, 1, 0]
    assert np.bincount(patch_grid.split_groups(42, [50, 25])).tolist() == [28, 14]
    assert np.bincount(patch_grid.split_groups(574, [50, 0, 0])).tolist() == [574]
    assert patch_grid.split_groups(4, [50, 0, 25]).tolist() == [0, 2, 0, 0]
    assert patch_grid.split_groups(2, [0, 0]).tolist() == [-1, -1]


def test_random_split_as_in_otbtf():
    groups = patch_grid.split_groups(42, [50, 25, 25], maximum=(60 // 8 + 1) * (50 // 8 + 1))
    assert np.bincount(groups).tolist() == [19, 10, 13]


@settings(deadline=None)
@given(st.integers(0, 3), st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_box_any_by_brute_force(radius, columns, rows, seed):
    random = np.random.default_rng(seed)
    flags = random.random((rows + 2 * radius, columns + 2 * radius)) < 0.1
    x, y = np.arange(columns) + radius, np.arange(rows) + radius
    expected = [[flags[j - radius : j + radius + 1, i - radius : i + radius + 1].any() for i in x] for j in y]
    assert np.array_equal(patch_grid.box_any(flags, x, y, radius), expected)


@given(
    st.lists(st.integers(0, 2000), unique=True, max_size=30).map(sorted),
    st.lists(st.integers(0, 2000), unique=True, max_size=30).map(sorted),
    st.integers(0, 20),
    st.integers(1, 10**6),
)
def test_reading_blocks_cover_each_candidate_once(columns, rows, radius, max_pixels):
    columns, rows = np.array(columns, dtype=np.int64), np.array(rows, dtype=np.int64)
    visits = np.zeros((len(rows), len(columns)), dtype=int)
    for column_range, row_range in patch_grid.reading_blocks(columns, rows, radius, max_pixels):
        visits[row_range, column_range] += 1
        width, height = (
            int(positions[-1] - positions[0]) + 2 * radius + 1 for positions in (columns[column_range], rows[row_range])
        )
        assert width * height <= max_pixels or visits[row_range, column_range].size == 1
    assert (visits == 1).all()


def test_what_lies_between_distant_rows_is_not_read():
    rows = np.array([10, 5000])
    blocks = list(patch_grid.reading_blocks(np.array([10, 20]), rows, 4, 10**9))
    assert blocks == [(slice(0, 2), slice(0, 1)), (slice(0, 2), slice(1, 2))]


def test_balanced_groups_are_as_even_as_the_classes_allow():
    histograms = np.array([[64, 0]] * 30 + [[0, 64]] * 6 + [[32, 32]] * 4)
    groups = patch_grid.balanced_groups(histograms, count=12, outputs=1)
    chosen = histograms[groups == 0].sum(axis=0)
    assert np.count_nonzero(groups == 0) == 12
    assert chosen[0] == chosen[1]
    two = patch_grid.balanced_groups(histograms, count=12, outputs=2)
    assert [np.count_nonzero(two == output) for output in (0, 1)] == [6, 6]
    for output in (0, 1):
        assert np.ptp(histograms[two == output].sum(axis=0)) <= 64


def test_balanced_groups_end_with_the_samples():
    groups = patch_grid.balanced_groups(np.array([[4, 0, 0], [0, 0, 0], [0, 4, 0]]), count=3, outputs=1)
    assert groups.tolist() == [0, -1, 0]
