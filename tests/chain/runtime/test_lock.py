# SPDX-License-Identifier: Apache-2.0
"""A lock is held by one at a time, and leaves no file."""

import fcntl

import pytest

from chain.runtime.files import locked


def test_the_second_is_refused_until_the_first_is_done(tmp_path):
    with locked(tmp_path / "lock", ValueError("first")):
        with pytest.raises(ValueError, match="second"), locked(tmp_path / "lock", ValueError("second")):
            raise AssertionError("both hold it")
        assert (tmp_path / "lock").exists()
    with pytest.raises(KeyError), locked(tmp_path / "lock", ValueError("third")):
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_a_file_that_its_holder_removes_meanwhile_is_not_held(tmp_path, monkeypatch):
    path, take = tmp_path / "lock", fcntl.flock

    def late(stream, operation):
        path.unlink()
        take(stream, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(ValueError, match="refused"), locked(path, ValueError("refused")):
        raise AssertionError("the file bears no name any more")
