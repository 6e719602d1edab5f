# SPDX-License-Identifier: Apache-2.0
"""Several processes on one product: they share it, one has it, or it is refused."""

import fcntl
import shutil
import threading
import time

import numpy as np
import pytest

from chain.raster.grids import plan
from chain.serving import journal as regions
from chain.serving.journal import Share, opened_journal, read_journal
from chain.serving.product_file import write_product
from tests.chain.serving.journals import (
    AREA,
    IDENTITY,
    PATIENCE,
    REGIONS,
    SPAWN,
    VALUES,
    assembled,
    begun_journal,
    layout,
    log_of,
    maker,
    pixels,
    region_of,
    write,
)


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


def test_a_product_that_another_process_finishes_meanwhile_is_begun_anew(tmp_path):
    path = tmp_path / "sr.tif"
    begun_journal(path)
    assert waiting(lambda: write(path), path, shutil.rmtree) == 0
    np.testing.assert_array_equal(pixels(path), VALUES)
    assert [item.name for item in tmp_path.iterdir()] == ["sr.tif"]


def test_a_product_finished_after_its_journal_was_read_is_begun_anew(tmp_path, monkeypatch):
    path, read = tmp_path / "sr.tif", regions.read_journal
    begun_journal(path)

    def finished_after_reading(product):
        journal = read(product)
        monkeypatch.setattr(regions, "read_journal", read)
        journal.remove()  # what the process does that holds it, before it lets it go
        return journal

    monkeypatch.setattr(regions, "read_journal", finished_after_reading)
    assert write(path) == 0
    np.testing.assert_array_equal(pixels(path), VALUES)
    assert [item.name for item in tmp_path.iterdir()] == ["sr.tif"]


@pytest.mark.parametrize("change", [shutil.rmtree, lambda folder: (folder / "journal.json").unlink()])
def test_regions_that_another_process_assembles_meanwhile_are_none(tmp_path, change):
    path = tmp_path / "sr.tif"
    begun_journal(path)
    error = waiting(lambda: assembled(path), path, change)
    assert isinstance(error, ValueError) and str(error).startswith("--assemble: expected regions of ")


# Processes that are killed
