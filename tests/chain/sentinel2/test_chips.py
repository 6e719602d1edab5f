# SPDX-License-Identifier: Apache-2.0
"""Small chips of real stacks, with few pixels of data: bands that tell little are told by the others."""

import numpy as np
import pytest
from osgeo import gdal

from chain.sentinel2.bands import BANDS
from chain.sentinel2.image import Sentinel2Image
from chain.sentinel2.native_bands import native_product
from tests.chain.sentinel2.scenes import LEFT, TOP, ratio_of, write
from tests.chain.sentinel2.test_inputs_property import Case, check

DSEN2 = ("s2_l1c_dsen2_native", "S2A_MSIL1C_20170527_T33UUB")
BRAZIL = ("s2_l1c_ssl4eo_brazil_native", "l1c_T24KVE_20180710")
INDIA = ("s2_ssl4eo_T43RCP_native", "l1c_T43RCP_20200604")


@pytest.fixture
def scene_of(shared_data):
    """Return a function giving the beginning of the names of a scene's files."""
    return lambda scene: shared_data(scene[0]) / scene[1]


def hole_of(shape, share, turns):
    """Return a mask of a share of the pixels, at a side or in a corner."""
    row, column = np.mgrid[: shape[0], : shape[1]] / shape[0]
    distance = {"edge": row + 0.15 * column, "rectangle": np.maximum(row, column), "triangle": row - column}
    kind, number = turns
    turned = np.rot90(distance[kind], number)
    return turned <= np.quantile(turned, share)


class Chip:
    """Bands of a real scene, brought to 10 m and cut."""

    def __init__(self, folder, scene, place, cut, size, bands, **how):
        """Take 60 m pixels from `place`: first row, first column, number; cut `size` pixels of 10 m from `cut` on."""
        self.cut, self.native, self.paths, self.tolerance = cut, {}, {}, 4 if how["method"] == "cubicspline" else 2
        part = np.s_[cut[0] : cut[0] + size, cut[1] : cut[1] + size]
        for band in bands:
            ratio = ratio_of(band)
            dataset = gdal.Open(f"{scene}_{10 * ratio}m.tif")
            numbers = {dataset.GetRasterBand(n + 1).GetDescription(): n for n in range(dataset.RasterCount)}
            row, column, cells = (6 // ratio * each for each in place)
            native = dataset.GetRasterBand(numbers[band] + 1).ReadAsArray(column, row, cells, cells)
            fine = self._resampled(native, ratio, how)[part]
            fine = np.where(how["masked"], 0, fine) if "masked" in how else fine
            corner = (LEFT + 10 * cut[1], 10.0, 0.0, TOP - 10 * cut[0], 0.0, -10.0)
            self.paths[band] = write(folder / f"{band}.tif", [fine], [band], nodata=0, place=corner)
            self.native[band] = native[cut[0] // ratio :, cut[1] // ratio :]

    def _resampled(self, native, ratio, how):
        source = gdal.GetDriverByName("MEM").Create("", native.shape[1], native.shape[0], 1, gdal.GDT_UInt16)
        source.SetGeoTransform((LEFT, 10.0 * ratio, 0, TOP, 0, -10.0 * ratio))
        source.GetRasterBand(1).WriteArray(native)
        size = {"width": native.shape[1] * ratio, "height": native.shape[0] * ratio}
        make = getattr(gdal, how.get("tool", "Warp"))
        return make("", source, format="MEM", resampleAlg=how["method"], **size).ReadAsArray()

    def restored(self, folder):
        """Return methods and shares of native pixels that are known, by band; none of them is wrong."""
        image = Sentinel2Image({band: str(path) for band, path in self.paths.items()}, 0, "L1C", {"kind": "raster"})
        product, methods = native_product(image, folder)
        shares = {}
        for band, native in self.native.items():
            dataset = gdal.Open(product.bands[band])
            found, gsd = dataset.ReadAsArray().astype(float), BANDS[band]
            place = tuple(cut // ratio_of(band) * gsd for cut in self.cut)
            assert dataset.GetGeoTransform() == (LEFT + place[1], gsd, 0, TOP - place[0], 0, -gsd)
            native, known = native[: found.shape[0], : found.shape[1]].astype(float), found > 0
            assert np.abs(found - native)[known].max() <= self.tolerance
            shares[band] = known.mean()
        return methods, shares


def test_a_60_m_band_with_too_few_pixels_is_restored_as_those_of_20_m(scene_of, tmp_path):
    masked = hole_of((48, 48), 0.547, ("rectangle", 2))
    scene = scene_of(DSEN2)
    chip = Chip(tmp_path, scene, (61, 89, 8), (0, 0), 48, ("B01", "B05"), method="bilinear", masked=masked)
    methods, shares = chip.restored(tmp_path)
    assert methods == {"B01": "bilinear", "B05": "bilinear"} and min(shares.values()) > 0.4


@pytest.mark.slow
def test_a_60_m_band_beside_the_edge_of_its_source_is_restored_as_those_of_20_m(scene_of, tmp_path):
    masked = hole_of((32, 32), 0.196, ("edge", 0))
    scene = scene_of(INDIA)
    chip = Chip(tmp_path, scene, (28, 29, 14), (0, 33), 32, ("B01", "B05"), method="cubic", masked=masked)
    methods, shares = chip.restored(tmp_path)
    assert methods == dict.fromkeys(("B01", "B05"), "cubic") and min(shares.values()) > 0.2


def test_a_60_m_band_changed_afterwards_is_not_taken_as_those_of_20_m(scene_of, tmp_path):
    scene = scene_of(DSEN2)
    chip = Chip(tmp_path, scene, (61, 84, 16), (0, 0), 96, ("B01", "B05"), method="cubic")
    dataset = gdal.Open(str(chip.paths["B01"]), gdal.GA_Update)
    pixels = dataset.ReadAsArray()
    pixels[20, 20] += 40
    dataset.WriteArray(pixels)
    dataset = None
    with pytest.raises(ValueError, match="^B01: expected native pixels.*no known interpolation gives"):
        chip.restored(tmp_path)


def test_native_pixels_near_a_corner_by_two_border_rules_are_not_known(scene_of, tmp_path):
    """A cubic spline's chip begins where its source does, or is cut there: one native pixel was off by 5."""
    scene = scene_of(BRAZIL)
    chip = Chip(tmp_path, scene, (16, 24, 15), (0, 9), 40, ("B01", "B09"), method="cubicspline")
    methods, shares = chip.restored(tmp_path)
    assert methods == {"B01": "cubicspline", "B09": "cubicspline"} and min(shares.values()) > 0.4


@pytest.mark.slow
def test_a_half_empty_chip_of_a_cubic_spline_is_told_by_the_60_m_bands(scene_of, tmp_path):
    masked = hole_of((64, 64), 0.5, ("triangle", 3))
    scene = scene_of(DSEN2)
    how = {"method": "cubicspline", "tool": "Translate", "masked": masked}
    chip = Chip(tmp_path, scene, (67, 37, 19), (50, 24), 64, ("B01", "B09"), **how)
    methods, shares = chip.restored(tmp_path)
    assert methods == {"B01": "cubicspline", "B09": "cubicspline"} and min(shares.values()) > 0.05


@pytest.mark.slow
def test_a_border_of_lanczos_that_a_mask_hides_in_part_is_not_known():
    """It can be a cut as well, by which a native pixel was off by 2.4, in the corner beside the mask."""
    how = {"resampling": "lanczos", "holes": "triangle", "size": 132}
    masked = Case("GTiff", "float32", False, 1000, "scale and offset", "NaN", True, "ESA", False, **how)
    assert check(masked) == "restored"
