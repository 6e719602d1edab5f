# SPDX-License-Identifier: Apache-2.0
"""Samples: both ways of storing them, units, augmentation, errors."""

import shutil

import numpy as np
import otbtf
import pytest
import tensorflow as tf
from osgeo import gdal
from tensorflow import keras

from train.data import find_patches, flip_and_rotate

pytestmark = pytest.mark.keras

KEYS = ("lr", "hr")


def stored(folder, name, key):
    return otbtf.read_as_np_arr(otbtf.gdal_open(str(folder / f"{name}_{key}.tif"))).astype("float32")


@pytest.mark.parametrize("kind", ["patches", "records"])
def test_both_kinds_of_storage(kind, request, patches):
    sets = find_patches(request.getfixturevalue(kind), KEYS)
    assert {name: subset.size for name, subset in sets.items()} == {"train": 12, "valid": 4, "test": 5}
    dataset = sets["test"].dataset(batch_size=2)
    assert dataset.element_spec == (
        {"lr": tf.TensorSpec((None, 8, 8, 4), tf.float32)},
        {"sr": tf.TensorSpec((None, 32, 32, 4), tf.float32)},
    )
    assert int(dataset.cardinality()) == 3
    batches = list(dataset)
    lr = np.concatenate([inputs["lr"] for inputs, _ in batches])
    sr = np.concatenate([targets["sr"] for _, targets in batches])
    order = [int(np.flatnonzero((stored(patches, "test", "lr") == image).all(axis=(1, 2, 3)))[0]) for image in lr]
    assert sorted(order) == list(range(5))
    assert np.allclose(sr, stored(patches, "test", "hr")[order] * 1e-4)


def test_identity_is_that_of_the_content(patches, records):
    sets = find_patches(patches, KEYS)
    identities = [sets["test"].identity(), sets["valid"].identity()]
    assert len({value for identity in identities for value in identity.values()}) == 4
    assert len(find_patches(records, KEYS)["train"].identity()) == 4


def test_flips_and_rotations_are_common_to_all_sources():
    tf.random.set_seed(1)
    lr = np.arange(16, dtype="float32").reshape(4, 4, 1)
    hr = lr.repeat(2, axis=0).repeat(2, axis=1)
    symmetries = {}
    for _ in range(100):
        small, large = flip_and_rotate([tf.constant(lr), tf.constant(hr)])
        assert small.shape == lr.shape and np.array_equal(large[::2, ::2], small)
        symmetries[small.numpy().tobytes()] = small.numpy()
    wanted = {
        np.ascontiguousarray(np.rot90(image, turns)).tobytes() for image in (lr, lr[:, ::-1]) for turns in range(4)
    }
    assert set(symmetries) == wanted


def test_augmentation_is_asked_for(patches):
    subset = find_patches(patches, KEYS)["valid"]
    wanted = {image.tobytes() for image in stored(patches, "valid", "lr")}
    plain = {image.numpy().tobytes() for inputs, _ in subset.dataset(1) for image in inputs["lr"]}
    turned = {image.numpy().tobytes() for inputs, _ in subset.dataset(1, augmentation=True) for image in inputs["lr"]}
    assert plain == wanted and turned != wanted


def test_a_set_is_missing(patches, tmp_path):
    for name in ("train_lr", "train_hr", "valid_lr"):
        (tmp_path / f"{name}.tif").symlink_to(patches / f"{name}.tif")
    with pytest.raises(ValueError, match=r"^--patches: .*valid_lr.tif and valid_hr.tif.* got "):
        find_patches(tmp_path, KEYS)


def test_sources_do_not_match(patches, tmp_path):
    (tmp_path / "train_lr.tif").symlink_to(patches / "train_lr.tif")
    (tmp_path / "train_hr.tif").symlink_to(patches / "test_hr.tif")
    with pytest.raises(ValueError, match=r"^--patches: .* got \{'lr': 12, 'hr': 5\} in train"):
        find_patches(tmp_path, KEYS)


def altered(patches, folder, name, alter):
    """Link all patches images into a folder, but one, which `alter` makes from the original."""
    for path in patches.glob("*.tif"):
        if path.name == name:
            alter(path, folder / name)
        else:
            (folder / path.name).symlink_to(path)


def test_sets_of_different_bands_are_refused_before_training(patches, tmp_path):
    altered(patches, tmp_path, "test_lr.tif", lambda old, new: gdal.Translate(str(new), str(old), bandList=[1, 2, 3]))
    with pytest.raises(ValueError, match=r"^--patches: expected the same sizes and bands in all sets, got "):
        find_patches(tmp_path, KEYS)


@pytest.mark.parametrize("share", [0.0, 0.6])
def test_truncated_images_are_refused_before_training(patches, tmp_path, share):
    def truncate(old, new):
        content = old.read_bytes()
        new.write_bytes(content[: int(share * len(content))])

    altered(patches, tmp_path, "test_hr.tif", truncate)
    with pytest.raises(ValueError, match=r"^--patches: expected a whole raster, got .*test_hr.tif"):
        find_patches(tmp_path, KEYS)


def test_a_part_of_a_patch_is_refused(patches, tmp_path):
    altered(
        patches, tmp_path, "valid_lr.tif", lambda old, new: gdal.Translate(str(new), str(old), srcWin=[0, 0, 8, 33])
    )
    with pytest.raises(ValueError, match=r"^--patches: expected whole square patches, got .*8 x 33.* in valid"):
        find_patches(tmp_path, KEYS)


def test_targets_in_another_order_are_refused(patches, tmp_path):
    """As after two runs with different seeds."""

    def reverse(old, new):
        source = gdal.Open(str(old))
        side = source.RasterXSize
        cuts = [source.ReadAsArray(0, row, side, side) for row in range(0, source.RasterYSize, side)]
        gdal.GetDriverByName("GTiff").CreateCopy(str(new), source).WriteArray(np.concatenate(cuts[::-1], axis=1))

    altered(patches, tmp_path, "train_hr.tif", reverse)
    with pytest.raises(
        ValueError, match="^--patches: expected patches of the same places in train_lr.tif and train_hr"
    ):
        find_patches(tmp_path, KEYS)


@pytest.mark.parametrize("gsd, accepted", [(6.0, True), (6.1, True), (1.0, True), (5e-5, True), (2.0, False)])
def test_patches_have_the_models_pixels_where_they_state_them(patches, tmp_path, gsd, accepted):
    def place(old, new):
        gdal.Translate(str(new), str(old))
        gdal.Open(str(new), gdal.GA_Update).SetGeoTransform((0, gsd, 0, 0, 0, -gsd))

    altered(patches, tmp_path, "valid_lr.tif", place)
    if accepted:
        find_patches(tmp_path, KEYS, gsds={"lr": 6.0, "hr": 1.5})
        return
    with pytest.raises(ValueError, match="^--patches: expected pixels of 6 m, as the model's, got 2 m in .*valid_lr"):
        find_patches(tmp_path, KEYS, gsds={"lr": 6.0, "hr": 1.5})


@pytest.mark.slow
@pytest.mark.parametrize("streaming", [False, True])
def test_order_and_flips_follow_the_seed_alone(patches, streaming):
    subset = find_patches(patches, KEYS, streaming)["train"]

    def seen(seed):
        keras.utils.set_random_seed(seed)
        return [inputs["lr"].numpy().tobytes() for inputs, _ in subset.dataset(2, augmentation=True).repeat(2)]

    first = seen(1)
    assert first == seen(1) != seen(2) and first[: len(first) // 2] != first[len(first) // 2 :]


@pytest.mark.parametrize("name", ["train_lr.tif", "test_hr.tif"])
@pytest.mark.parametrize(
    "change, message",
    [
        (lambda array: np.where(array == array.max(), np.nan, array), "patches without missing pixels, got NaN or the"),
        (lambda array: array / 10000, "digital numbers, 10000 x reflectance, got numbers up to 0"),
    ],
)
def test_floating_point_numbers_are_finite_digital_numbers(patches, tmp_path, name, change, message):
    def changed(old, new):
        raster = gdal.Translate(str(new), str(old), outputType=gdal.GDT_Float32)
        raster.WriteArray(change(raster.ReadAsArray()))

    altered(patches, tmp_path, name, changed)
    with pytest.raises(ValueError, match=f"^--patches: expected {message}.* in .*{name}$"):
        find_patches(tmp_path, KEYS)


@pytest.mark.parametrize("name", ["valid_lr.tif", "train_hr.tif"])
@pytest.mark.parametrize(
    "kind, nodata, change, message",
    [
        (gdal.GDT_Byte, None, lambda array: array // 16, "digital numbers, 10000 x reflectance, got 8 bits"),
        (gdal.GDT_UInt16, 65535, lambda array: np.where(array == array.max(), 65535, array), "patches without missing"),
        (
            gdal.GDT_UInt16,
            None,
            lambda array: array * (np.arange(array.shape[1])[:, None] >= 32),
            "patches without mis",
        ),
    ],
)
def test_whole_numbers_are_digital_numbers_and_there(patches, tmp_path, name, kind, nodata, change, message):
    def changed(old, new):
        raster = gdal.Translate(str(new), str(old), outputType=kind)
        raster.WriteArray(change(gdal.Open(str(old)).ReadAsArray()))
        if nodata is not None:
            raster.GetRasterBand(1).SetNoDataValue(nodata)

    altered(patches, tmp_path, name, changed)
    with pytest.raises(ValueError, match=f"^--patches: expected {message}.* in .*{name}$"):
        find_patches(tmp_path, KEYS)


@pytest.mark.parametrize("names", ["B04 B03 B02 B08", "red green blue nir", "1 2 3 4", "B02 B03 B04 B08", "blue x y z"])
@pytest.mark.parametrize("file", ["train_lr.tif", "test_hr.tif"])
def test_bands_are_those_of_the_model_where_patches_describe_them(patches, tmp_path, names, file):
    def described(old, new):
        raster = gdal.Translate(str(new), str(old))
        for number, name in enumerate(names.split(), start=1):
            raster.GetRasterBand(number).SetDescription(name)

    altered(patches, tmp_path, file, described)
    bands = dict.fromkeys(KEYS, ("B04", "B03", "B02", "B08"))
    assert find_patches(tmp_path, KEYS)["test"].size == 5
    if names.split()[0] not in ("B02", "blue"):
        assert find_patches(tmp_path, KEYS, bands=bands)["test"].size == 5
        return
    message = "--patches: expected the bands B04, B03, B02, B08 in this order, got band 1 described as "
    with pytest.raises(ValueError, match=f"^{message}.* {tmp_path}/{file}$"):
        find_patches(tmp_path, KEYS, bands=bands)


@pytest.mark.parametrize("kind", ["patches", "records"])
def test_patches_that_are_trained_on_are_refused_for_validation_and_told_for_the_test(kind, request, tmp_path, caplog):
    folder = tmp_path / "sets"
    shutil.copytree(request.getfixturevalue(kind), folder)
    for name in ("test", "valid"):
        for key in KEYS if kind == "patches" else ("",):
            copy, train = ((folder / f"{each}_{key}.tif" if key else folder / each) for each in (name, "train"))
            copy.unlink() if key else shutil.rmtree(copy)
            gdal.Translate(str(copy), str(train), srcWin=_second(train)) if key else shutil.copytree(train, copy)
        count = "1 of 1" if kind == "patches" else "12 of 12"
        told = f"--patches: expected other patches in {name} than in train, got {count} of train's"
        if name == "test":
            find_patches(folder, KEYS)
            (record,) = caplog.records
            assert record.levelname == "WARNING" and record.getMessage().startswith(told)
        else:
            with pytest.raises(ValueError, match=f"^{told}$"):
                find_patches(folder, KEYS)


def _second(path):
    """Return the place of the second patch of an image."""
    side = gdal.Open(str(path)).RasterXSize
    return [0, side, side, side]


def test_digital_numbers_may_be_floating_point_numbers(patches, tmp_path):
    altered(
        patches,
        tmp_path,
        "test_hr.tif",
        lambda old, new: gdal.Translate(str(new), str(old), outputType=gdal.GDT_Float32),
    )
    assert find_patches(tmp_path, KEYS)["test"].size == 5
