# SPDX-License-Identifier: Apache-2.0
"""DeepSUM's records made by the library's function, and the program's errors."""

import subprocess
import sys

import pytest

from chain.runtime.progress import Cancelled
from datasets.deepsum.options import Options
from datasets.deepsum.records import main, make_records, read_records
from simulate.probav_scenes import write_scenes
from tests.datasets.deepsum.conftest import SCENES

pytestmark = pytest.mark.keras


def contents(folder):
    """Return the bytes of all records by file."""
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*.tfrecord"))}


def failing(arguments, capsys):
    """Run the program and return the line that it ends with."""
    assert main(arguments) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_library(made_scenes, made_records, tmp_path, capsys):
    """The same records as the program's; they are returned, not printed."""
    told = []
    made = make_records(
        made_scenes,
        tmp_path / "out",
        Options(chunks=3, patches=4),
        progress=lambda fraction, text: told.append(fraction),
    )
    assert made.folder == tmp_path / "out" and contents(made.folder) == contents(made_records)
    assert made.description == read_records(made_records).description
    assert told == sorted(told) and told[-1] == 1 and "patches of" not in capsys.readouterr().out


def test_cancelled_runs_go_on(made_scenes, made_records, tmp_path):
    options, asked = Options(chunks=3, patches=4), []
    with pytest.raises(Cancelled):
        make_records(
            made_scenes, tmp_path / "out", options, cancelled=lambda: asked.append(1) or len(asked) > SCENES + 2
        )
    assert contents(tmp_path / "out") and not (tmp_path / "out" / "deepsum.json").exists()
    make_records(made_scenes, tmp_path / "out", options)
    assert contents(tmp_path / "out") == contents(made_records)


def test_wrong_usage_and_folders(scenes, tmp_path, capsys):
    arguments = ["--input", str(scenes), "--output", str(tmp_path / "out")]
    assert "folders" in failing([*arguments, "--band", "RED"], capsys)
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    assert "expected a folder" in failing([*arguments[:2], "--output", str(tmp_path / "file")], capsys)
    (tmp_path / "other/train").mkdir(parents=True)
    assert "a folder without other data" in failing([*arguments[:2], "--output", str(tmp_path / "other")], capsys)
    assert "without other data" in failing([*arguments[:2], "--output", str(tmp_path / "other"), "--overwrite"], capsys)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["train"]
    with pytest.raises(SystemExit) as error:
        main([*arguments, "--chunks", "0"])
    assert error.value.code == 2
    assert "--chunks: expected at least 1, got 0" in capsys.readouterr().err


def test_scenes_too_small_for_a_patch(tmp_path, capsys):
    write_scenes(tmp_path / "probav", 2, rows=32, columns=32, seed=1)
    arguments = ["--input", str(tmp_path / "probav"), "--output", str(tmp_path / "out"), "--on-error", "skip"]
    assert "expected scenes with patches that are clear enough" in failing(arguments, capsys)
    line = failing(arguments[:-2], capsys)
    assert "imgset0" in line and line.endswith("size: expected fewer than 96 pixels, got 96")


def test_help_loads_nothing_heavy():
    program = (
        "import sys\nfrom datasets.deepsum.records import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit:\n    sys.exit(any(name in sys.modules for name in ('tensorflow', 'osgeo', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
