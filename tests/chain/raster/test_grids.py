# SPDX-License-Identifier: Apache-2.0
"""Grids on the ground: a corner that several share, and those of rasters."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from osgeo import gdal, osr

from chain.raster.grids import Grid, common_origin, raster_grid, same_crs

LEFT, TOP = 300000.0, 5000040.0


def wkt(epsg):
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(epsg)
    return crs.ExportToWkt()


FINE = Grid(LEFT, TOP, 10.0, 10.0, 120, 96, "")
MEDIUM = Grid(LEFT, TOP, 20.0, 20.0, 60, 48, "")
COARSE = Grid(LEFT, TOP, 60.0, 60.0, 20, 16, "")


def grids(**changed):
    return {"fine": FINE, "medium": MEDIUM, "coarse": COARSE, **changed}


def test_grids_of_one_corner_have_it_as_their_origin():
    assert common_origin(grids()) == (LEFT, TOP)
    assert common_origin({"fine": FINE}) == (LEFT, TOP)


def test_an_image_cropped_at_an_odd_pixel_begins_inside_a_coarse_one():
    fine = replace(FINE, left=LEFT + 70, top=TOP - 190)
    assert common_origin(grids(fine=fine)) == (LEFT + 60, TOP - 180)
    assert common_origin({"fine": fine, "medium": MEDIUM}) == (LEFT + 60, TOP - 180)


def test_a_coarse_image_that_begins_inside_leaves_the_origin_before_the_fine_one():
    coarse = replace(COARSE, left=LEFT + 100, top=TOP - 40)
    assert common_origin(grids(coarse=coarse)) == (LEFT - 20, TOP + 20)


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_the_origin_is_on_all_grids_and_no_coarse_pixel_before_the_finest(data):
    def spans(gsd, reach):
        return st.tuples(*[st.integers(-reach, reach).map(lambda k: k * gsd)] * 2, *[st.integers(1, 40)] * 2)

    sizes = data.draw(
        st.sampled_from([(10.0, 20.0, 60.0), (10.0, 20.0), (60.0, 20.0, 10.0), (1.5, 6.0), (100.0, 600.0)])
    )
    scene = {}
    for gsd in sizes:
        x, y, columns, rows = data.draw(spans(gsd, 12))
        scene[f"{gsd}"] = Grid(LEFT + x, TOP + y, gsd, gsd, columns, rows, "")
    finest = scene[f"{min(sizes)}"]
    apart = any(
        grid.left >= finest.left + finest.columns * finest.dx
        or finest.left >= grid.left + grid.columns * grid.dx
        or grid.top <= finest.top - finest.rows * finest.dy
        or finest.top <= grid.top - grid.rows * grid.dy
        for grid in scene.values()
    )
    if apart:
        with pytest.raises(ValueError, match="^input: expected images of one place, got .*, which do not overlap$"):
            common_origin(scene)
        return
    x, y = common_origin(scene)
    for grid in scene.values():
        assert (x - grid.left) % grid.dx == 0 and (grid.top - y) % grid.dy == 0
    assert 0 <= finest.left - x < max(sizes) and 0 <= y - finest.top < max(sizes)


@settings(deadline=None, max_examples=50)
@given(st.floats(0.01, 9.99), st.floats(0, 9.99), st.sampled_from(["fine", "medium"]))
def test_pixels_that_begin_nowhere_together_are_refused(across, down, moved):
    grid = grids()[moved]
    assume(min(across, 10 - across) > 2e-3 * grid.dx)
    shifted = replace(grid, left=LEFT + across, top=TOP - down)
    with pytest.raises(ValueError, match="^input: expected grids that share their pixel corners, got .* off coarse$"):
        common_origin(grids(**{moved: shifted}))


def test_half_pixels_are_told_in_the_message():
    with pytest.raises(ValueError, match="got fine 0.500, 0.250 of its pixels off medium"):
        common_origin({"fine": replace(FINE, left=LEFT + 5, top=TOP + 2.5), "medium": MEDIUM})


def test_corners_may_differ_by_rounding():
    fine = replace(FINE, left=LEFT - 1e-4, top=TOP + 1e-4)
    assert common_origin(grids(fine=fine)) == (LEFT, TOP)


def test_other_maps_and_places_are_refused():
    utm = {name: replace(grid, projection=wkt(32631)) for name, grid in grids().items()}
    assert common_origin(utm) == (LEFT, TOP)
    with pytest.raises(ValueError, match="^input: expected one coordinate system, got another one for medium$"):
        common_origin({**utm, "medium": replace(MEDIUM, projection=wkt(32632))})
    with pytest.raises(ValueError, match="another one for coarse"):
        common_origin({**utm, "coarse": COARSE})
    for shift in ({"left": LEFT + 1200}, {"left": LEFT - 1200}, {"top": TOP + 960}, {"top": TOP - 960}):
        with pytest.raises(ValueError, match="expected images of one place, got medium and fine, which do not overlap"):
            common_origin(grids(medium=replace(MEDIUM, **shift)))


def test_one_map_in_two_versions_of_wkt_is_the_same():
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(32631)
    assert same_crs(crs.ExportToWkt(), crs.ExportToWkt(["FORMAT=WKT2_2018"]))
    assert same_crs("", "") and not same_crs("", wkt(32631)) and not same_crs(wkt(32632), wkt(32631))


def test_the_grid_of_a_raster_is_gdals(write_raster):
    path = write_raster("s.tif", np.ones((7, 9), np.uint16), gsd=2.5, origin=(LEFT + 3, TOP - 1))
    grid = raster_grid(gdal.Open(str(path)))
    assert (grid.columns, grid.rows) == (9, 7) and same_crs(grid.projection, wkt(32631))
    assert grid.geotransform == (LEFT + 3, 2.5, 0, TOP - 1, 0, -2.5) == gdal.Open(str(path)).GetGeoTransform()
