# SPDX-License-Identifier: Apache-2.0
"""What `--precision` and `--engine` make of networks, and what `auto` takes."""

import argparse

import numpy as np
import pytest

from chain.runtime.command_line import run_program
from chain.runtime.progress import shown_on_terminal
from chain.serving.engines.opening import default_engine, open_engine
from chain.serving.exported_models import served_folder
from chain.serving.network import Network
from chain.serving.precision import precision
from chain.serving.precision.options import PrecisionOptions
from models import base
from models.description import read_description
from models.dsen2 import DSen2
from tests.real_tiles import PROJECT_WEIGHTS, tiles_of

pytestmark = pytest.mark.keras

DEFAULT = default_engine()


def parsed(*words):
    found = []
    parser = argparse.ArgumentParser(prog="program")
    run_program(parser, PrecisionOptions, lambda options, progress: found.append(options), words)
    return found[0]


@pytest.fixture(autouse=True)
def told():
    """Show what is told on the standard error, as programs do."""
    with shown_on_terminal():
        yield


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """A cache of these tests' own, in which each network is made once in each precision."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Small networks of both roles, with random weights."""
    found = []
    for role in ("2x", "6x"):
        model = DSen2.from_bands(role, depth=8, num_blocks=2)
        rng = np.random.default_rng(0)
        for variable in model.model.weights:
            variable.assign(rng.normal(0, 0.5 / np.sqrt(np.prod(variable.shape[:-1]) or 1), variable.shape))
        folder = tmp_path_factory.mktemp("models") / role
        base.export(model, folder)
        found.append(Network(read_description(folder), str(folder)))
    return tuple(found)


def tiles():
    rng = np.random.default_rng(0)
    shapes = {"x10": (96, 96, 4), "x20": (48, 48, 6), "x60": (16, 16, 2)}
    return [
        {name: rng.integers(500, 3000, shape).astype(np.float32) for name, shape in shapes.items()} for _ in range(4)
    ]


def not_read():
    raise AssertionError("no tile is needed")


@pytest.mark.parametrize(
    "words, message",
    [
        (
            ("--precision", "int8", "--engine", "otbtf"),
            "--engine: expected openvino with --precision int8, got otbtf",
        ),
        (("--precision", "int8", "--engine", "tensorflow"), "--engine: expected openvino with --precision int8"),
        (("--precision", "bfloat16", "--engine", "openvino"), "--engine: expected otbtf or tensorflow with"),
        (("--max-error", "0"), "--max-error: expected more than 0, got 0"),
        (("--max-error", "nan"), "--max-error: expected more than 0, got nan"),
        (("--precision", "float16"), "invalid choice: 'float16'"),
        (("--engine", "onnx"), "invalid choice: 'onnx'"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(words, message, capsys):
    with pytest.raises(SystemExit) as caught:
        parsed(*words)
    assert caught.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize("engine", [None, "otbtf", "tensorflow", "openvino"])
def test_float32_is_served_as_it_is(networks, engine):
    found, record = precision.prepared(parsed(*(["--engine", engine] if engine else [])), networks, not_read)
    assert [network.model_dir for network in found] == [network.model_dir for network in networks]
    assert {network.engine for network in found} == {engine or DEFAULT}
    assert record == {
        "precision": "float32",
        "networks": [
            {"bands": list(network.description.bands), "precision": "float32", "engine": engine or DEFAULT}
            for network in networks
        ],
    }


@pytest.mark.slow
@pytest.mark.parametrize("engine", [None, "tensorflow"])
def test_bfloat16_needs_no_tiles(networks, engine):
    scaled = tuple(network.scaled(1.5) for network in networks)
    words = ["--precision", "bfloat16", *(["--engine", engine] if engine else [])]
    found, record = precision.prepared(parsed(*words), scaled, not_read)
    for network, before, said in zip(found, scaled, record["networks"]):
        assert network.engine == said["engine"] == (engine or DEFAULT) and said["precision"] == "bfloat16"
        assert read_description(network.model_dir).precision == network.description.precision == "bfloat16"
        assert network.description.gsd == before.description.gsd == 15.0  # larger pixels stay so


def test_int8_is_made_from_tiles_and_its_error_told(networks, capsys):
    pytest.importorskip("openvino")
    given = tiles()
    found, record = precision.prepared(parsed("--precision", "int8"), networks, lambda: given)
    for network, said in zip(found, record["networks"]):
        assert network.engine == "openvino" and network.description.precision == "int8"
        assert said["precision"] == "int8" and 0 < said["rmse"] < said["largest"]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and lines[0].startswith("network of B05 B06 B07 B8A B11 B12: int8 on openvino: ")
    assert precision.prepared(parsed("--precision", "int8"), networks, lambda: given) == (found, record)


def test_the_input_has_to_have_a_tile(networks):
    for kind in ("int8", "auto"):
        with pytest.raises(ValueError, match=f"^--precision: expected a part of the input for {kind}, got none$"):
            precision.prepared(parsed("--precision", kind), networks, list)
        assert precision.prepared(parsed("--precision", kind), (), not_read) == (
            (),
            {"precision": kind, "networks": []},
        )


def test_one_of_four_tiles_is_for_measuring():
    assert precision._shares([1, 2, 3]) == ([1, 2, 3], [1, 2, 3])
    assert precision._shares(list(range(1, 10))) == ([1, 2, 3, 5, 6, 7, 9], [4, 8])


@pytest.fixture
def clock(monkeypatch):
    """Return a function that states how long candidates take, by their names."""

    def state(**seconds):
        def timed(candidate, _):
            network = candidate.network
            engine = "openvino" if network.engine == "openvino" else "other"
            key = f"{network.description.precision}_{engine}"
            return precision.dataclasses.replace(candidate, seconds=seconds.get(key, 1.0))

        monkeypatch.setattr(precision, "_timed", timed)

    return state


def takes(networks, *words):
    found, record = precision.prepared(parsed("--precision", "auto", *words), networks[:1], tiles)
    said = record["networks"][0]
    assert (found[0].description.precision, found[0].engine) == (said["precision"], said["engine"])
    return said["precision"], said["engine"], said["rmse"]


def test_auto_takes_the_fastest_that_is_near_enough(networks, clock, capsys):
    pytest.importorskip("openvino")
    clock(bfloat16_other=0.6, float32_openvino=0.8, int8_openvino=0.4)
    assert takes(networks, "--max-error", "1000")[:2] == ("int8", "openvino")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5 and lines[-1].endswith(": takes int8 on openvino") and "2.50 times as fast" in lines[3]
    assert takes(networks, "--max-error", "1000", "--engine", "tensorflow")[:2] == ("bfloat16", "tensorflow")
    assert takes(networks, "--max-error", "1000", "--engine", "otbtf")[:2] == ("bfloat16", "otbtf")
    clock(bfloat16_other=0.6, float32_openvino=0.8, int8_openvino=0.7)
    kind, engine, bound = takes(networks, "--max-error", "1000")
    assert (kind, engine) == ("bfloat16", DEFAULT) and bound > 0.01
    assert takes(networks, "--max-error", "0.01")[:2] == ("float32", "openvino")  # as exact, and faster


def test_auto_stays_with_float32_unless_another_is_clearly_faster(networks, clock):
    pytest.importorskip("openvino")
    clock(bfloat16_other=0.95, float32_openvino=0.93, int8_openvino=0.91)
    assert takes(networks, "--max-error", "1000") == ("float32", DEFAULT, 0.0)
    clock(int8_openvino=0.85)
    assert takes(networks, "--engine", "openvino", "--max-error", "1000")[:2] == ("int8", "openvino")
    assert takes(networks, "--engine", "otbtf", "--max-error", "1000")[:2] == ("float32", "otbtf")


def test_auto_does_without_openvino(networks, clock, monkeypatch, capsys):
    monkeypatch.setattr(precision, "find_spec", lambda name: None)
    clock(bfloat16_other=0.5)
    assert takes(networks, "--max-error", "1000")[:2] == ("bfloat16", DEFAULT)
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_times_are_medians_of_what_follows_a_first_run(networks, monkeypatch):
    class Slow:
        def __init__(self):
            self.waits, self.now = iter([9.0, 3.0, 1.0, 2.0]), 0.0

        def run(self, sources, output):
            assert sources["x10"].shape == (8, 8, 4)
            self.now += next(self.waits)

    slow = Slow()
    monkeypatch.setattr(precision, "open_engine", lambda *_: slow)
    monkeypatch.setattr(precision.time, "perf_counter", lambda: slow.now)
    parts = [{"x10": np.zeros((side, side, 4))} for side in (4, 8, 6)]
    assert precision._timed(precision._Candidate(networks[0]), parts).seconds == 2.0


@pytest.mark.slow
@pytest.mark.parametrize("role, bound", [("2x", 2.0), ("6x", 0.5)])
def test_bfloat16_is_near_float32_on_a_real_image(shared_data, tmp_path, role, bound):
    """On the project's networks: measured 1.0 and 0.1 DN."""
    exact = served_folder(PROJECT_WEIGHTS / role, tmp_path)
    rounded = served_folder(PROJECT_WEIGHTS / role, tmp_path, "bfloat16")
    output = read_description(exact).outputs["float"]
    errors = [
        (
            open_engine("tensorflow", str(rounded)).run(tile, output)
            - open_engine("tensorflow", str(exact)).run(tile, output)
        )
        * 1e4
        for tile in tiles_of(shared_data("s2_ssl4eo_T43RCP_native") / "l2a_T43RCP_20200813", role, side=180)[::4]
    ]
    assert 0.01 < np.sqrt(np.mean(np.square(errors))) < bound
