# SPDX-License-Identifier: Apache-2.0
"""A lock is held by one at a time, and leaves no file."""

import pytest

from chain.lock import locked


def test_the_second_is_refused_until_the_first_is_done(tmp_path):
    with locked(tmp_path / "lock", ValueError("first")):
        with pytest.raises(ValueError, match="second"), locked(tmp_path / "lock", ValueError("second")):
            raise AssertionError("both hold it")
        assert (tmp_path / "lock").exists()
    with pytest.raises(KeyError), locked(tmp_path / "lock", ValueError("third")):
        raise KeyError
    assert not list(tmp_path.iterdir())
