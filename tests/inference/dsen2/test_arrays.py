# SPDX-License-Identifier: Apache-2.0
"""Arrays and datasets in and out: the pixels of the product's file."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from osgeo import gdal

from chain.sentinel2.bands import SURFACE_BANDS
from inference.dsen2 import Options, read_scene, super_resolve, super_resolve_arrays
from tests import toy_models
from tests.conftest import REPOSITORY
from tests.examples import slow

pytestmark = pytest.mark.keras
xarray = pytest.importorskip("xarray", reason="xarray is optional: pip install -r requirements/xarray.txt")

ROWS, COLUMNS = 120, 180
ORIGIN = 300000.0, 5000040.0
SOURCES = {
    "x10": (10, ("B02", "B03", "B04", "B08")),
    "x20": (20, ("B05", "B06", "B07", "B8A", "B11", "B12")),
    "x60": (60, ("B01", "B09")),
}
NAME = "S2A_MSIL2A_20200101T000000_N0213_R000_T31UDQ_20200101T000000"


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """Options with toy networks of both roles."""
    folder = tmp_path_factory.mktemp("models")
    for role in ("2x", "6x"):
        toy_models.dsen2(folder / role, role)
    return Options(model_dir=(str(folder),), level="L2A", tile_size=48)


@pytest.fixture
def arrays():
    """Arrays of three resolutions, with holes."""
    rng = np.random.default_rng(0)
    made = {}
    for name, (gsd, bands) in SOURCES.items():
        made[name] = rng.integers(1, 8000, (ROWS * 10 // gsd, COLUMNS * 10 // gsd, len(bands))).astype(np.uint16)
    made["x20"][3, 4, 2] = 0
    made["x10"][50, 60] = 0
    return made


@pytest.fixture
def files(arrays, write_raster):
    """The same pixels in files."""
    return [
        str(write_raster(f"{NAME}_{gsd}m.tif", arrays[name], bands=bands, gsd=float(gsd)))
        for name, (gsd, bands) in SOURCES.items()
    ]


def in_file(path):
    return np.moveaxis(gdal.Open(str(path)).ReadAsArray(), 0, -1)


def test_arrays_give_the_pixels_of_the_file(arrays, files, options, tmp_path):
    made = super_resolve_arrays(arrays, replace(options, offset=0), origin=ORIGIN, crs="EPSG:32631")
    product = super_resolve(files, tmp_path / "sr.tif", options)
    np.testing.assert_array_equal(made.pixels, in_file(product.path))
    assert (made.bands, made.nodata) == (product.bands, product.nodata)
    assert made.grid.geotransform == gdal.Open(str(product.path)).GetGeoTransform()
    assert not made.pixels[50, 60, made.bands.index("B02")] and made.pixels[50, 60].any()


def test_floating_pixels_and_chosen_bands(arrays, files, options, tmp_path):
    chosen = replace(options, offset=-1000, bands=("B11", "B02"), floating=True)
    made = super_resolve_arrays({"x10": arrays["x10"], "x20": arrays["x20"]}, chosen, origin=ORIGIN, crs="EPSG:32631")
    product = super_resolve(files[:2], tmp_path / "sr.tif", chosen)
    np.testing.assert_array_equal(made.pixels, in_file(product.path))
    assert made.pixels.dtype == np.float32 and made.bands == ("B11", "B02") and np.isnan(made.nodata)


def test_a_scene_read_as_a_dataset_gives_the_pixels_of_the_file(files, options, tmp_path):
    scene = read_scene(files)
    assert scene["B02"].dims == ("y", "x") and scene["B05"].dims == ("y_20m", "x_20m")
    assert np.isnan(scene["B02"].values[50, 60]) and scene["B05"].sizes["y_20m"] == ROWS // 2
    fine = super_resolve_arrays(scene, options)
    product = super_resolve(files, tmp_path / "sr.tif", options)
    expected = in_file(product.path)
    assert tuple(fine.data_vars) == SURFACE_BANDS
    for index, band in enumerate(SURFACE_BANDS):
        np.testing.assert_array_equal(fine[band].values, expected[..., index])
    assert fine.x.values[0] == ORIGIN[0] + 5 and fine.y.values[0] == ORIGIN[1] - 5
    assert "32631" in fine.spatial_ref.attrs["crs_wkt"]


def test_a_part_of_a_scene_in_whole_pixels_of_60_m(files):
    scene = read_scene(files)
    whole, part = scene["B09"], read_scene(files, bbox=(0.4655, 45.118, 0.4705, 45.122))
    assert 0 < part["B09"].size < whole.size
    assert part["B02"].shape == tuple(6 * size for size in part["B09"].shape)
    rows = np.isin(scene.y.values, part.y.values)
    columns = np.isin(scene.x.values, part.x.values)
    np.testing.assert_array_equal(part["B02"].values, scene["B02"].values[np.ix_(rows, columns)])


@pytest.mark.slow
def test_a_dataset_whose_bands_were_resampled_to_10_m_is_brought_back(arrays, files, options, tmp_path):
    variables = {
        band: (("y", "x"), np.repeat(np.repeat(arrays[name][..., index], gsd // 10, 0), gsd // 10, 1))
        for name, (gsd, bands) in SOURCES.items()
        for index, band in enumerate(bands)
    }
    scene = read_scene(files)
    attributes = {"sentinel2_offset": 0, "sentinel2_level": "L2A"}
    stack = xarray.Dataset(variables, {name: scene.coords[name] for name in ("y", "x", "spatial_ref")}, attributes)
    fine = super_resolve_arrays(stack, options)
    expected = in_file(super_resolve(files, tmp_path / "sr.tif", options).path)
    np.testing.assert_array_equal(fine["B11"].values, expected[..., SURFACE_BANDS.index("B11")])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"x20": None}, "arrays: expected x10, x20 and perhaps x60, got x10, x60"),
        ({"x30": "x20"}, "arrays: expected x10, x20 and perhaps x60, got x10, x20, x30, x60"),
        ({"x20": "x10"}, "x20: expected 60 x 90 x 6 "),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(arrays, options, change, message):
    given = {**arrays, **{name: arrays.get(value) for name, value in change.items()}}
    given = {name: pixels for name, pixels in given.items() if pixels is not None}
    with pytest.raises(ValueError, match=f"^{message}"):
        super_resolve_arrays(given, options)


def test_options_that_ask_for_files_are_refused(arrays, options):
    """They did nothing."""
    for given in ({"error": True}, {"separate": True}, {"quicklook": "q.png"}, {"block_range": (1, 2)}):
        with pytest.raises(ValueError, match=f"^{next(iter(given))}: expected none where arrays are made"):
            super_resolve_arrays(arrays, replace(options, offset=0, **given))


def test_the_bands_of_a_dataset_state_their_nodata(files, options):
    for chunks in (None, 60):
        scene = read_scene(files, chunks=chunks)
        for given, nodata in (({}, 0), ({"nodata": 7.0}, 7)):
            assert (
                super_resolve_arrays(scene, replace(options, bands=("B02",), **given))["B02"].attrs["nodata"] == nodata
            )


def test_arrays_do_not_say_their_offset(arrays, options):
    with pytest.raises(ValueError, match="^offset: expected 0 or -1000, got none"):
        super_resolve_arrays(arrays, options)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda scene: scene.drop_vars("spatial_ref"), "expected a CRS in the coordinate spatial_ref"),
        (lambda scene: scene.sortby("y"), "expected y from north to south"),
        (lambda scene: scene.isel(x=[0, 1, 3]), "expected equally spaced coordinates"),
        (lambda scene: scene[[]], "expected bands such as B02"),
    ],
)
def test_datasets_that_do_not_say_where_they_lie_are_refused(files, options, change, message):
    with pytest.raises(ValueError, match=message):
        super_resolve_arrays(change(read_scene(files)), options)


@pytest.mark.slow
def test_the_tour_in_the_docs_runs(tmp_path, shared_data):
    """The script of the docs, from area and days to the picture, on a real item that the stand-in serves."""
    from simulate.planetary_computer import LocalPlanetaryComputer
    from tests.real_items import adopt

    folder = shared_data("s2_l2a_cog_stac_29RKH_decimated")
    content = json.loads((folder / "S2A_29RKH_20200219_0_L2A.json").read_text())
    blobs = tmp_path / "blobs"
    shutil.copytree(folder, blobs / content["id"])
    west, south, east, north = content["bbox"]
    centre = (west + east) / 2, (south + north) / 2
    area = f"{centre[0]},{centre[1]},{centre[0] + 0.2},{centre[1] + 0.2}"
    picture = tmp_path / "ndmi.png"
    with LocalPlanetaryComputer([adopt(content, blobs / content["id"])], blobs) as server:
        words = [area, "2020-02-01/2020-03-01", str(picture), server.stac_url]
        done = subprocess.run(
            [sys.executable, str(REPOSITORY / "docs" / "python_tour.py"), *words],
            capture_output=True, text=True, cwd=tmp_path, env={**os.environ, **server.environment()},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert content["id"] in done.stdout and "B11" in done.stdout
    assert gdal.Open(str(picture)).RasterXSize == 1200


def in_chunks(dataset, size):
    """Return a dataset in chunks of a size on its finest dimensions, of others elsewhere."""
    return dataset.chunk({dim: size for dim in dataset.dims})


@pytest.mark.parametrize(
    "read, given, asked",
    [(120, 13, 31), *(slow(*sizes) for sizes in ((60, None, None), (30, 1000, 24)))],
)
def test_a_dataset_in_chunks_gives_the_bits_of_the_file(files, options, tmp_path, read, given, asked):
    """Whatever the chunks that are read, given and asked for: also at borders, and around missing pixels."""
    chosen = replace(options, floating=True)
    product = super_resolve(files, tmp_path / "sr.tif", chosen)
    scene = read_scene(files, chunks=read)
    assert all(hasattr(scene[band].data, "chunks") for band in SURFACE_BANDS)
    made = super_resolve_arrays(in_chunks(scene, given) if given else scene, chosen, chunks=asked)
    assert all(hasattr(made[band].data, "chunks") for band in product.bands)
    computed = made.compute()
    found = np.stack([computed[band].values for band in product.bands], axis=-1)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.view(np.uint32), in_file(product.path).view(np.uint32))
    assert np.isnan(found[50, 60, product.bands.index("B02")])


@pytest.mark.slow
def test_a_part_in_chunks_is_that_of_a_part_in_memory(files, options):
    box = (0.4655, 45.118, 0.4705, 45.122)
    whole = super_resolve_arrays(read_scene(files, bbox=box), options)
    lazy = super_resolve_arrays(read_scene(files, bbox=box, chunks=30), options).compute()
    for band in SURFACE_BANDS:
        np.testing.assert_array_equal(whole[band].values, lazy[band].values)
    xarray.testing.assert_equal(whole.coords.to_dataset(), lazy.coords.to_dataset())


def test_a_chunk_computes_what_it_needs_and_no_more(files, options, monkeypatch):
    from chain.serving import lazy_arrays

    computed, read, make, reading = [], [], lazy_arrays._make, lazy_arrays.LazyImage.read
    monkeypatch.setattr(
        lazy_arrays, "_make", lambda recipe, placed, *more: computed.append(placed) or make(recipe, placed, *more)
    )
    monkeypatch.setattr(lazy_arrays.LazyImage, "read", lambda *given: read.append(given) or reading(*given))
    scene = read_scene(files, chunks=60)
    made = super_resolve_arrays(scene, replace(options, bands=("B11",), tile_size=24))
    assert not computed and not read
    assert made["B11"][:24, :24].compute().shape == (24, 24)
    assert len(computed) == 1 and len(read) < sum(scene[band].data.npartitions for band in scene) / 3


def test_a_scene_in_chunks_can_be_sent_to_other_processes(files):
    import pickle

    scene = read_scene(files, chunks=60)
    sent = pickle.loads(pickle.dumps(scene))
    xarray.testing.assert_equal(sent["B11"].compute(), read_scene(files)["B11"])


def test_chunks_that_cannot_be_made_as_the_file_is_are_refused(files, options):
    scene = read_scene(files, chunks=60)
    with pytest.raises(ValueError, match="^offset: expected 0 for a dataset in chunks"):
        super_resolve_arrays(scene, replace(options, offset=-1000))
    with pytest.raises(ValueError, match="^--precision, --tiling: expected float32 or bfloat16"):
        super_resolve_arrays(scene, replace(options, precision="auto"))
    fine = scene[["B02"]].rename(B02="B11")
    with pytest.raises(ValueError, match="^B11: expected native pixels in a dataset in chunks, got pixels of 10 m"):
        super_resolve_arrays(fine.assign(B02=scene["B02"]), options)
