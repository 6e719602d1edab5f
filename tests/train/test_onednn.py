# SPDX-License-Identifier: Apache-2.0
"""oneDNN is on in trainings, before TensorFlow is loaded, but in TensorFlow 2.14; it is left alone elsewhere."""

import os
import subprocess
import sys

import pytest
import tensorflow as tf

pytestmark = pytest.mark.keras

EXPECTED = "1" if tuple(map(int, tf.__version__.split(".")[:2])) >= (2, 18) else "None"
VARIABLE = "TF_ENABLE_ONEDNN_OPTS"
SCRIPT = f"""
import importlib, os, sys
importlib.import_module(sys.argv[1])
print(os.environ.get("{VARIABLE}"), "tensorflow" in sys.modules)
"""


def stated_after_importing(package, **variables):
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, package],
        capture_output=True,
        text=True,
        check=True,
        env={**environment, **variables},
    )
    return run.stdout.split()


def test_trainings_turn_it_on_before_tensorflow_is_loaded():
    assert stated_after_importing("train") == [EXPECTED, "False"]


@pytest.mark.parametrize("package", ["models", "chain", "inference", "evaluation", "datasets", "weights", "benchmarks"])
def test_nothing_else_does(package):
    assert stated_after_importing(package) == ["None", "False"]


def test_what_the_user_says_goes_before():
    assert stated_after_importing("train", **{VARIABLE: "0"}) == ["0", "False"]
