# SPDX-License-Identifier: Apache-2.0
"""The journal of a product that is being made, by one process or several, and the overlap of what they do."""

import errno
import fcntl
import json
import multiprocessing
import os
import re
import shutil
import signal
import socket
import sys
import threading
import time
import weakref
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from osgeo import gdal, osr

from chain.raster.grids import Grid, Region, plan
from chain.serving import journal as regions
from chain.serving.journal import WHOLE, Share, finished_journal, opened_journal, read_journal, write_whole
from chain.serving.pipeline import IN_FLIGHT, run_pipeline
from chain.serving.product_file import Layout, assemble, write_product

IDENTITY = {"input": {"files": {"/data/s2.tif": {"bytes": 7}}}, "models": [{"crop": 8}], "float": False}
AREA = Region(0, 0, 70, 50)
REGIONS = plan(AREA, 20)
VALUES = np.random.default_rng(0).integers(1, 9000, (50, 70)).astype(np.float32)
SPAWN = multiprocessing.get_context("spawn")
PATIENCE = 60
"""Seconds after which a process that does not answer is a failure."""


def layout():
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(32631)
    return Layout(Grid(300000.0, 5000040.0, 1.5, 1.5, AREA.columns, AREA.rows, crs.ExportToWkt()), ("B04",))


def values_of(region):
    """Return what a maker computes."""
    values = VALUES[region.y : region.y + region.rows, region.x : region.x + region.columns]
    return {"B04": (values, np.ones(values.shape, bool))}


def maker(before=lambda region: None):
    """Return a maker of `VALUES` that calls a function before it computes a region."""

    def compute(region, blocks):
        before(region)
        return values_of(region)

    return SimpleNamespace(read=lambda region: None, compute=compute)


def write(path, made=None, **options):
    return write_product(path, layout(), REGIONS, made or maker(), **{"identity": IDENTITY, **options})


def assembled(path):
    """Make the product of its regions."""
    with finished_journal(path) as journal:
        assemble(journal)


def pixels(path):
    return gdal.Open(str(path)).ReadAsArray()


def content_of(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def log_of(path):
    """Return the lines of a log as dictionaries."""
    pattern = (
        r"(?P<moment>\S+) x=(?P<x>\d+) y=(?P<y>\d+) columns=(?P<columns>\d+) rows=(?P<rows>\d+) "
        r"seconds=(?P<seconds>\d+\.\d\d) process=(?P<process>\S+)"
    )
    text = regions.parts_folder(path).joinpath("regions.log").read_text()
    assert not text or text.endswith("\n")
    return [re.fullmatch(pattern, line).groupdict() for line in text.splitlines()]


def region_of(line):
    return Region(*(int(line[name]) for name in ("x", "y", "columns", "rows")))


# What stands in the journal


def test_the_journal_says_in_words_what_is_made(tmp_path):
    path = tmp_path / "sr.tif"
    notes = {"crs": "WGS 84", "where": Path("/data"), "sizes": (1, 2)}
    with opened_journal(path, IDENTITY, REGIONS, notes) as journal:
        content = json.loads((tmp_path / "sr.tif.parts" / "journal.json").read_text())
        assert read_journal(path) == journal
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
            journal.file(region).write_bytes(b"made")
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
    monkeypatch.setattr(os, "fsync", lambda number: (calls.append(os.fstat(number).st_size), fsync(number)))
    monkeypatch.setattr(os, "replace", lambda *names: (calls.append(str(names[1])), replace(*names)))
    write_whole(tmp_path / "0_0.tif", b"x" * 1000)
    assert calls == [1000, str(tmp_path / "0_0.tif")]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_what_was_there_and_nothing_else(tmp_path, monkeypatch, call):
    write_whole(tmp_path / "journal.json", b"older")

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "journal.json", b"newer")
    assert content_of(tmp_path) == {"journal.json": b"older"}


# Several processes


def _make_a_share(path, number, begun, go):
    """Make the first region of a share of two, say so, and the others when told to."""

    def before(region):
        begun.set()
        assert go.wait(PATIENCE)

    write(path, maker(before), share=Share(number, 2))


def test_two_processes_share_the_regions_and_a_third_one_is_refused(tmp_path):
    path, parts, go = tmp_path / "sr.tif", tmp_path / "sr.tif.parts", SPAWN.Event()
    begun = [SPAWN.Event(), SPAWN.Event()]
    processes = [SPAWN.Process(target=_make_a_share, args=(path, i + 1, begun[i], go)) for i in (0, 1)]
    try:
        for process in processes:
            process.start()
        assert all(event.wait(PATIENCE) for event in begun)  # both are at work, at the same time
        other = {**IDENTITY, "float": True}
        for refused in (write, assembled, lambda path: write(path, identity=other, restart=True)):
            with pytest.raises(FileExistsError, match="^--output: another process is writing"):
                refused(path)
        with pytest.raises(FileExistsError, match="^--output: .* was begun with other float; --restart"):
            write(path, identity=other, share=Share(1, 2))
        assert read_journal(path).identity == IDENTITY and not list(parts.glob("*_*.tif"))
    finally:
        go.set()
        for process in processes:
            process.join(PATIENCE)
    assert [process.exitcode for process in processes] == [0, 0] and not path.exists()
    made = {
        process.pid: {region_of(line) for line in log_of(path) if line["process"].endswith(f":{process.pid}")}
        for process in processes
    }
    assert [made[process.pid] for process in processes] == [set(REGIONS[:6]), set(REGIONS[6:])]
    assembled(path)
    np.testing.assert_array_equal(pixels(path), VALUES)
    assert [item.name for item in tmp_path.iterdir()] == ["sr.tif"]


ROUNDS, RACERS = 12, 3


def _race(folder, number, barrier, queue):
    """Begin journals at the same time as others: shared ones, whose regions this process would cut its own way."""
    found = []
    for turn in range(ROUNDS):
        barrier.wait(PATIENCE)
        try:
            own = plan(AREA, 10 + number)
            with opened_journal(folder / f"{turn}.tif", IDENTITY, own, shared=turn % 2 == 0) as journal:
                found.append(journal.regions)
                barrier.wait(PATIENCE)
        except FileExistsError as error:
            found.append(str(error))
            barrier.wait(PATIENCE)
    queue.put((number, found))


def test_processes_that_begin_at_once_have_one_journal_or_one_has_it(tmp_path):
    barrier, queue = SPAWN.Barrier(RACERS), SPAWN.Queue()
    processes = [SPAWN.Process(target=_race, args=(tmp_path, i, barrier, queue)) for i in range(RACERS)]
    for process in processes:
        process.start()
    results = dict(queue.get(timeout=PATIENCE) for _ in processes)
    for process in processes:
        process.join(PATIENCE)
    own = [tuple(plan(AREA, 10 + number)) for number in range(RACERS)]
    for turn in range(ROUNDS):
        found = [results[number][turn] for number in range(RACERS)]
        if turn % 2 == 0:
            assert len(set(found)) == 1 and found[0] in own
        else:
            refused = [entry for entry in found if isinstance(entry, str)]
            assert len(refused) == RACERS - 1 and all("another process is writing" in entry for entry in refused)
            assert any(entry == own[number] for number, entry in enumerate(found))


def _make_again_and_again(path, barrier, queue):
    """Replace a product many times, beside others that do so."""
    outcomes = []
    barrier.wait(PATIENCE)
    for _ in range(REPLACEMENTS):
        try:
            outcomes.append(write_product(path, layout(), [AREA], maker(), IDENTITY, overwrite=True))
        except FileExistsError as error:
            outcomes.append("refused" if "another process is writing" in str(error) else str(error))
        except Exception as error:
            outcomes.append(repr(error))
    queue.put(outcomes)


REPLACEMENTS = 20


def test_processes_that_replace_one_product_make_it_or_are_refused(tmp_path):
    """One may begin at the moment when another one ends, and removes what it does not need any more."""
    path, barrier, queue = tmp_path / "sr.tif", SPAWN.Barrier(RACERS), SPAWN.Queue()
    processes = [SPAWN.Process(target=_make_again_and_again, args=(path, barrier, queue)) for _ in range(RACERS)]
    for process in processes:
        process.start()
    outcomes = [outcome for _ in processes for outcome in queue.get(timeout=PATIENCE)]
    for process in processes:
        process.join(PATIENCE)
    assert len(outcomes) == RACERS * REPLACEMENTS
    assert 0 in outcomes and set(outcomes) <= {0, "refused"}
    np.testing.assert_array_equal(pixels(path), VALUES)
    assert [item.name for item in tmp_path.iterdir()] == ["sr.tif"]


def waiting(function, product, change):
    """Call a function that waits for another one to begin, which changes the folder meanwhile; return what it did."""
    folder = regions.parts_folder(product)
    outcome = []

    def call():
        try:
            outcome.append(function())
        except Exception as error:
            outcome.append(error)

    with open(folder / "beginning.lock", "a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        thread = threading.Thread(target=call)
        thread.start()
        time.sleep(0.1)
        assert thread.is_alive()
        change(folder)
    thread.join(PATIENCE)
    return outcome[0]


def begun_journal(path):
    """Leave a journal as an interrupted process does."""
    with pytest.raises(KeyboardInterrupt), opened_journal(path, IDENTITY, REGIONS, {"layout": layout().to_json()}):
        raise KeyboardInterrupt


def test_a_product_that_another_process_finishes_meanwhile_is_begun_anew(tmp_path):
    path = tmp_path / "sr.tif"
    begun_journal(path)
    assert waiting(lambda: write(path), path, shutil.rmtree) == 0
    np.testing.assert_array_equal(pixels(path), VALUES)
    assert [item.name for item in tmp_path.iterdir()] == ["sr.tif"]


@pytest.mark.parametrize("change", [shutil.rmtree, lambda folder: (folder / "journal.json").unlink()])
def test_regions_that_another_process_assembles_meanwhile_are_none(tmp_path, change):
    path = tmp_path / "sr.tif"
    begun_journal(path)
    error = waiting(lambda: assembled(path), path, change)
    assert isinstance(error, ValueError) and str(error).startswith("--assemble: expected regions of ")


# Processes that are killed


def _stop_for_good(path, whole, stopped):
    """Make a product, but give no file its name after some that have got theirs."""
    replace, named = os.replace, []

    def hold(partial, name):
        if Path(name).suffix == ".tif":
            named.append(name)
            if len(named) > whole:
                stopped.set()
                threading.Event().wait()
        replace(partial, name)

    os.replace = hold
    write(path)


@pytest.mark.parametrize("made", [3, len(REGIONS)], ids=["region", "product"])
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
        ({"input": IDENTITY["input"]}, "options"),
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


# Reading, computing and writing at once


def stages(call):
    """Return the functions of `run_pipeline`, each of which calls `call` with its name and its region."""

    def read(region):
        call("read", region)

    def compute(region, blocks):
        call("compute", region)

    def write(region, made):
        call("write", region)

    return read, compute, write


LINE = plan(Region(0, 0, 36, 1), 1)


def test_one_region_is_read_while_another_is_computed_and_a_third_one_is_written():
    """Each third read waits for a second computation and a first writing: apart they would wait for good."""
    meeting, calls, lock = threading.Barrier(3), {"read": 0, "compute": 0, "write": 0}, threading.Lock()
    met = []

    def call(stage, region):
        with lock:
            number = calls[stage] = calls[stage] + 1
        if number % 3 == {"read": 0, "compute": 2, "write": 1}[stage]:
            meeting.wait(PATIENCE)
            met.append((stage, region))

    assert sorted(run_pipeline(LINE, *stages(call)), key=LINE.index) == LINE
    assert len(met) == 36
    for start in range(0, 36, 3):
        assert {stage for stage, _ in met[start : start + 3]} == {"read", "compute", "write"}
        assert len({region for _, region in met[start : start + 3]}) == 3


class Held:
    """What a stage hands to the next one."""


def test_nothing_is_read_or_computed_twice_at_a_time_and_few_regions_are_held():
    active = dict.fromkeys(("read", "compute", "write"), 0)
    most, lock, alive, blocks_of = dict(active), threading.Lock(), weakref.WeakSet(), {}
    held = []

    def stage(name, seconds):
        with lock:
            active[name] += 1
            most[name] = max(most[name], active[name])
        time.sleep(seconds)
        with lock:
            active[name] -= 1

    def make():
        thing = Held()
        with lock:
            alive.add(thing)
            held.append(len(alive))
        return thing

    def read(region):
        stage("read", 0.001)
        blocks = make()
        blocks_of[region] = weakref.ref(blocks)
        return blocks

    def compute(region, blocks):
        assert blocks is blocks_of[region]()
        stage("compute", 0.002)
        return make()

    def write(region, made):
        assert isinstance(made, Held) and blocks_of[region]() is None  # blocks are let go before
        stage("write", 0.01)  # the last one is the slowest: what is read faster has to wait

    written = list(run_pipeline(LINE, read, compute, write))
    assert sorted(written, key=LINE.index) == LINE
    assert most["read"] == most["compute"] == 1 and most["write"] <= IN_FLIGHT
    assert max(held) <= IN_FLIGHT + 1  # those of a region in computation, and what becomes of them
    assert not alive


@pytest.mark.parametrize("failing", ["read", "compute", "write"])
@pytest.mark.parametrize("error", [ValueError("wrong"), OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_what_a_stage_raises_is_raised_and_later_regions_are_not_begun(failing, error):
    calls, threads = [], threading.active_count()

    def call(stage, region):
        calls.append((stage, region))
        time.sleep(0.001)
        if stage == failing and region == LINE[5]:
            raise error

    written = []
    with pytest.raises(type(error)) as raised:
        for region in run_pipeline(LINE, *stages(call)):
            written.append(region)
    assert raised.value is error
    assert threading.active_count() == threads
    assert len({region for _, region in calls}) < 20
    assert {("write", region) for region in written} <= set(calls) and LINE[5] not in written


def test_the_first_of_two_errors_is_raised():
    second, first = threading.Event(), ValueError("first")

    def call(stage, region):
        if (stage, region) == ("compute", LINE[0]):
            assert second.wait(PATIENCE)
            time.sleep(0.02)
            raise ValueError("later")
        if (stage, region) == ("read", LINE[1]):
            second.set()
            raise first

    with pytest.raises(ValueError) as raised:
        list(run_pipeline(LINE, *stages(call)))
    assert raised.value is first


def test_only_regions_that_are_written_are_said_to_be():
    """Threads that change over at any moment: some other region's may end before the failing one's."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for turn in range(300):
            written, told = [], []

            def call(stage, region, turn=turn, written=written):
                if stage == "compute" and region == LINE[turn % 5]:
                    raise ValueError("wrong")
                if stage == "write":
                    written.append(region)

            with pytest.raises(ValueError, match="wrong"):
                for region in run_pipeline(LINE, *stages(call)):
                    told.append(region)
            assert set(told) <= set(written)
    finally:
        sys.setswitchinterval(interval)


def test_an_interrupted_consumer_ends_the_work_before_it_goes_on():
    calls, threads = [], threading.active_count()

    def call(stage, region):
        calls.append(region)
        time.sleep(0.001)

    with pytest.raises(KeyboardInterrupt):
        for number, _ in enumerate(run_pipeline(LINE, *stages(call))):
            if number == 3:
                raise KeyboardInterrupt
    assert threading.active_count() == threads and len(set(calls)) < 20


def test_control_c_ends_the_work_and_keeps_what_is_done(tmp_path):
    path, parts, computed = tmp_path / "sr.tif", tmp_path / "sr.tif.parts", []

    def before(region):
        computed.append(region)
        while len(list(parts.glob("*_*.tif"))) < min(len(computed) - 1, 4):
            time.sleep(0.005)
        if len(computed) == 5:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)

    previous = signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let their background ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            write(path, maker(before))
    finally:
        signal.signal(signal.SIGINT, previous)
    made = [region for region in REGIONS if (parts / f"{region.x}_{region.y}.tif").exists()]
    assert len(computed) == 5 and 4 <= len(made) <= 5
    assert {region_of(line) for line in log_of(path)} == set(made)
    assert write(path) == len(made)
    np.testing.assert_array_equal(pixels(path), VALUES)
