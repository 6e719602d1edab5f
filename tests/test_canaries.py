"""Every program, with credentials in every word that it takes, shows and writes none of them."""

import dataclasses
import http.server
import importlib
import sys
import traceback

import pytest

from chain.runtime.options import MISSING, flag_of, kinds
from tests.programs import options_of, programs
from tests.servers import serving

pytestmark = pytest.mark.keras

CANARY = "cAnArY7"
QUERY = "&".join(
    f"{name}={CANARY}"
    for name in ("sig", "se", "X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "token", "access_token")
)


def takes_text(field, kind):
    """Return whether an option takes words of which a user may think as addresses."""
    return "str" in str(field.type) and not kind.choices and not kind.writes


def word_for(field, kind, canary):
    """Return the words of an option that has to be given."""
    if kind.choices:
        return str(kind.choices[0])
    return canary if takes_text(field, kind) else "1"


@pytest.fixture
def refusing():
    """A server that refuses, and repeats in its answers what it was asked."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = f"no access to {self.path} with {self.headers.get('Authorization')}".encode()
            self.send_response(403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_POST = do_GET

        def log_message(self, *_):
            pass

    with serving(Handler) as server:
        yield server.server_port


def written(folder):
    """Return all names and contents in a folder."""
    return b"".join(
        str(path).encode() + (path.read_bytes() if path.is_file() else b"") for path in sorted(folder.rglob("*"))
    )


@pytest.mark.parametrize("program", list(programs()))
def test_no_credential_is_shown_or_written(program, monkeypatch, tmp_path, refusing, capfd):
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "CPL_CURL_VERBOSE": "YES",
        "GDAL_HTTP_MAX_RETRY": "1",
        "GDAL_HTTP_RETRY_DELAY": "0.01",
        "GDAL_HTTP_HEADERS": f"Authorization: Bearer {CANARY}",
        "PC_SDK_SUBSCRIPTION_KEY": CANARY,
        "AWS_SECRET_ACCESS_KEY": CANARY,
    }.items():
        monkeypatch.setenv(name, value)
    module = importlib.import_module(program)
    options = options_of(module, monkeypatch)
    fields = {field.name: field for field in dataclasses.fields(options)}
    described = kinds(options)
    canary = f"http://user:{CANARY}@127.0.0.1:{refusing}/a/model.json?{QUERY}"
    required = [
        [flag_of(name, kind), word_for(fields[name], kind, canary)]
        for name, kind in described.items()
        if fields[name].default is MISSING and fields[name].default_factory is MISSING
    ]
    texts = [flag_of(name, kind) for name, kind in described.items() if takes_text(fields[name], kind)]
    short = ["--timeout", "2"] if "timeout" in described else []
    lines = [[], *([flag, canary] for flag in texts)]
    for more in lines:
        given = [word for pair in required if pair[0] not in more for word in pair]
        for debug in ([], ["--debug"]):
            try:
                assert module.main([*given, *more, *short, *debug]) in (0, 1)
            except SystemExit as ended:
                assert ended.code in (0, 2)
            except Exception:
                sys.excepthook(*sys.exc_info())
                traceback.clear_frames(sys.exc_info()[2])
            shown = capfd.readouterr()
            assert CANARY not in shown.out + shown.err, [*given, *more, *debug]
    assert CANARY.encode() not in written(tmp_path)
