# SPDX-License-Identifier: Apache-2.0
"""No credential in what may be written."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.runtime.credentials import cleaned, without_credentials

CANARY = "cAnArY%2F0123=="
SAS = f"sv=2021-06-08&st=2022-07-01T00%3A00%3A00Z&se=2022-07-02&sr=c&sp=rl&skoid=a&sktid=b&sig={CANARY}"
HOST = "https://a.blob.core.windows.net/c/B04.tif"


@pytest.mark.parametrize(
    "given, expected",
    [
        (f"{HOST}?{SAS}", HOST),
        (f"{HOST}?a=1&{SAS}", f"{HOST}?a=1"),
        (f"{HOST}?{SAS}&a=1", f"{HOST}?a=1"),
        (f"{HOST}?se=2022&a=1&token={CANARY}&b=2", f"{HOST}?a=1&b=2"),
        (f"{HOST}?X-Amz-Signature={CANARY}&X-Amz-Date=1&versionId=3", f"{HOST}?versionId=3"),
        (f"{HOST}?x-goog-signature={CANARY}", HOST),
        (f"{HOST}?access_token={CANARY}", HOST),
        (f"{HOST}?Expires=1&Signature={CANARY}&Key-Pair-Id=K", HOST),
        (f"https://user:{CANARY}@host/x.tif", "https://host/x.tif"),
        (f"https://{CANARY}@host/x.tif", "https://host/x.tif"),
        (f"/vsicurl/https://u:{CANARY}@host/x.tif?sig={CANARY}", "/vsicurl/https://host/x.tif"),
        (f"Authorization: Bearer {CANARY}", "Authorization: ***"),
        (f"{{'Authorization': 'Basic {CANARY}'}}", "{'Authorization': '***'}"),
        (f"failed with Bearer {CANARY}", "failed with Bearer ***"),
        (f"<a href='{HOST}?a=1&amp;sig={CANARY}'>", f"<a href='{HOST}?a=1'>"),
        (f'"{HOST}?sig={CANARY}": 403', f'"{HOST}": 403'),
        (f"token={CANARY} was refused", " was refused"),
        (f"/vsicurl?url=https%3A%2F%2Fhost%2Fx%3Fsig%3D{CANARY}", "/vsicurl?url=https%3A%2F%2Fhost%2Fx"),
        ("https://host/x.tif?sr=1&sp=2", "https://host/x.tif?sr=1&sp=2"),
        ("why? because a=b & c=d", "why? because a=b & c=d"),
        ("a.tif?", "a.tif?"),
        ("someone@example.com", "someone@example.com"),
    ],
)
def test_credentials_are_taken_out_and_nothing_else(given, expected):
    assert without_credentials(given) == expected
    assert without_credentials(expected) == expected


@given(
    prefix=st.text(st.characters(blacklist_categories=("Cs",)), max_size=20),
    parameters=st.lists(st.sampled_from(["a=1", "file=x.tif", f"sig={CANARY}", f"token={CANARY}"]), max_size=6),
    name=st.sampled_from(["sig", "se", "X-Amz-Credential", "token", "access_token", "apikey", "SIG", "Access-Token"]),
)
def test_a_credential_is_found_wherever_it_stands(prefix, parameters, name):
    text = f"{prefix} https://u:{CANARY}@host/x?{'&'.join([*parameters, f'{name}={CANARY}'])} failed"
    assert "cAnArY" not in without_credentials(text)


def test_values_of_the_environment_are_found(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-of-aws")
    assert without_credentials("key canary-of-aws refused") == "key *** refused"


def test_content_is_cleaned_at_any_depth():
    content = {f"{HOST}?{SAS}": [{"x": (f"{HOST}?{SAS}", 1, None)}]}
    assert cleaned(content) == {HOST: [{"x": [HOST, 1, None]}]}
    assert "cAnArY" not in json.dumps(cleaned(content))


PROGRAM = """
import argparse, os, sys
from chain.runtime.command_line import run

def command(arguments):
    address = "https://u:cAnArY@host/x.tif?sig=cAnArY"
    print(address)
    print(address, file=sys.stderr)
    os.write(2, f"Warning 1: HTTP 429 {address}, retrying\\n".encode())
    os.write(2, b"no end " + b"x" * 200_000 + b" sig=cAnArY")
    if arguments.kill:
        os.kill(os.getpid(), 9)
    raise RuntimeError(f"{address} failed")

debug, kill = "debug" in sys.argv, "kill" in sys.argv
sys.exit(run(argparse.ArgumentParser(prog="p"), argparse.Namespace(debug=debug, verbose=False, kill=kill), command))
"""


@pytest.mark.parametrize("how", ["", "debug", "kill"])
def test_nothing_that_a_program_shows_holds_credentials(how):
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, timeout=60, check=False)
    assert "cAnArY" not in done.stdout + done.stderr
    assert done.returncode == (-9 if how == "kill" else 1)
    if how != "kill":
        assert done.stdout == "https://host/x.tif\n"
    assert "Warning 1: HTTP 429 https://host/x.tif, retrying\n" in done.stderr and "x" * 200_000 in done.stderr
    assert ("Traceback" in done.stderr) == (how == "debug")
    assert "https://host/x.tif failed" in done.stderr or how == "kill"
