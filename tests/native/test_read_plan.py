# SPDX-License-Identifier: Apache-2.0
"""The plan of reads: every patch once and inside its read, bounded memory, bounded waste."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from otbtf_applications.read_plan import plan_reads


def area(read):
    return read.region[2] * read.region[3]


@given(
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), max_size=60),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.integers(1, 5),
    st.integers(1, 200_000),
)
def test_every_patch_is_read_once_within_the_bounds(starts, size, bands, max_bytes):
    starts = np.array(starts, dtype=np.int64).reshape(-1, 2)
    reads = plan_reads(starts, size, bands, max_bytes=max_bytes)
    ranks = np.concatenate([read.patches for read in reads]) if reads else np.empty(0, int)
    assert sorted(ranks.tolist()) == list(range(len(starts)))
    patch_area = size[0] * size[1]
    for read in reads:
        x, y, width, height = read.region
        inside = starts[read.patches] - (x, y)
        assert (inside >= 0).all()
        assert (inside + size <= (width, height)).all()
        if area(read) != patch_area:
            assert area(read) * bands * 4 <= max_bytes
            assert area(read) <= 4 * patch_area * len(read.patches)


def test_a_dense_grid_is_read_in_a_few_full_width_bands():
    starts = np.stack(np.meshgrid(np.arange(0, 3200, 32), np.arange(0, 3200, 32)), axis=-1).reshape(-1, 2)
    reads = plan_reads(starts, (32, 32), bands=4, max_bytes=2**24)
    assert sum(map(area, reads)) == 3200 * 3200
    assert {read.region[2] for read in reads} == {3200}
    assert [read.region[1] for read in reads] == sorted(read.region[1] for read in reads)
    assert len(reads) <= 16


def test_a_band_too_wide_for_memory_is_cut_across():
    starts = np.array([(x, 0) for x in range(0, 64000, 64)])
    reads = plan_reads(starts, (64, 64), bands=4, max_bytes=2**22)
    assert sum(map(area, reads)) == 64000 * 64
    assert len(reads) == 16


def test_sparse_patches_are_read_one_by_one():
    starts = np.random.default_rng(0).integers(0, 100_000, (50, 2))
    reads = plan_reads(starts, (16, 16), bands=1)
    assert sum(map(area, reads)) <= 4 * 50 * 16 * 16
