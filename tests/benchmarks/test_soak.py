# SPDX-License-Identifier: Apache-2.0
"""The soak sees what hangs and what crashes, goes on where it was, and finds nothing in a few cases."""

import itertools
import os
import random
import sys
import time

import pytest

from benchmarks.soak.__main__ import plan
from benchmarks.soak.cases import NAMES
from benchmarks.soak.damage import KINDS, damaged
from benchmarks.soak.faults import FAULTS, KILL
from benchmarks.soak.processes import Changes, begin, end
from benchmarks.soak.programs import PROGRAMS
from benchmarks.soak.runner import Log, run_cases

CASES = """#!/bin/sh
n=$3
while [ $n -lt $4 ]; do
  echo "{\\"begun\\": $n}"
  case $n in 1) kill -9 $$ ;; 3) exec sleep 60 ;; esac
  echo "{\\"case\\": $n, \\"of\\": \\"a\\", \\"outcome\\": \\"same\\", \\"said\\": \\"\\"}"
  n=$((n + 1))
done
"""


def test_hangs_and_crashes_are_seen_and_the_soak_goes_on(tmp_path, monkeypatch):
    program = tmp_path / "python"
    program.write_text(CASES)
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    for last in (5, 7):
        log = Log(tmp_path / "cases.jsonl")
        run_cases(log, tmp_path, last, time.monotonic() + 60, deadline=1.5)
    found = [(result["case"], result["outcome"]) for result in Log(tmp_path / "cases.jsonl").results]
    assert found == list(enumerate(["same", "crash", "same", "hang", "same", "same", "same"]))


def test_damage_depends_on_its_number_alone_and_takes_any_content():
    content = bytes(range(256)) * 4
    assert damaged(content, random.Random(3)) == damaged(content, random.Random(3)) != content
    for kind in KINDS:
        for number in range(20):
            for each in (b"", b"a", content):
                assert isinstance(kind(each, random.Random(number)), bytes)


def test_a_case_of_each_kind_is_right(tmp_path):
    log = Log(tmp_path / "cases.jsonl")
    run_cases(log, tmp_path / "files", len(NAMES), time.monotonic() + 300)
    assert [result["of"] for result in log.results] == NAMES
    assert {result["outcome"] for result in log.results} <= {"same", "refused", "accepted"}, log.results


def test_each_program_is_killed_and_meets_each_fault_of_its_kind():
    seen = set(itertools.islice(plan(list(PROGRAMS)), 3000))
    assert seen == {(name, fault) for name, program in PROGRAMS.items() for fault in (KILL, *FAULTS[program.by])}


@pytest.mark.parametrize("last", [1, 2, 3, 4, None])
def test_a_copy_dies_before_the_change_that_it_is_not_to_make(tmp_path, last):
    def act():
        (tmp_path / "a").write_text("a")
        (tmp_path / "a").rename(tmp_path / "b")
        (tmp_path / "b").unlink()
        (tmp_path / "c").mkdir()
        return 3

    number = begin(act, tmp_path / "said.txt", {"SR_SOAK": "1"}, Changes(tmp_path, last).watch)
    status = end(number, 60)
    left = {path.name for path in tmp_path.iterdir()} - {"said.txt"}
    made = {1: set(), 2: {"a"}, 3: {"b"}, 4: set(), None: {"c"}}
    assert status == (-9 if last else 3) and left == made[last] and "SR_SOAK" not in os.environ


def test_a_copy_that_takes_too_long_is_killed(tmp_path):
    assert end(begin(lambda: time.sleep(60), tmp_path / "said.txt", {}, lambda: None), 0.2) is None
