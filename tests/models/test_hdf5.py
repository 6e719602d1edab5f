import h5py
import numpy as np
import pytest

from models import hdf5


def test_a_file_that_can_be_read_passes(tmp_path):
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["a/b"] = np.zeros((3, 3))
        file["a"].attrs["names"] = ["x", "y"]
    hdf5.check_hdf5(tmp_path / "weights.h5")


def test_a_file_whose_reading_does_not_end_is_refused(tmp_path, monkeypatch):
    (tmp_path / "weights.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    monkeypatch.setattr(hdf5, "SECONDS", 1)
    monkeypatch.setattr(hdf5, "READING", "while True: pass")
    with pytest.raises(ValueError, match="^weights: expected an HDF5 file that can be read within 1 s, got .*h5"):
        hdf5.check_hdf5(tmp_path / "weights.h5")


def test_a_file_whose_arrays_would_fill_the_memory_is_refused(tmp_path):
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file.create_dataset("a", shape=(1 << 40,), dtype="f4", chunks=(1 << 16,))
    assert (tmp_path / "weights.h5").stat().st_size < 10_000
    with pytest.raises(ValueError, match="arrays of more than 4 GiB"):
        hdf5.check_hdf5(tmp_path / "weights.h5")


@pytest.mark.parametrize("content", [None, b"", b"nothing", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_what_is_no_hdf5_is_refused_in_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / "weights.h5").write_bytes(content)
    with pytest.raises(ValueError, match="^weights: expected a readable HDF5 file, got .*weights.h5") as caught:
        hdf5.check_hdf5(tmp_path / "weights.h5")
    assert "\n" not in str(caught.value)
