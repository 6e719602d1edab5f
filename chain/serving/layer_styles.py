# SPDX-License-Identifier: Apache-2.0
"""Styles with which QGIS shows a product: natural colours when it is opened, false colours to be loaded.

`sr.qml` beside `sr.tif` is what QGIS takes for it without being asked; `sr_false_colour.qml` shows vegetation in red.
Classes have their own colours, and expected errors go from dark blue to yellow, which all people tell apart.
Bands are taken by name. Black and white are what 2 % of a band's valid pixels are below and above; in natural colours,
white is as far above black in all bands, so that colours keep their proportions while haze goes.

    write_styles(Path("sr.tif"))
"""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from osgeo import gdal

from chain.runtime.files import whole_file
from chain.sentinel2.bands import CLASSES
from chain.serving.colours import RAMP, band_names, shown, shown_in
from chain.serving.product_names import style_file, style_files

SAMPLED_SIDE = 1024
"""Pixels along each side of a product, at most, from which the contrast is computed."""
PERCENTILES = (2, 98)
GAMMA = 1.4
"""Brightens what is dark in natural colours: vegetation beside bare ground."""
RAMP_STEPS = 9
"""Colours between which QGIS interpolates."""
DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
COLOURS = ("red", "green", "blue")


def write_styles(product: Path, styles: Sequence[str] = ("natural", "false_colour")) -> None:
    """Write styles of a product beside it, those that it has the bands of; where the first is, all are.

    Args:
        product: the product.
        styles: names; the first is what QGIS takes for the product, by bands in their order where it has no others.

    Raises:
        OSError: the disk refuses.
    """
    dataset = gdal.Open(str(product))
    names = band_names(dataset)
    for number, (style, path) in reversed(list(enumerate(style_files(product, styles).items()))):
        found = shown_in(style, names)
        numbers = found or (shown(names) if number == 0 else None)
        if numbers:
            with whole_file(path, "--style") as partial:
                natural = style == "natural" and found is not None
                partial.write_text(DOCTYPE + _style(dataset, numbers, natural), encoding="utf-8")


def write_class_style(classes: Path) -> None:
    """Write the style of a scene classification beside it: the names and colours of its classes.

    Args:
        classes: the classification.

    Raises:
        OSError: the disk refuses.
    """
    root = ElementTree.Element("qgis", version="3.22", styleCategories="Symbology")
    pipe = ElementTree.SubElement(root, "pipe")
    renderer = ElementTree.SubElement(pipe, "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1")
    palette = ElementTree.SubElement(renderer, "colorPalette")
    for number, (name, colour) in enumerate(CLASSES):
        entry = {"value": str(number), "label": name, "color": f"#{colour}", "alpha": "255" if number else "0"}
        ElementTree.SubElement(palette, "paletteEntry", entry)
    ElementTree.SubElement(pipe, "rasterresampler", maxOversampling="1")
    ElementTree.indent(root)
    with whole_file(style_file(classes), "--style") as partial:
        partial.write_text(f"{DOCTYPE}{ElementTree.tostring(root, encoding='unicode')}\n", encoding="utf-8")


def write_error_style(errors: Path) -> None:
    """Write the style of a file of expected errors beside it: its first band, from 0 on, brighter the more uncertain.

    Args:
        errors: the file.

    Raises:
        OSError: the disk refuses.
    """
    from matplotlib import colormaps, colors

    dataset = gdal.Open(str(errors))
    highest = float(_percentiles(dataset.GetRasterBand(1))[1])
    root = ElementTree.Element("qgis", version="3.22", styleCategories="Symbology")
    pipe = ElementTree.SubElement(root, "pipe")
    kind, limits = "singlebandpseudocolor", {"classificationMin": "0", "classificationMax": f"{highest:.6g}"}
    renderer = ElementTree.SubElement(
        pipe, "rasterrenderer", {"type": kind, "band": "1", "opacity": "1", "alphaBand": "-1", **limits}
    )
    shader = ElementTree.SubElement(renderer, "rastershader")
    ramp = ElementTree.SubElement(
        shader, "colorrampshader", colorRampType="INTERPOLATED", minimumValue="0", maximumValue=f"{highest:.6g}"
    )
    for share in np.linspace(0, 1, RAMP_STEPS):
        value, colour = f"{share * highest:.6g}", colors.to_hex(colormaps[RAMP](share))
        ElementTree.SubElement(ramp, "item", value=value, label=value, color=colour, alpha="255")
    ElementTree.SubElement(pipe, "rasterresampler", maxOversampling="2")
    ElementTree.indent(root)
    with whole_file(style_file(errors), "--style") as partial:
        partial.write_text(f"{DOCTYPE}{ElementTree.tostring(root, encoding='unicode')}\n", encoding="utf-8")


def _style(dataset: gdal.Dataset, numbers: tuple[int, ...], natural: bool) -> str:
    """Return the style that shows bands, one in grey or three in colour, as QGIS reads it."""
    root = ElementTree.Element("qgis", version="3.22", styleCategories="Symbology")
    pipe = ElementTree.SubElement(root, "pipe")
    kind = "multibandcolor" if len(numbers) == 3 else "singlebandgray"
    renderer = ElementTree.SubElement(pipe, "rasterrenderer", type=kind, opacity="1", alphaBand="-1")
    ElementTree.SubElement(renderer, "rasterTransparency")
    ranges = _ranges(dataset, numbers, natural)
    if len(numbers) == 3:
        for colour, number, limits in zip(COLOURS, numbers, ranges):
            renderer.set(f"{colour}Band", str(number))
            _add_contrast(renderer, f"{colour}ContrastEnhancement", limits)
    else:
        renderer.set("grayBand", str(numbers[0]))
        renderer.set("gradient", "BlackToWhite")
        _add_contrast(renderer, "contrastEnhancement", ranges[0])
    ElementTree.SubElement(pipe, "brightnesscontrast", brightness="0", contrast="0", gamma=str(GAMMA if natural else 1))
    ElementTree.SubElement(pipe, "huesaturation", saturation="0", grayscaleMode="0", colorizeOn="0")
    ElementTree.SubElement(pipe, "rasterresampler", maxOversampling="2", zoomedOutResampler="bilinear")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _add_contrast(renderer: ElementTree.Element, tag: str, limits: tuple[float, float]) -> None:
    """Add to a renderer the values that are shown as black and as white."""
    contrast = ElementTree.SubElement(renderer, tag)
    for name, value in zip(("minValue", "maxValue"), limits):
        ElementTree.SubElement(contrast, name).text = f"{value:.6g}"
    ElementTree.SubElement(contrast, "algorithm").text = "StretchToMinimumMaximum"


def _ranges(dataset: gdal.Dataset, numbers: tuple[int, ...], natural: bool) -> list[tuple[float, float]]:
    """Return, for each band, the values that are shown as black and as white, in the unit that QGIS shows: scaled."""
    limits = [_percentiles(dataset.GetRasterBand(number)) for number in numbers]
    widths = [max(high - low, np.finfo(np.float32).eps) for low, high in limits]
    if natural:
        widths = [max(widths)] * len(widths)
    return [(float(low), float(low + width)) for (low, _), width in zip(limits, widths)]


def _percentiles(band: gdal.Band) -> np.ndarray:
    """Return the percentiles of the valid pixels of a band, scaled; 0 and 1 where there is none."""
    columns, rows = (min(size, SAMPLED_SIDE) for size in (band.XSize, band.YSize))
    values = band.ReadAsArray(buf_xsize=columns, buf_ysize=rows).astype(np.float64)
    valid = values[np.isfinite(values) & (values != band.GetNoDataValue())]
    scale, offset = (
        default if stated is None else stated for stated, default in ((band.GetScale(), 1.0), (band.GetOffset(), 0.0))
    )
    return np.percentile(valid, PERCENTILES) * scale + offset if valid.size else np.array([0.0, 1.0])
