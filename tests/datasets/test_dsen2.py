# SPDX-License-Identifier: Apache-2.0
"""Samples of DSen2: exactly the scene made coarser, from clear ground, drawn as asked for; scenes as they are read."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from chain.sentinel2.scene import opened_scene
from datasets import dsen2
from datasets.dsen2 import Scene, WaldPatches, read_scenes, scale_of, split
from datasets.wald import degrade, mtf_sigma
from models.dsen2 import ROLES, SOURCES

pytestmark = pytest.mark.keras

RATIOS = {name: round(source.gsd / 10) for name, source in SOURCES.items()}
SIDES = {"2x": 96, "6x": 252}
"""Rows and columns of a scene for each role, in pixels of 10 m."""
PATCHES = {"2x": 8, "6x": 12}


def make_scene(role, rows=None, columns=None, seed=0, name="scene"):
    """Draw a scene; the first two bands of the target are its rows and columns."""
    rng = np.random.default_rng(seed)
    rows, columns = rows or SIDES[role], columns or SIDES[role]
    images = {
        key: rng.integers(
            1, 8000, (rows // RATIOS[key], columns // RATIOS[key], len(SOURCES[key].bands)), np.int32
        ).astype("float32")
        for key in ROLES[role]
    }
    target = images[ROLES[role][-1]]
    target[..., 0], target[..., 1] = np.indices(target.shape[:2]) + 1
    return Scene(name, images, np.zeros((rows // 2, columns // 2), bool))


def draw(patches, count, augmentation=False, seed=0):
    generator = np.random.default_rng(seed)
    return [patches.sample(generator, augmentation) for _ in range(count)]


def place_of(target):
    """Return the first row and column of a target, in any orientation."""
    return int(target[..., 0].min()) - 1, int(target[..., 1].min()) - 1


def under(image, name, place, patch_size, role):
    """Cut what lies under a patch of the target out of a degraded source."""
    fineness = scale_of(role) * 10 / SOURCES[name].gsd  # native pixels along one of the target
    row, column, side = (round(length * fineness) // scale_of(role) for length in (*place, patch_size))
    part = image[row : row + side, column : column + side]
    assert part.shape[:2] == (side, side)
    return part


SIGMAS = [None, {"x10": [mtf_sigma(mtf, 2) for mtf in (0.1, 0.2, 0.3, 0.4)], "x20": [3.0, *[0.5] * 5]}, "none"]


@pytest.mark.parametrize("sigma", SIGMAS, ids=["paper", "mtf", "no blur"])
@pytest.mark.parametrize("role", ROLES)
def test_samples_are_parts_of_the_degraded_scene(role, sigma):
    """Also at the edges, where the blur mirrors, and with a blur that reaches no other pixel."""
    if sigma == "none":
        sigma = {name: 0.01 for name in ROLES[role]}
    scene, scale = make_scene(role), scale_of(role)
    patches = WaldPatches([scene], role, PATCHES[role], 1, sigma=sigma)
    whole = {name: degrade(image, scale, (sigma or {}).get(name)) for name, image in scene.images.items()}
    samples = draw(patches, 120)
    for images, target in samples:
        row, column = place_of(target)
        truth = scene.images[ROLES[role][-1]]
        assert np.array_equal(target, truth[row : row + PATCHES[role], column : column + PATCHES[role]])
        for name in ROLES[role]:
            assert np.array_equal(images[name], under(whole[name], name, (row, column), PATCHES[role], role))
            assert images[name].dtype == target.dtype == np.float32
    places = [place for _, target in samples for place in place_of(target)]
    assert set(places) == set(range(0, SIDES[role] // RATIOS[ROLES[role][-1]] - PATCHES[role] + 1, scale))


@pytest.mark.parametrize("role", ROLES)
def test_any_phase_is_the_shifted_scene(role):
    scene, scale, side = make_scene(role), scale_of(role), PATCHES[role]
    length, seen, moved = SIDES[role] // scale, set(), {}
    for images, target in draw(WaldPatches([scene], role, side, 1, any_phase=True), 120):
        row, column = place_of(target)
        shift = row % scale, column % scale
        seen.update(shift)
        if min(row, column) < scale or max(row, column) + side > length - scale:
            continue
        for name in ROLES[role]:
            if (name, shift) not in moved:
                down, right = (step * round(scale * 10 / SOURCES[name].gsd) for step in shift)
                moved[name, shift] = degrade(scene.images[name][down:, right:], scale)
            wanted = under(moved[name, shift], name, (row - shift[0], column - shift[1]), side, role)
            assert np.array_equal(images[name], wanted)
    assert seen == set(range(scale)) and len({shift for _, shift in moved}) > 3


def symmetries(image):
    return [np.rot90(one, turns) for one in (image, image[:, ::-1]) for turns in range(4)]


@pytest.mark.parametrize("role", ROLES)
def test_flips_and_rotations_are_common_to_all_sources(role):
    scene, scale, side = make_scene(role), scale_of(role), PATCHES[role]
    whole = {name: degrade(image, scale) for name, image in scene.images.items()}
    seen = set()
    for images, target in draw(WaldPatches([scene], role, side, 1), 60, augmentation=True):
        row, column = place_of(target)
        original = scene.images[ROLES[role][-1]][row : row + side, column : column + side]
        found = [index for index, turned in enumerate(symmetries(original)) if np.array_equal(turned, target)]
        assert len(found) == 1
        seen.update(found)
        for name in ROLES[role]:
            assert np.array_equal(
                images[name], symmetries(under(whole[name], name, (row, column), side, role))[found[0]]
            )
    assert seen == set(range(8))


@pytest.mark.parametrize("role", ROLES)
def test_gains_and_offsets_are_applied_to_truth_and_source_alike(role):
    scene, last = make_scene(role), ROLES[role][-1]
    plain, changed, balance = (
        WaldPatches([scene], role, PATCHES[role], 1, **options)
        for options in ({}, {"radiometry": True}, {"balance": True})
    )
    for seed in range(5):
        (before, truth), *others = (draw(patches, 1, seed=seed)[0] for patches in (plain, changed, balance))
        for after, target in others:
            for band in range(len(SOURCES[last].bands)):
                gain, shift = np.polyfit(before[last][..., band].ravel(), after[last][..., band].ravel(), 1)
                assert abs(gain - 1) > 1e-3
                assert np.allclose(target[..., band], gain * truth[..., band] + shift, rtol=1e-3, atol=1)
        assert all(np.array_equal(before[name], others[1][0][name]) for name in ROLES[role][:-1])


@pytest.mark.parametrize("role", ROLES)
def test_clouds_are_avoided(role):
    scene = make_scene(role)
    clouds = scene.clouds.copy()
    clouds[:, : clouds.shape[1] // 2] = True
    samples = draw(WaldPatches([replace(scene, clouds=clouds)], role, PATCHES[role], 1), 40)
    first = clouds.shape[1] // 2 * 2 // RATIOS[ROLES[role][-1]]
    for _, target in samples:
        cloudy = max(first - place_of(target)[1], 0) / PATCHES[role]
        assert cloudy <= dsen2.MOST_CLOUDS
    everywhere = WaldPatches([replace(scene, clouds=np.ones_like(clouds))], role, PATCHES[role], 1)
    with pytest.raises(ValueError, match="^scenes: expected ground without clouds, got 100 cloudy or missing patches"):
        draw(everywhere, 1)
    with pytest.raises(ValueError, match="^scenes: expected ground without clouds"):
        everywhere.first()


@pytest.mark.parametrize("role", ROLES)
def test_missing_pixels_are_avoided(role):
    """Also those that lie beside a patch and would reach it by way of the blur, in any of the sources."""
    for name in ROLES[role]:
        scene = make_scene(role)
        middle = [length // 2 for length in scene.images[name].shape[:2]]
        scene.images[name][middle[0], middle[1], -1] = np.nan
        samples = draw(WaldPatches([scene], role, PATCHES[role], 1, any_phase=True), 60)
        assert not any(np.isnan(image).any() for images, target in samples for image in (target, *images.values()))


def test_scenes_are_drawn_by_their_sides():
    large, small = make_scene("2x", 192, 192), make_scene("2x", 48, 48, seed=1)
    large.images["x20"][..., 2], small.images["x20"][..., 2] = 1, 2
    samples = draw(WaldPatches([small, large], "2x", 8, 1), 300)
    share = np.mean([target[0, 0, 2] == 1 for _, target in samples])
    assert share == pytest.approx(0.8, abs=0.08)


@pytest.mark.parametrize("role, sides", [("2x", (32, 16)), ("6x", (96, 48, 16))])
def test_datasets_of_the_papers_patches(role, sides):
    patch = sides[0]
    scene = make_scene(role, *([patch * 10 * scale_of(role) // 10 + 60] * 2))
    patches = WaldPatches([scene], role, patch, size=5)
    dataset = patches.dataset(2)
    inputs = {
        name: tf.TensorSpec((None, side, side, len(SOURCES[name].bands)), tf.float32)
        for name, side in zip(ROLES[role], sides)
    }
    bands = len(SOURCES[ROLES[role][-1]].bands)
    assert dataset.element_spec == (inputs, {"sr": tf.TensorSpec((None, patch, patch, bands), tf.float32)})
    assert int(dataset.cardinality()) == 3
    batches = list(dataset)
    assert [len(targets["sr"]) for _, targets in batches] == [2, 2, 1]
    for images, targets in batches:
        for index, target in enumerate(targets["sr"].numpy()):
            row, column = (int(round(value)) - 1 for value in (target[..., :2].min(axis=(0, 1)) * 1e4))
            truth = scene.images[ROLES[role][-1]][row : row + patch, column : column + patch]
            assert np.allclose(target, truth * 1e-4, rtol=1e-6)
            means = images[ROLES[role][-1]][index].numpy().mean(axis=(0, 1))
            assert np.allclose(means, truth.mean(axis=(0, 1)), rtol=0.02)


def contents(dataset):
    return [[array.numpy() for array in (*inputs.values(), *targets.values())] for inputs, targets in dataset]


def same(first, second):
    return all(np.array_equal(a, b) for one, other in zip(first, second) for a, b in zip(one, other))


def test_fixed_sets_repeat_and_others_do_not():
    scene = make_scene("2x")
    fixed, varying, again = (WaldPatches([scene], "2x", 8, 6, 3, fixed=value) for value in (True, False, False))
    dataset = fixed.dataset(4)
    assert same(contents(dataset), contents(dataset))
    epochs = [contents(varying.dataset(4, first_epoch=number)) for number in range(2)]
    assert not same(*epochs)
    repeated = contents(again.dataset(4).repeat(2))
    assert same(repeated, epochs[0] + epochs[1])
    assert not same(epochs[0], contents(WaldPatches([scene], "2x", 8, 6, 4).dataset(4)))


@pytest.mark.parametrize("rows, columns", [(30, 96), (12, 18), (96, 42)])
def test_small_scenes_are_mirrored(rows, columns):
    """At their lower and right edges, all sources about the same ground."""
    scene = make_scene("2x", rows, columns)
    scene.images["x10"][..., 0] = scene.images["x20"][..., 2].repeat(2, axis=0).repeat(2, axis=1)
    scene = replace(scene, clouds=scene.images["x20"][..., 2] > 7500)
    patches = WaldPatches([scene], "2x", 32, 1)
    (extended,) = patches.scenes
    assert extended.images["x20"].shape[:2] == (max(rows // 2, 33), max(columns // 2, 33))
    assert np.array_equal(extended.images["x20"][: rows // 2, : columns // 2], scene.images["x20"])
    missing = [(0, max(33 - length // 2, 0)) for length in (rows, columns)]
    assert np.array_equal(extended.images["x20"], np.pad(scene.images["x20"], [*missing, (0, 0)], "symmetric"))
    assert np.array_equal(extended.images["x10"][::2, ::2, 0], extended.images["x20"][..., 2])
    assert np.array_equal(extended.clouds, extended.images["x20"][..., 2] > 7500)


def test_sixty_metre_patches_of_small_scenes():
    scene = make_scene("6x", 120, 60)
    (images, target) = draw(WaldPatches([scene], "6x", 24, 1), 1)[0]
    assert target.shape == (24, 24, 2) and images["x60"].shape == (4, 4, 2) and images["x20"].shape == (12, 12, 6)


@pytest.mark.parametrize("role, patch_size", [("2x", 0), ("2x", 7), ("6x", 32), ("6x", -6)])
def test_patch_sizes_that_do_not_suit(role, patch_size):
    with pytest.raises(ValueError, match=f"^patch_size: expected a multiple of {scale_of(role)}, got "):
        WaldPatches([make_scene(role)], role, patch_size, 1)


def test_no_scene():
    with pytest.raises(ValueError, match="^scenes: expected at least one, got none"):
        WaldPatches([], "2x", 8, 1)


def test_identity_is_that_of_the_pixels():
    scenes = [make_scene("2x", seed=seed, name=str(seed)) for seed in (0, 1)]
    identity = WaldPatches(scenes, "2x", 8, 1).identity()
    assert set(identity) == {"1 0", "2 1"} and len(set(identity.values())) == 2
    assert WaldPatches(scenes, "2x", 16, 9, seed=5).identity() == identity
    scenes[1].images["x10"][5, 5, 3] += 1
    changed = WaldPatches(scenes, "2x", 8, 1).identity()
    assert changed["1 0"] == identity["1 0"] and changed["2 1"] != identity["2 1"]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_validation_ground_is_apart(role, share):
    """By a patch, so that neither a patch nor its blur sees the other's pixels."""
    rows = {"2x": 240, "6x": 600}[role]
    scene, patch = make_scene(role, rows, 96), {"2x": 12, "6x": 24}[role]
    (training,), (validation,) = split([scene], share, patch, role)
    target = ROLES[role][-1]
    ranges = [part.images[target][:, 0, 0] for part in (training, validation)]
    assert ranges[0][0] == 1 and ranges[1][-1] == rows // RATIOS[target]
    assert ranges[1][0] - ranges[0][-1] - 1 >= patch and len(ranges[0]) >= patch <= len(ranges[1])
    wanted = max(round(share * rows / 6), -(-patch * scale_of(role) // 6)) * 60 / SOURCES[target].gsd
    assert len(ranges[1]) == wanted
    for part in (training, validation):
        rows_10m = {name: image.shape[0] * RATIOS[name] for name, image in part.images.items()}
        assert len(set(rows_10m.values())) == 1 and part.clouds.shape[0] * 2 == rows_10m["x10"]
        first = int(part.images[target][0, 0, 0] - 1) * RATIOS[target]
        assert np.array_equal(part.images["x10"], scene.images["x10"][first : first + rows_10m["x10"]])


def test_scenes_too_small_to_split_are_for_training():
    tiny, large = make_scene("2x", 48, 48, name="tiny"), make_scene("2x", 240, 48, name="large")
    training, validation = split([tiny, large], 0.2, 16, "2x")
    assert [scene.name for scene in training] == ["tiny", "large"] and training[0] is tiny
    assert [scene.name for scene in validation] == ["large"]


@pytest.fixture
def rasters(write_raster):
    """Return a function writing a scene as rasters of 10, 20 and 60 m, each from its own corner."""

    def write(scene, corners=None, origin=(300000.0, 5000040.0), **options):
        paths = []
        for key, image in scene.images.items():
            gsd = SOURCES[key].gsd
            right, down = (corners or {}).get(key, (0, 0))
            place = (origin[0] + right * gsd, origin[1] - down * gsd)
            pixels = np.nan_to_num(image[down:, right:]).astype("uint16")
            paths.append(
                str(write_raster(f"{gsd:.0f}m.tif", pixels, gsd=gsd, origin=place, bands=SOURCES[key].bands, **options))
            )
        return paths

    return write


def read_back(paths, role, scl=None, **options):
    with opened_scene(paths, 0) as scene:
        return read_scenes(scene.product, role, scl=scl or scene.scl, **options)


@pytest.mark.parametrize("role", ROLES)
def test_scenes_are_read_as_they_are(rasters, role):
    scene = make_scene("6x")
    scene.images["x20"][5, 7, 2] = scene.images["x10"][0, 3, 1] = np.nan
    (found,) = read_back(rasters(scene), role)
    assert set(found.images) == set(ROLES[role])
    for name, image in found.images.items():
        assert image.dtype == np.float32 and np.array_equal(image, scene.images[name], equal_nan=True)
    assert found.clouds.shape == (SIDES["6x"] // 2,) * 2 and not found.clouds.any()


def test_snow_is_kept(rasters):
    """Without a scene classification, bright ground is not taken for a cloud."""
    scene = make_scene("2x")
    scene.images["x10"][:] = 9000
    (found,) = read_back(rasters(scene), "2x")
    images, _ = draw(WaldPatches([found], "2x", 8, 1), 1)[0]
    assert images["x10"].min() == 9000


def test_windows_of_a_large_scene(rasters, monkeypatch):
    monkeypatch.setattr(dsen2, "WINDOW", 96)
    scene = make_scene("2x", 252, 300)
    found = read_back(rasters(scene), "2x", windows=4)
    assert len(found) == 4 == len({one.name for one in found})
    corners = []
    for one in found:
        column, row = (6 * int(number) for number in one.name.split("@")[1].split(","))
        corners.append((row, column))
        assert np.array_equal(one.images["x10"], scene.images["x10"][row : row + 96, column : column + 96])
        place = np.s_[row // 2 : row // 2 + 48, column // 2 : column // 2 + 48]
        assert np.array_equal(one.images["x20"], scene.images["x20"][place])
    assert {(0, 0), (156, 204)} <= set(corners)


@pytest.mark.parametrize("gsd", [10.0, 20.0, 60.0])
def test_scene_classification_at_any_resolution(rasters, write_raster, gsd):
    """Its pixels are looked up by their place, from a corner of its own."""
    scene = make_scene("2x", 120, 120)
    classes = np.full((round(900 / gsd), round(1140 / gsd)), 4, "uint8")
    classes[round(180 / gsd) : round(360 / gsd), round(300 / gsd) : round(540 / gsd)] = 9
    scl = str(write_raster("SCL.tif", classes, gsd=gsd, origin=(300000.0 + 120, 5000040.0 - 60)))
    (found,) = read_back(rasters(scene), "2x", scl=scl)
    wanted = np.zeros((60, 60), bool)
    wanted[12:21, 21:33] = True
    assert np.array_equal(found.clouds, wanted)


@pytest.mark.parametrize("role, corners", [("2x", {"x10": (2, 4)}), ("6x", {"x20": (1, 2), "x10": (6, 0)})])
def test_images_with_corners_of_their_own(rasters, role, corners):
    """Only the ground that all images cover is read, as a whole number of pixels of 60 m."""
    scene = make_scene("6x")
    scene = replace(scene, images={name: scene.images[name] for name in ROLES[role]})
    (found,) = read_back(rasters(scene, corners), role)
    step = RATIOS[ROLES[role][-1]]
    column, row = (
        -(-max(corner[axis] * RATIOS[name] for name, corner in corners.items()) // step) * step for axis in (0, 1)
    )
    for name, image in found.images.items():
        ratio = RATIOS[name]
        wanted = scene.images[name][row // ratio :, column // ratio :]
        rows, columns = ((SIDES["6x"] - place) // 6 * 6 // ratio for place in (row, column))
        assert np.array_equal(image, wanted[:rows, :columns])


def test_images_that_are_no_scene(rasters, write_raster):
    scene = make_scene("6x")
    paths = rasters(scene)
    with pytest.raises(ValueError, match="expected bands B01 B09, got "):
        read_back(paths[:2], "6x")
    pixels, bands = scene.images["x20"].astype("uint16"), SOURCES["x20"].bands
    half = write_raster("half.tif", pixels, gsd=20.0, origin=(300005.0, 5000040.0), bands=bands)
    with pytest.raises(ValueError, match="expected grids that share their pixel corners"):
        read_back([paths[0], str(half)], "2x")
    tiny = make_scene("2x", 4, 60)
    with pytest.raises(ValueError, match="^input: expected bands that share at least 60 x 60 m, got less"):
        read_back(rasters(tiny), "2x")


def test_small_scenes_begin_at_any_pixel_too():
    """A scene that just holds a patch, or less, is more than one sample."""
    patches = WaldPatches([make_scene("6x", 120, 120)], "6x", 24, 1, any_phase=True)
    firsts = {place_of(target) for _, target in draw(patches, 60)}
    assert len({row % 6 for row, _ in firsts}) == 6 == len({column % 6 for _, column in firsts})
