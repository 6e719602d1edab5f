# SPDX-License-Identifier: Apache-2.0
"""Scenes are read as they were written, and what is wrong with them is said in one line."""

import numpy as np
import pytest
from osgeo import gdal

from datasets.deepsum.kelvins import MissingMaskError, TooFewImagesError, open_scene, read_norm

SIZE = 8


def write_png(path, pixels):
    """Write (rows, columns[, bands]) as PNG."""
    cube = np.atleast_3d(pixels)
    code = {"uint8": gdal.GDT_Byte, "uint16": gdal.GDT_UInt16}[cube.dtype.name]
    memory = gdal.GetDriverByName("MEM").Create("", cube.shape[1], cube.shape[0], cube.shape[2], code)
    for band in range(cube.shape[2]):
        memory.GetRasterBand(band + 1).WriteArray(cube[..., band])
    gdal.GetDriverByName("PNG").CreateCopy(str(path), memory)
    path.with_name(path.name + ".aux.xml").unlink(missing_ok=True)


@pytest.fixture
def write_scene(tmp_path):
    """Return a function writing a scene, and giving its folder and arrays."""

    def write(name="imgset0594", count=9, truth=True):
        folder = tmp_path / "train" / "NIR" / name
        folder.mkdir(parents=True)
        generator = np.random.default_rng(int(name[-4:]))
        lr = generator.integers(0, 65536, (count, SIZE, SIZE), np.uint16)
        qm = generator.integers(0, 2, (count, SIZE, SIZE), np.uint8) * 255
        hr = generator.integers(0, 65536, (3 * SIZE, 3 * SIZE), np.uint16)
        sm = generator.integers(0, 2, (3 * SIZE, 3 * SIZE), np.uint8) * 7
        for number in range(count):
            write_png(folder / f"LR{number:03d}.png", lr[number])
            write_png(folder / f"QM{number:03d}.png", qm[number])
        if truth:
            write_png(folder / "HR.png", hr)
            write_png(folder / "SM.png", sm)
        return folder, (lr, qm, hr, sm)

    return write


def test_scenes_come_back(write_scene):
    for name, written in (("imgset0600", write_scene("imgset0600", 11)), ("imgset0594", write_scene("imgset0594"))):
        folder, (lr, qm, hr, sm) = written
        scene = open_scene(folder)
        assert scene.name == name
        found = scene.read()
        assert [array.dtype for array in found] == [np.uint16, bool, np.uint16, bool]
        for array, expected in zip(found, (lr, qm > 0, hr, sm > 0)):
            np.testing.assert_array_equal(array, expected)


def test_masks_of_one_bit(write_scene):
    folder, _ = write_scene()
    mask = np.eye(SIZE, dtype=np.uint8)
    memory = gdal.GetDriverByName("MEM").Create("", SIZE, SIZE, 1, gdal.GDT_Byte)
    memory.GetRasterBand(1).WriteArray(mask)
    gdal.GetDriverByName("PNG").CreateCopy(str(folder / "QM004.png"), memory, options=["NBITS=1"])
    np.testing.assert_array_equal(open_scene(folder).read_images()[1][4], mask == 1)


def test_scene_without_truth(write_scene):
    folder, (lr, _, _, _) = write_scene(truth=False)
    scene = open_scene(folder)
    assert not scene.has_truth
    np.testing.assert_array_equal(scene.read_images()[0], lr)
    with pytest.raises(ValueError, match="imgset0594: expected a scene with HR.png, found none$"):
        scene.read()


def test_opening_reads_no_pixel(write_scene):
    folder, _ = write_scene()
    for path in folder.iterdir():
        path.write_bytes(b"")
    assert open_scene(folder).has_truth


@pytest.mark.parametrize(
    "name, message, error",
    [
        ("QM003.png", "expected QM003.png beside LR003.png, found none", MissingMaskError),
        ("LR003.png", "expected LR003.png beside QM003.png, found none", ValueError),
    ],
)
def test_missing_images_and_masks(write_scene, name, message, error):
    folder, _ = write_scene(count=10)
    (folder / name).unlink()
    with pytest.raises(error) as raised:
        open_scene(folder)
    assert str(raised.value) == f"{folder}: {message}"


def test_masks_are_not_needed_where_all_is_clear(write_scene):
    folder, (lr, *_) = write_scene()
    for path in folder.glob("QM*.png"):
        path.unlink()
    images, clear = open_scene(folder, unmasked=True).read_images()
    np.testing.assert_array_equal(images, lr)
    assert clear.dtype == bool and clear.shape == lr.shape and clear.all()


@pytest.mark.parametrize(
    "name, message",
    [
        ("SM.png", "expected SM.png beside HR.png, found none"),
        ("HR.png", "expected a scene with HR.png, found none"),
    ],
)
def test_only_the_truth_needs_its_files(write_scene, name, message):
    folder, (lr, *_) = write_scene()
    (folder / name).unlink()
    scene = open_scene(folder)
    np.testing.assert_array_equal(scene.read_images()[0], lr)
    with pytest.raises(ValueError) as error:
        scene.read_truth()
    assert str(error.value) == f"{folder}: {message}"


def test_few_images(write_scene):
    folder, _ = write_scene(count=8)
    with pytest.raises(TooFewImagesError) as error:
        open_scene(folder)
    assert str(error.value) == f"{folder}: expected at least 9 files LRnnn.png, got 8"
    assert len(open_scene(folder, fewest=8).images) == 8


@pytest.mark.parametrize(
    "name, shape, wanted",
    [
        ("LR005.png", (8, 9), "8 x 8 pixels, like LR000.png"),
        ("QM005.png", (7, 8), "8 x 8 pixels, like LR000.png"),
        ("SM.png", (24, 23), "24 x 24 pixels, like HR.png"),
    ],
)
def test_sizes_that_differ(write_scene, name, shape, wanted):
    folder, _ = write_scene()
    write_png(folder / name, np.ones(shape, np.uint16))
    with pytest.raises(ValueError) as error:
        open_scene(folder).read()
    size = " x ".join(map(str, shape))
    assert str(error.value) == f"{folder / name}: expected {wanted}, got {size}"


def test_truth_of_another_scale(write_scene):
    folder, _ = write_scene()
    for name in ("HR.png", "SM.png"):
        write_png(folder / name, np.ones((16, 16), np.uint16))
    with pytest.raises(ValueError, match="HR.png: expected 24 x 24 pixels, like 3 x LR000.png, got 16 x 16$"):
        open_scene(folder).read()


def cut(data):
    return data[: len(data) // 2]


def flip(data):
    """Change the middle of the pixels."""
    middle = data.index(b"IDAT") + 40
    return data[:middle] + bytes(255 - value for value in data[middle : middle + 20]) + data[middle + 20 :]


@pytest.mark.parametrize("damage", [cut, flip, lambda data: b"", lambda data: b"no image", lambda data: None])
@pytest.mark.parametrize("name", ["LR002.png", "HR.png"])
def test_damaged_files(write_scene, name, damage):
    folder, _ = write_scene()
    scene, path = open_scene(folder), folder / name
    damaged = damage(path.read_bytes())
    path.unlink()
    if damaged is not None:
        path.write_bytes(damaged)
    with pytest.raises(ValueError) as error:
        scene.read()
    assert str(error.value).startswith(f"{path}: expected a readable PNG (")
    assert "\n" not in str(error.value)


def test_images_of_one_type(write_scene):
    folder, (lr, *_) = write_scene()
    write_png(folder / "LR004.png", (lr[4] // 256).astype(np.uint8))
    with pytest.raises(ValueError, match="LR004.png: expected uint16, like LR000.png, got uint8$"):
        open_scene(folder).read_images()


@pytest.mark.parametrize("name", ["QM003.png", "SM.png"])
def test_maps_of_several_classes_are_no_masks(write_scene, name):
    """Status maps of PROBA-V are non-zero everywhere."""
    folder, _ = write_scene()
    side = SIZE if name.startswith("QM") else 3 * SIZE
    write_png(folder / name, np.where(np.eye(side) > 0, 251, 248).astype(np.uint8))
    with pytest.raises(ValueError, match=f"{name}: expected 0 where concealed and one other .*, got 248 to 251$"):
        open_scene(folder).read()


def test_colours(write_scene):
    folder, _ = write_scene()
    write_png(folder / "LR001.png", np.ones((8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="LR001.png: expected one band, got 3$"):
        open_scene(folder).read()


def test_norm(shared_data):
    norm = read_norm(shared_data("probav") / "norm.csv")
    assert list(norm) == [f"imgset{number:04d}" for number in range(1450)]
    assert norm["imgset0000"] == 52.352172662454414
    assert np.mean([norm[f"imgset{number:04d}"] for number in range(1160, 1450)]) == pytest.approx(45.937, abs=5e-4)


@pytest.mark.parametrize("line", ["imgset0001", "imgset0001 dB", "imgset0000 40.0", "1 40.0", "imgset0001 -4"])
def test_damaged_norm(tmp_path, line):
    path = tmp_path / "norm.csv"
    path.write_text(f"imgset0000 45.5\n{line}\n")
    with pytest.raises(ValueError) as error:
        read_norm(path)
    assert str(error.value) == f"{path}, line 2: expected a new scene and its cPSNR, got {line!r}"


def test_absent_norm(tmp_path):
    with pytest.raises(ValueError, match="norm.csv: expected a readable text file .*No such file"):
        read_norm(tmp_path / "norm.csv")


@pytest.mark.parametrize("divisor", [64, 256])
@pytest.mark.parametrize("truth", [False, True])
def test_images_and_truth_are_in_one_unit(write_scene, divisor, truth):
    """8 bits beside 14 or 16 bits are not; a dark truth of clouds that have gone is."""
    folder, (lr, _, hr, _) = write_scene()
    write_png(folder / "HR.png", hr // 2)
    assert open_scene(folder).read()
    for path, pixels in [("HR.png", hr)] if truth else [(f"LR{n:03d}.png", image) for n, image in enumerate(lr)]:
        write_png(folder / path, (pixels // divisor).astype(np.uint16 if divisor == 64 else np.uint8))
    with pytest.raises(ValueError, match=f"^{folder}: expected images and truth in one unit, got clear pixels of "):
        open_scene(folder).read()
