# SPDX-License-Identifier: Apache-2.0
"""How an image was made finer is recognised and inverted, or refused."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, gaussian_filter, zoom

from chain.raster.resampling.decision import Ambiguous, decide
from chain.raster.resampling.integers import Integers
from chain.raster.resampling.interpolation import FRAME, METHODS, OPEN, SPLINE, Resampling, axis, interpolate
from chain.raster.resampling.recognition import Candidate, TooLittle, candidates_of
from chain.raster.resampling.restoration import Mismatch, restore
from chain.raster.resampling.treatments import spread_of
from tests.examples import slow

PAIRS = [(method, border) for method in METHODS for border in METHODS[method].borders]
FIRST = [(method, METHODS[method].borders[0]) for method in METHODS]
"""A border rule of each method."""


def landscape(rows, columns, seed=0):
    """Digital numbers with smooth and sharp parts."""
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.normal(size=(rows, columns)), 1.5)
    return np.rint(np.clip(2500 + 4000 * smooth + rng.normal(0, 30, (rows, columns)), 10, 12000))


def recognise(pixels, ratio, missing=None, likely=(), absent=None):
    """Recognise how an image held in memory was made finer."""
    missing = ~np.isfinite(pixels) if missing is None else missing

    def read(row, column, rows, columns):
        part = np.s_[row : row + rows, column : column + columns]
        return pixels[part], missing[part]

    found = candidates_of(read, pixels.shape, ratio, absent=lambda pixels, missing: absent)
    decision = decide({"": found}, likely)[""]
    if isinstance(decision, Ambiguous):
        raise decision
    return decision.found


def closed(method, border, **arguments):
    return Resampling(method, (0, 0), border, border, border, border, **arguments)


def check_recognised_and_inverted(pair, ratio, rows, columns, phase, cropped, kind, seed):
    """Interpolate native pixels, crop, and get both back."""
    method, border = pair
    native = landscape(rows, columns, seed)
    fine = interpolate(native, ratio, method, border)
    fine = {"rounded": np.floor(fine + 0.5), "truncated": np.floor(fine), "float": fine.astype(np.float32)}[kind]
    phase = (phase[0] % ratio, phase[1] % ratio) if cropped else (0, 0)
    if cropped:
        fine = fine[3 * ratio + phase[0] : -4 * ratio, 3 * ratio + phase[1] : -4 * ratio]
        native = native[3:-4, 3:-4]
    found = recognise(fine, ratio, likely=[method] if method == SPLINE else ())
    sides = (found.top, found.bottom, found.left, found.right)
    assert (found.method, found.phase, found.counted) == (method, phase, kind != "float" or method == "nearest")
    # mirror makes pixels beside a border the same, and so does any rule of floating point to its rounding
    rules = {border, OPEN} if border == "mirror" or kind == "float" else {border}
    assert cropped or method == "nearest" or set(sides) <= rules
    if method != "nearest" and kind != "float" and (method, ratio) != (SPLINE, 2):
        assert found.truncated == (kind == "truncated")
    restored = restore(fine, ratio, found)
    if cropped and METHODS[method].reach > 1:  # pixels cut off would tell of the first ones
        assert restored.valid[4:-4, 4:-4].all()
    elif border == "mirror" or method == SPLINE:
        assert restored.valid[2:-2, 2:-2].all()
    else:
        assert restored.valid.all()
    error = np.abs(restored.native - native)[restored.valid]
    if method == "nearest":
        assert error.max() == 0
    elif kind == "float":
        assert error.max() < 0.5
    else:
        assert error.max() <= (4 if method == SPLINE else 2)
        most = {2: 0.12, 6: 0.02 if kind == "truncated" else 0.005}[ratio]
        assert np.mean(error > 0) <= (1 if method == SPLINE else most)


@pytest.mark.parametrize("kind", ["rounded", *(slow(kind) for kind in ("truncated", "float"))])
@pytest.mark.parametrize(
    "pair, ratio, phase, cropped",
    [
        pytest.param(pair, *how, marks=[] if how[2] and (how[0] == 2 or pair in FIRST) else pytest.mark.slow)
        for pair in PAIRS
        for how in ((2, (0, 0), False), (2, (1, 0), True), (6, (4, 5), True))
    ],
)
def test_recognised_and_inverted(pair, ratio, phase, cropped, kind):
    check_recognised_and_inverted(pair, ratio, 56, 60, phase, cropped, kind, 1)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(PAIRS),
    st.sampled_from([2, 6]),
    st.integers(90, 130),
    st.integers(90, 130),
    st.tuples(st.integers(0, 5), st.integers(0, 5)),
    st.booleans(),
    st.sampled_from(["rounded", "truncated", "float"]),
    st.integers(0, 1000),
)
@example(("cubic", "symmetric"), 6, 90, 95, (0, 0), False, "float", 312)
def test_any_image_large_enough_is_recognised_and_inverted(pair, ratio, rows, columns, phase, cropped, kind, seed):
    check_recognised_and_inverted(pair, ratio, rows, columns, phase, cropped, kind, seed)


@pytest.mark.parametrize("ratio", [2, 6])
@pytest.mark.parametrize("method", ["bilinear", "cubic"])
def test_rounding_moves_a_native_pixel_by_two_at_worst(ratio, method):
    lines = axis(method, ratio, 0, 40 * ratio, "edge", "edge")
    inverse = np.linalg.pinv(lines.matrix.toarray())
    assert 0.5 * np.abs(inverse).sum(axis=1).max() ** 2 < 2.5


@pytest.mark.slow
@pytest.mark.parametrize("method, border", [pair for pair in PAIRS if pair[0] != SPLINE])
def test_native_integers_come_back_by_6(method, border):
    native = landscape(40, 50, 7)
    fine = np.floor(interpolate(native, 6, method, border) + 0.5)
    np.testing.assert_array_equal(restore(fine, 6, recognise(fine, 6)).native, native)


def test_most_native_integers_come_back_by_2():
    native = landscape(200, 200, 3)
    for method, most in (("bilinear", 0.1), ("cubic", 0.01)):
        fine = np.floor(interpolate(native, 2, method) + 0.5)
        error = np.abs(restore(fine, 2, recognise(fine, 2)).native - native)
        assert error.max() == 1
        assert np.mean(error > 0) < most


def test_constant_is_nearest():
    assert recognise(np.full((60, 60), 1200), 6).method == "nearest"


def test_nothing_but_interpolation_is_recognised():
    native = landscape(60, 60)
    for fine in (
        landscape(120, 120),
        np.rint(zoom(native, 2, order=1)),  # corners aligned
        np.rint(interpolate(native, 4, "bilinear")[1::2, 1::2] + np.arange(120) % 7),
    ):
        with pytest.raises(Mismatch, match=r"no known interpolation gives \(closest: .*, off by up to [\d.e+]+ DN\)"):
            recognise(fine, 2)


def test_smooth_images_are_not_taken_for_a_cubic_spline():
    native = landscape(60, 60)
    fine = zoom(native, 2, order=3, mode="grid-mirror", grid_mode=True)
    blurred = np.rint(gaussian_filter(interpolate(native, 2, "bilinear"), 1))
    for each in (np.rint(fine), fine.astype(np.float32), blurred):
        with pytest.raises(Ambiguous, match="cubicspline and other smooth interpolations both give"):
            recognise(each, 2)


def test_interpolations_of_fractions_are_told_by_borders_or_other_bands():
    native = landscape(60, 60) + np.random.default_rng(1).uniform(-0.5, 0.5, (60, 60))
    for method in ("bilinear", "cubic"):
        fine = interpolate(native, 2, method)
        assert recognise(fine, 2).method == method
        inner = fine[8:-8, 8:-8]
        assert recognise(inner, 2, likely=[method]).method == method
        with pytest.raises(ValueError, match="pixels that bilinear and cubic both give"):
            recognise(inner, 2)


def test_bands_that_are_no_whole_numbers_are_doubted_where_another_is():
    def tells(method, score):
        return [Candidate(Resampling(method), (), Integers(score, number=99), np.zeros(0))]

    decided = decide({"B05": tells("cubic", 50), "B06": tells("bilinear", -50), "B07": tells("bilinear", -60)})
    assert decided["B05"].found.method == "cubic"
    assert all(decided[band].methods == ("bilinear", "cubic") for band in ("B06", "B07"))


@pytest.mark.parametrize("counted", [False, True])
def test_native_pixels_of_ill_conditioned_equations_are_not_known(counted):
    spread = spread_of(np.array([-1e-9, 1.0]), closed("cubic", "edge", counted=counted), 5000.0, 1.0, 100.0)
    assert np.isinf(spread[0]) and 0 < spread[1] < 1


def test_even_sides_do_not_tell_a_method():
    """Borders of even ground are explained by the first rule of any method; which leaves less is chance."""
    natives = np.array([1900.0, 2029.0]), np.array([1900.0, 1996.0])
    candidates = [
        Candidate(closed(method, "edge"), (misfit,) * 4, Integers(score, number=40), native)
        for method, misfit, score, native in zip(("bilinear", "cubic"), (0.0862, 0.0861), (0.1, -11.9), natives)
    ]
    assert decide({"B05": candidates})["B05"].methods == ("bilinear", "cubic")
    assert decide({"B05": candidates}, ["bilinear"])["B05"].found.method == "bilinear"


def candidate(method, score, misfits=(), rival="", border="edge"):
    return Candidate(closed(method, border), misfits, Integers(score, number=99), np.array([score]) * 99, rival)


def test_what_explains_a_band_by_chance_does_not_hide_how_others_were_made():
    """One of the border rules of cubic explains a bilinear image, of native pixels that are no whole numbers."""
    bilinear, chance = candidate("bilinear", 2.2, (0.23,)), candidate("cubic", -60.0, (0.23,), "others")
    decided = decide({"B06": [candidate("bilinear", 30.0)], "B12": [bilinear, chance]})
    assert decided["B12"].found.method == "bilinear"
    assert isinstance(decide({"B12": [bilinear, chance]})["B12"], Ambiguous)
    sure = decide({"B12": [candidate(SPLINE, 8.3), candidate("lanczos", -160.0, (), "others")]})
    assert sure["B12"].found.method == SPLINE


def test_other_bands_tell_more_than_which_border_rules_are_usual():
    unusual = candidate("cubic", 2.6, (0.213,), border="renormalised")
    candidates = {"B05": [candidate("cubic", 40.0)], "B12": [candidate("bilinear", 0.8, (0.233,)), unusual]}
    assert decide(candidates)["B12"].found.method == "cubic"
    assert decide({"B12": candidates["B12"]})["B12"].found.method == "bilinear"


def test_too_few_pixels():
    with pytest.raises(TooLittle, match="too few pixels to tell how they were resampled"):
        recognise(np.array([[7]]), 2)
    with pytest.raises(TooLittle, match="too few pixels with data"):
        recognise(landscape(60, 60), 2, np.random.default_rng(0).random((60, 60)) < 0.95)


def swath(rows, columns):
    """A swath's edge, sloping."""
    row, column = np.mgrid[:rows, :columns]
    return column + 0.3 * row < 0.5 * columns


@pytest.mark.parametrize("ratio", [2, slow(6)])
@pytest.mark.parametrize(
    "method, border",
    [("nearest", "edge"), slow("bilinear", "edge"), ("cubic", "renormalised")],
)
def test_zeros_taken_for_numbers(ratio, method, border):
    native = np.where(swath(60, 50), 0, landscape(60, 50))
    fine = np.clip(np.floor(interpolate(native, ratio, method, border) + 0.5), 0, None)
    found = replace(recognise(fine, ratio, fine == 0), top=border, bottom=border, left=border, right=border)
    restored = restore(fine, ratio, found, fine == 0, absent=0)
    np.testing.assert_array_equal(restored.valid, native > 0)
    assert np.abs(restored.native - native)[native > 0].max() <= 1


@pytest.mark.parametrize("kind", ["rounded", "truncated", slow("float")])
@pytest.mark.parametrize("method", ["bilinear", "cubic", slow("lanczos")])
def test_zeros_that_interpolation_hid_have_no_data(method, kind):
    native = landscape(40, 50)
    native[::7, ::5] = 0
    native[22:32, 22:32] = 1
    fine = np.maximum(interpolate(native, 2, method), 0)
    fine = {"rounded": np.floor(fine + 0.5), "truncated": np.floor(fine), "float": fine}[kind]
    found = closed(method, METHODS[method].borders[0], counted=kind != "float", truncated=kind == "truncated")
    restored = restore(fine, 2, found, fine == 0, absent=0)
    assert not restored.valid[native == 0].any()
    assert restored.valid[native > 1].mean() > 0.9
    if kind != "truncated":  # which makes 0 of a part of the ones
        assert restored.valid[26:28, 26:28].all() and np.abs(restored.native[26:28, 26:28] - 1).max() < 0.5


@pytest.mark.parametrize("ratio", [2, slow(6)])
@pytest.mark.parametrize("method", ["bilinear", "cubic"])
@pytest.mark.parametrize("frame", [False, True])
def test_nodata_left_out(ratio, method, frame):
    """As gdalwarp does, with nodata declared; its cubic is bilinear beside missing pixels."""
    native = landscape(60, 50)
    there = 1.0 - swath(60, 50)
    fine, shares = interpolate(native * there, ratio, method), interpolate(there, ratio, method)
    present = interpolate(there, ratio, "nearest") > 0
    if method == "cubic":
        beside = np.abs(interpolate(there, ratio, "lanczos") - 1) > 1e-9 if frame else None
        if frame:
            kernel = np.abs(axis("cubic", ratio, 0, 60 * ratio, "edge", "edge").matrix)
            across = np.abs(axis("cubic", ratio, 0, 50 * ratio, "edge", "edge").matrix)
            beside = (across @ (kernel @ (1 - there)).T).T > 1e-9
            linear = interpolate(native * there, ratio, "bilinear"), interpolate(there, ratio, "bilinear")
            fine, shares = np.where(beside, linear[0], fine), np.where(beside, linear[1], shares)
    fine = np.where(present, np.floor(fine / np.where(present, shares, 1) + 0.5), 0)
    restored = restore(fine, ratio, closed(method, "edge"), ~present, absent=0)
    np.testing.assert_array_equal(restored.valid, there > 0)
    assert np.abs(restored.native - native)[there > 0].max() <= (1 if method == "bilinear" or frame else 2)


@pytest.mark.parametrize(
    "method, border",
    [("cubic", "renormalised"), ("cubic", FRAME), slow("lanczos", "renormalised")],
)
@pytest.mark.parametrize("cut", [slow(False), True])
def test_what_hidden_sides_would_tell_is_not_known(method, border, cut):
    """Of the upper and the right side, a corner alone has data; or the image was cut beside the edge of a swath."""
    native = landscape(39, 48, 1)
    row, column = np.mgrid[:39, :48]
    native[column + 0.2 * row < 20 if cut else column * 39 > row * 48] = 0
    fine = np.maximum(np.floor(interpolate(native, 2, method, border)), 0)
    if cut:
        fine, native = fine[7:, 29:], native[3:, 14:]
    found = recognise(fine, 2, fine == 0, absent=0)
    restored = restore(fine, 2, found, fine == 0, absent=0)
    assert found.method == method
    assert not restored.valid[native == 0].any() and restored.valid[native > 0].mean() > 0.7
    assert np.abs(restored.native - native)[restored.valid].max() <= 2


def test_what_a_mask_hides_beside_half_native_pixels_is_not_taken_for_left_out():
    """Flat ground allows both; left out, the native pixel at the mask would be off by 4 DN."""
    native = np.full((40, 40), 1900.0)
    native[17, 20] = 1953
    fine = np.floor(interpolate(native, 2, "cubic") + 0.5)
    missing = np.zeros(fine.shape, bool)
    missing[:37] = True
    restored = restore(fine, 2, closed("cubic", "edge"), missing)
    assert restored.valid[23:].all()
    np.testing.assert_allclose(restored.native[restored.valid], native[restored.valid], atol=2)


def test_a_small_chip_with_a_corner_of_data_missing_is_recognised():
    """What depends on pixels beside holes, or beyond the image, leaves too little here: all of it is fitted."""
    fine = np.floor(interpolate(landscape(20, 20, 5), 6, "cubic") + 0.5)[41:73, 40:72]
    row, column = np.mgrid[:32, :32]
    fine[row + column < 18] = 0
    found = recognise(fine, 6, fine == 0, absent=0)
    restored = restore(fine, 6, found, fine == 0, absent=0)
    assert (found.method, found.phase) == ("cubic", (5, 4)) and restored.valid.mean() > 0.5
    assert np.abs(restored.native - landscape(20, 20, 5)[6:13, 6:12])[restored.valid].max() <= 2


@pytest.mark.parametrize("seed", [0, slow(2)])
def test_holes_just_beyond_a_cut_mislead_nobody(seed):
    """What lies at a cut was bilinear of fewer native pixels than it seems; by cubic, that is little enough to fit."""
    native = landscape(40, 50, seed)
    holes = np.zeros((40, 50), bool)
    for row, column, size in np.random.default_rng(seed).integers((0, 0, 1), (40, 50, 12), (18, 3)):
        holes[row : row + size, column : column + size] = True
    shares = interpolate(~holes, 2, "bilinear")
    fine = np.floor(interpolate(native * ~holes, 2, "bilinear") / np.maximum(shares, 1e-9) + 0.5)
    fine = np.where(interpolate(holes, 2, "nearest") > 0, 0, fine)[:63, 5:]
    found = recognise(fine, 2, fine == 0, absent=0)
    restored = restore(fine, 2, found, fine == 0, absent=0)
    assert found.method == "bilinear"
    truth, there = native[:32, 2:], ~holes[:32, 2:]
    assert not (restored.valid & ~there).any() and restored.valid[there].mean() > 0.9
    assert np.abs(restored.native - truth)[restored.valid].max() <= 1


@pytest.mark.parametrize("ratio", [2, 6])
@pytest.mark.parametrize("method", ["nearest", "bilinear", "cubic"])
def test_pixels_masked_after_interpolation(ratio, method):
    native = landscape(60, 50)
    fine = np.floor(interpolate(native, ratio, method) + 0.5)
    row, column = np.mgrid[: fine.shape[0], : fine.shape[1]]
    missing = (row - 60) ** 2 + (column - 40) ** 2 < 30**2
    restored = restore(np.where(missing, 0, fine), ratio, closed(method, "edge"), missing, absent=0)
    footprints = missing.reshape(60, ratio, 50, ratio)
    assert not restored.valid[footprints.all(axis=(1, 3))].any()
    # beside the mask little tells of a native pixel after cubic by 2: any image of it is one of bilinear, too
    beside = binary_dilation(footprints.any(axis=(1, 3)), np.ones((3, 3)), 3 if (method, ratio) == ("cubic", 2) else 0)
    assert restored.valid[~beside & ~footprints.any(axis=(1, 3))].all()
    assert np.abs(restored.native - native)[restored.valid].max() <= 2


def test_clipped_numbers_do_not_count():
    native = landscape(60, 50)
    native[20:30, 20:30] = 1
    native[40, 40] = 65535
    fine = np.clip(np.floor(interpolate(native, 2, "cubic") + 0.5), 1, 65535)
    restored = np.maximum(restore(fine, 2, closed("cubic", "edge")).native, 1)
    assert np.abs(restored - native).max() <= 20
    assert np.mean(restored != native) < 0.02


def test_a_border_rule_is_an_unknown_when_the_image_was_cut():
    fine = np.rint(interpolate(landscape(60, 60), 2, "cubic", FRAME))[8:, 10:]
    found = recognise(fine, 2)
    assert (found.bottom, found.right) == (FRAME, FRAME)
    restored = restore(fine, 2, found)
    assert restored.valid[4:, 4:].all()
    assert np.abs(restored.native - landscape(60, 60)[4:, 5:])[restored.valid].max() <= 1
