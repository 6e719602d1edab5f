# SPDX-License-Identifier: Apache-2.0
"""Ground unlike what a network was trained on: real scenes never trained on, and with bands multiplied."""

import json
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal

from chain.sentinel2.scene import opened_scene
from inference import dsen2
from inference.dsen2.unlike import KEY, look
from inference.report import report
from models.base import export
from models.dsen2 import DSen2
from models.spectra import read_spectra
from tests.real_tiles import tiles_of

TRAINED_GROUND = Path(__file__).parent / "trained_ground"
"""The spectra of ten scenes: fields, forest, coast, villages."""

ORDINARY = {
    "forest": ("s2_l1c_ssl4eo_brazil_native", "l1c_T24KUF_20180302"),
    "fields, L1C": ("s2_ssl4eo_T43RCP_native", "l1c_T43RCP_20200604"),
    "fields, L2A": ("s2_ssl4eo_T43RCP_native", "l2a_T43RCP_20200813"),
    "snow": ("s2_terramesh_native", "TM_L2A_609U"),
    "lagoon, L1C": ("s2_terramesh_native", "TM_L1C_282D"),
    "villages": ("s2_l2a_bigearthnet_v2_native", "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_89_18"),
}
GAINS = {"humid": ({"B11": 0.15}, 0.9), "sea ice": ({"B11": 0.05, "B12": 0.05}, 0.6), "red edge": ({"B05": 0.3}, 0.9)}
"""Gains of bands, and the share that is unlike then, at least: some of the training is water, dark in B11 and B12."""


@pytest.fixture(scope="module")
def spectra():
    return read_spectra(TRAINED_GROUND)


@pytest.fixture(scope="module")
def network(spectra, tmp_path_factory):
    """A network of the paper's class that interpolates, as if trained on that ground."""
    model = DSen2.from_bands("2x", depth=2, num_blocks=0, start_at_interpolation=True)
    model.spectra = spectra
    folder = tmp_path_factory.mktemp("network") / "2x"
    export(model, folder)
    return str(folder)


def shares(spectra, stem, gains=None):
    """Return the share of pixels of 20 m that are unlike, over tiles of a scene whose bands are multiplied."""
    found = []
    for tile in tiles_of(stem, "2x", 120):
        fine = tile["x10"].reshape(60, 2, 60, 2, 4).mean((1, 3))
        pixels = np.concatenate([fine, tile["x20"]], axis=-1).reshape(-1, 10)
        for band, gain in (gains or {}).items():
            pixels[:, spectra.bands.index(band)] *= gain
        found.append(spectra.unlike(pixels).mean())
    return np.mean(found)


@pytest.mark.parametrize("kind", ORDINARY)
def test_scenes_never_trained_on(spectra, shared_data, kind):
    folder, name = ORDINARY[kind]
    assert shares(spectra, shared_data(folder) / name) < 0.015


@pytest.mark.parametrize("gains, least", GAINS.values(), ids=GAINS)
def test_scenes_with_bands_of_other_ratios(spectra, shared_data, gains, least):
    for kind in ("forest", "fields, L2A", "villages"):
        folder, name = ORDINARY[kind]
        assert shares(spectra, shared_data(folder) / name, gains) > least


@pytest.fixture
def scene(shared_data, tmp_path):
    """Files of 120 x 96 pixels of a scene that no training has seen, in whose left half B11 is 0.15 times as bright."""
    stem = shared_data("s2_ssl4eo_T43RCP_native") / "l2a_T43RCP_20200813"
    files = []
    for gsd in (10, 20):
        source = gdal.Open(f"{stem}_{gsd}m.tif")
        name = str(tmp_path / f"S_{gsd}m.tif")
        made = gdal.Translate(name, source, srcWin=[0, 0, 1200 // gsd, 960 // gsd])
        bands = [made.GetRasterBand(number + 1) for number in range(made.RasterCount)]
        for band in bands:
            if band.GetDescription().startswith("B11"):
                values = band.ReadAsArray()
                values[:, :30] = 0.15 * values[:, :30]
                band.WriteArray(values)
        files.append(name)
        del bands, band, made
    return files


@pytest.mark.keras
def test_a_product_warns_once_and_its_record_and_report_tell(scene, network, tmp_path, capsys):
    output = tmp_path / "sr.tif"
    arguments = ["--input", *scene, "--offset", "0", "--level", "L2A", "--model-dir", network]
    assert dsen2.main([*arguments, "--output", str(output)]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "not trained on" in line]
    assert len(lines) == 1 and "sr.tif: on 50% of the image (pixels of 20 m)" in lines[0]
    record = json.loads((tmp_path / "sr.tif.json").read_text())
    assert record[KEY]["2x"] == {"share": 0.5, "metres": 20.0}
    page = report(output).read_text(encoding="utf-8")
    assert "On 50% of the image (pixels of 20 m) bands stand in ratios" in page


@pytest.mark.keras
def test_pixels_in_memory_are_looked_at_too(scene, network):
    fine, coarse = (np.moveaxis(gdal.Open(name).ReadAsArray().astype(np.float32), 0, 2) for name in scene)
    options = dsen2.Options(offset=0, level="L2A", model_dir=(network,))
    made = dsen2.super_resolve_arrays({"x10": fine, "x20": coarse}, options)
    (warning,) = made.warnings
    assert warning.startswith("on 50% of the image (pixels of 20 m) bands stand in ratios that the 2x network")


@pytest.mark.keras
def test_bands_that_the_product_lacks_are_those_of_the_input(scene, network, spectra, tmp_path, capsys):
    """Where it is open: regions that are assembled are not held against it."""
    output = tmp_path / "sr.tif"
    arguments = ["--input", *scene, "--offset", "0", "--model-dir", network]
    arguments += ["--bands", "B05", "--float", "--output", str(output)]
    assert dsen2.main([*arguments, "--block-range", "1/1"]) == 0 and not output.exists()
    capsys.readouterr()
    assert dsen2.main([*arguments, "--assemble"]) == 0
    assert "whether the ground is like any that the 2x network was trained on is not known" in capsys.readouterr().err
    with opened_scene(scene, 0) as opened:
        assert look(gdal.Open(str(output)), opened.product, spectra) == {"share": 0.5, "metres": 20.0}


def test_missing_pixels_do_not_count(spectra, scene, tmp_path):
    """Of a product, all of whose bands but one are there everywhere."""
    names = ("B02", "B03", "B04", "B08")
    output = str(tmp_path / "product.tif")
    dataset = gdal.GetDriverByName("GTiff").Create(output, 40, 40, len(spectra.bands), gdal.GDT_UInt16)
    dataset.SetGeoTransform((0, 10, 0, 400, 0, -10))
    for number, band in enumerate(spectra.bands, start=1):
        values = np.full((40, 40), 1000 if band in names else 20, np.uint16)
        values[:, 20:] = np.rint(1000 * spectra.shares[0, number - 1])
        if band == "B12":
            values[:30, :20] = 0
        dataset.GetRasterBand(number).SetDescription(band)
        dataset.GetRasterBand(number).SetNoDataValue(0)
        dataset.GetRasterBand(number).WriteArray(values)
    del dataset
    assert look(gdal.Open(output), None, spectra)["share"] == pytest.approx(200 / 1000)
