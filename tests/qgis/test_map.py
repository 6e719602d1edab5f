# SPDX-License-Identifier: Apache-2.0
"""A product as QGIS shows it when it is dropped on the map: bands by name, contrast, missing pixels."""

from types import SimpleNamespace

import numpy as np
import pytest
from osgeo import gdal, osr

from chain.raster.grids import Grid, Region
from chain.serving.layer_styles import write_error_style, write_styles
from chain.serving.layout import Layout
from chain.serving.product_file import write_product
from chain.serving.product_names import style_files

pytestmark = pytest.mark.slow

BANDS = ("B02", "B03", "B04", "B08")
ROWS, COLUMNS = 90, 120


@pytest.fixture(params=["uint16", "float32"])
def product(request, tmp_path):
    """A product of three strips: red soil, vegetation, missing pixels."""
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(32631)
    grid = Grid(300000.0, 5000040.0, 10.0, 10.0, COLUMNS, ROWS, crs.ExportToWkt())
    layout = Layout(grid, BANDS, request.param, scale=1e-4 if request.param == "uint16" else None)
    unit = 1 if request.param == "uint16" else 1e-4
    strips = {"B02": (300, 200), "B03": (500, 900), "B04": (1500, 300), "B08": (1800, 4000)}
    bands = {band: np.repeat([soil, green, 0], ROWS // 3) * unit for band, (soil, green) in strips.items()}
    valid = np.arange(ROWS) < 2 * ROWS // 3
    made = {
        band: (np.tile(np.float32(values)[:, np.newaxis], COLUMNS), np.tile(valid[:, np.newaxis], COLUMNS))
        for band, values in bands.items()
    }
    maker = SimpleNamespace(read=lambda region: None, compute=lambda region, blocks: made)
    path = tmp_path / "sr.tif"
    write_product(path, layout, [Region(0, 0, COLUMNS, ROWS)], maker, {})
    write_styles(path)
    return path


def colours(picture):
    """Return red, green, blue and opacity in the middle of each strip."""
    image = gdal.Open(str(picture)).ReadAsArray()
    return [tuple(image[:, ROWS // 6 + strip * ROWS // 3, COLUMNS // 2]) for strip in range(3)]


def test_natural_colours_by_themselves(qgis, product, tmp_path):
    told = qgis.script("render", product, tmp_path / "map.png")
    assert told["valid"] and told["renderer"] == "multibandcolor" and told["bands"] == ["B04", "B03", "B02"]
    assert told["value"] == pytest.approx(0.03, rel=1e-5)
    soil, vegetation, missing = colours(tmp_path / "map.png")
    assert soil[0] == 255 and soil[0] > max(soil[1:3]) and soil[3] == 255
    assert vegetation[1] > max(vegetation[0], vegetation[2]) and vegetation[3] == 255
    assert missing[3] == 0


def test_false_colours_show_vegetation_in_red(qgis, product, tmp_path):
    style = style_files(product, ("natural", "false_colour"))["false_colour"]
    told = qgis.script("render", product, tmp_path / "map.png", style)
    assert told["bands"] == ["B08", "B04", "B03"]
    _, vegetation, missing = colours(tmp_path / "map.png")
    assert vegetation[0] == 255 and vegetation[1] == 0 and missing[3] == 0


def test_errors_go_from_dark_blue_to_yellow(qgis, product, tmp_path):
    errors = gdal.Open(str(product))
    path = tmp_path / "sr_error.tif"
    gdal.Translate(str(path), errors, bandList=[3])  # strips of 1500 and 300, and of missing pixels
    write_error_style(path)
    told = qgis.script("render", path, tmp_path / "map.png")
    assert told["valid"] and told["renderer"] == "singlebandpseudocolor"
    many, few, missing = colours(tmp_path / "map.png")
    assert many == (254, 232, 56, 255) and missing[3] == 0
    assert sum(few[:3]) < sum(many[:3]) and few[2] > max(few[:2])
