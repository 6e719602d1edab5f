# SPDX-License-Identifier: Apache-2.0
"""oneDNN is on before TensorFlow is loaded, whatever is imported first; but in TensorFlow 2.14."""

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


@pytest.mark.parametrize(
    "package", ["models", "chain", "train", "inference", "evaluation", "datasets", "weights", "benchmarks"]
)
def test_each_package_turns_it_on_and_loads_nothing(package):
    assert stated_after_importing(package) == [EXPECTED, "False"]


def test_what_the_user_says_goes_before():
    assert stated_after_importing("train", **{VARIABLE: "0"}) == ["0", "False"]
