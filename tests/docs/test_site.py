# SPDX-License-Identifier: Apache-2.0
"""The site: its page of options, its links, and a build in an environment of its own."""

import argparse
import os
import re
import subprocess
import sys
import venv
from urllib.parse import unquote

import pytest

from tests.conftest import REPOSITORY
from tests.docs.pages import PAGES
from tests.docs.test_commands import parsers

DOCS = REPOSITORY / "docs"
LINK = re.compile(r"\[[^\]]*\]\((?![a-z]+:)([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_links_lead_to_files(page):
    links = LINK.findall(re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S))
    missing = [link for link in links if not (page.parent / unquote(link)).exists()]
    assert not missing


def test_the_page_of_options_has_all_options():
    parser_of, programs = parsers()
    done = subprocess.run([sys.executable, DOCS / "options.py"], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    sections = dict(zip(programs, re.split("^## python ", done.stdout, flags=re.M)[1:], strict=True))
    assert {"sr_dataset", "inference.dsen2", "train.spot7", "weights.publish"} <= set(programs)
    for module, text in sections.items():
        for action in parser_of(module)._actions:
            if action.help != argparse.SUPPRESS:
                assert all(flag in text for flag in action.option_strings), f"{module} {action.option_strings}"
    assert "(default: 768)" in sections["inference.dsen2"] and "%(default)s" not in done.stdout


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    """Strictly: links to pages and their headings, and pages that nothing leads to."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    words = [python, "-m", "pip", "install", "-q", "-r", REPOSITORY / "requirements" / "docs.txt"]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode and re.search("connection|resolve", done.stderr, re.IGNORECASE):
        pytest.skip("there is no package registry to be reached")
    assert done.returncode == 0, done.stderr[-2000:]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["NO_MKDOCS_2_WARNING"] = "1"  # as in the Makefile
    words = [python, "-m", "mkdocs", "build", "--strict", "-d", tmp_path / "site"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=REPOSITORY, env=environment)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr[-3000:]
    for page in ("index", "options", "dsen2", "weights/dsen2/card", "project"):
        text = (tmp_path / "site" / f"{page}.html").read_text(encoding="utf-8")
        assert not re.findall(r'(?:src|<link[^>]* href)="(https?://[^"]+)', text), "the site loads from elsewhere"
    for picture in ("dsen2.png", "how_it_works.svg"):
        assert (tmp_path / "site" / picture).stat().st_size > 1000
