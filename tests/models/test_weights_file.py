# SPDX-License-Identifier: Apache-2.0
"""Files of weights are written whole or not at all."""

import errno
from pathlib import Path

import h5py
import numpy as np
import pytest

from models.weights_file import read_weights, whole_hdf5


def test_a_full_disk_is_one_line_and_leaves_the_older_file(tmp_path, monkeypatch):
    with whole_hdf5(tmp_path / "state.h5") as file:
        file["x"] = 1

    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="^cannot write .*state.h5 .No space left on device.$"):
        with whole_hdf5(tmp_path / "state.h5") as file:
            file["x"] = 2
    assert [path.name for path in tmp_path.iterdir()] == ["state.h5"]
    with h5py.File(tmp_path / "state.h5") as file:
        assert file["x"][()] == 1


@pytest.mark.parametrize("name", ["state.h5.partial", ".state.h5.partial-aaaaaaaa"])
def test_files_and_links_of_temporary_names_are_left_as_they_are(tmp_path, name):
    (tmp_path / "letter.txt").write_text("mine")
    (tmp_path / name).symlink_to(tmp_path / "letter.txt")
    with whole_hdf5(tmp_path / "state.h5") as file:
        file["x"] = 1
    assert (tmp_path / "letter.txt").read_text() == "mine" and (tmp_path / name).is_symlink()
    assert {path.name for path in tmp_path.iterdir()} == {"letter.txt", name, "state.h5"}


def test_what_a_killed_process_has_left_is_removed(tmp_path):
    (tmp_path / ".state.h5.partial-aaaaaaaa").mkdir()
    (tmp_path / ".state.h5.partial-aaaaaaaa" / "state.h5").touch()
    with whole_hdf5(tmp_path / "state.h5") as file:
        file["x"] = 1
    assert [path.name for path in tmp_path.iterdir()] == ["state.h5"]


def test_weights_kept_in_16_bits_are_read_in_32(tmp_path):
    kept = np.float16([0.1, -3.0, 6e-8])
    with whole_hdf5(tmp_path / "weights.h5") as file:
        file["layer/kernel"] = kept
    (found,) = read_weights(tmp_path / "weights.h5").values()
    assert found.dtype == np.float32 and (found == kept).all()
