# SPDX-License-Identifier: Apache-2.0
"""Scenes like PROBA-V's: displacements as scikit-image finds them, the challenge's layout, masks, and statistics."""

import json

import numpy as np
import pytest
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from datasets.deepsum.kelvins import open_scene, read_norm
from datasets.deepsum.preparation import LARGEST
from simulate import probav, probav_scenes
from simulate.probav import cut_ground, draw_ground, ground_shape, make_scene, see, simulate_scene
from simulate.probav_scenes import main

ROWS, COLUMNS = 64, 60
SMALL = ["--rows", "20", "--columns", "18"]


@pytest.fixture(scope="module")
def smooth():
    """Ground with nothing that sampling at 300 m would alias."""
    noise = np.random.default_rng(0).standard_normal(ground_shape(ROWS, COLUMNS))
    ground = ndimage.gaussian_filter(noise, 14)
    return (0.3 + 0.05 * ground / ground.std()).astype(np.float32)


@pytest.fixture(scope="module")
def scenes():
    """Some scenes for training, among them cloudy ones."""
    return [make_scene("NIR", ROWS, COLUMNS, 1, number) for number in range(5)]


def displacement_of(moved, still):
    """Measure by how many pixels of 100 m the content of an image of 300 m lies from another's."""
    window = np.outer(*(np.hanning(length) for length in still.shape))
    moved, still = ((image - image.mean()) * window for image in (moved, still))
    return 3 * phase_cross_correlation(moved, still, upsample_factor=100, normalization=None)[0]


@pytest.mark.parametrize("displacement", [(0.0, 0.0), (2.5, -1.0), (-0.7, 1.3)])
def test_content_moves_as_the_truth_says(smooth, displacement):
    """Down and to the right is positive."""
    still, moved = (see(smooth, place, 0.3) for place in ((0.0, 0.0), displacement))
    assert still.shape == (ROWS, COLUMNS)
    np.testing.assert_allclose(displacement_of(moved, still), displacement, atol=0.1)


def test_whole_displacements_of_the_fine_image_are_rolls(smooth):
    still, moved = (see(smooth, place, 0.2, 100.0) for place in ((0.0, 0.0), (2.0, -1.0)))
    assert still.shape == (3 * ROWS, 3 * COLUMNS)
    np.testing.assert_allclose(moved[5:-5, 5:-5], np.roll(still, (2, -1), (0, 1))[5:-5, 5:-5], rtol=1e-5)


def test_images_lie_on_the_fine_one(smooth):
    """The middle pixel of each 3 x 3 is centred on the coarse one, where smooth ground has its value."""
    coarse, fine = see(smooth, (0.0, 0.0), 0.3), see(smooth, (0.0, 0.0), 0.2, 100.0)[1::3, 1::3]
    assert np.abs(coarse - fine)[2:-2, 2:-2].max() < 0.1 * fine.std()
    assert np.abs(coarse - np.roll(fine, 1, 0))[2:-2, 2:-2].max() > 0.3 * fine.std()


@pytest.mark.slow
def test_displacements_of_made_scenes(scenes):
    """Of aliased, noisy, drifting images, found to a fifth of a pixel of 100 m in the mean."""
    errors = []
    for scene in scenes:
        clear = [(image, frame) for image, frame in zip(scene.lr, scene.truth["images"]) if not frame["cloud_cover"]]
        clear = [(image, frame) for image, frame in clear if not frame["corrupt"]]
        for image, frame in clear[1:]:
            found = displacement_of(image, clear[0][0])
            errors.append(found - np.subtract(frame["displacement"], clear[0][1]["displacement"]))
    assert len(errors) > 20
    assert np.abs(errors).mean() < 0.2 and abs(np.mean(errors)) < 0.1


def test_optics_transfer_what_they_say():
    """Waves of two pixels come out with the MTF's amplitude."""
    rows, columns = ground_shape(20, 20)
    for gsd, mtf in ((300.0, 0.3), (100.0, 0.2)):
        places = (np.arange(columns) + 0.5) * 50.0 - 1200.0 - gsd / 2
        ground = np.broadcast_to(np.cos(np.pi * places / gsd), (rows, columns)).astype(np.float32)
        seen = see(ground, (0.0, 0.0), mtf, gsd)
        np.testing.assert_allclose(np.abs(seen), mtf, rtol=0.01)


def test_sizes_and_ranges(scenes):
    counts = {len(scene.lr) for scene in scenes}
    assert min(counts) >= 9 and max(counts) <= 20 and len(counts) > 3
    for scene in scenes:
        assert scene.lr.shape == scene.qm.shape == (len(scene.truth["images"]), ROWS, COLUMNS)
        assert scene.hr.shape == scene.sm.shape == (3 * ROWS, 3 * COLUMNS)
        assert scene.lr.dtype == scene.hr.dtype == np.uint16 and scene.qm.dtype == scene.sm.dtype == bool
        assert scene.hr.max() < 2**14
        assert scene.qm.mean((1, 2)).min() >= 0.6 and scene.sm.mean() >= 0.75
        displacements = np.array([frame["displacement"] for frame in scene.truth["images"]])
        assert np.abs(displacements).max() <= 2.5 and displacements.std() > 0.5


@pytest.mark.slow
def test_corrupt_images_are_told(monkeypatch):
    """Exactly those that the preparation leaves out, and never so many that less than nine are left but rarely."""
    monkeypatch.setattr(probav, "CORRUPT_SHARE", 0.3)
    monkeypatch.setattr(probav, "generate", lambda shape, seed: _Flat(shape))
    told = []
    for number in range(12):
        scene = make_scene("NIR", 16, 16, 5, number)
        corrupt = scene.lr.max((1, 2)) > LARGEST
        assert [frame["corrupt"] for frame in scene.truth["images"]] == corrupt.tolist()
        assert scene.lr[~corrupt].max() < 2**14
        assert not corrupt.any() or len(corrupt) > 11
        told.append(corrupt.mean())
    assert 0.05 < np.mean(told) < 0.45


class _Flat:
    """Landscape with a slope only."""

    def __init__(self, shape):
        self.shape = shape

    def reflectance(self, interval):
        return np.broadcast_to(np.linspace(0.1, 0.4, self.shape[1], dtype=np.float32), self.shape)


def test_masks_tell_of_clouds(scenes):
    """Concealed pixels differ from what the ground is, clear ones little; images without clouds have full masks."""
    concealed, clear = [], []
    for scene in scenes:
        frames = scene.truth["images"]
        corrected = np.stack([(image - f["offset"]) / f["gain"] for image, f in zip(scene.lr, frames)])
        sunny = np.array([not frame["cloud_cover"] and not frame["corrupt"] for frame in frames])
        assert scene.qm[sunny].all()
        if not sunny.any():
            continue
        ground = np.median(corrected[sunny], axis=0)
        for image, mask, frame in zip(corrected, scene.qm, frames):
            if frame["cloud_cover"] > 0.05 and not frame["corrupt"]:
                assert 0.6 <= mask.mean() < 1.0
                concealed.append(np.abs(image - ground)[~mask].mean())
                clear.append(np.abs(image - ground)[mask].mean())
    assert len(clear) > 10
    assert np.mean(concealed) > 2000 and np.mean(clear) < 0.3 * np.mean(concealed)


def test_calibration_drifts_and_ground_changes(smooth, monkeypatch):
    """Without noise, clouds and displacements, images are gain x ground + offset, but for the ground's change."""
    monkeypatch.setattr(probav, "add_noise", lambda image, band, rng: image)
    monkeypatch.setattr(probav, "CLEAR_SHARE", 1.0)
    monkeypatch.setattr(probav, "CLOUDY_SCENES", 0.0)
    monkeypatch.setattr(probav, "CORRUPT_SHARE", 0.0)
    scene = simulate_scene(smooth, "NIR", np.random.default_rng(3))
    assert scene.qm.all()
    changes, gains, days = [], [], []
    for image, frame in zip(scene.lr, scene.truth["images"]):
        ground = 400.0 + 26000.0 * see(smooth, frame["displacement"], 0.3)
        relative = (image - frame["offset"]) / frame["gain"] / ground - 1.0
        changes.append(relative.std())
        days.append(abs(frame["day"] - scene.truth["hr"]["day"]))
        gains.append(frame["gain"])
    assert 0.97 <= min(gains) < 0.99 and 1.01 < max(gains) <= 1.03
    assert np.corrcoef(changes, days)[0, 1] > 0.99
    assert max(changes) < 0.03 and max(days) < 30


def test_noise_is_that_of_the_instrument():
    ground = np.full(ground_shape(ROWS, COLUMNS), 0.28, np.float32)
    image, mask, _ = probav._take(ground, probav.INSTRUMENTS["NIR"], (0, 0), 0.0, 300.0, 0.6, np.random.default_rng(0))
    assert mask.all()
    assert image.std() == pytest.approx(26000 * 0.28 / 150, rel=0.06)


@pytest.mark.slow
@pytest.mark.parametrize("band, mean, deviation", [("NIR", 7750, 2310), ("RED", 4910, 2470)])
def test_digital_numbers_are_those_of_the_challenge(band, mean, deviation):
    """Mean and deviation of the real set, which the authors of DeepSUM state, to a tenth and a quarter."""
    found = [make_scene(band, 16, 16, 2, number) for number in range(20)]
    pixels = np.concatenate([scene.lr[scene.lr.max((1, 2)) < 2**14].ravel() for scene in found])
    assert pixels.mean() == pytest.approx(mean, rel=0.1)
    assert pixels.std() == pytest.approx(deviation, rel=0.25)


@pytest.mark.slow
def test_seed_and_number_make_the_scene():
    first, again = (make_scene("NIR", 16, 16, 1, 0) for _ in range(2))
    assert first.truth == again.truth
    for name in ("lr", "qm", "hr", "sm"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    for arguments in ((2, 0), (1, 1), (1, 0, True)):
        assert make_scene("NIR", 16, 16, *arguments).truth != first.truth


def test_program_writes_the_challenges_layout(tmp_path, capsys):
    folder = tmp_path / "probav"
    assert main(["--output", str(folder), "--scenes", "2", "--test-scenes", "1", *SMALL]) == 0
    assert "2 scenes and 1 for the test, NIR" in capsys.readouterr().out
    assert {path.name for path in folder.iterdir()} == {"train", "test", "norm.csv", "simulation.json"}
    training, test = (
        [open_scene(scene) for scene in sorted((folder / part / "NIR").iterdir())] for part in ("train", "test")
    )
    assert [scene.name for scene in training + test] == ["imgset0000", "imgset0001", "imgset0002"]
    assert [scene.has_truth for scene in training + test] == [True, True, False]
    norm = read_norm(folder / "norm.csv")
    assert list(norm) == ["imgset0000", "imgset0001", "imgset0002"]
    for number, scene in enumerate(training):
        made = make_scene("NIR", 20, 18, 1, number)
        for found, wanted in zip(scene.read(), (made.lr, made.qm, made.hr, made.sm)):
            np.testing.assert_array_equal(found, wanted)
        truth = json.loads((scene.folder / "truth.json").read_text())
        assert truth == {"baseline": norm[scene.name], **made.truth}
    np.testing.assert_array_equal(test[0].read_images()[0], make_scene("NIR", 20, 18, 1, 0, is_test=True).lr)
    assert "without finished scenes" in failing(["--output", str(folder), *SMALL], capsys)


@pytest.mark.slow
def test_interrupted_run_goes_on(tmp_path, monkeypatch, capsys):
    arguments = ["--output", str(tmp_path / "a"), "--scenes", "3", *SMALL]
    calls = []

    def interrupted(*given):
        calls.append(given)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return make_scene(*given)

    monkeypatch.setattr(probav_scenes, "make_scene", interrupted)
    with pytest.raises(KeyboardInterrupt):
        main(arguments)
    assert not (tmp_path / "a/norm.csv").exists()
    assert "a folder of the same scenes" in failing([*arguments, "--seed", "2"], capsys)
    assert main(arguments) == 0
    assert len(calls) == 4
    assert main(["--output", str(tmp_path / "b"), "--scenes", "3", *SMALL]) == 0
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(files) == len([path for path in (tmp_path / "b").rglob("*") if path.is_file()])
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_given_landscapes_are_what_is_seen(tmp_path, write_raster):
    """Whatever their unit, in the contrast of a landscape: HR correlates with the window that was cut."""
    rows, columns = ground_shape(20, 18)
    noise = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((rows, columns)), 3)
    given = (1000 + 300 * noise / noise.std()).clip(1).astype(np.uint16)
    path = write_raster("given.tif", np.stack([np.zeros_like(given), given], axis=-1))
    arguments = ["--output", str(tmp_path / "out"), "--scenes", "1", *SMALL, "--landscape", str(path)]
    assert main([*arguments, "--landscape-band", "2"]) == 0
    hr, clear = open_scene(tmp_path / "out/train/NIR/imgset0000").read_truth()
    wanted = given[24:-24, 24:-24].reshape(60, 2, 54, 2).mean((1, 3))
    assert np.corrcoef(hr[clear], wanted[clear])[0, 1] > 0.95
    assert 1300 < hr[clear].std() < 2600


def test_ground_has_the_mean_and_contrast_of_its_band():
    image = np.random.default_rng(0).normal(500, 20, (200, 200))
    found = [draw_ground(image, "NIR", np.random.default_rng(seed)) for seed in range(50)]
    means, deviations = ([reduce(ground) for ground in found] for reduce in (np.mean, np.std))
    assert 0.17 <= min(means) < 0.2 and 0.34 < max(means) < 0.3701
    assert 0.0495 < min(deviations) < 0.055 and 0.095 < max(deviations) < 0.1001
    assert np.corrcoef(found[0].ravel(), image.ravel())[0, 1] > 0.99
    assert np.ptp(draw_ground(np.zeros((4, 4)), "RED", np.random.default_rng(0))) == 0


def failing(arguments, capsys):
    """Run the program and return the line that it ends with."""
    assert main(arguments) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_bad_input_is_told_in_one_line(tmp_path, write_raster, capsys):
    rows, columns = ground_shape(20, 18)
    common = ["--output", str(tmp_path / "out"), "--scenes", "1", *SMALL]
    small = write_raster("small.tif", np.ones((rows - 1, columns), np.uint16))
    missing = write_raster("missing.tif", np.zeros((rows, columns), np.uint16))
    text = tmp_path / "text.tif"
    text.write_text("no image")
    assert "a readable image" in failing([*common, "--landscape", str(text)], capsys)
    assert "band: expected at most 1" in failing([*common, "--landscape", str(small), "--landscape-band", "2"], capsys)
    assert not (tmp_path / "out").exists()
    for number, (path, words) in enumerate(
        ((small, f"at least {rows} x {columns} pixels"), (missing, "without missing pixels"))
    ):
        common[1] = str(tmp_path / f"out{number}")
        assert words in failing([*common, "--landscape", str(path)], capsys)
        assert [path.name for path in (tmp_path / f"out{number}").iterdir()] == ["simulation.json"]
    assert "expected a writable folder" in failing(["--output", str(text / "out"), *common[2:]], capsys)
    (tmp_path / "foreign/train").mkdir(parents=True)
    assert "a folder without scenes" in failing(["--output", str(tmp_path / "foreign"), *common[2:]], capsys)
    with pytest.raises(SystemExit) as error:
        main([*common, "--test-scenes", "-1"])
    assert error.value.code == 2
    assert "--test-scenes: expected 0 or more, got -1" in capsys.readouterr().err


def test_windows_have_no_missing_pixel():
    image = np.ones((ground_shape(20, 18)[0], 2 * ground_shape(20, 18)[1]))
    image[:, : image.shape[1] // 2 - 3] = 0
    with pytest.raises(ValueError, match="without missing pixels"):
        cut_ground(np.zeros_like(image), 20, 18, np.random.default_rng(0))
    assert cut_ground(image, 20, 18, np.random.default_rng(0)).all()
