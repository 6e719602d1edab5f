# SPDX-License-Identifier: Apache-2.0
"""DSen2 as a library: the command's pixels, nothing printed, progress, cancelling, errors as exceptions."""

import json

import numpy as np
import pytest
from osgeo import gdal

from chain.runtime.progress import Cancelled
from chain.sentinel2.bands import SURFACE_BANDS
from inference import dsen2
from inference.dsen2 import Options, describe, score, super_resolve, super_resolve_scenes
from tests import toy_models

pytestmark = pytest.mark.keras

SHAPE = 240, 180
GROUPS = {10: ("B02", "B03", "B04", "B08"), 20: ("B05", "B06", "B07", "B8A", "B11", "B12"), 60: ("B01", "B09")}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder of toy networks of both roles."""
    folder = tmp_path_factory.mktemp("models")
    for role in ("2x", "6x"):
        toy_models.dsen2(folder / role, role)
    return str(folder)


@pytest.fixture
def scene(write_raster):
    """Return the files of a scene whose offset and level are known by name."""
    rng = np.random.default_rng(0)
    name = "S2A_MSIL2A_20200101T000000_N0213_R000_T31UDQ_20200101T000000"
    return [
        str(
            write_raster(
                f"{name}_{gsd}m.tif",
                rng.integers(1, 8000, (SHAPE[0] * 10 // gsd, SHAPE[1] * 10 // gsd, len(bands))).astype(np.uint16),
                bands=bands,
                gsd=float(gsd),
            )
        )
        for gsd, bands in GROUPS.items()
    ]


def own(text):
    """Return lines without those of OTB, which other tests may have loaded with its log on."""
    return "\n".join(line for line in text.splitlines() if " (INFO): " not in line)


def pixels_of(path):
    return gdal.Open(str(path)).ReadAsArray()


def test_a_call_makes_the_product_of_the_command_and_prints_nothing(scene, models, tmp_path, capsys):
    words = ["--input", *scene, "--output", str(tmp_path / "command.tif"), "--model-dir", models, "--tile-size", "96"]
    assert dsen2.main(words) == 0
    capsys.readouterr()
    seen = []
    product = super_resolve(
        scene,
        tmp_path / "call.tif",
        Options(model_dir=(models,), tile_size=96),
        progress=lambda fraction, text: seen.append(fraction),
    )
    shown = capsys.readouterr()
    assert (own(shown.out), shown.err) == ("", "")
    np.testing.assert_array_equal(pixels_of(product.path), pixels_of(tmp_path / "command.tif"))
    assert product.path == tmp_path / "call.tif" and product.outcome == "made"
    assert product.bands == tuple(band for band in SURFACE_BANDS if band in sum(GROUPS.values(), ()))
    assert (product.grid.columns, product.grid.rows, product.grid.dx) == (SHAPE[1], SHAPE[0], 10.0)
    assert product.nodata == 0 and product.dtype == "uint16"
    record = json.loads(product.record.read_text())
    assert record["decisions"] and record["arguments"]["tile_size"] == 96
    assert seen[0] == 0 and seen[-1] == 1 and seen == sorted(seen) and len(seen) > 2


def test_cancelled_work_keeps_its_regions_and_the_same_call_goes_on(scene, models, tmp_path):
    options, calls = Options(model_dir=(models,), tile_size=48), []

    def cancelled():
        calls.append(1)
        return len(calls) > 3

    with pytest.raises(Cancelled):
        super_resolve(scene, tmp_path / "sr.tif", options, cancelled=cancelled)
    assert not (tmp_path / "sr.tif").exists() and list((tmp_path / "sr.tif.parts").glob("*.tif"))
    product = super_resolve(scene, tmp_path / "sr.tif", options)
    assert json.loads(product.record.read_text())["resumed_regions"] > 0
    whole = super_resolve(scene, tmp_path / "whole.tif", options)
    np.testing.assert_array_equal(pixels_of(product.path), pixels_of(whole.path))


def test_an_existing_product_is_kept_unless_overwritten(scene, models, tmp_path):
    options = Options(model_dir=(models,), bands=("B05",))
    super_resolve(scene, tmp_path / "sr.tif", options)
    with pytest.raises(FileExistsError, match="--output: .* exists; --overwrite replaces it"):
        super_resolve(scene, tmp_path / "sr.tif", options)


def test_scenes_are_made_each_for_itself_and_done_ones_stay(scene, models, tmp_path):
    (tmp_path / "broken_N0213.tif").write_bytes(b"no raster")
    options = Options(model_dir=(models,), bands=("B05",))
    inputs = [*scene, str(tmp_path / "broken_N0213.tif")]
    outcomes = super_resolve_scenes(inputs, tmp_path / "out", options)
    assert {type(outcome).__name__ for outcome in outcomes.values()} == {"Product", "ValueError"}
    again = super_resolve_scenes(scene, tmp_path / "out", options)
    assert [outcome.outcome for outcome in again.values()] == ["done before"]


def test_scores_are_returned(scene, models, tmp_path):
    options = Options(model_dir=(models,), evaluate="full", metrics=str(tmp_path / "m.json"))
    product = super_resolve(scene, tmp_path / "sr.tif", options)
    assert product.scores == json.loads((tmp_path / "m.json").read_text())
    assert score(scene, Options(model_dir=(models,), evaluate="wald"))


def test_description_tells_what_would_be_made_and_computes_nothing(scene, models, tmp_path, capsys):
    options = Options(model_dir=(models,), bands=("B05", "B11"))
    found = describe(scene, options)
    assert found["input"]["level"] == "L2A" and found["input"]["offset"] == 0
    assert [grid["spacing"] for grid in found["input"]["grids"]] == [10.0, 20.0]
    assert found["product"]["bands"] == ["B05", "B11"]
    fine = {key: value for key, value in found["input"]["grids"][0].items() if key != "bands"}
    assert found["product"]["grid"] == fine
    west, south, east, north = found["input"]["footprint"]
    assert -180 <= west < east <= 180 and -90 <= south < north <= 90
    words = ["--input", *scene, "--model-dir", models, "--bands", "B05,B11", "--info"]
    output = tmp_path / "sr.tif"
    assert dsen2.main([*words, "--json", "--output", str(output)]) == 0
    shown = json.loads(own(capsys.readouterr().out))
    assert shown["product"]["path"] == str(output)
    shown["product"]["path"] = None
    assert shown == json.loads(json.dumps(found))
    assert dsen2.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "  level: L2A" in lines and "  bands: B05, B11" in lines
    assert not output.exists() and not output.with_name("sr.tif.parts").exists()


def test_items_beside_other_inputs_are_refused(tmp_path):
    with pytest.raises(ValueError, match="--input: expected names, or one STAC item, got 2 inputs, items among them"):
        super_resolve_scenes([{"id": "scene"}, "scene.tif"], tmp_path / "products")


def test_an_item_that_is_a_mapping_names_its_product(tmp_path):
    made = super_resolve_scenes([{"id": "S2A/1", "assets": {}, "properties": {}}], tmp_path / "products")
    assert list(made) == ["S2A_1"] and isinstance(made["S2A_1"], ValueError)
