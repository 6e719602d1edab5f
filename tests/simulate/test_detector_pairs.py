# SPDX-License-Identifier: Apache-2.0
"""Pairs of detectors: the truth holds when images are warped by it, by scipy; counts are those of real L1B images."""

import numpy as np
import pytest
from osgeo import gdal
from scipy import ndimage

from simulate import detectors
from simulate.detector_pairs import main, read_landscape
from simulate.detectors import BANDS, GREEN, Ground, cut_ground, draw_motions, ground_shape, see, simulate_pair
from simulate.landscape import generate
from simulate.sensors import SENTINEL2, discrete_deviation, psf_deviation, psf_weights

SIZE = 72, 56
BORDER = 12
"""More than displacements reach."""
SIDES = ("left", "right")


@pytest.fixture(scope="module")
def smooth():
    """Ground without anything finer than 10 pixels of 10 m, which bicubic interpolation shows well."""
    noise = np.random.default_rng(0).standard_normal((*ground_shape(*SIZE), 4))
    ground = ndimage.gaussian_filter(noise, (6, 6, 0))
    counts = (300.0 + 100.0 * ground / ground.std((0, 1))).astype(np.float32)
    return Ground(counts, counts)


@pytest.fixture(scope="module", params=[0, 1, 2])
def motions(request):
    return draw_motions(np.random.default_rng(request.param))


def warp(image, flow):
    """Show image(p + flow(p)), by a cubic spline."""
    y, x = np.indices(image.shape[:2])
    return ndimage.map_coordinates(image, [y + flow[..., 1], x + flow[..., 0]], order=3, mode="mirror")


def inner(image):
    return image[BORDER:-BORDER, BORDER:-BORDER]


def error(found, wanted):
    return float(np.sqrt(np.mean((inner(found) - inner(wanted)) ** 2)))


def test_bands_warped_by_their_flow_are_the_registered_ones(smooth, motions):
    """To a thousandth of the contrast, whose deviation is 100; not with the flow's opposite, or x and y swapped."""
    pair = see(smooth, motions)
    for side, image in zip(SIDES, (pair.left, pair.right)):
        flow, registered = pair.truth[f"flow_{side}"], pair.truth[f"registered_{side}"]
        for band in range(4):
            assert error(warp(image[..., band], flow[:, :, band]), registered[..., band]) < 0.1
            if band != GREEN:
                assert error(warp(image[..., band], -flow[:, :, band]), registered[..., band]) > 5
                assert error(warp(image[..., band], flow[:, :, band, ::-1]), registered[..., band]) > 5
        assert not flow[:, :, GREEN].any()


def test_right_green_warped_by_cross_is_the_left_one(smooth, motions):
    pair = see(smooth, motions)
    left, right = (image[..., GREEN] for image in (pair.left, pair.right))
    assert error(warp(right, pair.truth["cross"]), left) < 0.1
    assert error(warp(right, -pair.truth["cross"]), left) > 5
    for band in range(4):
        registered = [pair.truth[f"registered_{side}"][..., band] for side in SIDES]
        assert error(warp(registered[1], pair.truth["cross"]), registered[0]) < 0.1


def test_hr_at_every_second_pixel_is_registered_and_between_them_it_is_the_ground(smooth, motions):
    pair = see(smooth, motions)
    for side, image in zip(SIDES, (pair.left, pair.right)):
        fine, registered = pair.truth[f"hr_{side}"], pair.truth[f"registered_{side}"]
        assert fine.shape == (2 * SIZE[0], 2 * SIZE[1], 4)
        np.testing.assert_array_equal(fine[::2, ::2], registered)
        np.testing.assert_array_equal(registered[..., GREEN], image[..., GREEN])
        y, x = np.indices(fine.shape[:2]) / 2
        for band in range(4):
            between = ndimage.map_coordinates(registered[..., band], [y, x], order=3, mode="mirror")
            assert error(between, fine[..., band]) < 0.1


def test_flows_are_true_on_landscapes(motions):
    """Images of landscapes are aliased, so that interpolation errs; the true flow is nearer than any other nearby."""
    pair = see(detectors.render_ground(*SIZE, seed=3), motions)
    flow, registered = pair.truth["flow_left"], pair.truth["registered_left"]
    for band in range(4):
        image, wanted = pair.left[..., band], registered[..., band]
        found = error(warp(image, flow[:, :, band]), wanted)
        assert found < 0.4 * inner(wanted).std()
        for shift in ((0.5, 0.0), (-0.5, 0.0), (0.0, 0.5), (0.0, -0.5)):
            assert error(warp(image, flow[:, :, band] + np.array(shift)), wanted) > found


def test_ranges_of_motions():
    """Shifts between detectors reach 6 pixels, those of bands 2, and what varies over an image a few tenths."""
    between, bands, varying = [], [], []
    pixels = detectors._positions(20, 20, 20.0)
    for seed in range(200):
        drawn = draw_motions(np.random.default_rng(seed))
        between.append(np.hypot(*(drawn["right"][GREEN].shift - drawn["left"][GREEN].shift)))
        for motions in drawn.values():
            bands += [np.hypot(*(motion.shift - motions[GREEN].shift)) for motion in motions[:1] + motions[2:]]
            varying += [np.abs(motion.offset(pixels) - motion.shift).max() for motion in motions]
    assert 5.5 < max(between) < 6.0 and 1.9 < max(bands) < 2.0
    assert 0.1 < np.median(varying) < 0.25 and max(varying) < 0.31


def test_sampling_between_pixels_is_seeing_there():
    """The spline through ground at 5 m, against the landscape seen by the sensor at the places themselves."""
    shape = 360, 320
    landscape = generate(shape, seed=5)
    for name in BANDS:
        reflectance = landscape.reflectance(SENTINEL2[name].interval)
        ground = detectors._blur(reflectance, SENTINEL2[name].mtf, 10.0, 2.5)
        deviation = discrete_deviation(SENTINEL2[name].mtf, 10.0, 2.5)
        x, y = 3.1, 1.7
        down, across = (
            psf_weights(deviation, size, 2.5, start, size // 2 - 1, 5.0) for size, start in zip(shape, (y, x))
        )
        seen = (across @ (down @ reflectance).T).T
        rows, columns = np.indices(seen.shape) / 2.0
        still = detectors.Motion(np.array([x, y]) / 10.0 - detectors.MARGIN, *[np.zeros((1, 2))] * 3)
        coefficients = ndimage.spline_filter(ground.astype(np.float64), 5)
        found = detectors._sample(coefficients, still, np.stack([columns, rows], axis=-1))
        gain = detectors.COUNTS[name].gain
        assert gain * error(found, seen) < 0.2
        assert gain * inner(seen).std() > 20


def test_ground_is_as_sharp_as_the_sensor():
    """A given image of a wave of 20 m comes out with its amplitude times the MTF at 10 m, and as it is."""
    rows, columns = ground_shape(*SIZE)
    wave = 500.0 + 200.0 * np.cos(np.pi * np.arange(columns) / 2.0)
    image = np.repeat(np.broadcast_to(wave, (rows, columns))[..., None], 4, axis=2)
    for mtf in (detectors.MTF, (0.2, 0.23, 0.27, 0.3)):
        ground = cut_ground(image, *SIZE, np.random.default_rng(0), mtf)
        for band in range(4):
            amplitude = inner(ground.seen[..., band])[:, ::4] - inner(ground.seen[..., band])[:, 2::4]
            assert np.abs(amplitude).mean() / 400.0 == pytest.approx(mtf[band], rel=0.01)
        np.testing.assert_array_equal(ground.sharp, image.astype(np.float32))
    assert psf_deviation(0.25, 10.0) == pytest.approx(5.3, abs=0.01)


class Wave:
    """A landscape that is a wave of some pixels of 2.5 m along the rows."""

    def __init__(self, shape, length):
        self._image = np.broadcast_to(0.3 + 0.1 * np.cos(2 * np.pi * np.arange(shape[1]) / length), shape)

    def reflectance(self, interval):
        return self._image.astype(np.float32)


@pytest.mark.parametrize("length, metres", [(8, 20.0), (16, 40.0)])
def test_sharp_truth_is_as_sharp_as_a_sensor_with_pixels_of_5_m(motions, monkeypatch, length, metres):
    """Of a wave of some length the image keeps MTF^((20 m / length)^2), as Gaussians do; the sharp truth, of a sensor
    with half the pixel and the same MTF, MTF^((10 m / length)^2)."""
    monkeypatch.setattr(detectors, "generate", lambda shape, seed: Wave(shape, length))
    pair = see(detectors.render_ground(*SIZE, seed=1), motions)
    for side in SIDES:
        for band, name in enumerate(BANDS):
            amplitude = 0.1 * detectors.COUNTS[name].gain / np.sqrt(2)
            for kind, least in (("hr", 20.0), ("sharp", 10.0)):
                kept = inner(pair.truth[f"{kind}_{side}"][..., band]).std() / amplitude
                assert kept == pytest.approx(SENTINEL2[name].mtf ** ((least / metres) ** 2), rel=0.02)


def test_sharp_truth_lies_where_the_other_one_does(motions):
    """Blurred as by the sensor, by scipy, it is the other truth; moved by a pixel of 5 m it is not."""
    noise = np.random.default_rng(0).standard_normal((*ground_shape(*SIZE), 4))
    image = (300.0 + 300.0 * ndimage.gaussian_filter(noise, (1, 1, 0))).astype(np.float32)
    pair = see(cut_ground(image, *SIZE, np.random.default_rng(0)), motions)
    for side in SIDES:
        for band, name in enumerate(BANDS):
            deviation = psf_deviation(SENTINEL2[name].mtf, 2.0)
            blurred = ndimage.gaussian_filter(pair.truth[f"sharp_{side}"][..., band], deviation)
            wanted = pair.truth[f"hr_{side}"][..., band]
            assert error(blurred, wanted) < 0.03 * inner(wanted).std()
            assert all(error(np.roll(blurred, 1, axis), wanted) > 0.3 * inner(wanted).std() for axis in (0, 1))


def test_mtf_is_drawn_from_its_range():
    """Images of a wave of 20 m keep less of it than half of the range allows, in some bands, and more in others."""
    rows, columns = ground_shape(24, 24)
    wave = 5000.0 + 4000.0 * np.cos(np.pi * np.arange(columns) / 2.0)
    image = np.repeat(np.broadcast_to(wave, (rows, columns))[..., None], 4, axis=2)
    kept = []
    for number in range(6):
        pair = simulate_pair(24, 24, 1, number, image, (0.2, 0.3))
        kept += [pair.truth["hr_left"][..., band].std() * np.sqrt(2) / 4000.0 for band in range(4)]
    assert 0.19 < min(kept) < 0.22 and 0.28 < max(kept) < 0.31
    same = simulate_pair(24, 24, 1, 0, image, (0.25, 0.25)).truth["hr_left"]
    assert same.std((0, 1)) * np.sqrt(2) / 4000.0 == pytest.approx(0.25, rel=0.03)


@pytest.mark.slow
def test_counts_are_those_of_real_images():
    """Ranges of ten real images of L1B, widened by a tenth; the landscapes' means differ less than those of places."""
    pairs = [simulate_pair(200, 160, 1, number) for number in range(3)]
    images = [image for pair in pairs for image in (pair.left, pair.right)]
    assert all(image.dtype == np.uint16 and image.shape == (200, 160, 4) for image in images)
    lowest, means = (np.array([reduce(image, axis=(0, 1)) for image in images]) for reduce in (np.min, np.mean))
    assert lowest.min() > 30 and lowest.max() < 170
    for band, (least, most) in enumerate([(184, 251), (182, 255), (129, 204), (373, 473)]):
        assert (0.9 * least < means[:, band]).all() and (means[:, band] < 1.1 * most).all()
    assert max(image.max() for image in images) < 3532
    assert 400 < np.percentile([image[..., 3] for image in images], 99) < 995


def test_noise_grows_with_the_signal_and_is_new_in_each_image(motions):
    """As the flattest parts of real images at most: 0.7 to 1 count at 80 to 165 counts."""
    levels = np.array([160.0, 140.0, 80.0, 420.0])
    deviations = []
    for factor in (1.0, 9.0):
        ground = np.broadcast_to((factor * levels).astype(np.float32), (*ground_shape(*SIZE), 4))
        pair = see(Ground(ground, ground), motions, np.random.default_rng(0))
        noise = [image - factor * levels for image in (pair.left, pair.right)]
        deviations.append(noise[0].std((0, 1)))
        assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05
        assert (np.abs(noise[0].mean((0, 1))) < 5 * deviations[-1] / np.sqrt(np.prod(SIZE))).all()
    assert (0.6 < deviations[0][:3]).all() and (deviations[0][:3] < 1.1).all()
    assert (2.0 < deviations[1] / deviations[0]).all() and (deviations[1] / deviations[0] < 3.0).all()


def test_counts_are_clipped_to_16_bits(motions):
    shape = (*ground_shape(16, 16), 4)
    for value, wanted in ((90000.0, 65535), (-500.0, 1)):
        ground = np.full(shape, value, np.float32)
        pair = see(Ground(ground, ground), motions, np.random.default_rng(0))
        assert (pair.left == wanted).all()


def test_seed_and_number_make_the_pair():
    first, again = simulate_pair(16, 20, 1, 0), simulate_pair(16, 20, 1, 0)
    np.testing.assert_array_equal(first.left, again.left)
    for name, array in first.truth.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, again.truth[name])
    for seed, number in ((1, 1), (2, 0)):
        other = simulate_pair(16, 20, seed, number)
        assert not np.array_equal(first.left, other.left)
        assert not np.allclose(first.truth["cross"], other.truth["cross"], atol=1e-3)


def read(path):
    dataset = gdal.Open(str(path))
    return np.moveaxis(dataset.ReadAsArray(), 0, -1)


def test_program_writes_the_layout_and_the_same_again(tmp_path, capsys):
    assert main(["--output", str(tmp_path / "a"), "--pairs", "2", "--rows", "24", "--columns", "16"]) == 0
    assert main(["--output", str(tmp_path / "b"), "--pairs", "1", "--rows", "24", "--columns", "16"]) == 0
    assert "2 pairs of 24 x 16 pixels" in capsys.readouterr().out
    names = sorted(str(path.relative_to(tmp_path / "a")) for path in (tmp_path / "a").rglob("*") if path.is_file())
    kinds = [("left", "tif"), ("right", "tif"), ("truth", "npz")]
    assert names == [f"simulated_{kind}/{number:04}.{suffix}" for kind, suffix in kinds for number in range(2)]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [f"simulated_{kind}" for kind, _ in kinds]
    pair = simulate_pair(24, 16, 1, 0)
    for side, image in zip(SIDES, (pair.left, pair.right)):
        np.testing.assert_array_equal(read(tmp_path / f"a/simulated_{side}/0000.tif"), image)
        np.testing.assert_array_equal(read(tmp_path / f"b/simulated_{side}/0000.tif"), image)
    with np.load(tmp_path / "b/simulated_truth/0000.npz") as truth:
        assert set(truth.files) == set(pair.truth)
        assert truth["flow_left"].shape == (24, 16, 4, 2) and truth["cross"].shape == (24, 16, 2)
        np.testing.assert_array_equal(truth["hr_right"], pair.truth["hr_right"])


def test_given_landscapes_are_what_is_seen(tmp_path, write_raster):
    rows, columns = ground_shape(16, 16)
    levels = np.array([100, 200, 300, 400], np.uint16)
    given = [write_raster(f"{k}.tif", np.tile(k * levels, (rows + 5, columns + 9, 1))) for k in (1, 2)]
    arguments = ["--output", str(tmp_path / "out"), "--pairs", "3", "--rows", "16", "--columns", "16", "--landscape"]
    assert main([*arguments, *map(str, given)]) == 0
    for number, factor in enumerate((1, 2, 1)):
        image = read(tmp_path / f"out/simulated_right/{number:04}.tif")
        np.testing.assert_allclose(image.mean((0, 1)), factor * levels, rtol=0.005)


def test_reflectance_becomes_counts_band_by_band(tmp_path, write_raster):
    """Bands are taken by their names; 0 stays a missing pixel."""
    path = write_raster("l1c.tif", np.tile(np.array([400, 300, 200, 100], np.uint16) * 10, (8, 8, 1)))
    dataset = gdal.Open(str(path), gdal.GA_Update)
    for number, name in enumerate(("B08", "B04", "B03", "B02")):
        dataset.GetRasterBand(number + 1).SetDescription(name)
    dataset.GetRasterBand(1).WriteArray(np.zeros((1, 1), np.uint16))
    dataset = None
    counts = read_landscape(path, is_reflectance=True)
    wanted = [138 + 0.1 * 1500, 100 + 0.2 * 1400, 52 + 0.3 * 1300, 40 + 0.4 * 1350]
    np.testing.assert_allclose(counts[1, 1], wanted)
    np.testing.assert_allclose(counts[0, 0], [*wanted[:3], 0])


def failing(arguments, capsys):
    """Run the program and return the line that it ends with."""
    assert main(arguments) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_bad_input_is_told_in_one_line(tmp_path, write_raster, capsys):
    rows, columns = ground_shape(16, 16)
    common = ["--output", str(tmp_path / "out"), "--pairs", "1", "--rows", "16", "--columns", "16", "--landscape"]
    small = write_raster("small.tif", np.ones((rows, columns - 1, 4), np.uint16))
    three = write_raster("three.tif", np.ones((rows, columns, 3), np.uint16))
    missing = write_raster("missing.tif", np.zeros((rows, columns, 4), np.uint16))
    text = tmp_path / "text.tif"
    text.write_text("no image")
    for path, words in (
        (small, f"at least {rows} x {columns} pixels"),
        (three, "4 bands"),
        (missing, "without missing pixels"),
        (text, "a readable image"),
    ):
        assert words in failing([*common, str(path)], capsys)
        assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())
    with pytest.raises(SystemExit):
        main([*common[:2], "--rows", "8"])
    assert "--rows: expected 16 or more, got 8" in capsys.readouterr().err
    for least, most in (("0.3", "0.2"), ("0", "0.2"), ("0.2", "1")):
        with pytest.raises(SystemExit):
            main([*common[:2], "--mtf", least, most])
        assert "--mtf: expected two numbers between 0 and 1, the lesser first" in capsys.readouterr().err
    assert "expected a writable folder" in failing(["--output", str(text / "out"), *common[2:-1]], capsys)
    (tmp_path / "out" / "simulated_left").mkdir(parents=True)
    assert "a folder without simulated pairs" in failing(common[:-1], capsys)
