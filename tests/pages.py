# SPDX-License-Identifier: Apache-2.0
"""What a page of HTML is held to by the tests of those that write one."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

VOID = {"br", "hr", "img", "input", "link", "meta", "col", "wbr"}


class _Checked(HTMLParser):
    """Follows tags, and keeps what pictures and controls say of themselves."""

    def __init__(self):
        super().__init__()
        self.open, self.wrong, self.ids, self.addresses, self.alts, self.text = [], [], [], [], [], []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if len(found) < len(attributes):
            self.wrong.append(f"<{tag}> says something twice")
        self.ids += [found["id"]] if "id" in found else []
        self.addresses += [found[name] for name in ("src", "href", "srcset", "action") if name in found]
        if tag == "img":
            self.alts.append(found.get("alt", ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}>")

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)


def checked(page):
    """Hold a page to being well-formed and to loading nothing; return its text.

    Args:
        page: its file.
    """
    content = page.read_text(encoding="utf-8")
    found = _Checked()
    found.feed(content)
    found.close()
    assert not found.wrong and not found.open
    assert len(set(found.ids)) == len(found.ids)
    assert {address[:5] for address in found.addresses if not address.startswith("#")} <= {"data:"}
    assert not re.search(r"url\((?!#)|@import|//[a-z]+\.[a-z]", re.sub(r"<pre.*?</pre>", "", content, flags=re.DOTALL))
    assert all(found.alts)
    return " ".join(" ".join(found.text).split())


def chromium(*arguments):
    """Run a headless Chromium; skip the test where there is none. Returns what it prints."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not program:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    common = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=2000"]
    run = subprocess.run([program, *common, *arguments], capture_output=True, text=True, timeout=300, check=True)
    return run.stdout
