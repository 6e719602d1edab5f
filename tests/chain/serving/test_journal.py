# SPDX-License-Identifier: Apache-2.0
"""The journal of a product that is being made: what it says, keeps and refuses."""

import contextlib
import errno
import json
import os
import re
import signal
import socket
import threading
import time
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.raster.grids import Region, plan
from chain.serving.journal import WHOLE, Share, opened_journal, read_journal, sealed, write_whole
from tests.chain.serving.journals import (
    IDENTITY,
    PATIENCE,
    REGIONS,
    SPAWN,
    VALUES,
    assembled,
    begun_journal,
    content_of,
    log_of,
    maker,
    pixels,
    region_of,
    write,
)
from tests.examples import slow


def test_the_journal_says_in_words_what_is_made(tmp_path):
    path = tmp_path / "sr.tif"
    notes = {"crs": "WGS 84", "where": Path("/data"), "sizes": (1, 2)}
    with opened_journal(path, IDENTITY, REGIONS, notes) as journal:
        content = json.loads((tmp_path / "sr.tif.parts" / "journal.json").read_text())
        assert read_journal(path) == journal
    assert len(content.pop("digest")) == 64
    assert content == {
        "product": "sr.tif",
        "identity": IDENTITY,
        "notes": {"crs": "WGS 84", "where": "/data", "sizes": [1, 2]},
        "regions": [[r.x, r.y, r.columns, r.rows] for r in REGIONS],
    }
    lines = (tmp_path / "sr.tif.parts" / "journal.json").read_text().splitlines()
    assert '  "float": false' in lines and max(map(len, lines)) < 80
    assert journal.regions == tuple(REGIONS) and journal.identity == IDENTITY and journal.product == path


def test_the_log_has_a_line_for_each_region_that_was_made(tmp_path):
    path, parts = tmp_path / "sr.tif", tmp_path / "sr.tif.parts"
    start = datetime.now(timezone.utc).replace(microsecond=0)

    def before(region):
        time.sleep(0.05)
        if region == REGIONS[-1]:
            while len(log_of(path)) < len(REGIONS) - 1:
                time.sleep(0.01)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(path, maker(before))
    lines = log_of(path)
    assert {region_of(line) for line in lines} == set(REGIONS[:-1]) and len(lines) == len(REGIONS) - 1
    assert {f"{line['x']}_{line['y']}.tif" for line in lines} == {file.name for file in parts.glob("*_*.tif")}
    for line in lines:
        moment = datetime.strptime(line["moment"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
        assert start <= moment <= datetime.now(timezone.utc)
        assert 0.05 <= float(line["seconds"]) < PATIENCE
        assert line["process"] == f"{socket.gethostname()}:{os.getpid()}"


@given(count=st.integers(1, 60), number=st.integers(0, 200))
def test_shares_are_disjoint_cover_all_and_are_balanced(count, number):
    all_regions = plan(Region(0, 0, number, 1), 1)
    shares = [Share(i, count).of(all_regions) for i in range(1, count + 1)]
    assert [region for share in shares for region in share] == all_regions
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert WHOLE.of(all_regions) == all_regions


def test_what_remains_of_a_share_is_what_has_no_file(tmp_path):
    with pytest.raises(KeyboardInterrupt), opened_journal(tmp_path / "sr.tif", IDENTITY, REGIONS) as journal:
        for region in (REGIONS[1], REGIONS[7]):
            journal.file(region).write_bytes(sealed(b"made"))
        for number, damaged in (
            (3, sealed(b"made")[:-1]),
            (4, b"made"),
            (5, sealed(b"made").replace(b"d", b"e", 1)),
            (6, b""),
        ):
            journal.file(REGIONS[number]).write_bytes(damaged)
        journal.file(REGIONS[2]).with_suffix(".tif.host-1-1.partial").write_bytes(b"half")
        assert journal.remaining() == [r for i, r in enumerate(REGIONS) if i not in (1, 7)]
        assert journal.remaining(Share(1, 2)) == [REGIONS[i] for i in (0, 2, 3, 4, 5)]
        assert journal.remaining(Share(2, 2)) == [REGIONS[i] for i in (6, 8, 9, 10, 11)]
        raise KeyboardInterrupt
    with opened_journal(tmp_path / "sr.tif", IDENTITY, REGIONS) as journal:
        assert len(journal.remaining()) == 10 and not list(journal.folder.glob("*.partial"))


# Files that are whole or not there


def test_whoever_reads_sees_whole_files_only(tmp_path):
    file, kinds = tmp_path / "journal.json", [bytes([k]) * 300_000 for k in (1, 2)]
    write_whole(file, kinds[0])
    seen, done = set(), threading.Event()

    def watch():
        while not done.is_set():
            seen.add(file.read_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(60):
        write_whole(file, kinds[number % 2])
    done.set()
    watcher.join()
    assert seen and seen <= set(kinds)
    assert [item.name for item in tmp_path.iterdir()] == ["journal.json"]


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda number: (calls.append(os.readlink(f"/proc/self/fd/{number}")), fsync(number))
    )
    monkeypatch.setattr(os, "replace", lambda *names: (calls.append(str(names[1])), replace(*names)))
    write_whole(tmp_path / "0_0.tif", b"x" * 1000)
    assert calls[0].startswith(str(tmp_path / "0_0.tif.")) and calls[1:] == [str(tmp_path / "0_0.tif"), str(tmp_path)]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_what_was_there_and_nothing_else(tmp_path, monkeypatch, call):
    write_whole(tmp_path / "journal.json", b"older")

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(OSError, match="^--output: expected a disk that takes .*journal.json, got: No space left"):
        write_whole(tmp_path / "journal.json", b"newer")
    assert content_of(tmp_path) == {"journal.json": b"older"}


# Several processes


def _stop_for_good(path, whole, stopped):
    """Make a product, but give no file its name after some that have got theirs, one after the other."""
    named, turn = [], threading.Lock()

    def holding(rename):
        def hold(partial, name):
            with turn:
                if Path(name).suffix == ".tif":
                    named.append(name)
                    if len(named) > whole:
                        stopped.set()
                        threading.Event().wait()
                rename(partial, name)

        return hold

    os.replace, os.link = holding(os.replace), holding(os.link)
    write(path)


@pytest.mark.parametrize("made", [3, slow(len(REGIONS))], ids=["region", "product"])
def test_after_a_kill_only_what_is_not_whole_is_made(tmp_path, made):
    path, parts, stopped = tmp_path / "sr.tif", tmp_path / "sr.tif.parts", SPAWN.Event()
    process = SPAWN.Process(target=_stop_for_good, args=(path, made, stopped))
    process.start()
    assert stopped.wait(PATIENCE)
    os.kill(process.pid, signal.SIGKILL)
    process.join(PATIENCE)
    assert process.exitcode == -signal.SIGKILL
    assert [item.name for item in tmp_path.iterdir()] == ["sr.tif.parts"] and list(parts.glob("*partial*"))
    done = {region for region in REGIONS if (parts / f"{region.x}_{region.y}.tif").exists()}
    stamps = {file.name: file.stat().st_mtime_ns for file in parts.glob("*_*.tif")}
    assert len(done) == made
    computed, lines = [], []

    def before(region):
        if not computed:
            assert not list(parts.glob("*partial*"))
            assert {file.name: file.stat().st_mtime_ns for file in parts.glob("*_*.tif")} == stamps
            lines.extend(log_of(path))
        computed.append(region)

    assert write(path, maker(before)) == made
    assert sorted(computed, key=REGIONS.index) == [region for region in REGIONS if region not in done]
    assert {region_of(line) for line in lines} <= done
    np.testing.assert_array_equal(pixels(path), VALUES)
    assert [item.name for item in tmp_path.iterdir()] == ["sr.tif"]


# Journals that are broken, or another's


BROKEN = {
    "empty": b"",
    "zeros": bytes(100),
    "no text": b"\xff\xfe{}",
    "half": lambda whole: whole[: len(whole) // 2],
    "no object": b"[]",
    "no regions": b'{"identity": {}, "notes": {}}',
    "no such regions": b'{"identity": {}, "notes": {}, "regions": [[0, 0]]}',
    "no such identity": b'{"identity": [], "notes": {}, "regions": []}',
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_journal_is_refused_until_it_may_be_begun_anew(tmp_path, kind):
    path, parts = tmp_path / "sr.tif", tmp_path / "sr.tif.parts"
    begun_journal(path)
    journal = parts / "journal.json"
    broken = BROKEN[kind](journal.read_bytes()) if callable(BROKEN[kind]) else BROKEN[kind]
    journal.write_bytes(broken)
    (parts / "0_0.tif").write_bytes(b"of an unknown product")
    message = rf"^--output: expected a journal in {re.escape(str(journal))}, got .*; --restart removes it$"
    for refused in (write, lambda path: write(path, share=Share(2, 2)), assembled):
        with pytest.raises(ValueError, match=message):
            refused(path)
        assert content_of(parts).items() >= {"journal.json": broken, "0_0.tif": b"of an unknown product"}.items()
    assert write(path, restart=True) == 0
    np.testing.assert_array_equal(pixels(path), VALUES)
    assert [item.name for item in tmp_path.iterdir()] == ["sr.tif"]


def test_what_differs_is_named(tmp_path):
    path, parts = tmp_path / "sr.tif", tmp_path / "sr.tif.parts"
    begun_journal(path)
    before = content_of(parts)
    for other, named in (
        ({**IDENTITY, "models": [], "float": True}, "models, float"),
        ({**IDENTITY, "masks": ["a"]}, "masks"),
        ({"input": IDENTITY["input"]}, "models, float"),
    ):
        with pytest.raises(FileExistsError) as refused:
            write(path, identity=other)
        assert str(refused.value) == (f"--output: {parts} was begun with other {named}; --restart begins anew")
        assert content_of(parts) == before


def test_restart_keeps_what_has_the_same_identity(tmp_path):
    path = tmp_path / "sr.tif"
    write(path, share=Share(1, 2))
    assert write(path, restart=True) == 6
    np.testing.assert_array_equal(pixels(path), VALUES)


def test_regions_that_are_missing_are_named_and_nothing_is_lost(tmp_path):
    path, parts = tmp_path / "sr.tif", tmp_path / "sr.tif.parts"
    with pytest.raises(ValueError, match="^--assemble: expected regions of .*sr.tif, got no .*sr.tif.parts$"):
        assembled(path)
    assert not list(tmp_path.iterdir())
    write(path, share=Share(1, 3))
    before = content_of(parts)
    missing = "^--assemble: expected all 12 regions of .*, got 8 missing, the first at column 0, row 20$"
    with pytest.raises(ValueError, match=missing):
        assembled(path)
    assert content_of(parts).items() == before.items() - {("lock", b"")}


# Damage, and folders that are not ours


@pytest.mark.parametrize("shares", [1, 2])
@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "replaced"])
def test_a_damaged_region_is_made_again(tmp_path, damage, shares):
    path, parts = tmp_path / "sr.tif", tmp_path / "sr.tif.parts"
    for number in range(1, shares + 1):
        with contextlib.suppress(KeyboardInterrupt):
            write(path, maker(_interrupting), share=Share(number, shares) if shares > 1 else None)
    victim = min(parts.glob("*_*.tif"))
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    other = max(parts.glob("*_*.tif")).read_bytes()[:-3]
    damaged = {"flipped": bytes(content), "truncated": bytes(content[:100]), "empty": b"", "replaced": other}
    victim.write_bytes(damaged[damage])
    computed = []
    write(path, maker(computed.append))
    assert f"{victim.stem}" in {f"{region.x}_{region.y}" for region in computed}
    np.testing.assert_array_equal(pixels(path), VALUES)


def _interrupting(region):
    if region == REGIONS[-1]:
        raise KeyboardInterrupt


def test_damage_while_a_product_is_made_is_mended(tmp_path):
    path, computed = tmp_path / "sr.tif", []

    def before(region):
        made = sorted((tmp_path / "sr.tif.parts").glob("*_*.tif"))
        if len(made) > 3 and len(computed) < 20:
            made[0].write_bytes(made[0].read_bytes()[:50])
        computed.append(region)

    write(path, maker(before))
    np.testing.assert_array_equal(pixels(path), VALUES)


def test_a_journal_of_which_a_digit_was_changed_is_noticed(tmp_path):
    path, journal = tmp_path / "sr.tif", tmp_path / "sr.tif.parts" / "journal.json"
    begun_journal(path)
    journal.write_text(journal.read_text().replace('"bytes": 7', '"bytes": 8'))
    with pytest.raises(ValueError, match="expected a journal in .*, got one that is damaged; --restart removes it"):
        write(path)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("kind", ["folder", "region", "link", "file", "deep"])
def test_a_folder_that_is_not_ours_is_left_as_it_is(tmp_path, kind, restart):
    path, parts, mine = tmp_path / "sr.tif", tmp_path / "sr.tif.parts", tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("mine")
    if kind == "link":
        parts.symlink_to(mine)
    elif kind == "file":
        parts.write_text("mine")
    else:
        parts.mkdir()
        name = {"folder": "letter.txt", "region": "0_0.tif", "deep": "letters/letter.txt"}[kind]
        (parts / name).parent.mkdir(exist_ok=True)
        (parts / name).write_text("mine")
    before = sorted(str(file) for file in tmp_path.rglob("*"))
    for refused in (lambda: write(path, restart=restart), lambda: write(path, restart=restart, share=Share(1, 2))):
        with pytest.raises(FileExistsError, match="--output: expected no .*sr.tif.parts, or the folder of an interru"):
            refused()
        assert sorted(str(file) for file in tmp_path.rglob("*")) == before


def test_a_folder_with_a_broken_journal_and_files_of_somebody_is_left_as_it_is(tmp_path):
    path, parts = tmp_path / "sr.tif", tmp_path / "sr.tif.parts"
    parts.mkdir()
    for name in ("journal.json", "letter.txt"):
        (parts / name).write_text("mine")
    with pytest.raises(FileExistsError, match="got letter.txt$"):
        write(path, restart=True)
    assert content_of(parts) == {"journal.json": b"mine", "letter.txt": b"mine"}


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "sr.tif"

    def before(region):
        path.write_text("mine")

    with pytest.raises(FileExistsError, match="--output: .*sr.tif has appeared meanwhile; .*--overwrite"):
        write(path, maker(before))
    assert path.read_text() == "mine"
    assert write(path, overwrite=True) == len(REGIONS)
    np.testing.assert_array_equal(pixels(path), VALUES)


# Reading, computing and writing at once
