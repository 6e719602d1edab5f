# SPDX-License-Identifier: Apache-2.0
"""Whatever a stack of Sentinel-2 comes in, its pixels are those of the native scene, or it is refused.

Containers, types, what the numbers carry and what is said of it, how missing pixels are told, and names are combined at
random. What is told plainly and truly has to be opened; all else may be refused, but never have a wrong pixel.
"""

import json
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from osgeo import gdal

from chain.sentinel2.image import open_product
from tests.chain.sentinel2.scenes import ORDER, fine, native, read, write
from tests.examples import EVERYDAY

COMBINATIONS, EVERYDAY_COMBINATIONS = 2000, 50
SIZE = 60
FORCE = dict(
    zip(
        ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"),
        ("BLUE", "GREEN", "RED", "REDEDGE1", "REDEDGE2", "REDEDGE3", "BROADNIR", "NIR", "SWIR1", "SWIR2"),
    )
)
WORDS = dict(zip(("B02", "B03", "B04", "B08"), ("Blue", "Green", "Red", "NIR")))
NAMES = {
    "ESA": {band: band for band in ORDER},
    "Earth Engine": {band: band.replace("B0", "B") for band in ORDER},
    "wavelength": {band: f"{band}, central wavelength 500 nm" for band in ORDER},
    "FORCE": FORCE,
    "words": WORDS,
    "in part": {**{band: band for band in ORDER[:-1]}, "B12": "last"},
    "none": dict.fromkeys(ORDER, ""),
}
CLEAR_NAMES = ("ESA", "Earth Engine", "wavelength", "FORCE", "words")
CONTAINERS = ("GTiff", "COG", "ENVI", "HFA", "VRT", "zip", "item", "files")
STATED = {
    "nothing": {},
    "scale alone": {"scale": 1e-4, "offset": 0.0},
    "scale and offset": {"scale": 1e-4, "offset": -0.1},
    "offset in counts": {"scale": 1.0, "offset": -1000.0},
    "mixed units": {"scale": 1e-4, "offset": -1000.0},
    "another scale": {"scale": 2.75e-5, "offset": -0.2},
    "baseline 02.14": {"metadata": {"PROCESSING_BASELINE": "02.14"}},
    "baseline 05.10": {"metadata": {"PROCESSING_BASELINE": "05.10"}},
    "baseline 99.99": {"metadata": {"PROCESSING_BASELINE": "99.99"}},
    "both": {"metadata": {"PROCESSING_BASELINE": "05.10"}, "scale": 1e-4, "offset": 0.0},
}
TRUE = {
    0: ("scale alone", "baseline 02.14"),
    1000: ("scale and offset", "offset in counts", "baseline 05.10"),
}
"""What is true of pixels that carry this."""
MISSING = ("none", "zero", "value", "NaN", "mask", "sidecar", "alpha", "dataMask")
PIXELS = native(SIZE, seed=3)


@dataclass(frozen=True)
class Case:
    """One combination."""

    container: str
    dtype: str
    reflectance: bool
    add: int
    stated: str
    missing: str
    declared: bool
    names: str
    bright: bool

    def is_clear(self) -> bool:
        """Return whether everything is told plainly and truly, in a container that holds what is told."""
        told = not self.bright and not self.reflectance and self.names in CLEAR_NAMES and self.declared
        holes = self.missing in ("none", "zero") or (self.container in ("GTiff", "VRT") and self.missing != "alpha")
        holds = self.container in ("GTiff", "VRT", "COG") or (self.container == "zip" and "baseline" not in self.stated)
        return told and holes and holds and self.stated in TRUE[self.add]

    def can_be_told(self) -> bool:
        """Return whether anything could tell that what is said is wrong: bright pixels suit any offset."""
        firm = self.stated in {"scale and offset", "offset in counts", "baseline 02.14", "baseline 05.10"}
        return not (self.bright and firm and self.stated not in TRUE[self.add])


@st.composite
def cases(draw):
    """Draw a combination; what it says is true as often as not, and its type can hold it."""
    add = draw(st.sampled_from((0, 1000)))
    missing = draw(st.sampled_from(MISSING))
    reflectance = draw(st.sampled_from((False, False, False, True)))
    types = ("float32", "float64")
    if missing != "NaN" and not reflectance:
        types = ("uint16", "int16", "int32", *types)
    containers = CONTAINERS if missing not in ("alpha", "dataMask") else CONTAINERS[:-2]
    return Case(
        container=draw(st.sampled_from(containers)),
        dtype=draw(st.sampled_from(types)),
        reflectance=reflectance,
        add=add,
        stated=draw(st.sampled_from(TRUE[add]) | st.sampled_from(tuple(STATED))),
        missing=missing,
        declared=draw(st.sampled_from((True, True, True, False))),
        names=draw(st.sampled_from(CLEAR_NAMES) | st.sampled_from(tuple(NAMES))),
        bright=draw(st.sampled_from((False, False, False, True))),
    )


def scene(case):
    """Return the native pixels of a case on the 10 m grid, without an offset, and where they are missing."""
    chosen = fine({band: PIXELS[band] for band in NAMES[case.names]})
    if case.bright:
        chosen = {band: np.maximum(array, 1900) for band, array in chosen.items()}
    missing = np.zeros((SIZE, SIZE), bool)
    if case.missing != "none":
        missing[:20, :30] = True
    return chosen, missing


def make(folder, case):
    """Write the input of a case; return its name, or None where the container cannot hold it."""
    pixels, missing = scene(case)
    filled = {"none": 0, "zero": 0, "value": -9999 if case.dtype != "uint16" else 65535, "NaN": np.nan}
    fill = filled.get(case.missing, 7777)
    arrays = [
        np.where(missing, fill, (array + float(case.add)) * (1e-4 if case.reflectance else 1.0)).astype(case.dtype)
        for array in pixels.values()
    ]
    words = [NAMES[case.names][band] for band in pixels]
    nodata = {"value": fill, "NaN": fill, "zero": 0}.get(case.missing) if case.declared else None
    if case.missing == "dataMask":
        arrays, words = [*arrays, (~missing).astype(case.dtype)], [*words, "dataMask"]
    if case.missing == "alpha":
        arrays, words = [*arrays, np.where(missing, 0, 255).astype(case.dtype)], [*words, ""]
    stated = STATED[case.stated]
    if case.container in ("files", "item"):
        files = {
            band: write(folder / f"{band}.tif", [array], [word], nodata=nodata, **stated)
            for band, array, word in zip(pixels, arrays, words)
        }
        for path in files.values():
            _mask(path, missing, case.missing)
        if case.container == "files":
            return sorted(files.values())
        return _item(folder, files, stated)
    driver = case.container if case.container in ("COG", "ENVI", "HFA") else "GTiff"
    path = write(folder / "stack.tif", arrays, words, driver=driver, nodata=nodata, **stated)
    if case.missing == "alpha":
        dataset = gdal.Open(path, gdal.GA_Update)
        dataset.GetRasterBand(dataset.RasterCount).SetColorInterpretation(gdal.GCI_AlphaBand)
        dataset = None
    if driver == "COG" and case.missing in ("mask", "sidecar"):
        return None
    _mask(path, missing, case.missing)
    if case.container == "VRT":
        gdal.Translate(str(folder / "stack.vrt"), path, format="VRT")
        return str(folder / "stack.vrt")
    if case.container == "zip":
        with zipfile.ZipFile(folder / "stack.zip", "w") as archive:
            for file in folder.glob("stack.tif*"):
                archive.write(file, file.name)
        return str(folder / "stack.zip")
    return path


def _mask(path, missing, kind):
    """Give a raster a mask, in it or beside it, where the kind is one."""
    if kind in ("mask", "sidecar"):
        gdal.SetConfigOption("GDAL_TIFF_INTERNAL_MASK", "YES" if kind == "mask" else "NO")
        dataset = gdal.Open(path, gdal.GA_Update)
        dataset.CreateMaskBand(gdal.GMF_PER_DATASET)
        dataset.GetRasterBand(1).GetMaskBand().WriteArray((~missing).astype(np.uint8) * 255)
        dataset = None
        gdal.SetConfigOption("GDAL_TIFF_INTERNAL_MASK", None)


def _item(folder, files, stated):
    """Write a STAC item of files, which says what they say."""
    asset = {}
    if "scale" in stated:
        asset = {"raster:bands": [{"scale": stated["scale"], "offset": stated["offset"]}]}
    document = {
        "id": "item",
        "properties": {"s2:processing_baseline": stated.get("metadata", {}).get("PROCESSING_BASELINE")},
        "assets": {band: {"href": path, **asset} for band, path in files.items()},
    }
    path = folder / "item.json"
    path.write_text(json.dumps(document))
    return str(path)


def check(case):
    """Open the input of a case, and compare its pixels with those of the scene; return what became of it."""
    with tempfile.TemporaryDirectory() as folder:
        source = make(Path(folder), case)
        if source is None:
            return "cannot be written"
        try:
            image = open_product(source)
        except ValueError as error:
            assert not case.is_clear(), error
            return "refused"
        pixels, missing = scene(case)
        try:
            for band, array in pixels.items():
                if band in image.bands:
                    expected = np.where(missing, 0, array)
                    np.testing.assert_allclose(read(image, band), expected, atol=0.01, err_msg=f"{case} {band}")
            assert image.bands and set(image.bands) <= set(pixels)
        finally:
            image.close()
    return "opened"


FULL = settings().max_examples > EVERYDAY


@settings(
    max_examples=COMBINATIONS if FULL else EVERYDAY_COMBINATIONS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(cases())
def test_pixels_are_right_or_refused(case):
    assume(case.can_be_told())
    event(check(case))


@pytest.mark.parametrize("container", ["GTiff", "VRT", "COG", "zip"])
@pytest.mark.parametrize("add, stated", [(add, stated) for add, each in TRUE.items() for stated in each])
def test_what_is_told_plainly_is_opened(container, add, stated):
    assert check(Case(container, "uint16", False, add, stated, "zero", True, "ESA", False)) == "opened"
