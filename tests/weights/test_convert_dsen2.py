# SPDX-License-Identifier: Apache-2.0
"""`weights.convert_dsen2`: the models that are made, what is recorded of their origin, the command line."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from tensorflow import keras

from models.base import read_description
from models.dsen2 import SOURCES, DSen2
from models.weights_file import load_weights
from tests.weights.files import DATA, draw_convolutions, state_dict, write_keras, write_torch
from weights import convert_dsen2
from weights.convert_dsen2 import Options, convert, main, read_model
from weights.dsen2_published import BAND_ORDER, PUBLISHED
from weights.published import Published, identify

pytestmark = pytest.mark.keras

ROTATED = ("B02", "B03", "B04", "B08")


def core(model):
    """The network between the interpolated inputs, in its own unit, and its result."""
    stacked = model.model.get_layer("stacked")
    return keras.Model(stacked.input, model.model.get_layer("global_skip").output)


def first_kernel(model):
    return model.model.get_layer("first").get_weights()[0]


def same_weights(one, other):
    pairs = zip(one.model.get_weights(), other.model.get_weights())
    return all(np.array_equal(a, b) for a, b in pairs)


def test_band_order_is_the_models():
    assert BAND_ORDER == SOURCES["x10"].bands


@pytest.mark.parametrize("name", ["state_dict_2x", "traced_frozen_2x", "traced_6x", "residual_traced_6x"])
def test_models_compute_what_torch_did(name):
    io = np.load(DATA / "io.npz")
    model = read_model(DATA / f"{name}.pt", band_order=BAND_ORDER)
    assert model.arguments == {
        "role": name[-2:],
        "depth": 4,
        "num_blocks": 2,
        "back_projection": False,
        "consistent": False,
    }
    images = [io[source.name].transpose(0, 2, 3, 1) for source in model.sources]
    received = core(model)(images).numpy().transpose(0, 3, 1, 2)
    assert np.abs(received - io[f"{name}.pt"]).max() < 2e-6


def test_reference_files(shared_data):
    """The same weights by Keras 2.1.5 and by torch are equal, and give what torch gave."""
    folder = shared_data("dsen2_vectors")
    model = read_model(folder / "random_dsen2_20_weights.hdf5")
    assert model.arguments == {
        "role": "2x",
        "depth": 128,
        "num_blocks": 6,
        "back_projection": False,
        "consistent": False,
    }
    for name in ("rspstyle_v0.2_state_dict_20.pt", "rspstyle_v0.2.2_torchscript_20.pt"):
        assert same_weights(model, read_model(folder / name))
    io = np.load(folder / "rspstyle_io.npz")
    received = core(model)([io[name].transpose(0, 2, 3, 1) for name in ("x10", "x20")])
    assert np.abs(received - io["y20"].transpose(0, 2, 3, 1)).max() <= 1e-4
    model = read_model(folder / "random_dsen2_60_weights.hdf5")
    assert model.arguments == {
        "role": "6x",
        "depth": 128,
        "num_blocks": 6,
        "back_projection": False,
        "consistent": False,
    }
    received = core(model)([io[name].transpose(0, 2, 3, 1) for name in ("x10", "x20", "x60")])
    assert np.abs(received - io["y60"].transpose(0, 2, 3, 1)).max() <= 1e-4


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.slow
def test_models_that_keras_saves(tmp_path):
    """A whole model, compiled, with a Lambda layer and Keras' own names, as this version of Keras writes HDF5."""
    inputs = [keras.Input((None, None, bands)) for bands in (4, 6)]
    features = keras.layers.Conv2D(3, 3, padding="same", activation="relu")(keras.layers.Concatenate()(inputs))
    for _ in range(2):
        branch = keras.layers.Activation("relu")(keras.layers.Conv2D(3, 3, padding="same")(features))
        branch = keras.layers.Lambda(lambda image: image * 0.1)(keras.layers.Conv2D(3, 3, padding="same")(branch))
        features = keras.layers.Add()([features, branch])
    output = keras.layers.Add()([keras.layers.Conv2D(6, 3, padding="same")(features), inputs[1]])
    network = keras.Model(inputs, output)
    network.compile("nadam", "mae")
    images = [np.random.default_rng(0).random((1, 8, 9, bands), "float32") for bands in (4, 6)]
    network.train_on_batch(images, np.zeros((1, 8, 9, 6)))
    network.save(tmp_path / "w.h5")
    model = read_model(tmp_path / "w.h5")
    assert model.origin["format"] == "Keras HDF5, whole model" and model.origin["residual_only"] is False
    assert np.abs(core(model)(images) - network(images)).max() < 2e-6


def test_band_order_of_the_file(tmp_path):
    convolutions = draw_convolutions()
    path = write_keras(tmp_path / "w.hdf5", convolutions)
    plain, rotated = read_model(path), read_model(path, band_order=ROTATED)
    assert np.array_equal(first_kernel(plain), convolutions[0][0])
    assert np.array_equal(first_kernel(rotated), convolutions[0][0][:, :, [2, 1, 0, 3, 4, 5, 6, 7, 8, 9]])
    assert plain.origin["band_order"] == list(BAND_ORDER) and plain.origin["band_order_from"] == "format"
    assert rotated.origin["band_order"] == list(ROTATED) and rotated.origin["band_order_from"] == "user"
    cyclic = read_model(path, band_order=("B08", "B04", "B03", "B02"))
    assert np.array_equal(first_kernel(cyclic)[:, :, :4], convolutions[0][0][:, :, [1, 2, 3, 0]])
    with pytest.raises(ValueError, match="expected B04,B03,B02,B08 in any order, got B02,B03$"):
        read_model(path, band_order=("B02", "B03"))


def test_band_order_of_one_image_is_asked_for():
    with pytest.raises(
        ValueError, match=r"residual_2x.pt: .* state it by --band-order, B04,B03,B02,B08 or B02,B03,B04,B08$"
    ):
        read_model(DATA / "residual_2x.pt")
    origin = read_model(DATA / "residual_2x.pt", band_order=ROTATED).origin
    assert origin["residual_only"] is True and origin["band_order"] == list(ROTATED)


def test_origin_of_an_unknown_file(tmp_path):
    path = write_keras(tmp_path / "w.hdf5", draw_convolutions("6x", depth=3, blocks=1))
    model = read_model(path, levels=["L2A"])
    assert model.levels == ("L2A",) and read_model(path).levels == ()
    blob = subprocess.run(["git", "hash-object", str(path)], capture_output=True, text=True, check=True).stdout.strip()
    assert model.origin == {
        "file": "w.hdf5",
        "blob": blob,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "published": None,
        "published_matched_by": None,
        "format": "Keras HDF5, weights only",
        "residual_only": False,
        "order_from": "layer_names",
        "band_order": list(BAND_ORDER),
        "band_order_from": "format",
    }
    with pytest.raises(ValueError, match="^expected names among L1C, L2A, got L3$"):
        read_model(path, levels=["L3"])


@pytest.fixture
def publish(monkeypatch):
    """Return a function that makes files known."""

    def know(path, role="2x", levels=("L1C",), digits=40):
        content = path.read_bytes()
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()[:digits]
        known = Published("Somebody", path.name, role, levels, blob, BAND_ORDER)
        monkeypatch.setattr(convert_dsen2, "PUBLISHED", (known, *convert_dsen2.PUBLISHED))
        return path

    return know


@pytest.mark.parametrize("digits, how", [(40, "git blob id"), (8, "first 8 digits of the git blob id")])
def test_published_files_are_known_by_content(publish, tmp_path, digits, how):
    path = publish(write_keras(tmp_path / "w.hdf5", draw_convolutions()), digits=digits)
    renamed = path.rename(tmp_path / "other.hdf5")
    model = read_model(renamed)
    assert model.levels == ("L1C",) and model.origin["file"] == "other.hdf5"
    assert model.origin["published"] == "Somebody, w.hdf5" and model.origin["published_matched_by"] == how
    assert model.origin["band_order_from"] == "published file"
    assert read_model(renamed, levels=["L1C"], band_order=BAND_ORDER).levels == ("L1C",)
    with pytest.raises(ValueError, match="expected the levels L1C, which is known .*, got L2A$"):
        read_model(renamed, levels=["L2A"])
    with pytest.raises(ValueError, match="expected the band order B04,B03,B02,B08, which is .*, got B02,B03,B04,B08$"):
        read_model(renamed, band_order=ROTATED)


def test_a_published_file_of_another_role(publish, tmp_path):
    path = publish(write_keras(tmp_path / "w.hdf5", draw_convolutions()), role="6x", digits=8)
    with pytest.raises(ValueError, match=f"^{path}: expected the network 6x of Somebody, w.hdf5, got 2x$"):
        read_model(path)


def test_published_files():
    assert len({file.blob for file in PUBLISHED}) == len(PUBLISHED)
    original = identify("459723841e73b2bfb8bdeb50ae189868bcc8f6ae", PUBLISHED)
    assert original.name == "s2_030_lr_1e-05.hdf5" and original.role == "6x" and original.levels == ("L1C",)
    assert identify("ff02479f" + 32 * "0", PUBLISHED).name == "L1C20M.pt"
    assert identify(40 * "0", PUBLISHED) is None


WRONG_SHAPES = {
    "bands": (lambda c: c[:0] + [(np.zeros((3, 3, 9, 4), "f4"), c[0][1])] + c[1:], "conv2d_1 takes 9"),
    "role": (lambda c: draw_convolutions("6x")[:1] + c[1:], "conv2d_1 takes 12, conv2d_6 gives 6"),
    "swapped": (lambda c: [c[1], c[0], *c[2:]], "conv2d_1 takes 4"),
    "inner": (
        lambda c: [*c[:2], (np.zeros((3, 3, 5, 4), "f4"), c[2][1]), *c[3:]],
        r"in conv2d_3, got .3, 3, 5, 4",
    ),
    "kernel": (lambda c: [*c[:2], (np.zeros((5, 5, 4, 4), "f4"), c[2][1]), *c[3:]], "in conv2d_3, got .5, 5, 4, 4"),
}


@pytest.mark.parametrize("case", WRONG_SHAPES)
def test_wrong_shapes(tmp_path, case):
    change, message = WRONG_SHAPES[case]
    path = write_keras(tmp_path / "w.hdf5", change(draw_convolutions()))
    with pytest.raises(ValueError, match=f"^{path}: expected .*{message}"):
        read_model(path)


def test_an_odd_number_of_convolutions(tmp_path):
    tensors = {name: array for name, array in state_dict(draw_convolutions()).items() if "layers.3" not in name}
    with pytest.raises(ValueError, match="expected .* two convolutions per block, got 5"):
        read_model(write_torch(tmp_path / "w.pt", tensors))


def test_command_line(tmp_path, capsys):
    convolutions = draw_convolutions("6x")
    files = [DATA / "scripted_2x.pt", write_keras(tmp_path / "w.hdf5", convolutions, whole=True)]
    command = ["--input", *map(str, files), "--output", str(tmp_path / "models"), "--levels", "L2A"]
    assert main(command) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "blocks of" in line]
    assert len(lines) == 2 and "2 blocks of 4 features, for L2A" in lines[0] and "none of the known files" in lines[1]
    for role, path in zip(("2x", "6x"), files):
        folder = tmp_path / "models" / role
        description = read_description(folder)
        assert description.levels == ("L2A",) and description.arguments["role"] == role
        assert description.origin == read_model(path).origin
        loaded = DSen2.from_bands(**description.arguments)
        load_weights(loaded.model, folder)
        assert same_weights(loaded, read_model(path))
    assert main(command) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "--output: " in error and "--overwrite" in error
    short = write_keras(tmp_path / "short.hdf5", draw_convolutions(blocks=0))
    assert main(["--input", str(short), "--output", str(tmp_path / "models"), "--overwrite"]) == 0
    assert read_description(tmp_path / "models" / "2x").origin["file"] == "short.hdf5"


def test_library(tmp_path, capsys):
    """What was made is returned; nothing is printed."""
    told = []
    made = convert(
        DATA / "scripted_2x.pt",
        tmp_path / "models",
        Options(levels=["L2A"]),
        progress=lambda fraction, text: told.append(fraction),
    )
    ((path, description, text),) = [(one.path, one.description, one.text) for one in made]
    assert path == tmp_path / "models" / "2x" and description == read_description(path)
    assert description.levels == ("L2A",) and text.startswith("2 blocks of 4 features, for L2A, from scripted_2x.pt")
    assert told == sorted(told) and capsys.readouterr().out == ""
    with pytest.raises(FileExistsError, match=f"^--output: {path} exists already; --overwrite replaces it$"):
        convert([DATA / "scripted_2x.pt"], tmp_path / "models")


def test_overwrite_replaces_nothing_but_models(tmp_path, capsys):
    (tmp_path / "models" / "2x").mkdir(parents=True)
    (tmp_path / "models" / "2x" / "thesis.odt").write_text("kept")
    command = ["--input", str(DATA / "scripted_2x.pt"), "--output", str(tmp_path / "models"), "--overwrite"]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "error: --output: --overwrite replaces exported models only" in error
    assert (tmp_path / "models" / "2x" / "thesis.odt").read_text() == "kept"


@pytest.mark.slow
def test_several_levels(publish, tmp_path, capsys):
    """A file of both levels is put at both, beside one for one of them."""
    both = publish(write_keras(tmp_path / "20.hdf5", draw_convolutions(blocks=0)), levels=("L1C", "L2A"))
    l1c = publish(write_keras(tmp_path / "60.hdf5", draw_convolutions("6x", blocks=0)), role="6x")
    output = tmp_path / "models"
    assert main(["--input", str(both), str(l1c), "--output", str(output)]) == 0
    folders = sorted(str(path.parent.relative_to(output)) for path in output.glob("*/*/model.json"))
    assert folders == ["L1C/2x", "L1C/6x", "L2A/2x"]
    assert read_description(output / "L2A" / "2x").levels == ("L1C", "L2A")
    unknown = write_keras(tmp_path / "unknown.hdf5", draw_convolutions("6x", seed=1))
    assert main(["--input", str(both), str(unknown), "--output", str(tmp_path / "other")]) == 1
    assert "--levels: expected those of unknown.hdf5" in capsys.readouterr().err


def test_two_files_of_a_role(tmp_path, capsys):
    command = ["--input", str(DATA / "scripted_2x.pt"), str(DATA / "traced_2x.pt"), "--output", str(tmp_path / "m")]
    assert main(command) == 1
    assert "scripted_2x.pt and traced_2x.pt are both 2x" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("name", ["refused_module.pt", "missing.pt", "."])
def test_a_wrong_file_is_one_line(tmp_path, capsys, name):
    assert main(["--input", str(DATA / name), "--output", str(tmp_path / "m")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "error: --input: " in error and "Traceback" not in error
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--input", "a", "--download", "rsp"],
        ["--input", "a", "--band-order", "B02,B03"],
        ["--input", "a", "--levels", "L3"],
        ["--input", "a", "--base-url", "http://127.0.0.1"],
        ["--download", "up42"],
    ],
)
def test_usage_errors(tmp_path, options):
    with pytest.raises(SystemExit) as error:
        main([*options, "--output", str(tmp_path / "m")])
    assert error.value.code == 2


@pytest.mark.parametrize("address", ["ftp://x", "nonsense", "http://[x", "http://a b", "http://x:99999", "http:///x"])
def test_addresses_that_are_none(tmp_path, capsys, address):
    with pytest.raises(SystemExit) as error:
        main(["--download", "original", "--output", str(tmp_path / "m"), "--base-url", address])
    line = capsys.readouterr().err.splitlines()[-1]
    assert error.value.code == 2 and line.endswith(
        f"--base-url: expected an address such as https://mirror.org, got {address!r}"
    )


def test_an_output_that_is_no_folder(tmp_path, capsys):
    (tmp_path / "file").touch()
    command = ["--input", str(DATA / "scripted_2x.pt"), "--output"]
    with pytest.raises(SystemExit) as error:
        main([*command, str(tmp_path / "file")])
    assert error.value.code == 2
    wanted = f"--output: expected a folder, got {tmp_path / 'file'}, a file"
    assert capsys.readouterr().err.splitlines()[-1].endswith(wanted)
    assert main([*command, str(tmp_path / "file" / "models")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "error: --output: cannot make the folder " in line and line.endswith("(Not a directory)")


def test_a_file_that_is_not_there():
    with pytest.raises(OSError, match=r"^nope.pt: cannot be read \(No such file or directory\)$"):
        read_model("nope.pt")


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from weights.convert_dsen2 import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit:\n    print(sorted({'tensorflow', 'numpy', 'h5py', 'requests', 'osgeo'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"
