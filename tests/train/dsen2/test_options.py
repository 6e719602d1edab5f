# SPDX-License-Identifier: Apache-2.0
"""Options of DSen2's training: defaults, what they mean, usage errors."""

import dataclasses
import subprocess
import sys

import pytest

from datasets.wald import mtf_sigma
from models.dsen2 import FAST_SIZES, ROLES, SIZES, SOURCES
from train import dsen2
from train.dsen2 import Options, options


@pytest.mark.parametrize(
    "role, size, wanted",
    [
        ("2x", "dsen2", {"patch_size": 32, "batch_size": 128}),
        ("6x", "dsen2", {"patch_size": 96, "batch_size": 128}),
        ("2x", "vdsen2", {"patch_size": 32, "batch_size": 8}),
    ],
)
def test_defaults_are_the_papers(role, size, wanted):
    arguments = dataclasses.asdict(Options(role=role, size=size).with_defaults(SIZES))
    recipe = {"optimizer": "nadam", "loss": "l1", "learning_rate": 1e-4, "augmentation": False, "valid_share": 0.1}
    additions = {"any_phase": False, "radiometry": False, "mtf": {}, "start_at_interpolation": False, "adapt": False}
    assert {**recipe, **additions, **wanted, "epochs": 8192, "offset": None, "levels": ()}.items() <= arguments.items()
    assert options.SAMPLES == {"2x": 8000, "6x": 500}


def test_blur_of_bands_whose_transfer_is_given():
    wanted = {"x20": [1 / 6] * 6, "x60": [1 / 6, mtf_sigma(0.1, 6)]}
    wanted["x20"][3] = mtf_sigma(0.3, 6)
    assert dsen2.blur_deviations(Options(role="6x", mtf=options.transfers("B8A=0.3,B09=0.1"))) == wanted
    found = dsen2.blur_deviations(Options(role="2x", mtf={"B8A": 0.3}))
    assert found == {"x20": [0.5, 0.5, 0.5, mtf_sigma(0.3, 2), 0.5, 0.5]}
    assert dsen2.blur_deviations(Options(role="2x").with_defaults(SIZES)) == {}


def test_bands_of_the_roles():
    for role, sources in ROLES.items():
        assert set(options.bands_of(role)) == {band for name in sources for band in SOURCES[name].bands}


@pytest.mark.parametrize(
    "words, message",
    [
        (["--role", "3x"], "--role: invalid choice: '3x'"),
        (["--epochs", "0"], "--epochs: expected at least 1, got 0"),
        (["--teacher", "nowhere"], "--teacher: expected a folder that exists, got 'nowhere'"),
        (["--size", "fast", "--back-projection"], "--back-projection and --size fast are mutually exclusive"),
        (["--size", "fast", "--consistent"], "--consistent and --size fast are mutually exclusive"),
        (["--batch-size", "0"], "--batch-size: expected at least 1, got 0"),
        (["--learning-rate", "0"], "--learning-rate: expected more than 0, got 0.0"),
        (["--patch-size", "0"], "--patch-size: expected at least 1, got 0"),
        (["--samples", "0"], "--samples: expected at least 1, got 0"),
        (["--windows", "0"], "--windows: expected at least 1, got 0"),
        (["--depth", "0"], "--depth: expected at least 1, got 0"),
        (["--blocks", "-1"], "--blocks: expected at least 0, got -1"),
        (["--valid-share", "1"], "--valid-share: expected a number between 0 and 1, got 1.0"),
        (["--offset", "1000"], "--offset: expected auto, 0 or -1000, got '1000'"),
        (["--mtf", "B05"], "--mtf: expected BAND=MTF,..., got 'B05'"),
        (["--mtf", "B05=1.5"], "--mtf: expected numbers between 0 and 1, got B05=1.5"),
        (["--mtf", "B5=0.3"], "B12, got B5"),
        (["--mtf", "B05=0.3,B01=0.2"], "B12, got B01"),
        (["--levels", "L2B"], "--levels: expected names among L1C, L2A, got L2B"),
        (["--levels", ","], "--levels: expected names separated by commas, got ','"),
        (["--init", "/nothing"], "--init: expected a file or folder that exists, got '/nothing'"),
        (["--model-dir", "."], "--model-dir: expected a folder that does not exist, or --overwrite, got '.'"),
    ],
)
def test_usage_errors(tmp_path, capsys, words, message):
    with pytest.raises(SystemExit) as caught:
        dsen2.main(["--role", "2x", "--input", "a.tif", "--model-dir", str(tmp_path / "model"), *words])
    assert caught.value.code == 2 and message in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_every_size_of_the_model_can_be_trained():
    assert set(options.LEARNING_RATES) == set(options.BATCH_SIZES) == {*SIZES, *FAST_SIZES}
    assert set(options.PATCH_SIZES) == set(options.SAMPLES) == set(ROLES)


def test_help_imports_nothing_heavy():
    code = (
        "import sys, train.dsen2\n"
        "try:\n    train.dsen2.main(['--help'])\n"
        "except SystemExit:\n    sys.exit(bool({'tensorflow', 'numpy', 'osgeo'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0 and "--any-phase" in result.stdout and "--role" in result.stdout
