# SPDX-License-Identifier: Apache-2.0
"""Styles of products: which bands they show, and between which values."""

from xml.etree import ElementTree

import numpy as np
import pytest
from osgeo import gdal

from chain.serving.layer_styles import write_error_style, write_styles
from chain.serving.options import FileOptions


@pytest.fixture
def product(tmp_path, write_raster):
    """Return a function that writes a product of bands whose numbers are 100 k to 100 k + 1000 in the k-th."""

    def write(bands, scale=None):
        ramp = np.linspace(0, 1000, 50 * 40).reshape(50, 40)
        pixels = np.stack([ramp + 100 * number for number in range(1, len(bands) + 1)], axis=2).astype(np.uint16)
        pixels[:5] = 0
        path = write_raster("sr.tif", pixels, bands=bands, nodata=0)
        if scale:
            dataset = gdal.Open(str(path), gdal.GA_Update)
            for number in range(1, len(bands) + 1):
                dataset.GetRasterBand(number).SetScale(scale)
            dataset = None
        write_styles(path)
        return path

    return write


def read(path):
    """Return the renderer's kind, its bands, and the values that it shows as black and white."""
    renderer = ElementTree.parse(path).find("pipe/rasterrenderer")
    colours = ("red", "green", "blue") if renderer.get("type") == "multibandcolor" else ("gray",)
    bands = tuple(int(renderer.get(f"{colour}Band")) for colour in colours)
    limits = [
        (float(each.find("minValue").text), float(each.find("maxValue").text))
        for each in renderer
        if each.tag.lower().endswith("contrastenhancement")
    ]
    return renderer.get("type"), bands, limits


@pytest.mark.parametrize(
    ("bands", "natural", "infrared"),
    [
        (("B04", "B03", "B02", "B08"), (1, 2, 3), (4, 1, 2)),
        (("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A"), (4, 3, 2), (8, 4, 3)),
        (("B02", "B03", "B04", "B8A"), (3, 2, 1), (4, 3, 2)),
        (("B05", "B11", "B12"), (1, 2, 3), None),
        (("B11",), (1,), None),
    ],
)
def test_bands_are_shown_by_name(product, tmp_path, bands, natural, infrared):
    product(bands)
    kind, shown, _ = read(tmp_path / "sr.qml")
    assert shown == natural and kind == ("multibandcolor" if len(natural) == 3 else "singlebandgray")
    false_colour = tmp_path / "sr_false_colour.qml"
    assert false_colour.exists() == (infrared is not None)
    if infrared:
        assert read(false_colour)[:2] == ("multibandcolor", infrared)


@pytest.mark.parametrize("scale", [None, 1e-4])
def test_contrast_is_that_of_valid_pixels_in_the_unit_that_is_shown(product, tmp_path, scale):
    product(("B04", "B03", "B02"), scale)
    _, _, limits = read(tmp_path / "sr.qml")
    unit = scale or 1
    lowest = [100 * number + 100 + 0.02 * 900 for number in (1, 2, 3)]
    np.testing.assert_allclose(limits, [(low * unit, (low + 0.96 * 900) * unit) for low in lowest], rtol=5e-3)


def test_errors_are_shown_from_0_to_what_nearly_all_are_below(product, tmp_path):
    path = product(("B05_error", "B11_error"), 1e-4)
    write_error_style(path)
    ramp = ElementTree.parse(tmp_path / "sr.qml").find("pipe/rasterrenderer/rastershader/colorrampshader")
    items = [(float(item.get("value")), item.get("color")) for item in ramp]
    assert items[0] == (0, "#00224e") and items[-1][1] == "#fee838"
    assert items[-1][0] == pytest.approx((200 + 0.98 * 900) * 1e-4, rel=5e-3)


def test_an_older_style_is_replaced_and_no_other_file_is_left(product, tmp_path):
    (tmp_path / "sr.qml").write_text("older")
    product(("B04", "B03", "B02", "B08"))
    assert read(tmp_path / "sr.qml")[1] == (1, 2, 3)
    assert {path.name for path in tmp_path.iterdir()} == {"sr.tif", "sr.qml", "sr_false_colour.qml"}


def test_the_first_style_that_is_asked_for_is_what_qgis_takes(product, tmp_path):
    path = product(("B04", "B8A", "B12", "B03", "B02"))
    write_styles(path, ("swir", "natural", "false_colour"))
    assert read(tmp_path / "sr.qml")[1] == (3, 2, 1)
    assert read(tmp_path / "sr_natural.qml")[1] == (1, 4, 5)
    assert read(tmp_path / "sr_false_colour.qml")[1] == (2, 1, 4)


def test_styles_that_there_are_not_are_refused():
    with pytest.raises(ValueError, match="^--styles: expected names among natural, false_colour, swir, got ndvi"):
        FileOptions(styles=("ndvi",))
    with pytest.raises(ValueError, match="^--styles: expected each only once"):
        FileOptions(styles=("swir", "swir"))


def test_where_the_first_style_is_all_are(product, tmp_path, monkeypatch):
    """Whoever completes the product of a killed run looks for the first alone."""
    path = product(("B04", "B03", "B02", "B08"))
    for style in tmp_path.glob("*.qml"):
        style.unlink()
    replaced = []

    def kill(source, target):
        replaced.append(target.name)
        raise KeyboardInterrupt

    monkeypatch.setattr("chain.runtime.files.replace", kill)
    with pytest.raises(KeyboardInterrupt):
        write_styles(path)
    assert replaced == ["sr_false_colour.qml"] and not list(tmp_path.glob("*.qml"))
