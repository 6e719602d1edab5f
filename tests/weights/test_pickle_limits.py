# SPDX-License-Identifier: Apache-2.0
"""Small files of torch that would take for ever are refused at once."""

import io
import pickle
import time
import zipfile

import numpy as np
import pytest

from weights.formats.torch_file import TorchFile
from weights.formats.torch_pickle import Unpickler, brief, check_pickle


def doubled(times, make=lambda value: (value, value)):
    """Return the pickle of an object that holds itself twice, at each of some levels."""
    value = ("a",)
    for _ in range(times):
        value = make(value)
    return value


def key_of(value):
    """Return a pickle of a dict with a key, without hashing it: the key's own pickle between that of a dict."""
    inner = pickle.dumps(value, 2)[2:-1]
    return b"\x80\x02}" + inner + b"K\x01s."


def storage_of(value):
    """Return a pickle that asks for a storage by a value."""
    return b"\x80\x02" + pickle.dumps(value, 2)[2:-1] + b"Q."


@pytest.mark.parametrize("content", [key_of(doubled(40)), storage_of(doubled(40)), pickle.dumps(doubled(40), 2)])
def test_objects_that_hold_themselves_many_times_are_refused(tmp_path, content):
    assert len(content) < 1000
    path, start = tmp_path / "a.pt", time.process_time()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
    with pytest.raises(ValueError, match="expected objects of at most 1000000 parts and 200 levels in a pickle"):
        TorchFile(path)
    assert time.process_time() - start < 20


def test_a_pickle_that_unpacks_to_gigabytes_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("archive/data.pkl", "w") as member:
            for _ in range(65):
                member.write(bytes(1 << 20))
    with pytest.raises(ValueError, match="expected archive/data.pkl of at most 64 MiB, got 68157440 bytes"):
        TorchFile(tmp_path / "a.pt")


def test_deep_objects_are_refused():
    content = b"\x80\x02}" + b")" + b"\x85" * 100_000 + b"K\x01s."
    with pytest.raises(ValueError, match="200 levels"):
        Unpickler(io.BytesIO(content), lambda *_: np.zeros(1)).load()


@pytest.mark.parametrize("content", [b"", b"\x80\x02", b"\x80\x02.", b"\x80\x02h\x05.", b"\x80\x02tu.", b"0."])
def test_damaged_pickles_are_errors(content):
    with pytest.raises((ValueError, EOFError, pickle.UnpicklingError)):
        Unpickler(io.BytesIO(content), lambda *_: np.zeros(1)).load()


def test_usual_pickles_pass_and_the_stream_is_left_behind_them():
    value = {"a": [1, 2.0, (3, "x")], "b": {"c": [[1] * 1000] * 5}, "d": None}
    for protocol in (0, 1, 2, 3, 4, 5):
        content = pickle.dumps(value, protocol)
        stream = io.BytesIO(content + b"more")
        check_pickle(stream)
        assert stream.read() == b"more"
        stream = io.BytesIO(content + b"more")
        assert Unpickler(stream, lambda *_: np.zeros(1)).load() == value and stream.read() == b"more"


def test_values_in_messages_are_short():
    start = time.process_time()
    assert len(brief(doubled(60))) < 400 and len(brief("x" * 10**6)) < 100
    assert time.process_time() - start < 20
