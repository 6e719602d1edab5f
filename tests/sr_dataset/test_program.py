# SPDX-License-Identifier: Apache-2.0
"""sr_dataset.py as a program and as a function: options, output, what an end leaves."""

import json
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import sr_dataset
from chain.raster import http
from chain.runtime.progress import Cancelled
from simulate.planetary_computer import Fault
from tests.conftest import REPOSITORY
from tests.examples import slow
from tests.sr_dataset.program import SETS, SMALL, failure, patches_of, run


def test_output_is_not_replaced_unless_asked(spot, local, reference, tmp_path, capsys):
    output = shutil.copytree(reference, tmp_path / "patches")
    before = (output / "dataset.json").read_bytes()
    assert "--overwrite" in failure(capsys, *spot, *local, "--output", output, *SMALL)
    assert (output / "dataset.json").read_bytes() == before
    assert run(*spot, *local, "--output", output, *SMALL, "--overwrite", "--seed", 9) == 0
    assert json.loads((output / "dataset.json").read_text())["arguments"]["seed"] == 9


@pytest.mark.parametrize(
    "arguments",
    [
        ("--start-date", "15/06/2022"),
        ("--dates", "2022-08-01", "2022-07-01"),
        ("--split", "0", "0.5", "0.5"),
        ("--split", "1", "-1", "0"),
        ("--xs-bands", "B04,B03,B02"),
        ("--lr-patch-size", "0"),
        ("--nodata", "black"),
        ("--max-cloud-cover", "101"),
        ("--offset", "12"),
        ("--step", "-4"),
    ],
)
def test_usage_errors(spot, tmp_path, capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        run(*spot, "--output", tmp_path / "patches", *arguments)
    assert caught.value.code == 2 and arguments[0] in capsys.readouterr().err
    assert not (tmp_path / "patches").exists()


def test_library(spot, local, reference, tmp_path, capsys):
    """The same patches as the program's; what was made is returned, not printed."""
    told = []
    options = sr_dataset.Options(sentinel2=local[1:], lr_patch_size=16, hr_patch_size=64)
    made = sr_dataset.make_dataset(
        spot[1], Path(spot[3]), tmp_path / "patches", options, progress=lambda fraction, text: told.append(fraction)
    )
    assert made.path == tmp_path / "patches" and made.bands == sr_dataset.BANDS
    assert made.record == {**json.loads((made.path / "dataset.json").read_text()), **made.record}
    assert made.patches == {name: len(patches_of(reference, f"{name}_lr")) for name in SETS}
    for name in (f"{name}_{side}" for name in SETS for side in ("lr", "hr")):
        assert np.array_equal(patches_of(made.path, name), patches_of(reference, name))
    assert told == sorted(told) and told[-1] == 1 and str(made) not in capsys.readouterr().out
    record = made.record["arguments"]
    assert (record["step"], record["start_date"], record["xs"]) == (16, "2022-06-15", spot[1])
    with pytest.raises(ValueError, match="--overwrite"):
        sr_dataset.make_dataset(spot[1], spot[3], tmp_path / "patches", options)


def test_cancelled_leaves_nothing(spot, local, tmp_path):
    options = sr_dataset.Options(sentinel2=local[1:], lr_patch_size=16, hr_patch_size=64)
    asked = []
    with pytest.raises(Cancelled):
        sr_dataset.make_dataset(
            spot[1], spot[3], tmp_path / "patches", options, cancelled=lambda: asked.append(1) or len(asked) > 1
        )
    assert not (tmp_path / "patches").exists()


@pytest.mark.parametrize(
    ("which", "left"),
    [
        ("xs", 1),
        ("B04", 1),
        ("pan", 0.5),
        *(slow(*each) for each in (("pan", 1), ("B04", 0.5))),
    ],
)
def test_an_image_that_is_overwritten_or_cut_meanwhile_fails_by_name(spot, local, tmp_path, which, left):
    names = {"xs": spot[1], "pan": spot[3], **{Path(name).stem: name for name in local[1:]}}
    names[which] = shutil.copy(names[which], tmp_path / f"{which}.tif")
    options = sr_dataset.Options(
        sentinel2=[names[band] for band in sr_dataset.BANDS], lr_patch_size=16, hr_patch_size=64
    )
    content, done = Path(names[which]).read_bytes(), []

    def overwrite(fraction, text):
        if fraction >= 0.5 and not done:
            done.append(Path(names[which]).write_bytes((content[:-100] + bytes(100))[: int(left * len(content))]))

    with pytest.raises(RuntimeError, match=f"expected a file that stays as it is, got {names[which]}, which has chang"):
        sr_dataset.make_dataset(names["xs"], names["pan"], tmp_path / "patches", options, progress=overwrite)
    assert done and not (tmp_path / "patches").exists()


def test_a_server_that_is_silent_ends_in_time(spot, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(http, "TIMEOUT", http.TIMEOUT)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address, start = f"http://127.0.0.1:{silent.getsockname()[1]}/", time.monotonic()
        line = failure(capsys, *spot, "--stac-url", address, "--output", tmp_path / "patches", *SMALL, "--timeout", "1")
    assert "127.0.0.1" in line and time.monotonic() - start < 15


def test_options():
    options = sr_dataset.Options(dates=["2022-07-01", "2022-07-02"], lr_patch_size=8)
    assert options.days == ("2022-07-01", "2022-07-02") and options.with_defaults().step == 8
    with pytest.raises(ValueError, match="^--item and --sentinel2 are mutually exclusive$"):
        sr_dataset.Options(item="a", sentinel2=["b"])
    with pytest.raises(ValueError, match="^--end-date: expected a day from 2022-09-01 on, got 2022-08-15$"):
        sr_dataset.Options(start_date="2022-09-01")


def _command(*arguments):
    return [sys.executable, str(REPOSITORY / "sr_dataset.py"), *map(str, arguments)]


def test_help_needs_nothing_heavy():
    code = "import sys, sr_dataset\ntry:\n    sr_dataset.main(['--help'])\nexcept SystemExit:\n    print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "--match-radiometry" in loaded.stdout
    assert not {"numpy", "osgeo", "tensorflow", "otbApplication", "pyotb"} & set(loaded.stdout.split())


def test_no_raster_on_disk_but_thepatches_of(server, spot, tmp_path):
    """Watch the folders a process may write into, while it runs in one of them."""
    output, work, temporary = (tmp_path / name for name in ("patches", "work", "temporary"))
    work.mkdir()
    temporary.mkdir()
    seen, running = set(), threading.Event()
    known = {str(path) for path in Path("/tmp").iterdir()}

    def watch():
        while not running.is_set():
            for folder in (output, work, temporary):
                with suppress(FileNotFoundError):  # of a folder that is removed while it is listed
                    seen.update(str(path.relative_to(tmp_path)) for path in folder.rglob("*") if path.is_file())
            seen.update(str(path) for path in Path("/tmp").iterdir() if path.suffix in (".tif", ".vrt"))
            time.sleep(0.002)

    thread = threading.Thread(target=watch)
    thread.start()
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(REPOSITORY), "MPLCONFIGDIR": str(tmp_path)}
    command = _command(*spot, "--stac-url", server.stac_url, "--output", output, *SMALL)
    result = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)
    running.set()
    thread.join()
    assert result.returncode == 0, result.stderr
    allowed = {f"{name}_{side}.tif" for name in SETS for side in ("lr", "hr")} | {
        "dataset.json",
        "contact_sheet.png",
        ".lock",
    }
    files = {name for name in seen - known if Path(name).suffix not in (".py", ".pyc")}
    assert any("train_hr" in name for name in files)
    assert {Path(name).name for name in files} <= allowed
    folders = {re.sub(r"/\.dataset\.json\.partial-\w+$", "", str(Path(name).parent)) for name in files}
    assert folders <= {"patches", "patches/.partial"}


def test_full_disk_leaves_nothing(spot, local, tmp_path):
    """A limit on the size of files stands in for a full disk."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))

    command = _command(*spot, *local, "--output", tmp_path / "patches", *SMALL)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    code = (
        f"import signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); sys.argv = {command[1:]!r}; "
        "import sr_dataset; sys.exit(sr_dataset.main())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, preexec_fn=limit
    )
    assert result.returncode == 1, result.stderr
    assert "is the disk full?" in result.stderr.splitlines()[-1] and not (tmp_path / "patches").exists()


def test_terminated_process_leaves_nothing(server, spot, tmp_path):
    server.inject(Fault(r"B0\d\.tif", "slow", count=1000, seconds=5.0))
    output = tmp_path / "patches"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(
        _command(*spot, "--stac-url", server.stac_url, "--output", output, *SMALL),
        env=environment,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 30
    while not (output / ".partial").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.terminate()
    assert process.wait(60) == 130
    assert not output.exists()
