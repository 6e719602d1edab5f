# SPDX-License-Identifier: Apache-2.0
"""Whatever a stack of Sentinel-2 comes in, its pixels are those of the native scene, or it is refused.

Containers, types, what the numbers carry and what is said of it, how missing pixels are told, how coarse bands were
brought to 10 m, before or after pixels went missing, where that was cut, and names are combined at random. What is told
plainly and truly has to be opened; all else may be refused, but never have a wrong pixel, of 10 m or native.
"""

import json
import tempfile
import zipfile
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from osgeo import gdal

from chain.sentinel2.bands import BANDS, WAVELENGTHS
from chain.sentinel2.image import open_product
from chain.sentinel2.native_bands import native_product
from tests.chain.sentinel2.scenes import LEFT, ORDER, TOP, native, ratio_of, read, write, write_dimap, write_netcdf
from tests.examples import EVERYDAY, slow

COMBINATIONS, EVERYDAY_COMBINATIONS = 2000, 16
FULL = settings().max_examples > EVERYDAY
SIZES = (48, 66, 132)
"""Pixels of 10 m along a scene; a cut leaves 32 of the smallest at least."""
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
    "wavelength": {band: f"{band}, central wavelength {WAVELENGTHS[band][0]} nm" for band in ORDER},
    "FORCE": FORCE,
    "words": WORDS,
    "in part": {**{band: band for band in ORDER[:-1]}, "B12": "last"},
    "none": dict.fromkeys(ORDER, ""),
}
CLEAR_NAMES = ("ESA", "Earth Engine", "wavelength", "FORCE", "words")
CONTAINERS = ("GTiff", "COG", "ENVI", "HFA", "VRT", "netCDF", "DIMAP", "zip", "item", "files")
OF_ARRAYS = ("netCDF", "DIMAP")
"""Containers whose bands have no masks, and no baseline."""
RESAMPLINGS = ("near", "average", "bilinear", "cubic", "cubicspline", "lanczos")
EXACT = ("near", "average")
FURTHEST = {"cubicspline": 4}
"""Digital numbers by which native pixels may be off, if not 2 (chain/raster/resampling/restoration.py)."""
HOLES = ("rectangle", "corner", "triangle", "scattered")
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


@lru_cache
def pixels_of(size):
    """Return the native pixels of the landscape."""
    return native(size, seed=3)


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
    resampling: str = "near"
    holes: str = "rectangle"
    early: bool = False
    """Whether pixels were missing before coarse bands were brought to 10 m."""
    size: int = 66
    cut: tuple[int, int] = (0, 0)
    """Rows and columns of 10 m that were cut off at the upper left, after resampling."""

    @property
    def place(self) -> tuple:
        return (LEFT + 10 * self.cut[1], 10.0, 0.0, TOP - 10 * self.cut[0], 0.0, -10.0)

    def is_clear(self) -> bool:
        """Return whether everything is told plainly and truly, in a container that holds what is told."""
        told = not self.bright and not self.reflectance and self.names in CLEAR_NAMES and self.declared
        holes = self.missing in ("none", "zero") or (self.container in ("GTiff", "VRT") and self.missing != "alpha")
        holds = self.container in ("GTiff", "VRT", "COG") or (self.container == "zip" and "baseline" not in self.stated)
        few = self.missing != "none" and (self.holes == "scattered" or self.size == min(SIZES))
        confirmed = self.stated != "scale alone" or not few  # a scale alone is believed if the pixels agree
        return told and holes and holds and confirmed and self.stated in TRUE[self.add]

    def can_be_told(self) -> bool:
        """Return whether anything could tell that what is said is wrong: bright pixels, or few, suit any offset."""
        firm = self.stated in {"scale and offset", "offset in counts", "baseline 02.14", "baseline 05.10"}
        few = self.size == min(SIZES) and self.missing != "none"
        return not ((self.bright or few) and firm and self.stated not in TRUE[self.add])


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
    if missing in ("mask", "sidecar", "alpha", "dataMask"):
        containers = [each for each in containers if each not in OF_ARRAYS]
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
        resampling=draw(st.just("near") | st.sampled_from(RESAMPLINGS)),
        holes=draw(st.sampled_from(HOLES)),
        early=missing in ("zero", "value", "NaN") and draw(st.booleans()),
        size=draw(st.sampled_from(SIZES if FULL else SIZES[:2])),
        cut=draw(st.just((0, 0)) | st.tuples(st.integers(0, 16), st.integers(0, 16))),
    )


def hole(case, cells):
    """Return where pixels are missing, (cells, cells)."""
    row, column = np.mgrid[:cells, :cells] / cells
    if case.missing == "none":
        return np.zeros((cells, cells), bool)
    if case.holes == "scattered":
        return np.random.default_rng(cells).random((cells, cells)) < 0.04
    shapes = {"rectangle": (row < 0.35) & (column < 0.5), "corner": row + column < 0.45, "triangle": column > row}
    return shapes[case.holes]


def truth(case):
    """Return the native pixels of a case, without an offset."""
    chosen = {band: pixels_of(case.size)[band].astype(np.float64) for band in NAMES[case.names]}
    return {band: np.maximum(array, 1900) for band, array in chosen.items()} if case.bright else chosen


def scene(case):
    """Return the pixels of a case on the 10 m grid, with their offset, and where they are missing."""
    missing = np.kron(hole(case, case.size // 6), np.ones((6, 6))) > 0 if case.early else hole(case, case.size)
    cut = np.s_[case.cut[0] :, case.cut[1] :]
    fine = {band: resampled(array + case.add, ratio_of(band), case, missing) for band, array in truth(case).items()}
    return {band: array[cut] for band, array in fine.items()}, missing[cut]


def resampled(array, ratio, case, missing):
    """Bring a band to 10 m by gdalwarp, with the pixels left out that are missing before."""
    rows, columns = array.shape
    source = gdal.GetDriverByName("MEM").Create("", columns, rows, 1, gdal.GDT_Float64)
    source.SetGeoTransform((LEFT, 10.0 * ratio, 0, TOP, 0, -10.0 * ratio))
    band = source.GetRasterBand(1)
    if case.early:
        array = np.where(missing[::ratio, ::ratio], -9999.0, array)
        band.SetNoDataValue(-9999.0)
    band.WriteArray(array)
    size = {"width": columns * ratio, "height": rows * ratio}
    found = gdal.Warp("", source, format="MEM", resampleAlg=case.resampling, **size).ReadAsArray()
    kinds = {"u": np.uint16, "i": np.int32}
    if np.dtype(case.dtype).kind in kinds:
        found = np.rint(np.maximum(found, 0)).astype(kinds[np.dtype(case.dtype).kind]).astype(np.float64)
    return np.maximum(found, 1.0)


def make(folder, case):
    """Write the input of a case; return its name, or None where the container cannot hold it."""
    pixels, missing = scene(case)
    filled = {"none": 0, "zero": 0, "value": -9999 if case.dtype != "uint16" else 65535, "NaN": np.nan}
    fill = filled.get(case.missing, 7777)
    arrays = [
        np.where(missing, fill, array * (1e-4 if case.reflectance else 1.0)).astype(case.dtype)
        for array in pixels.values()
    ]
    words = [NAMES[case.names][band] for band in pixels]
    nodata = {"value": fill, "NaN": fill, "zero": 0}.get(case.missing) if case.declared else None
    if case.missing == "dataMask":
        arrays, words = [*arrays, (~missing).astype(case.dtype)], [*words, "dataMask"]
    if case.missing == "alpha":
        arrays, words = [*arrays, np.where(missing, 0, 255).astype(case.dtype)], [*words, ""]
    stated = {**STATED[case.stated], "place": case.place}
    if case.container in OF_ARRAYS:
        return _of_arrays(folder, case, arrays, words, nodata)
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


def _of_arrays(folder, case, arrays, words, nodata):
    """Write a netCDF file or a product of SNAP's; return its name, or None where it cannot hold what is told."""
    told = STATED[case.stated]
    if "metadata" in told or len({*words} - {""}) < len(words):
        return None
    if case.container == "DIMAP":
        return str(write_dimap(folder, arrays, words, [10.0] * len(words), nodata=nodata, place=case.place, **told))
    corner = case.place[0], case.place[3]
    return write_netcdf(folder / "stack.nc", arrays, words, nodata=nodata, corner=corner, **told)


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
            assert image.bands and set(image.bands) <= set(pixels)
            opened = image.image(tuple(image.bands)).to_numpy()
            for number, band in enumerate(image.bands):
                expected = np.where(missing, 0, np.maximum(pixels[band] - case.add, 1))
                np.testing.assert_allclose(opened[..., number], expected, atol=0.01, err_msg=f"{case} {band}")
            return check_native_pixels(case, image, folder, missing)
        finally:
            image.close()


def check_native_pixels(case, image, folder, missing):
    """Bring a band of 20 m, or one of 60 m, to its native grid; compare it with that of the scene."""
    chosen = "B09" if case.size == min(SIZES) and case.holes != "scattered" else "B05"
    chosen = [chosen] if chosen in image.bands else []
    try:
        restored, _ = native_product(replace(image, bands={band: image.bands[band] for band in chosen}), folder)
    except ValueError as error:
        assert case.resampling not in EXACT or not case.is_clear(), error
        return "opened"
    for band in chosen:
        ratio = ratio_of(band)
        first = [cut // ratio for cut in case.cut]
        left, _, _, top, _, _ = gdal.Open(restored.bands[band]).GetGeoTransform()
        assert (left, top) == (LEFT + first[1] * BANDS[band], TOP - first[0] * BANDS[band]), case
        expected, got = truth(case)[band][first[0] :, first[1] :], read(restored, band)
        margins = [(cut % ratio, 0) for cut in case.cut]
        there = np.pad(~missing, margins).reshape(got.shape[0], ratio, got.shape[1], ratio).any((1, 3))
        assert not got[~there].any(), case
        known = got > 0
        if case.resampling in EXACT:
            np.testing.assert_array_equal(known, there, err_msg=f"{case} {band}")
        off = np.abs(got - expected)[known]
        assert off.max(initial=0.0) <= (0.01 if case.resampling in EXACT else FURTHEST.get(case.resampling, 2)), case
    return "restored"


@settings(
    max_examples=COMBINATIONS if FULL else EVERYDAY_COMBINATIONS,
    derandomize=not FULL,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(cases())
def test_pixels_are_right_or_refused(case):
    assume(case.can_be_told())
    event(check(case))


@pytest.mark.parametrize(
    "add, stated, cut",
    [(1000, "offset in counts", (1, 1)), slow(0, "baseline 02.14", (0, 0)), slow(1000, "offset in counts", (12, 2))],
)
def test_a_spline_is_not_taken_for_lanczos(add, stated, cut):
    """Which explains these pixels by chance, with native ones that are no whole numbers and rules of all kinds."""
    missing = "mask" if add == 0 else "zero"
    spline = Case(
        "GTiff", "uint16", False, add, stated, missing, True, "ESA", True, "cubicspline", "scattered", cut=cut
    )
    assert check(spline) == "opened"


@pytest.mark.parametrize(
    "add, stated, missing, resampling, holes, cut",
    [
        (1000, "baseline 02.14", "mask", "cubic", "corner", (0, 0)),
        (1000, "baseline 02.14", "mask", "lanczos", "rectangle", (0, 0)),
        (1000, "baseline 02.14", "mask", "lanczos", "corner", (10, 16)),
        (0, "baseline 05.10", "value", "near", "scattered", (2, 16)),
    ],
)
def test_a_false_baseline_is_told_by_few_pixels_that_overshoot(add, stated, missing, resampling, holes, cut):
    false = Case("GTiff", "uint16", False, add, stated, missing, True, "FORCE", False, resampling, holes, cut=cut)
    assert check(false) == "refused"


@pytest.mark.parametrize(
    "missing, holes, size, cut",
    [("mask", "triangle", 132, (0, 0)), ("none", "corner", 66, (0, 5)), ("value", "corner", 66, (14, 14))],
)
def test_a_false_baseline_is_told_though_bands_of_60_m_overshoot(missing, holes, size, cut):
    """By Lanczos by 6, a tenth of B09 is darker than any ground is with the offset, and some of it than 500."""
    how = {"resampling": "lanczos", "holes": holes, "size": size, "cut": cut}
    false = Case("GTiff", "uint16", False, 1000, "baseline 02.14", missing, True, "ESA", False, **how)
    assert check(false) == "refused"


def test_a_scale_alone_of_an_item_is_believed_if_the_pixels_agree():
    """Programs that describe rasters write GDAL's offset of 0 into items, too, whatever the pixels carry."""
    bright, dark = (
        Case("item", "uint16", False, add, "scale alone", "none", True, "ESA", add > 0) for add in (1000, 0)
    )
    assert (check(bright), check(dark)) == ("refused", "restored")


def test_a_border_that_speaks_as_well_without_a_rule_has_none():
    """It is a cut, and of floating point native pixels those beside it are whole numbers by any rule, or by none."""
    cut = Case("VRT", "float32", False, 0, "baseline 02.14", "NaN", False, "wavelength", False, "cubic", cut=(12, 12))
    other = replace(cut, container="GTiff", stated="scale alone", missing="none", size=132, cut=(0, 4))
    assert check(cut) == check(other) == "restored"


@pytest.mark.parametrize("container", ["GTiff", slow("VRT"), slow("COG"), slow("zip")])
@pytest.mark.parametrize("add, stated", [(add, stated) for add, each in TRUE.items() for stated in each])
def test_what_is_told_plainly_is_opened(container, add, stated):
    assert check(Case(container, "uint16", False, add, stated, "zero", True, "ESA", False)) == "restored"
