# SPDX-License-Identifier: Apache-2.0
"""`python -m weights.convert_deepsum`: what it writes and says, downloads, usage errors."""

import subprocess
import sys

import numpy as np
import pytest

from models.base import read_description
from models.deepsum import STATISTICS, DeepSUM, load_part
from models.weights_file import load_weights
from tests.weights.deepsum_files import (
    deepsum_shapes,
    draw,
    regnet_shapes,
    sisrnet_shapes,
    with_state,
    write_checkpoint,
)
from weights import convert_deepsum, deepsum_published
from weights.convert_deepsum import main, read_model
from weights.published import Published, digests

pytestmark = pytest.mark.keras

DATA, INDEX = ".data-00000-of-00001", ".index"
SHAPES = {"DeepSUM": deepsum_shapes, "SISRNet": sisrnet_shapes, "RegNet": regnet_shapes}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Checkpoints of two features of each network, by its name, with all that a training leaves in them."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return {
        name: write_checkpoint(folder / name / "model.ckpt-122", with_state(draw(shapes(2))))
        for name, shapes in SHAPES.items()
    }


def network_of(model, part):
    """Return the Keras model that has the weights of a checkpoint."""
    return getattr(model, f"{part}_model")() if part else model.model


def same_weights(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def run_lines(command, folder, capsys):
    """Run the program, and return what it says of what is in a folder."""
    assert main(command) == 0
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith(str(folder))]


@pytest.mark.slow
def test_whole_networks_by_command_line(checkpoints, tmp_path, capsys):
    command = ["--input", f"{checkpoints['DeepSUM']}{INDEX}", "--band", "RED", "--variant", "C"]
    command += ["--output", str(tmp_path / "models")]
    (line,) = run_lines(command, tmp_path, capsys)
    assert line == (
        f"{tmp_path}/models/RED: 2 features, variant C, statistics of RED, from model.ckpt-122{DATA}, "
        "which is none of the known files"
    )
    description = read_description(tmp_path / "models" / "RED")
    model, _ = read_model(checkpoints["DeepSUM"], "RED", "C")
    assert description.system == "deepsum" and description.arguments == model.arguments
    assert description.origin == model.origin
    loaded = DeepSUM.from_bands(**description.arguments)
    load_weights(loaded.model, tmp_path / "models" / "RED")
    assert same_weights(loaded.model, model.model)
    assert main(command) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "--output: " in error and "--overwrite" in error
    assert main([*command, "--overwrite"]) == 0


@pytest.mark.slow
def test_pre_trainings_by_command_line(checkpoints, tmp_path, capsys):
    """What a training starts from: files of the parts' weights."""
    command = [
        "--input",
        str(checkpoints["SISRNet"]),
        f"{checkpoints['RegNet']}{DATA}",
        "--output",
        str(tmp_path / "p"),
    ]
    lines = run_lines(command, tmp_path, capsys)
    assert [line.split(",")[0] for line in lines] == [
        f"{tmp_path}/p/sisrnet.h5: pre-training of sisrnet",
        f"{tmp_path}/p/registration.h5: pre-training of registration",
    ]
    model = DeepSUM.from_bands(depth=2)
    for network, part in (("SISRNet", "sisrnet"), ("RegNet", "registration")):
        assert load_part(model, tmp_path / "p" / f"{part}.h5") == part
        assert same_weights(network_of(model, part), network_of(*read_model(checkpoints[network])))
    assert main(command) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "sisrnet.h5 exists already; --overwrite replaces it" in error
    assert main([*command, "--overwrite"]) == 0


def test_nothing_is_written_unless_all_can_be(checkpoints, tmp_path, capsys):
    (tmp_path / "registration.h5").write_text("mine")
    command = ["--input", str(checkpoints["SISRNet"]), str(checkpoints["RegNet"]), "--output", str(tmp_path)]
    assert main(command) == 1
    assert "registration.h5 exists already; --overwrite replaces it" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["registration.h5"]


@pytest.mark.slow
def test_two_checkpoints_for_a_place(checkpoints, tmp_path, capsys):
    path = str(checkpoints["RegNet"])
    assert main(["--input", path, path, "--output", str(tmp_path / "m")]) == 1
    assert "--input: expected one checkpoint for each of NIR, RED, SISRNet, RegNet, but " in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        ([], "--input or --download is required"),
        (["--input", "a", "--download", "NIR", "--accept"], "--input and --download are mutually exclusive"),
        (["--input", "a", "--base-url", "http://x"], "--base-url requires --download"),
        (["--input", "a", "--band", "SWIR"], "argument --band: invalid choice"),
        (["--download", "NIR"], "--download requires --accept: no licence is stated in diegovalsesia/"),
    ],
)
def test_usage_errors(tmp_path, capsys, options, message):
    with pytest.raises(SystemExit) as error:
        main([*options, "--output", str(tmp_path / "m")])
    assert error.value.code == 2 and message in capsys.readouterr().err


ROOT = f"/diegovalsesia/deepsum/{deepsum_published.COMMIT}/DeepSUM/checkpoints"


@pytest.fixture
def published(server, tmp_path, monkeypatch):
    """Tiny checkpoints in place of the authors', on a server, and the command that fetches them."""
    known = []
    for seed, file in enumerate(deepsum_published.PUBLISHED):
        path = write_checkpoint(tmp_path / file.role, with_state(draw(deepsum_shapes(2), seed)))
        contents = {ending: (tmp_path / f"{file.role}{ending}").read_bytes() for ending in (INDEX, DATA)}
        server.files |= {f"{ROOT}/{file.name}{ending}": content for ending, content in contents.items()}
        known.append(Published("Authors", file.name, file.role, (), digests(f"{path}{DATA}")["blob"], ()))
    monkeypatch.setattr(deepsum_published, "PUBLISHED", tuple(known))
    monkeypatch.setattr(deepsum_published, "INDEX_SIZE", len(contents[INDEX]))
    monkeypatch.setattr(convert_deepsum, "PUBLISHED", tuple(known))
    command = ["--cache", str(tmp_path / "cache"), "--base-url", server.url, "--output", str(tmp_path / "models")]
    return [*command, "--accept", "--download"]


@pytest.mark.slow
def test_download(server, published, tmp_path, capsys):
    lines = run_lines([*published, "NIR", "RED"], tmp_path, capsys)
    for band, line, known in zip(("NIR", "RED"), lines, deepsum_published.PUBLISHED, strict=True):
        assert line.endswith(
            f"statistics of {band}, from Authors, {known.name}; no licence is stated in diegovalsesia/deepsum"
        )
        description = read_description(tmp_path / "models" / band)
        assert description.arguments["mean"] == STATISTICS[band][0]
        assert description.origin["licence"] == "no licence is stated in diegovalsesia/deepsum"
    assert len(server.requests) == 4
    deepsum_published.download(["NIR", "RED"], tmp_path / "cache", server.url)
    assert len(server.requests) == 4, "files that are in the cache need no network"


@pytest.mark.slow
def test_download_of_one_band(server, published, tmp_path, capsys):
    run_lines([*published, "RED"], tmp_path, capsys)
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["RED"]
    assert all("_RED_" in path for path, _ in server.requests)


@pytest.mark.parametrize("content", [b"<html>", None])
@pytest.mark.parametrize("ending", [DATA, INDEX])
def test_a_download_of_something_else(server, published, tmp_path, capsys, content, ending):
    """A page, or another checkpoint's file: it is not kept, or, if it has the size of the index, not taken."""
    name, other = (file.name for file in deepsum_published.PUBLISHED)
    server.files[f"{ROOT}/{name}{ending}"] = content or server.files[f"{ROOT}/{other}{ending}"]
    assert main([*published, "NIR"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    if content or ending == DATA:
        assert f"error: download: expected {'blob' if ending == DATA else 'an index of'} " in error
        assert error.endswith(f"from {server.url}{ROOT}/{name}{ending}")
        assert not list((tmp_path / "cache").rglob(f"*{ending}"))
    else:
        assert "error: --input: " in error and f"{DATA}: expected a readable TensorFlow 1 checkpoint" in error
    assert not (tmp_path / "models").exists()


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from weights.convert_deepsum import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit:\n    print(sorted({'tensorflow', 'numpy', 'h5py', 'requests', 'osgeo'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]" and "no licence is stated" in " ".join(run.stdout.split())
