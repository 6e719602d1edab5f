# SPDX-License-Identifier: Apache-2.0
"""Reading, computing and writing at once: order, errors, interruptions."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import Future

import numpy as np
import pytest

from chain.raster.grids import Region, plan
from chain.serving import pipeline
from chain.serving.pipeline import IN_FLIGHT, run_pipeline
from tests.chain.serving.journals import (
    PATIENCE,
    REGIONS,
    VALUES,
    log_of,
    maker,
    pixels,
    region_of,
    write,
)


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


LITTLE_MEMORY = """
import resource
from chain.raster.grids import Region
from chain.serving.pipeline import run_pipeline
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + {left}, taken + {left}))
print(list(run_pipeline([Region(0, 0, 1, 1)], lambda _: 0, lambda *_: 0, lambda *_: None)))
"""


@pytest.mark.parametrize(
    "left, said", [(1 << 25, "OSError: [Errno 12] Cannot allocate memory"), (1 << 28, "[Region(x=0, y=0, ")]
)
def test_threads_begin_where_there_is_memory_for_them(left, said):
    command = [sys.executable, "-c", LITTLE_MEMORY.format(left=left)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.stdout or done.stderr).strip().splitlines()[-1].startswith(said)


def test_a_thread_that_cannot_tell_its_exception_is_noticed(monkeypatch):
    """As where there is no memory for it: its region would be waited for in vain."""

    def call(stage, region):
        if (stage, region) == ("compute", LINE[2]):
            raise OSError

    def tell(future, exception):
        raise MemoryError

    monkeypatch.setattr(Future, "set_exception", tell)
    monkeypatch.setattr(pipeline, "PATIENCE", 0.05)
    with pytest.raises(MemoryError, match="^a thread was lost$"):
        list(run_pipeline(LINE, *stages(call)))


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
