# SPDX-License-Identifier: Apache-2.0
"""Patches of two images in memory: where they lie, what rejects them, what they are written as."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from osgeo import gdal

from chain.patches import patches
from chain.patches.patches import Conditioning, PatchGrid
from chain.patches.patches_image import PatchesImage
from chain.raster.footprint import Footprint
from chain.raster.grids import Region, spread
from chain.raster.mask import grow
from chain.raster.otb import in_memory, read

PLAIN = Conditioning(0, 0, False)


def _encoded(columns, rows, scale=1, offset=(0, 0), bands=4):
    """An image whose pixels tell the column and row of LR in which they lie, and where in it."""
    y, x = np.indices((rows * scale, columns * scale))
    x, y = x - offset[0], y - offset[1]
    cube = np.stack([x // scale + 1, y // scale + 1, x % scale + 1, y % scale + 1], -1)[..., :bands]
    return cube.astype(np.uint16)


@pytest.fixture
def pair(write_raster):
    def make(columns=70, rows=60, scale=4, offset=(0, 0)):
        lr, hr = _encoded(columns, rows), _encoded(columns, rows, scale)
        hr = np.pad(hr, ((offset[1], 0), (offset[0], 0), (0, 0)), constant_values=9999)
        paths = write_raster("lr.tif", lr, 6.0), write_raster("hr.tif", hr, 6.0 / scale)
        return [str(path) for path in paths], lr, hr

    return make


def _all(paths, starts, grid, conditioning=PLAIN, groups=None, **options):
    groups = np.zeros(len(starts), int) if groups is None else groups
    strips = list(patches.extract(lambda renew: paths, starts, groups, grid, conditioning, **options))
    sets = sorted({group for strip in strips for group in strip})
    return {
        group: tuple(np.concatenate([strip[group][side] for strip in strips if group in strip]) for side in (0, 1))
        for group in sets
    }, len(strips)


@pytest.mark.parametrize("size, step", [(32, 32), (9, 8), (8, 8), (16, 5)])
def test_selection_is_patches_selection_s(write_raster, size, step):
    path = write_raster("xs.tif", np.ones((60, 70, 4), np.uint16), 6.0)
    starts = patches.select(str(path), Footprint.of(path), size, step, None)
    first, last = np.array((1, 1 if size % 2 else 2)), np.array((70, 60)) - size
    assert tuple(starts[0]) == tuple(first)
    assert np.all((starts - first) % step == 0) and np.all(starts <= last)
    assert np.array_equal(starts, starts[np.lexsort((starts[:, 0], starts[:, 1]))])


def test_selection_passes_over_nodata(write_raster):
    array = np.ones((60, 70, 4), np.uint16)
    array[20:24, 20:24] = 0
    array[50, 50, 2] = 0
    path = write_raster("xs.tif", array, 6.0)
    starts = patches.select(str(path), Footprint.of(path), 8, 8, 0)
    everywhere = patches.select(str(path), Footprint.of(path), 8, 8, None)
    hit = [bool((array[y : y + 8, x : x + 8].sum(axis=2) == 0).any()) for x, y in everywhere]
    lost = {tuple(start) for start in everywhere} - {tuple(start) for start in starts}
    assert {tuple(start) for start, bad in zip(everywhere, hit) if bad} <= lost
    assert (49, 50) in {tuple(start) for start in starts}


def test_selection_of_an_image_without_room(write_raster):
    path = write_raster("xs.tif", np.ones((1, 1, 4), np.uint16), 6.0)
    assert len(patches.select(str(path), Footprint.of(path), 8, 8, None)) == 0


@settings(max_examples=60, deadline=None)
@given(data=st.data(), size=st.integers(1, 20), step=st.integers(1, 25), pixels=st.integers(1, 40000))
def test_strips_hold_each_patch_once_and_fit_in_memory(data, size, step, pixels):
    columns, rows = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12))
    starts = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).reshape(-1, 2) * step
    keep = data.draw(st.lists(st.booleans(), min_size=len(starts), max_size=len(starts)))
    starts = starts[np.array(keep)]
    grid, margin = PatchGrid(size, 4 * size, (999, 999), (3996, 3996)), data.draw(st.integers(0, 3))
    strips = patches.plan_strips(starts, grid, margin, pixels)
    ranks = np.concatenate([strip.patches for strip in strips]) if strips else np.array([])
    assert sorted(ranks) == list(range(len(starts)))
    for strip in strips:
        inside = starts[strip.patches] - (strip.region.x, strip.region.y)
        assert np.all(inside >= 0) and np.all(inside + size <= (strip.region.columns, strip.region.rows))
        fits = (strip.region.columns + 2 * margin) * (strip.region.rows + 2 * margin) * 16 <= pixels
        assert fits or strip.region.columns == size or strip.region.rows == size


@pytest.mark.parametrize("scale, size", [(4, 8), (4, 7), (3, 8), (3, 5), (2, 1), (1, 6)])
@pytest.mark.parametrize("offset", [(0, 0), (5, 2)])
def test_pairs_show_the_same_ground(pair, scale, size, offset):
    paths, lr, hr = pair(scale=scale, offset=offset)
    grid = PatchGrid(size, size * scale, (70, 60), hr.shape[1::-1], offset)
    starts = patches.select(paths[0], Footprint.of(paths[0]), size, 9, None)
    cut, _ = _all(paths, starts, grid)
    coarse, fine = cut[0]
    assert len(coarse) == len(starts)
    for (x, y), one, other in zip(starts, coarse, fine):
        assert np.array_equal(one, lr[y : y + size, x : x + size])
        assert np.array_equal(other[..., :2], np.kron(one[..., :2], np.ones((scale, scale, 1))))
        assert other[0, 0, 2:].tolist() == [1, 1] and other[-1, -1, 2:].tolist() == [scale, scale]


def test_pairs_are_those_of_patches_extraction_on_files(pair):
    import pyotb

    paths, _, _ = pair()
    layer = "/vsimem/reference.geojson"
    pyotb.PatchesSelection({"in": paths[0], "grid.step": 9, "grid.psize": 8, "strategy": "all", "outtrain": layer})
    reference = pyotb.PatchesExtraction(
        {
            "source1.il": [paths[0]],
            "source1.patchsizex": 8,
            "source1.patchsizey": 8,
            "source2.il": [paths[1]],
            "source2.patchsizex": 32,
            "source2.patchsizey": 32,
            "vec": layer,
            "field": "id",
        },
        n_sources=2,
    )
    starts = patches.select(paths[0], Footprint.of(paths[0]), 8, 9, None)
    cut, _ = _all(paths, starts, PatchGrid(8, 32, (70, 60), (280, 240)))
    for number, side in enumerate(cut[0], 1):
        expected = np.array(reference.app.ExportImage(f"source{number}.out")["array"])
        assert np.array_equal(side.reshape(expected.shape), expected)


def test_strips_change_nothing(pair):
    paths, lr, _ = pair()
    grid = PatchGrid(8, 32, (70, 60), (280, 240))
    starts = patches.select(paths[0], Footprint.of(paths[0]), 8, 5, None)
    groups = np.arange(len(starts)) % 3
    whole, one = _all(paths, starts, grid, groups=groups)
    parts, several = _all(paths, starts, grid, groups=groups, max_pixels=8000)
    assert one == 1 and several > 10

    def sort(cut):
        return sorted(map(bytes, cut[0])), sorted(map(bytes, cut[1]))

    assert [sort(whole[group]) for group in range(3)] == [sort(parts[group]) for group in range(3)]


def test_nodata_rejects_what_it_spoils_and_no_more(write_raster):
    lr, hr = _encoded(70, 60) + 100, _encoded(70, 60, 4) + 100
    lr[30, 30, 1] = 0
    hr[100, 100] = 0
    hr[200, 240, 0] = 0
    paths = [str(write_raster("lr.tif", lr, 6.0)), str(write_raster("hr.tif", hr, 1.5))]
    grid, margins = PatchGrid(4, 16, (70, 60), (280, 240)), Conditioning(2, 5)
    starts = np.stack(np.meshgrid(np.arange(0, 64, 3), np.arange(0, 54, 3)), -1).reshape(-1, 2)
    for max_pixels in (10**9, 3000):
        cut, _ = _all(paths, starts, grid, margins, max_pixels=max_pixels)
        coarse, fine = cut[0]
        missing_lr, missing_hr = np.zeros((60, 70), bool), np.zeros((240, 280), bool)
        missing_lr[28:33, 28:33] = True
        missing_hr[95:106, 95:106] = True
        expected = [
            not missing_lr[y : y + 4, x : x + 4].any() and not missing_hr[4 * y : 4 * y + 16, 4 * x : 4 * x + 16].any()
            for x, y in starts
        ]
        assert len(coarse) == len(fine) == sum(expected)
        assert coarse.min() > 0 and fine.min() == 1


def test_all_nodata_leaves_nothing(write_raster):
    zeros = np.zeros((20, 20, 4), np.uint16)
    paths = [str(write_raster("lr.tif", zeros, 6.0)), str(write_raster("hr.tif", np.ones((80, 80, 4), np.uint16), 1.5))]
    cut, strips = _all(paths, np.array([[0, 0], [8, 8]]), PatchGrid(8, 32, (20, 20), (80, 80)), Conditioning(1, 1))
    assert cut == {} and strips == 1


def test_nan_is_no_data(write_raster):
    lr = np.full((20, 20, 4), 7.4, np.float32)
    lr[2, 2] = np.nan
    hr = np.full((80, 80, 4), 70000.0, np.float32)
    paths = [str(write_raster("lr.tif", lr, 6.0)), str(write_raster("hr.tif", hr, 1.5))]
    cut, _ = _all(paths, np.array([[0, 0], [8, 8]]), PatchGrid(8, 32, (20, 20), (80, 80)), Conditioning(1, 1))
    coarse, fine = cut[0]
    assert len(coarse) == 1 and np.all(coarse == 7) and np.all(fine == 65535)


def test_a_failing_strip_is_tried_again_with_a_renewed_chain(pair, monkeypatch):
    paths, _, _ = pair()
    monkeypatch.setattr("chain.raster.http.time.sleep", lambda seconds: None)
    calls, told = [], []

    def chain(renew):
        calls.append(renew)
        if len(calls) < 3:
            raise RuntimeError("server is busy")
        return paths

    starts = np.array([[1, 2], [10, 12]])
    grid = PatchGrid(8, 32, (70, 60), (280, 240))
    cut = list(patches.extract(chain, starts, np.zeros(2, int), grid, PLAIN, on_failure=lambda *a: told.append(a)))
    assert calls == [False, True, True] and len(cut[0][0][0]) == 2 and len(told) == 2
    calls.clear()
    with pytest.raises(RuntimeError, match="server is busy"):
        list(patches.extract(chain, starts, np.zeros(2, int), grid, PLAIN, attempts=2))
    assert calls == [False, True]


def test_image_of_patches_is_as_patches_extraction_writes_it(tmp_path):
    rng = np.random.default_rng(0)
    array = rng.integers(0, 65536, (7, 8, 8, 4)).astype(np.uint16)
    image = PatchesImage(tmp_path / "train_lr.tif", 8, 4, 10, 6.0, ("B04", "B03", "B02", "B08"))
    image.append(array[:3])
    image.append(array[3:])
    image.close()
    dataset = gdal.Open(str(tmp_path / "train_lr.tif"))
    assert (dataset.RasterXSize, dataset.RasterYSize, dataset.RasterCount) == (8, 56, 4)
    assert dataset.GetGeoTransform() == (-3.0, 6.0, 0.0, 3.0, 0.0, -6.0) and not dataset.GetProjection()
    assert dataset.GetRasterBand(4).GetDescription() == "B08" and dataset.GetRasterBand(1).DataType == gdal.GDT_UInt16
    assert np.array_equal(np.moveaxis(dataset.ReadAsArray(), 0, -1).reshape(7, 8, 8, 4), array)
    assert [path.name for path in tmp_path.iterdir()] == ["train_lr.tif"]


def test_image_of_no_patch_leaves_no_file(tmp_path):
    PatchesImage(tmp_path / "test_lr.tif", 8, 4, 0, 6.0).close()
    assert list(tmp_path.iterdir()) == []


def test_image_read_as_otbtf_does(tmp_path):
    from otbtf import DatasetFromPatchesImages

    array = np.arange(5 * 8 * 8 * 4).reshape(5, 8, 8, 4).astype(np.uint16)
    image = PatchesImage(tmp_path / "lr.tif", 8, 4, 5, 6.0)
    image.append(array)
    image.close()
    reader = DatasetFromPatchesImages({"lr": [str(tmp_path / "lr.tif")]}).patches_reader
    assert reader.size == 5 and np.array_equal(reader.get_sample(3)["lr"], array[3])


def test_regions_of_images_in_memory(write_raster):
    array = _encoded(30, 20)
    path = write_raster("image.tif", array, 6.0)
    region = Region(3, 5, 10, 7)
    assert np.array_equal(read(str(path), region), array[5:12, 3:13])
    image = in_memory(array, (303.0, -3.0), (6.0, -6.0))
    assert np.array_equal(read(image, region), array[5:12, 3:13])
    assert image.transform[:6] == (6.0, 0.0, 300.0, 0.0, -6.0, 0.0)
    assert region.grown(4, (30, 20)) == Region(0, 1, 17, 15)


@given(st.integers(1, 9), st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_grow(side, reach, seed):
    mask = np.random.default_rng(seed).random((side, 11)) < 0.1
    expected = np.zeros_like(mask)
    for y, x in np.argwhere(mask):
        expected[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1] = True
    assert np.array_equal(grow(mask, reach), expected)


@given(st.integers(1, 900), st.integers(1, 900), st.integers(1, 300), st.integers(1, 30))
def test_spread_regions_lie_apart_in_the_image(columns, rows, side, count):
    places = spread((columns, rows), side, count)
    covered = np.zeros((rows, columns), int)
    for place in places:
        covered[place.y : place.y + place.rows, place.x : place.x + place.columns] += 1
    assert covered.max() == 1 and covered.sum() == sum(place.columns * place.rows for place in places)
