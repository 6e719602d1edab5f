# SPDX-License-Identifier: Apache-2.0
"""`python -m weights.convert_l1bsr`: what it writes and says, downloads, usage errors."""

import subprocess
import sys

import numpy as np
import pytest

from models.base import read_description
from models.l1bsr import BANDS, CSR, REC
from models.weights_file import load_weights
from tests.weights.files import write_torch
from tests.weights.l1bsr_files import csr_shapes, draw, rec_shapes
from weights import convert_l1bsr, l1bsr_published
from weights.convert_l1bsr import main, read_model
from weights.published import Published, digests

pytestmark = pytest.mark.keras


def same_weights(one, other):
    pairs = zip(one.model.get_weights(), other.model.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.slow
def test_command_line(tmp_path, capsys):
    files = [
        write_torch(tmp_path / "rec.pt", draw(rec_shapes())),
        write_torch(tmp_path / "csr.pth.tar", {"state_dictCSR": draw(csr_shapes())}),
    ]
    command = ["--input", *map(str, files), "--output", str(tmp_path / "models")]
    assert main(command) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(str(tmp_path))]
    unknown = "which is none of the known files; these weights are under the GPL-3.0 if they are the authors'"
    assert [line.split(": ")[1] for line in lines] == [
        f"1 groups of 2 blocks of 4 features, from rec.pt, {unknown}",
        f"2 features, from csr.pth.tar, {unknown}",
    ]
    for network, path in zip((REC, CSR), files):
        folder = tmp_path / "models" / network.class_name
        description = read_description(folder)
        model = read_model(path)
        assert description.system == "l1bsr" and description.model == network.class_name
        assert description.arguments == model.arguments and description.origin == model.origin
        loaded = network.from_bands(**description.arguments)
        load_weights(loaded.model, folder)
        assert same_weights(loaded, model)
    assert main(command) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "--output: " in error and "--overwrite" in error


def test_two_files_of_a_network(tmp_path, capsys):
    files = [str(write_torch(tmp_path / name, draw(csr_shapes()))) for name in ("a.pt", "b.pt")]
    assert main(["--input", *files, "--output", str(tmp_path / "m")]) == 1
    assert "--input: expected one file for each network, but a.pt and b.pt are both CSR" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("options", [[], ["--input", "a", "--download"], ["--input", "a", "--base-url", "http://x"]])
def test_usage_errors(tmp_path, options):
    with pytest.raises(SystemExit) as error:
        main([*options, "--output", str(tmp_path / "m")])
    assert error.value.code == 2


ROOT = "/centreborelli/L1BSR/296a8e8d29ecfe044fe0698cc1726450ab617e44/trained_models"


@pytest.fixture
def published(server, tmp_path, monkeypatch):
    """Tiny files in place of the authors', on a server."""
    files = {
        "REC_Real_L1B.pt": write_torch(tmp_path / "rec.pt", draw(rec_shapes())),
        "CSR_Real_L1B.pth.tar": write_torch(tmp_path / "csr.pt", {"state_dictCSR": draw(csr_shapes()), "epoch": 50}),
    }
    known = tuple(
        Published("Authors", name, name[:3], ("L1B",), digests(path)["blob"], BANDS) for name, path in files.items()
    )
    monkeypatch.setattr(l1bsr_published, "PUBLISHED", known)
    monkeypatch.setattr(convert_l1bsr, "PUBLISHED", known)
    server.files = {f"{ROOT}/{name}": path.read_bytes() for name, path in files.items()}
    options = ["--download", "--cache", str(tmp_path / "cache"), "--base-url", server.url]
    return [*options, "--output", str(tmp_path / "models")]


@pytest.mark.slow
def test_download(server, published, tmp_path, capsys):
    assert main(published) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(str(tmp_path))]
    for network, line, name in zip(("REC", "CSR"), lines, ("REC_Real_L1B.pt", "CSR_Real_L1B.pth.tar"), strict=True):
        assert line.endswith(f"features, from Authors, {name}; these weights are under the GPL-3.0")
        description = read_description(tmp_path / "models" / network)
        assert description.levels == ("L1B",) and description.origin["published"] == f"Authors, {name}"
        assert description.origin["licence"] == "GPL-3.0"
    assert sorted(path.name for path in (tmp_path / "cache" / "l1bsr").iterdir()) == sorted(
        ["REC_Real_L1B.pt", "CSR_Real_L1B.pth.tar"]
    )
    l1bsr_published.download(tmp_path / "cache", server.url)
    assert len(server.requests) == 2, "files that are in the cache need no network"


@pytest.mark.parametrize("content", [b"<html>", None])
def test_a_download_of_something_else(server, published, tmp_path, capsys, content):
    """A page, or weights that are whole but others: neither is kept."""
    other = write_torch(tmp_path / "other.pt", draw(csr_shapes(), seed=1)).read_bytes()
    server.files[f"{ROOT}/CSR_Real_L1B.pth.tar"] = content or other
    assert main(published) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "error: download: expected blob " in error and error.endswith(
        f"from {server.url}{ROOT}/CSR_Real_L1B.pth.tar"
    )
    assert [path.name for path in (tmp_path / "cache" / "l1bsr").iterdir()] == ["REC_Real_L1B.pt"]
    assert not (tmp_path / "models").exists()


def test_a_published_file_of_another_network(published, tmp_path, monkeypatch):
    path = tmp_path / "csr.pt"
    known = Published("Authors", "REC_Real_L1B.pt", "REC", ("L1B",), digests(path)["blob"], BANDS)
    monkeypatch.setattr(convert_l1bsr, "PUBLISHED", (known,))
    with pytest.raises(ValueError, match=f"^{path}: expected the network REC of Authors, got CSR$"):
        read_model(path)


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from weights.convert_l1bsr import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit:\n    print(sorted({'tensorflow', 'numpy', 'h5py', 'requests', 'osgeo'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]" and "GPL-3.0" in run.stdout
