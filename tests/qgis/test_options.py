# SPDX-License-Identifier: Apache-2.0
"""What the plugin says of the programs' options is what the programs say."""

import importlib

import pytest

from chain.runtime.options import MISSING, flag_of, kinds

pytestmark = pytest.mark.slow
COMMANDS = {"sr_dataset": "chain.patches.options"}


@pytest.fixture(scope="module")
def algorithms(qgis):
    return qgis.script("options")


def test_all_programs_are_there(algorithms):
    assert set(algorithms) == {"dsen2", "spot7", "l1bsr", "deepsum", "sr_dataset", "fine_tune"}


def test_options_are_those_of_the_programs(algorithms):
    for name, algorithm in algorithms.items():
        command = importlib.import_module(COMMANDS.get(algorithm["module"], algorithm["module"])).Command
        known = {flag_of(field, kind): (field, kind) for field, kind in kinds(command).items()}
        assert {*algorithm["fixed"], "--overwrite"} <= set(known), name
        for option in algorithm["options"]:
            assert option["flag"] in known, (name, option)
            field, kind = known[option["flag"]]
            default = next(each.default for each in command.__dataclass_fields__.values() if each.name == field)
            if option["choices"] and kind.choices:
                assert list(kind.choices) == option["choices"], (name, option)
            elif option["choices"] and kind.read:
                assert [kind.read(choice) for choice in option["choices"]], (name, option)
            if option["default"] not in (None, False) and default is not MISSING:
                stated = (
                    kind.read(option["default"])
                    if kind.read and isinstance(option["default"], str)
                    else option["default"]
                )
                assert stated == default, (name, option)
