# SPDX-License-Identifier: Apache-2.0
"""Interrupted products of L1BSR, and images that are registered before they are super-resolved."""

import json

import numpy as np
import pytest

from inference.l1bsr import registration, super_resolution
from tests.examples import slow
from tests.inference.l1bsr.networks import infer, read, register, varied
from tests.products import product_files

pytestmark = pytest.mark.keras


class Interrupting:
    """Does as a function does, a number of times; then raises."""

    def __init__(self, function, times):
        self.function, self.times = function, times

    def __call__(self, *arguments):
        if not self.times:
            raise KeyboardInterrupt
        self.times -= 1
        return self.function(*arguments)


def test_an_interrupted_super_resolution_is_resumed(tmp_path, image, models, monkeypatch, capsys):
    monkeypatch.setattr(super_resolution, "REGION_ROWS", 20)
    source, output = image(varied(40, 30)), tmp_path / "sr.tif"
    with monkeypatch.context() as patch:
        keep = super_resolution.keep_region
        patch.setattr(super_resolution, "keep_region", Interrupting(keep, 3))
        assert infer(source, output, models["REC"], "--mode", "strips") == 130
    assert not output.exists() and len(list((tmp_path / "sr.tif.parts").glob("*_*.tif"))) == 3
    assert infer(source, output, models["nearest"], "--mode", "whole") == 1
    assert "was begun with other models; --restart begins anew" in capsys.readouterr().err
    assert infer(source, output, models["REC"], "--mode", "whole") == 0
    assert json.loads((tmp_path / "sr.tif.json").read_text())["resumed_regions"] == 3
    assert infer(source, tmp_path / "again.tif", models["REC"]) == 0
    assert np.abs(read(output)[0].astype(int) - read(tmp_path / "again.tif")[0]).max() <= 1
    assert not (tmp_path / "sr.tif.parts").exists()


@pytest.mark.slow
def test_an_interrupted_registration_goes_on_with_the_flow_it_has(tmp_path, image, models, monkeypatch):
    monkeypatch.setattr(registration, "TILE", 48)
    source, output, flow = image(varied(150, 84)), tmp_path / "r.tif", tmp_path / "flow.tif"
    more = ("--flow", flow, "--mode", "strips")
    with monkeypatch.context() as patch:
        tiles = registration.CsrByTiles
        limited = Interrupting(tiles.flow, 5)
        patch.setattr(tiles, "flow", lambda self, region: limited(self, region))
        assert register(source, output, models["CSR"], *more) == 130
    made = len(list((tmp_path / ".flow.flow.tif.parts").glob("*_*.tif")))
    assert 0 < made < 8 and not output.exists() and not flow.exists()
    with monkeypatch.context() as patch:
        patch.setattr(registration, "sample", Interrupting(registration.sample, 4))
        assert register(source, output, models["CSR"], *more) == 130
    assert (tmp_path / ".flow.flow.tif").exists() and not flow.exists() and not output.exists()
    with monkeypatch.context() as patch:
        patch.delattr(registration.CsrByTiles, "flow")  # nothing of it is computed again
        assert register(source, output, models["CSR"], *more) == 0
    assert {file.name for file in tmp_path.iterdir()} == {"l1b.tif", "flow.tif"} | product_files("r")
    assert register(source, tmp_path / "again.tif", models["CSR"], "--mode", "whole") == 0
    assert np.abs(read(output)[0].astype(int) - read(tmp_path / "again.tif")[0]).max() <= 1


@pytest.mark.parametrize("mode", [slow("whole"), "strips"])
def test_a_network_for_registered_images_is_given_such(tmp_path, image, models, mode):
    """It makes of an image what a network of the same weights makes of what --task registration makes of it."""
    pixels = varied(85, 80)
    pixels[:3] = 0
    source, output = image(pixels), tmp_path / "sr.tif"
    assert infer(source, output, models["for registered"], "--csr", models["CSR"], "--mode", mode) == 0
    record = json.loads((tmp_path / "sr.tif.json").read_text())
    assert [model["model"] for model in record["models"]] == ["REC", "CSR"]
    assert {file.name for file in tmp_path.iterdir()} == {"l1b.tif"} | product_files("sr")
    assert register(source, tmp_path / "r.tif", models["CSR"]) == 0
    assert infer(str(tmp_path / "r.tif"), tmp_path / "two.tif", models["REC"]) == 0
    (made, dataset), (wanted, other) = read(output), read(tmp_path / "two.tif")
    assert np.abs(made.astype(int) - wanted).max() <= 1 and not made[:6].any()
    assert dataset.GetGeoTransform() == other.GetGeoTransform()


def test_an_interrupted_super_resolution_goes_on_with_the_registered_image(tmp_path, image, models, monkeypatch):
    source, output = image(varied(85, 80)), tmp_path / "sr.tif"
    command = (source, output, models["for registered"], "--csr")
    with monkeypatch.context() as patch:
        patch.setattr(super_resolution, "keep_region", Interrupting(None, 0))
        assert infer(*command, models["CSR"]) == 130
    assert (tmp_path / ".sr.registered.tif").exists() and not output.exists()
    with monkeypatch.context() as patch:
        patch.delattr(registration, "sample")  # it is not registered again
        assert infer(*command, models["CSR"]) == 0
    assert {file.name for file in tmp_path.iterdir()} == {"l1b.tif"} | product_files("sr")


@pytest.mark.slow
def test_an_image_registered_otherwise_makes_another_product(tmp_path, image, models, monkeypatch, capsys):
    source, output = image(varied(85, 80)), tmp_path / "sr.tif"
    command = (source, output, models["for registered"], "--csr")
    with monkeypatch.context() as patch:
        patch.setattr(super_resolution, "keep_region", Interrupting(None, 0))
        assert infer(*command, models["CSR"]) == 130
    assert infer(*command, models["moving"]) == 1
    assert "was begun with other models; --restart begins anew" in capsys.readouterr().err
    assert infer(*command, models["moving"], "--restart") == 0
    assert register(source, tmp_path / "r.tif", models["moving"]) == 0
    assert infer(str(tmp_path / "r.tif"), tmp_path / "two.tif", models["REC"]) == 0
    assert np.abs(read(output)[0].astype(int) - read(tmp_path / "two.tif")[0]).max() <= 1
