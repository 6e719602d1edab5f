# SPDX-License-Identifier: Apache-2.0
"""Pairs of detectors: read as GDAL wrote them, cut at one place from both, turned and swapped together."""

import re

import numpy as np
import pytest
from osgeo import gdal

from datasets.l1bsr import pairs as l1bsr
from datasets.l1bsr.folders import read_pairs
from simulate.detector_pairs import write_pairs
from simulate.detectors import simulate_pair

pytestmark = pytest.mark.keras

SHIFT = 30000
"""What the right image has more than the left one, in the pairs made here."""


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, columns, bands = image.shape
    kind = {"uint16": gdal.GDT_UInt16, "float32": gdal.GDT_Float32}[image.dtype.name]
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), columns, rows, bands, kind)
    for band in range(bands):
        dataset.GetRasterBand(band + 1).WriteArray(image[..., band].copy())


def numbered(rows, columns, first=1):
    """Make a pair whose pixels tell their place: the left image counts them, the right one is larger by SHIFT."""
    band = first + np.arange(rows * columns).reshape(rows, columns)
    left = np.repeat(band[..., np.newaxis], 4, axis=2) + np.array([0, 1, 2, 3]) * 3000
    return left.astype(np.uint16), (left + SHIFT).astype(np.uint16)


@pytest.fixture
def write_set(tmp_path):
    """Return a function that writes a set of pairs and returns the folder."""

    def make(pairs, name="a", folder="set"):
        for key, images in pairs.items():
            for detector, image in zip(("left", "right"), images):
                write(tmp_path / folder / f"{name}_{detector}" / f"{key}.tif", image)
        return tmp_path / folder

    return make


def drawn(dataset):
    """Return the pairs of crops of an epoch."""
    batches = [inputs for inputs, _ in dataset]
    return [pair for inputs in batches for pair in zip(inputs["left"].numpy(), inputs["right"].numpy())]


def test_pairs_are_read_as_they_were_written(write_set):
    written = {str(key): numbered(20 + key, 16, key) for key in (10, 2, 1)}
    write_set(written)
    folder = write_set({"x": numbered(8, 8)}, name="b")
    pairs = read_pairs([folder])
    assert pairs.names == ["set/a/1", "set/a/2", "set/a/10", "set/b/x"] and pairs.size == 4
    for number, key in enumerate(("1", "2", "10")):
        for images, wanted in zip((pairs.left, pairs.right), written[key]):
            assert images[number].dtype == np.float32
            np.testing.assert_array_equal(images[number], wanted)
    assert list(pairs.truth) == [None] * 4
    assert read_pairs(folder).identity() == pairs.identity()
    assert read_pairs([folder, write_set({"1": numbered(8, 8)}, folder="other")]).names[-1] == "other/a/1"


def test_names_may_tell_the_detector(tmp_path):
    left, right = numbered(8, 8)
    write(tmp_path / "a_left" / "3_left.tif", left)
    write(tmp_path / "a_right" / "3_right.TIF", right)
    pairs = read_pairs(tmp_path)
    assert [name.rpartition("/")[2] for name in pairs.names] == ["3"]
    np.testing.assert_array_equal(pairs.right[0], right)


@pytest.mark.parametrize("nodata", [4095, 65535])
def test_declared_nodata_is_missing(write_set, nodata):
    left, right = numbered(8, 8)
    left[2, 3] = left[5, 1, 2] = nodata
    folder = write_set({"1": (left, right)})
    dataset = gdal.Open(str(folder / "a_left" / "1.tif"), gdal.GA_Update)
    for number in range(1, 5):
        dataset.GetRasterBand(number).SetNoDataValue(nodata)
    dataset = None
    (read,) = read_pairs(folder).left
    assert (read == np.where(left == nodata, 0, left)).all() and (read == 0).sum() == 5


def test_the_number_of_saturated_pixels_is_asked_for_where_all_bands_hold_it(write_set):
    left, right = numbered(8, 8)
    right[3:5, 3:5] = 65535
    with pytest.raises(ValueError, match=r"a_right/1.tif: .* got 65535 in all bands of 6% of the pixels, undeclared"):
        read_pairs(write_set({"1": (left, right)}))


@pytest.mark.parametrize("described", [("B02", "B03", "B04", "B08"), ("blue", "green", "red", "nir"), ("",) * 4])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 1, 0, 3)])
def test_bands_are_in_the_order_that_they_are_described_in(write_set, described, order):
    folder = write_set({"1": numbered(8, 8)})
    dataset = gdal.Open(str(folder / "a_right" / "1.tif"), gdal.GA_Update)
    for number, index in enumerate(order, start=1):
        dataset.GetRasterBand(number).SetDescription(described[index])
    dataset = None
    if order == (0, 1, 2, 3) or not described[0]:
        assert read_pairs(folder).size == 1
        return
    with pytest.raises(ValueError, match=r"a_right/1.tif: expected B02 as band 1, got one that it describes as B04$"):
        read_pairs(folder)


def test_truth_of_another_size_is_refused(tmp_path):
    for name, rows in (("one", 24), ("other", 32)):
        write_pairs(tmp_path / name, 1, rows, 20)
    truth = "simulated_truth/0000.npz"
    (tmp_path / "other" / truth).replace(tmp_path / "one" / truth)
    with pytest.raises(ValueError, match="0000.npz: expected the truth of images of 24 x 20 pixels, got that of other"):
        read_pairs(tmp_path / "one")


def test_simulated_pairs_come_with_their_truth(tmp_path):
    write_pairs(tmp_path, 2, 24, 20)
    pairs, wanted = read_pairs(tmp_path), simulate_pair(24, 20, 1, 1)
    np.testing.assert_array_equal(pairs.left[1], wanted.left)
    np.testing.assert_array_equal(pairs.right[1], wanted.right)
    assert set(pairs.truth[1]) == set(wanted.truth) == set(l1bsr.TRUTH + l1bsr.SHARP)
    for name, array in wanted.truth.items():
        np.testing.assert_array_equal(pairs.truth[1][name], array)


def test_sharp_truth_that_older_folders_lack_is_asked_for_in_vain(tmp_path):
    write_pairs(tmp_path, 1, 24, 20)
    path = tmp_path / "simulated_truth" / "0000.npz"
    with np.load(path) as arrays:
        older = {name: arrays[name] for name in l1bsr.TRUTH}
    np.savez(path, **older)
    pairs = read_pairs(tmp_path)
    assert set(pairs.truth[0]) == set(l1bsr.TRUTH) and len(pairs.dataset(1, 16, truths=l1bsr.HR)) == 1
    with pytest.raises(ValueError, match=r"pairs: expected truth sharp_left, sharp_right, .*none in .*0000\.npz"):
        pairs.dataset(1, 16, truths=l1bsr.SHARP)


def test_identity_is_that_of_pixels(write_set):
    left, right = numbered(8, 12)
    changed = right.copy()
    changed[7, 11, 3] += 1
    one = read_pairs(write_set({"1": (left, right)}, folder="one")).identity()
    assert list(one) == ["1 a/1"]
    assert read_pairs(write_set({"1": (left, right)}, folder="two")).identity() == one
    others = [(left, changed), (right, left), (left.reshape(12, 8, 4), right.reshape(12, 8, 4))]
    for number, images in enumerate(others):
        assert read_pairs(write_set({"1": images}, folder=f"other{number}")).identity() != one


def test_split_takes_the_last_pairs_of_each_set(write_set):
    write_set({str(key): numbered(8, 8) for key in range(12)})
    folder = write_set({str(key): numbered(8, 8) for key in range(3)}, name="b")
    write_set({"0": numbered(8, 8)}, name="c")
    training, validation = read_pairs(folder).split(0.25)
    assert validation.names == ["set/a/9", "set/a/10", "set/a/11", "set/b/2"]
    assert sorted(training.names + validation.names) == sorted(read_pairs(folder).names)
    with pytest.raises(ValueError, match="at least two of one set.*got 1, share 0.25"):
        read_pairs(write_set({"0": numbered(8, 8)}, folder="single")).split(0.25)
    with pytest.raises(ValueError, match="got 2, share 1"):
        read_pairs(write_set({key: numbered(8, 8) for key in "01"}, folder="two")).split(1.0)


def test_crops_are_parts_of_both_images_at_one_place(write_set):
    rows, columns, crop = 12, 10, 8
    left, right = numbered(rows, columns)
    pairs = read_pairs(write_set({"1": (left, right)}))
    dataset = pairs.dataset(16, crop, crops_per_pair=150)
    assert len(dataset) == 10
    samples, places = drawn(dataset), set()
    assert len(samples) == 150
    for first, second in samples:
        assert first.shape == (crop, crop, 4) and first.dtype == np.float32
        row, column = divmod(int(first[0, 0, 0]) - 1, columns)
        np.testing.assert_array_equal(first, left[row : row + crop, column : column + crop])
        np.testing.assert_array_equal(second, right[row : row + crop, column : column + crop])
        places.add((row, column))
    assert places == {(row, column) for row in range(5) for column in range(3)}
    inputs, targets = next(iter(dataset))
    assert set(inputs) == {"left", "right"} and targets == {}


def symmetries(image):
    turned = [np.rot90(image, turns) for turns in range(4)]
    return [*turned, *(image[:, ::-1] for image in turned)]


def test_augmentation_keeps_both_images_together(write_set):
    """Each of the eight symmetries, with and without a swap, the same for both images."""
    left, right = numbered(8, 8)
    pairs = read_pairs(write_set({"1": (left, right)}))
    wanted = [(symmetries(left)[number], symmetries(right)[number]) for number in range(8)]
    wanted += [(second, first) for first, second in wanted]
    seen = []
    for first, second in drawn(pairs.dataset(32, 8, augmentation=True, crops_per_pair=256)):
        (index,) = (k for k, pair in enumerate(wanted) if np.array_equal(pair[0], first))
        np.testing.assert_array_equal(second, wanted[index][1])
        seen.append(index)
    assert set(seen) == set(range(16))
    assert all(np.array_equal(pair[0], left) for pair in drawn(pairs.dataset(4, 8, crops_per_pair=4)))


def test_images_of_half_the_pixel_are_turned_about_the_pixels(write_set):
    """Of a plane: pixel (2y, 2x) stays the image's pixel (y, x), the others lie halfway, up to the crop's very end."""
    y, x = np.indices((24, 24)) / 2
    plane = (1000 + 40 * y + 600 * x)[..., np.newaxis] + 20000 * np.arange(2)[[0, 1, 1, 0]]
    folder = write_set({"1": [plane[::2, ::2].astype("uint16")] * 2})
    truth = {name: plane for name in l1bsr.TRUTH + l1bsr.SHARP}
    (folder / "a_truth").mkdir()
    np.savez(folder / "a_truth" / "1.npz", **truth)
    dataset = read_pairs(folder).dataset(64, 8, augmentation=True, crops_per_pair=512, truths=l1bsr.FINE)
    seen = set()
    for inputs, targets in dataset:
        np.testing.assert_array_equal(targets["sharp_left"], targets["hr_left"])
        for image, fine in zip(inputs["left"].numpy(), targets["hr_left"].numpy()):
            down, right = image[1, 0, 0] - image[0, 0, 0], image[0, 1, 0] - image[0, 0, 0]
            seen.add((down, right))
            np.testing.assert_allclose(fine, image[0, 0] + (y * down + x * right)[:16, :16, np.newaxis])
    assert seen == {(a, b) for a, b in ((40, 600), (600, 40)) for a in (a, -a) for b in (b, -b)}
    with pytest.raises(ValueError, match="crop: expected at most 11 for set/a/1 of 12 x 12 pixels, got 12"):
        read_pairs(folder).dataset(64, 12, augmentation=True, truths=l1bsr.FINE)
    assert len(read_pairs(folder).dataset(64, 12, truths=l1bsr.FINE)) == 1


def test_missing_pixels_are_in_no_crop(write_set):
    """A pixel is missing where any band of either image is 0; pairs without any clear place are left out."""
    left, right = numbered(20, 16)
    left[0, 5, 2] = 0
    right[19, 8, 0] = 0
    black = numbered(20, 16)
    black[1][::4, ::4] = 0
    pairs = read_pairs(write_set({"1": (left, right), "2": black, "3": numbered(20, 16, 2000)}))
    dataset = pairs.dataset(8, 10, crops_per_pair=1000)
    samples = drawn(dataset)
    assert len(samples) == 2000 and len(dataset) == 250
    starts = {int(first[0, 0, 0]) for first, _ in samples}
    assert all(first.min() > 0 and second.min() > 0 for first, second in samples)
    everywhere = {(row, column) for row in range(11) for column in range(7)}
    clear = everywhere - {(0, column) for column in range(6)} - {(10, column) for column in range(7)}
    assert starts == {1 + 16 * row + column for row, column in clear} | {
        2000 + 16 * row + column for row, column in everywhere
    }
    with pytest.raises(ValueError, match="pairs: expected 10 x 10 pixels without a missing one"):
        read_pairs(write_set({"2": black}, folder="black")).dataset(8, 10)


def test_epochs_are_reproducible(write_set):
    pairs = read_pairs(write_set({str(key): numbered(20, 16, 500 * key + 1) for key in range(4)}))
    arguments = {"crop": 8, "augmentation": True, "crops_per_pair": 3}

    def same(one, other):
        return all(np.array_equal(a, b) for a, b in zip(np.ravel(one), np.ravel(other), strict=True))

    dataset = pairs.dataset(5, **arguments)
    epochs = [drawn(dataset) for _ in range(3)]
    assert not same(epochs[0], epochs[1]) and not same(epochs[1], epochs[2])
    for number in range(3):
        assert same(drawn(pairs.dataset(5, first_epoch=number, **arguments)), epochs[number])
    assert not same(drawn(pairs.dataset(5, seed=1, **arguments)), epochs[0])
    fixed = pairs.dataset(5, fixed=True, **arguments)
    assert same(drawn(fixed), drawn(fixed)) and same(drawn(fixed), epochs[0])
    for samples in epochs:  # each pair as often as the others
        firsts = [int(min(first[..., 0].min(), second[..., 0].min())) for first, second in samples]
        assert sorted((first - 1) // 500 for first in firsts) == sorted(3 * list(range(4)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"crop": 17}, "crop: expected at most 16 for set/a/1 of 20 x 16 pixels, got 17"),
        ({"crop": 0}, "crop: expected 1 or more, got 0"),
        ({"crops_per_pair": 0, "crop": 8}, "crops_per_pair: expected 1 or more, got 0"),
        ({"batch_size": 0, "crop": 8}, "batch_size: expected 1 or more, got 0"),
    ],
)
def test_arguments_out_of_range(write_set, arguments, message):
    pairs = read_pairs(write_set({"1": numbered(20, 16)}))
    with pytest.raises(ValueError) as caught:
        pairs.dataset(**{"batch_size": 2, **arguments})
    assert str(caught.value) == message


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1000])


def lacking_truth(folder):
    (folder / "a_truth").mkdir()
    np.savez(folder / "a_truth" / "2.npz", cross=np.zeros(3))


FAULTS = {
    "no partner folder": (
        lambda folder: [path.unlink() for path in (folder / "a_right").iterdir()] + [(folder / "a_right").rmdir()],
        "expected a_right beside a_left, found none",
    ),
    "no sets": (lambda folder: [(folder / f"a_{name}").rename(folder / name) for name in ("left", "right")], "NAME_le"),
    "no files": (
        lambda folder: [path.unlink() for path in folder.glob("*/*.tif")],
        "a_left: expected .tif images, found none",
    ),
    "no partner file": (lambda folder: (folder / "a_right" / "2.tif").unlink(), "a_right: expected the counterpart of"),
    "other names": (
        lambda folder: (folder / "a_right" / "2.tif").rename(folder / "a_right" / "3.tif"),
        "expected the counterpart of",
    ),
    "other size": (
        lambda folder: write(folder / "a_right" / "2.tif", numbered(20, 15)[1]),
        "right/2.tif: expected 20 x 16 pixels, like",
    ),
    "three bands": (
        lambda folder: write(folder / "a_left" / "2.tif", numbered(20, 16)[0][..., :3]),
        "expected 4 bands (B02, B03, B04, B08) of uint16, got 3 of uint16",
    ),
    "floats": (
        lambda folder: write(folder / "a_left" / "2.tif", np.ones((20, 16, 4), np.float32)),
        "of uint16, got 4 of float32",
    ),
    "truncated": (lambda folder: truncate(folder / "a_left" / "2.tif"), "2.tif: expected a readable image"),
    "no image": (lambda folder: (folder / "a_left" / "2.tif").write_text("text"), "2.tif: expected a readable image"),
    "incomplete truth": (lacking_truth, "truth/2.npz: expected arrays flow_left, flow_right, hr_left"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_folders_are_told_in_one_line(write_set, fault):
    folder = write_set({"1": numbered(20, 16), "2": numbered(20, 16)})
    spoil, message = FAULTS[fault]
    read_pairs(folder)
    spoil(folder)
    with pytest.raises(ValueError) as caught:
        read_pairs(folder)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert re.search("got |found no|readable image", str(caught.value))


def test_a_truncated_truth_is_told(write_set):
    folder = write_set({"1": numbered(20, 16)})
    lacking_truth(folder)
    path = folder / "a_truth" / "2.npz"
    path.rename(folder / "a_truth" / "1.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(ValueError, match="1.npz: expected an archive of arrays"):
        read_pairs(folder)


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(ValueError, match="nowhere: expected folders NAME_left and NAME_right, found none"):
        read_pairs(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="pairs: expected at least one, got none"):
        read_pairs([])
