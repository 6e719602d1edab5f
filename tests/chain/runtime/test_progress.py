# SPDX-License-Identifier: Apache-2.0
"""Progress: fractions of parts, cancelling, and what a library keeps to itself."""

import json
import logging
import sys

import pytest

from chain.runtime.progress import (
    LOG,
    SILENT,
    Cancelled,
    Progress,
    RegionProgress,
    progress_bar,
    progress_lines,
    shown_on_terminal,
)


def test_parts_report_fractions_of_the_whole():
    seen = []
    progress = Progress(lambda fraction, text: seen.append((fraction, text)))
    part = progress.part(0.5, 1.0)
    part(0.0, "a")
    part.part(0.5, 1.0)(1.0, "b")
    progress(1.5, "c")
    assert seen == [(0.5, "a"), (1.0, "b"), (1.0, "c")]


def test_cancelled_work_stops_in_its_parts_too():
    with pytest.raises(Cancelled):
        Progress(cancelled=lambda: True).part(0.0, 0.5)(0.1, "a")


def test_nothing_is_shown_unless_asked_for(capsys):
    SILENT(0.5, "a")
    LOG.warning("unheard")
    assert capsys.readouterr() == ("", "")
    with shown_on_terminal():
        LOG.info("decided")
        LOG.warning("look")
    LOG.warning("unheard")
    assert capsys.readouterr() == ("", "decided\nwarning: look\n")


def test_work_is_divided_where_there_are_two_parts():
    seen = []
    progress = Progress(lambda fraction, text: seen.append((fraction, text)))
    for both in (True, False):
        before, after = progress.divided(0.75, both)
        before(1.0, "product")
        after(1.0, "report")
    assert seen == [(0.75, "product"), (1.0, "report"), (1.0, "product")]


def test_no_bar_without_a_terminal(capsys):
    with progress_bar() as progress:
        progress(0.5, "a")
    assert capsys.readouterr() == ("", "")


def test_progress_for_programs_is_json_on_lines(capsys):
    with progress_lines() as progress:
        progress(0.0, "begin")
        progress(0.5, "middle")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["phase"], line["fraction"]) for line in lines] == [("begin", 0.0), ("middle", 0.5)]
    assert lines[0]["seconds_left"] is None and lines[1]["seconds_left"] >= 0


def test_quiet_shows_warnings_alone(capsys):
    with shown_on_terminal(quiet=True):
        LOG.info("decided")
        LOG.warning("look")
    assert capsys.readouterr().err == "warning: look\n"


def test_lines_are_shown_once_whatever_handlers_the_root_logger_has(capsys):
    root = logging.getLogger()
    handler = logging.StreamHandler(sys.stderr)
    root.addHandler(handler)
    try:
        with shown_on_terminal():
            LOG.info("decided")
    finally:
        root.removeHandler(handler)
    assert capsys.readouterr().err == "decided\n"


def test_parts_of_regions_count_while_they_are_computed():
    seen = []
    regions = RegionProgress(Progress(lambda fraction, text: seen.append(fraction)), 100, "sr.tif")
    regions.computed("a", 60, 0.5)
    regions.computed("a", 60, 1.0)
    regions.computed("b", 40, 0.25)  # while the first one is written
    regions.written("a", 60)
    regions.written("b", 40)
    assert seen == sorted(seen) and seen[-1] == 1 and len(set(seen)) == 5


def test_work_is_cancelled_between_regions_alone():
    regions = RegionProgress(Progress(cancelled=lambda: True), 100, "sr.tif")
    regions.computed("a", 60, 0.5)
    with pytest.raises(Cancelled):
        regions.written("a", 60)
