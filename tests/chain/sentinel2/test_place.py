# SPDX-License-Identifier: Apache-2.0
"""Where images lie: what no grid on the ground places is refused, pixel sizes are rounded, other maps named."""

import numpy as np
import pytest
from osgeo import gdal

from chain.sentinel2.image import open_product
from tests.chain.sentinel2.scenes import LEFT, TOP, check_native, check_stack, native, wkt, write_files, write_stack


@pytest.fixture(scope="module")
def pixels():
    return native(60)


def placed_otherwise(tmp_path, pixels, kind):
    path = write_stack(tmp_path / "x.tif", pixels, place=False, epsg=None)
    dataset = gdal.Open(path, gdal.GA_Update)
    if kind == "ground control points":
        points = [gdal.GCP(LEFT + 10 * x, TOP - 10 * y, 0, x, y) for x in (0, 60) for y in (0, 60)]
        dataset.SetGCPs(points, wkt())
    elif kind == "rational polynomial":
        numbers = dict.fromkeys(("LINE_NUM_COEFF", "LINE_DEN_COEFF", "SAMP_NUM_COEFF", "SAMP_DEN_COEFF"), "1 " * 20)
        names = [f"{what}_{axis}" for what in ("OFF", "SCALE") for axis in ("LINE", "SAMP", "LAT", "LONG", "HEIGHT")]
        ends = {f"{name.split('_')[1]}_{name.split('_')[0]}": "1" for name in names}
        dataset.SetMetadata({**numbers, **ends}, "RPC")
    elif kind == "arrays of coordinates":
        dataset.SetMetadata({"X_DATASET": "x.tif", "Y_DATASET": "y.tif"}, "GEOLOCATION")
    else:
        dataset.SetProjection(wkt())
    dataset = None
    return path


@pytest.mark.parametrize(
    "kind", ["ground control points", "rational polynomial", "arrays of coordinates", "a coordinate system without"]
)
def test_images_that_no_grid_places_are_refused(tmp_path, pixels, kind):
    path = placed_otherwise(tmp_path, pixels, kind)
    with pytest.raises(ValueError, match=f"{kind}.*" + ("gdalwarp" if "without" not in kind else "")):
        open_product(path, offset=0)


@pytest.mark.parametrize("size", [9.99995, 10.00005, 10.00000001])
def test_pixels_of_10_m_but_for_rounding_are_of_10_m(tmp_path, pixels, size):
    path = write_stack(tmp_path / "s.tif", pixels, place=(LEFT, size, 0.0, TOP, 0.0, -size))
    image = open_product(path, offset=0)
    check_stack(image, pixels)
    assert gdal.Open(image.bands["B05"]).GetGeoTransform() == (LEFT, 10.0, 0.0, TOP, 0.0, -10.0)


def test_other_pixel_sizes_stay(tmp_path, pixels):
    path = write_stack(tmp_path / "s.tif", pixels, place=(LEFT, 10.01, 0.0, TOP, 0.0, -10.01))
    assert gdal.Open(open_product(path, offset=0).bands["B05"]).GetGeoTransform()[1] == 10.01
    assert np.all(gdal.Open(path).ReadAsArray() > 0)


@pytest.mark.parametrize("other", [32632, 32731, 3857])
def test_bands_on_two_maps_are_refused(tmp_path, pixels, other):
    files = write_files(tmp_path, {band: pixels[band] for band in ("B02", "B03", "B05")})
    dataset = gdal.Open(files["B05"], gdal.GA_Update)
    dataset.SetProjection(wkt(other))
    dataset = None
    with pytest.raises(ValueError, match=f"expected bands on one map, got B02 in EPSG:32631 and B05 in EPSG:{other}$"):
        open_product([*files.values()], offset=0)


def test_other_words_for_one_map_are_no_other_map(tmp_path, pixels):
    made = {band: pixels[band] for band in ("B02", "B05")}
    other = write_files(tmp_path, {"B03": pixels["B03"]}, driver="ENVI", suffix=".img")
    files = [*write_files(tmp_path, made).values(), *other.values()]
    check_native(open_product(files, offset=0), {**made, "B03": pixels["B03"]})
