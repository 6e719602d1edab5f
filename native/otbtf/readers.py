# SPDX-License-Identifier: Apache-2.0
"""Readers, which return the sample of an index.

Use them as `otbtf.PatchesImagesReader` or `otbtf.dataset.PatchesImagesReader`.
"""

import abc
import threading

import numpy as np

from otbtf.utils import gdal_open, read_as_np_arr

Sample = dict[str, np.ndarray]


class PatchesReaderBase(abc.ABC):
    """The interface of a reader of patches."""

    @abc.abstractmethod
    def get_sample(self, index: int) -> Sample:
        """Return the sample of an index: source key -> array (height, width, bands)."""

    @abc.abstractmethod
    def get_stats(self) -> dict[str, dict[str, np.ndarray]]:
        """Return, per source key, the arrays `min`, `max`, `mean` and `std`, with one value per band."""

    @abc.abstractmethod
    def get_size(self) -> int:
        """Count the samples."""


class PatchesImagesReader(PatchesReaderBase):
    """Reads patches images: the patches of index i of all sources are sample i.

    Args:
        filenames_dict: source key -> patches images. All sources have equally many images and patches.
        use_streaming: read each patch on access; otherwise everything is held in memory.
        scalar_dict: key -> one scalar per patches image, added to all samples of that image as an array without
            dimensions.

    Raises:
        ValueError: the sources do not match, or an image has no square patch.
    """

    def __init__(
        self,
        filenames_dict: dict[str, list[str]],
        use_streaming: bool = False,
        scalar_dict: dict[str, list] | None = None,
    ):
        if not filenames_dict:
            raise ValueError("filenames_dict: expected at least one source, got none")
        self.use_streaming = use_streaming
        self.scalar_dict = scalar_dict or {}
        self.gdal_ds = {key: [gdal_open(name) for name in names] for key, names in filenames_dict.items()}
        self._lock = threading.Lock()  # two threads must not read a GDAL dataset at once
        self._check_number_of_files()
        counts = {key: [ds.RasterYSize // ds.RasterXSize for ds in sets] for key, sets in self.gdal_ds.items()}
        totals = {key: sum(values) for key, values in counts.items()}
        if len(set(totals.values())) != 1 or 0 in totals.values():
            raise ValueError(f"filenames_dict: expected as many patches in every source, got {totals}")
        for key, sets in self.gdal_ds.items():
            bands = {ds.RasterCount for ds in sets}
            if len(bands) != 1:
                raise ValueError(f"filenames_dict: expected one number of bands in {key}, got {sorted(bands)}")
        self.size = next(iter(totals.values()))
        self._ends = {key: np.cumsum(values) for key, values in counts.items()}
        self._patches = None
        if not use_streaming:
            self._patches = {key: [read_as_np_arr(ds) for ds in sets] for key, sets in self.gdal_ds.items()}

    def _check_number_of_files(self) -> None:
        lists = {**self.gdal_ds, **self.scalar_dict}
        numbers = {key: len(values) for key, values in lists.items()}
        if len(set(numbers.values())) != 1 or 0 in numbers.values():
            raise ValueError(f"filenames_dict: expected as many files for every key, got {numbers}")

    def _locate(self, key: str, index: int) -> tuple[int, int]:
        """Return the image of a patch, and the patch's index in it."""
        ends = self._ends[key]
        image = int(np.searchsorted(ends, index, side="right"))
        return image, index - (int(ends[image - 1]) if image else 0)

    def _read(self, key: str, index: int) -> np.ndarray:
        image, rank = self._locate(key, index)
        if self._patches is not None:
            return self._patches[key][image][rank]
        dataset = self.gdal_ds[key][image]
        size = dataset.RasterXSize
        with self._lock:
            array = dataset.ReadAsArray(0, rank * size, size, size)
        if array is None:
            raise OSError(f"{dataset.GetDescription()}: cannot read patch {rank}")
        return array[..., np.newaxis] if array.ndim == 2 else np.ascontiguousarray(np.moveaxis(array, 0, -1))

    def get_sample(self, index: int) -> Sample:
        """Return the sample of an index: source key -> array (height, width, bands).

        Raises:
            IndexError: there is no such sample.
        """
        if not 0 <= index < self.size:
            raise IndexError(f"index: expected a value from 0 to {self.size - 1}, got {index}")
        sample = {key: self._read(key, index) for key in self.gdal_ds}
        if self.scalar_dict:
            image, _ = self._locate(next(iter(self.gdal_ds)), index)
            sample.update({key: np.asarray(values[image]) for key, values in self.scalar_dict.items()})
        return sample

    def get_stats(self) -> dict[str, dict[str, np.ndarray]]:
        """Return, per source key, the arrays `min`, `max`, `mean` and `std`, with one value per band."""
        stats = {}
        for key in self.gdal_ds:
            low, high, total, squares, count = np.inf, -np.inf, 0.0, 0.0, 0
            for index in range(self.size):
                pixels = self._read(key, index).astype(np.float64)
                low = np.minimum(low, pixels.min(axis=(0, 1)))
                high = np.maximum(high, pixels.max(axis=(0, 1)))
                total = total + pixels.sum(axis=(0, 1))
                squares = squares + np.square(pixels).sum(axis=(0, 1))
                count += pixels.shape[0] * pixels.shape[1]
            mean = total / count
            std = np.sqrt(np.maximum(squares / count - mean**2, 0))
            stats[key] = {"min": low, "max": high, "mean": mean, "std": std}
        return stats

    def get_size(self) -> int:
        """Count the samples."""
        return self.size
