# SPDX-License-Identifier: Apache-2.0
"""Patches of sources, on images whose pixels are computed: positions, rejection, and what is read of them."""

import numpy as np
from otbtf_applications.patch_source import PatchSource, extract_paired


class CodedImage:
    """An image of any size whose two bands are the column and the row; it counts what is read of it."""

    bands = 2

    def __init__(self, size, spacing=10.0, origin=(300005.0, 5000035.0), index=(0, 0)):
        self.size, self.index, self.origin, self.spacing = size, index, origin, (spacing, -spacing)
        self.reads = []

    def read(self, x, y, width, height):
        left, top = x - self.index[0], y - self.index[1]
        assert 0 <= left <= left + width <= self.size[0]
        assert 0 <= top <= top + height <= self.size[1]
        self.reads.append((left, top, width, height))
        rows, columns = np.mgrid[top : top + height, left : left + width]
        return np.stack([columns, rows], axis=-1).astype(np.float32)

    def point(self, column, row):
        """Return the map coordinates of a position in pixels from the upper-left corner of the image."""
        x, y = (self.origin[axis] + self.spacing[axis] * (self.index[axis] - 0.5) for axis in (0, 1))
        return x + column * self.spacing[0], y + row * self.spacing[1]


def extract(image, positions, size, nodata=None):
    points = np.array([image.point(*position) for position in positions])
    kept, (patches,) = extract_paired([PatchSource([image], size, nodata)], points)
    return kept, patches


def test_positions_round_up():
    image = CodedImage((40, 40))
    _, patches = extract(image, [(5, 6), (5.2, 6.2), (5.8, 6.8), (6, 7)], (1, 1))
    assert patches[:, 0, 0].tolist() == [[5, 6], [5, 6], [5, 6], [6, 7]]
    _, patches = extract(image, [(5, 6)], (8, 4))
    assert patches.shape == (1, 4, 8, 2)
    assert patches[0, 0, 0].tolist() == [1, 4]


def test_image_whose_index_does_not_start_at_zero():
    image = CodedImage((40, 40), index=(7, 3))
    _, patches = extract(image, [(5.5, 6.5)], (3, 3))
    assert patches[0, 1, 1].tolist() == [5, 6]


def test_patches_keep_the_order_of_the_points():
    image = CodedImage((2000, 1000))
    positions = np.random.default_rng(0).integers(20, 980, (300, 2))
    _, patches = extract(image, positions + 0.5, (16, 16))
    assert np.array_equal(patches[:, 8, 8], positions)
    assert np.array_equal(patches[:, 0, 0], positions - 8)


def test_incomplete_patches_are_dropped_from_every_source():
    large, small = CodedImage((40, 40)), CodedImage((20, 40))
    points = np.array([large.point(x + 0.5, 10.5) for x in (0, 1, 2, 17, 18, 19, 38)])
    sources = [PatchSource([large], (3, 3), None), PatchSource([small], (3, 3), None)]
    kept, (first, second) = extract_paired(sources, points)
    assert kept.tolist() == [1, 2, 3, 4]
    assert np.array_equal(first, second)


def test_nodata_in_any_band_of_any_pixel_rejects_in_every_source():
    low, high = CodedImage((40, 40), 10.0), CodedImage((160, 160), 2.5, (300001.25, 5000038.75))
    points = np.array([low.point(x, y) for y in (6, 14, 22) for x in (6, 14, 22)])
    sources = [PatchSource([low], (4, 4), None), PatchSource([high], (16, 16), np.float32(58.0))]
    kept, (first, second) = extract_paired(sources, points)
    assert kept.tolist() == [0, 2, 6, 8]
    assert np.array_equal(4 * first[:, 0, 0], second[:, 0, 0])
    assert low.reads == [(4, 4, 20, 4), (4, 20, 20, 4)]
    assert not np.any(second == 58)


def test_neighbours_are_read_together_and_little_is_held():
    image = CodedImage((100_000, 2_000))
    positions = [(x, y) for y in range(32, 1000, 64) for x in range(64, 100_000, 640)]
    _, patches = extract(image, positions, (64, 64))
    assert np.array_equal(patches[:, 32, 32], positions)
    image = CodedImage((20_000, 2_000))
    positions = [(x, y) for y in range(32, 1000, 64) for x in range(64, 19_000, 64)]
    extract(image, positions, (64, 64))
    assert len(image.reads) <= 4
    assert all(width * height * 2 * 4 <= 64 * 2**20 for _, _, width, height in image.reads)
    assert sum(width * height for _, _, width, height in image.reads) <= 1.1 * len(positions) * 64 * 64


def test_images_of_a_source_are_stacked_by_bands():
    first, second = CodedImage((40, 40)), CodedImage((40, 40), spacing=20.0)
    _, (patches,) = extract_paired(
        [PatchSource([first, second], (2, 2), None)], np.array([first.point(9, 11), first.point(21, 5)])
    )
    assert patches[:, 1, 1].tolist() == [[9, 11, 9, 11], [21, 5, 21, 5]]
