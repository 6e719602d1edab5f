# SPDX-License-Identifier: Apache-2.0
"""Options of trainings: defaults that depend on others, and weights to start from, which say what the network is."""

import dataclasses
import json
import re

import pytest

from models.description import FILE_NAME, ModelDescription, Source
from train import deepsum, dsen2, l1bsr, spot7
from train.options import check_model_dir, checkpoint_dir

SIZES = {"base": {"depth": 64, "num_blocks": 16}, "small": {"depth": 32, "num_blocks": 4}}
ALL_SIZES = {**SIZES, "dsen2": SIZES["base"], "paper": {**SIZES["base"], "num_groups": 10}}
NETWORK = {"depth": 6, "num_blocks": 1, "activation": "relu", "final_activation": "linear", "global_skip": False}


@pytest.fixture
def write_model(tmp_path):
    """Return a function that writes what the folder of a model says of it, and returns the folder."""

    def write(arguments, system="spot7", model="", name="model"):
        folder = tmp_path / name
        folder.mkdir()
        outputs = {"float": "sr", "integer": "sr_dn"}
        source = Source("lr", ("B02",), 10.0)
        description = ModelDescription(system, arguments, (source,), 10.0, ("B02",), 0, outputs, {}, model=model)
        (folder / FILE_NAME).write_text(json.dumps(description.to_json()))
        (folder / "weights.h5").touch()
        return str(folder)

    return write


def test_defaults_that_depend_on_the_size():
    options = spot7.Options().with_defaults(SIZES)
    assert (options.size, options.learning_rate, options.depth) == ("base", 1e-4, None)
    assert options.architecture(SIZES) == {
        **SIZES["base"],
        "activation": "swish",
        "final_activation": "relu",
        "global_skip": True,
    }
    small = spot7.Options(size="small", depth=3, global_skip=False).with_defaults(SIZES)
    assert small.learning_rate == 2e-3 and small.with_defaults(SIZES) == small
    assert small.architecture(SIZES) == {
        "depth": 3,
        "num_blocks": 4,
        "activation": "swish",
        "final_activation": "relu",
        "global_skip": False,
    }


@pytest.mark.parametrize("place", ["", "/weights.h5"])
def test_weights_to_start_from_say_what_the_network_is(write_model, place):
    options = spot7.Options(init=write_model({**NETWORK, "upsampling_kernel": 2}) + place).with_defaults(SIZES)
    assert (options.depth, options.blocks, options.activation, options.global_skip) == (6, 1, "relu", False)
    assert options.architecture(SIZES) == {**NETWORK, "upsampling_kernel": 2}
    assert options.size == "base" and dataclasses.replace(options, depth=6).with_defaults(SIZES) == options


def test_the_size_of_weights_to_start_from_is_recognised(write_model):
    options = spot7.Options(init=write_model({**NETWORK, **SIZES["small"]})).with_defaults(SIZES)
    assert (options.size, options.learning_rate, options.depth) == ("small", 2e-3, 32)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"depth": 7}, "--depth: expected 6, as --init {init} has it, got 7"),
        ({"blocks": 0}, "--blocks: expected 1, as --init {init} has it, got 0"),
        ({"global_skip": True}, "--global-skip: expected False, as --init {init} has it, got True"),
        ({"activation": "swish"}, "--activation: expected relu, as --init {init} has it, got swish"),
    ],
)
def test_options_that_contradict_the_weights_are_refused_by_name(write_model, tmp_path, capsys, given, message):
    init = write_model(NETWORK)
    with pytest.raises(ValueError, match=f"^{re.escape(message.format(init=init))}$"):
        spot7.Options(init=init, **given).with_defaults(SIZES)
    words = [f"--{name}={value}" for name, value in given.items() if name != "global_skip"] or ["--global-skip"]
    with pytest.raises(SystemExit) as ended:
        spot7.main(["--patches", str(tmp_path), "--model-dir", str(tmp_path / "new"), "--init", init, *words])
    assert ended.value.code == 2 and message.format(init=init) in capsys.readouterr().err


def test_a_size_that_contradicts_the_weights_is_refused(write_model):
    init = write_model(NETWORK)
    with pytest.raises(ValueError, match=f"^--size: small has depth 32, but --init {init} has 6$"):
        spot7.Options(init=init, size="small").with_defaults(SIZES)
    with pytest.raises(ValueError, match=f"^--size: small has num_blocks 4, but --init {init} has 1$"):
        spot7.Options(init=init, size="small", depth=6).with_defaults(SIZES)
    assert spot7.Options(init=init, size="small", depth=6, blocks=1).with_defaults(SIZES).size == "small"


def test_weights_of_another_network_are_refused(write_model):
    rec = {"num_groups": 1, "num_blocks": 1, "depth": 8, "reduction": 8, "registered": True}
    folder = write_model(rec, "l1bsr", "REC")
    with pytest.raises(ValueError, match=f"^--init: expected weights of spot7, got those of l1bsr REC in {folder}$"):
        spot7.Options(init=folder).with_defaults(SIZES)
    with pytest.raises(ValueError, match="^--init: expected weights of l1bsr CSR, got those of l1bsr REC in "):
        l1bsr.Options(network="csr", init=folder).description_of_start()
    options = l1bsr.Options(network="rec", csr=".", init=folder, supervised=True)
    assert options.with_defaults({"paper": {}}).registered is True
    with pytest.raises(ValueError, match="^--registered requires --supervised$"):
        l1bsr.Options(network="rec", csr=".", init=folder).with_defaults({"paper": {}})
    with pytest.raises(ValueError, match="^--groups: expected 1, as --init .* has it, got 2$"):
        l1bsr.Options(network="rec", csr=".", init=folder, groups=2).description_of_start()


def test_the_flows_refinements_are_those_of_the_weights(write_model):
    folder = write_model({"depth": 2, "max_flow": 10.0, "refinements": 2}, "l1bsr", "CSR")
    options = l1bsr.Options(network="csr", init=folder)
    assert options.with_defaults({"paper": {}}).refinements == 2
    with pytest.raises(ValueError, match="^--refinements: expected 2, as --init .* has it, got 0$"):
        dataclasses.replace(options, refinements=0).description_of_start()


def test_sharpness_is_that_of_the_weights(write_model):
    rec = {"num_groups": 1, "num_blocks": 1, "depth": 8, "reduction": 8, "registered": True}
    options = l1bsr.Options(network="rec", csr=".", init=write_model({**rec, "sharp": True}, "l1bsr", "REC"))
    with pytest.raises(ValueError, match="^--registered requires --supervised$"):
        options.with_defaults({"paper": {}})
    options = dataclasses.replace(options, supervised=True)
    assert options.with_defaults({"paper": {}}).sharp is True
    assert options.architecture({"paper": {}})["sharp"] is True
    with pytest.raises(ValueError, match="^--sharp: expected True, as --init .* has it, got False$"):
        dataclasses.replace(options, sharp=False).description_of_start()
    options = dataclasses.replace(options, init=write_model({**rec, "sharp": False}, "l1bsr", "REC", "dull"))
    assert options.with_defaults({"paper": {}}).sharp is False
    with pytest.raises(ValueError, match="^--sharp: expected False, as --init .* has it, got True$"):
        dataclasses.replace(options, sharp=True).description_of_start()


def test_weights_older_than_an_argument_leave_it_to_the_options(write_model):
    rec = {"num_groups": 1, "num_blocks": 1, "depth": 8, "reduction": 8, "registered": True}
    options = l1bsr.Options(network="rec", csr=".", init=write_model(rec, "l1bsr", "REC"), supervised=True)
    assert options.with_defaults({"paper": {}}).architecture({"paper": {}})["sharp"] is False
    options = dataclasses.replace(options, sharp=True).with_defaults({"paper": {}})
    assert options.architecture({"paper": {}}) == {**rec, "sharp": True}


@pytest.mark.parametrize(
    "options, asked, given",
    [
        (
            spot7.Options(),
            "--activation, --final-activation, --global-skip or --no-global-skip",
            {"activation": "relu", "final_activation": "linear", "global_skip": False},
        ),
        (
            dsen2.Options(role="2x"),
            "--back-projection or --no-back-projection, --consistent or --no-consistent",
            {"back_projection": True, "consistent": False},
        ),
        (l1bsr.Options(network="csr"), "--refinements", {"refinements": 0}),
        (
            l1bsr.Options(network="rec", csr=".", supervised=True),
            "--registered or --no-registered, --sharp or --no-sharp",
            {"registered": True, "sharp": True},
        ),
        (deepsum.Options(stage="joint"), "--variant", {"variant": "C"}),
    ],
)
def test_what_weights_alone_do_not_tell_is_asked_for(tmp_path, options, asked, given):
    alone = tmp_path / "weights.h5"
    alone.touch()
    options = dataclasses.replace(options, init=str(alone))
    message = f"--init: expected weights beside their model.json, or {asked}, which weights alone do not tell, got "
    with pytest.raises(ValueError, match=f"^{re.escape(message)}{alone}$"):
        options.with_defaults(ALL_SIZES)
    architecture = dataclasses.replace(options, **given).with_defaults(ALL_SIZES).architecture(ALL_SIZES)
    assert {**SIZES["base"], **given}.items() <= architecture.items()


@pytest.mark.parametrize("stage", ["sisrnet", "regnet"])
def test_weights_of_a_stage_tell_all_of_it(tmp_path, stage):
    """What stages before the last leave has no model.json, and is of both variants."""
    (tmp_path / "weights.h5").touch()
    earlier = {"sisrnet": "."} if stage == "regnet" else {}
    options = deepsum.Options(stage=stage, init=str(tmp_path), size="small", **earlier)
    assert options.with_defaults(ALL_SIZES).architecture(ALL_SIZES) == ALL_SIZES["small"]


def test_a_damaged_description_of_weights_is_refused(tmp_path):
    (tmp_path / "weights.h5").touch()
    (tmp_path / FILE_NAME).write_text("{")
    with pytest.raises(ValueError, match="^--init: "):
        spot7.Options(init=str(tmp_path / "weights.h5")).description_of_start()


@pytest.mark.parametrize("part", ["sisrnet", "regnet"])
def test_a_whole_model_and_a_part_to_start_from_are_refused(part):
    """The part's weights would replace the model's."""
    with pytest.raises(ValueError, match=f"^--init and --{part} are mutually exclusive$"):
        deepsum.Options(stage="joint", init=".", **{part: "."})
    assert deepsum.Options(stage="regnet", init=".", sisrnet=".").init == "."


def test_a_folder_that_is_no_model_is_not_replaced(tmp_path, write_model):
    options = spot7.Options(overwrite=True)
    check_model_dir(write_model(NETWORK), options)
    check_model_dir(tmp_path / "new", spot7.Options())
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "text").touch()
    for some in (options, spot7.Options()):
        with pytest.raises(ValueError, match="^--model-dir: "):
            check_model_dir(tmp_path / "notes", some)


def test_where_a_training_is_kept():
    assert str(checkpoint_dir("a/model/", spot7.Options())) == "a/model.checkpoint"
    assert str(checkpoint_dir("a/model", spot7.Options(checkpoint_dir="b"))) == "b"


def test_variant_and_statistics_are_those_of_the_weights(write_model):
    arguments = {"variant": "C", "depth": 2, "mean": 7000.0, "deviation": 2000.0, "target_deviation": 500.0}
    options = deepsum.Options(stage="joint", init=write_model(arguments, "deepsum"))
    assert options.with_defaults({"paper": {"depth": 64}}).architecture({}) == arguments
    with pytest.raises(ValueError, match="^--variant: expected C, as --init .* has it, got P$"):
        dataclasses.replace(options, variant="P").description_of_start()
    assert deepsum.Options(stage="regnet", sisrnet=".").with_defaults({"paper": {}}).epochs == 10


def test_a_model_that_is_read_is_not_replaced(tmp_path, write_model):
    folder = write_model({"depth": 2, "max_flow": 10.0, "refinements": 0}, "l1bsr", "CSR")
    (tmp_path / "link").symlink_to(folder)
    for name in (folder, str(tmp_path / "link")):
        with pytest.raises(ValueError, match=f"^--model-dir: expected a folder that is not read, got {name}, of "):
            l1bsr.Command(network="rec", csr=folder, pairs=["pairs"], model_dir=name, overwrite=True)
