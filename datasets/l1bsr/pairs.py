# SPDX-License-Identifier: Apache-2.0
"""Pairs of overlapping images from two detectors, and the datasets of crops cut from them.

Pixels are held in memory as uint16 and converted to float32 on access; truth is read from disk when needed.

    training, validation = read_pairs(["pairs"]).split(0.1)
    training.dataset(8, crop=96, augmentation=True)
"""

import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from datasets.windows import window_counts
from models.l1bsr import BANDS

DETECTORS = ("left", "right")
SCALE = 2
"""Pixels of the true image along one pixel of the detectors' images."""
TRUTH = tuple(f"{kind}_{detector}" for kind in ("flow", "hr", "registered") for detector in DETECTORS) + ("cross",)
"""Arrays of the truth of every simulated pair."""
FLOWS = ("flow_left", "flow_right", "cross")
"""The arrays that are flows: (rows, columns, …, 2), x first."""
HR = ("hr_left", "hr_right")
"""The arrays that are images of twice the resolution, as sharp as the detectors' images."""
SHARP = ("sharp_left", "sharp_right")
"""The same as sharp as a sensor with such pixels sees them; older folders do not have them."""
FINE = HR + SHARP
"""All arrays of twice the resolution; pixel (2y, 2x) is centred on pixel (y, x)."""


class Lazy(Sequence):
    """A sequence whose items are computed on access.

    Args:
        items: what the items are computed from.
        make: computes one.
    """

    def __init__(self, items: Sequence, make: Callable):
        self._items, self._make = items, make

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int | slice):
        if isinstance(index, slice):
            return [self._make(item) for item in self._items[index]]
        return self._make(self._items[index])


@dataclass(frozen=True)
class Pair:
    """Two detectors' images of the same ground."""

    name: str
    """Folder, set and name, separated by slashes."""
    images: tuple[np.ndarray, np.ndarray]
    """Left and right, uint16 (rows, columns, bands)."""
    truth: Path | None = None
    """File of the truth."""

    def map(self, change: Callable[[np.ndarray], np.ndarray]) -> "Pair":
        """Return the pair with changed images, of the same shape and type, and the same truth."""
        return replace(self, images=tuple(change(image) for image in self.images))

    @property
    def group(self) -> str:
        """Folder and set."""
        return self.name.rpartition("/")[0]

    @property
    def digest(self) -> str:
        """The SHA-256 of both images."""
        return hashlib.sha256(
            b"".join(repr(image.shape).encode() + image.tobytes() for image in self.images)
        ).hexdigest()

    def clear_places(self, crop: int, first: int = 0) -> Sequence[int]:
        """Return the positions of crops without missing pixels.

        Args:
            crop: side of the crops.
            first: first row and column at which a crop may begin.

        Returns:
            Indices of the crops' first pixels, counted row by row over the positions at which a crop can begin.
        """
        rows, columns = (length - crop + 1 for length in self.images[0].shape[:2])
        is_missing = np.logical_or(*((image == 0).any(axis=-1) for image in self.images))
        if not is_missing.any() and not first:
            return range(rows * columns)
        is_clear = window_counts(is_missing, crop) == 0
        is_clear[:first] = is_clear[:, :first] = False
        return np.flatnonzero(is_clear).astype(np.int32)


class Pairs:
    """Pairs of overlapping images, of any sizes.

    Args:
        pairs: the pairs.

    Raises:
        ValueError: there are no pairs.
    """

    def __init__(self, pairs: Sequence[Pair]):
        if not pairs:
            raise ValueError("pairs: expected at least one, got none")
        self._pairs = tuple(pairs)

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The pairs."""
        return self._pairs

    @property
    def size(self) -> int:
        """Number of pairs."""
        return len(self._pairs)

    @property
    def names(self) -> list[str]:
        """Names of the pairs."""
        return [pair.name for pair in self._pairs]

    @property
    def left(self) -> Sequence[np.ndarray]:
        """Images of the left detectors, counts, float32 (rows, columns, bands)."""
        return Lazy([pair.images[0] for pair in self._pairs], lambda image: image.astype(np.float32))

    @property
    def right(self) -> Sequence[np.ndarray]:
        """Images of the right detectors, counts, float32 (rows, columns, bands)."""
        return Lazy([pair.images[1] for pair in self._pairs], lambda image: image.astype(np.float32))

    @property
    def truth(self) -> Sequence[dict[str, np.ndarray] | None]:
        """The arrays `TRUTH` and, where there are any, `SHARP` of each pair, read on access; None without truth."""
        return Lazy([pair.truth for pair in self._pairs], lambda path: None if path is None else _read_all(path))

    def map(self, change: Callable[[np.ndarray], np.ndarray]) -> "Pairs":
        """Return pairs with changed images, uint16, of the same shapes, ground and truth."""
        return Pairs([pair.map(change) for pair in self._pairs])

    def identity(self) -> dict[str, str]:
        """Return the SHA-256 of each pair's pixels, by number, set and name, without the name of the folder."""
        return {
            f"{number} {pair.name.partition('/')[2]}": pair.digest for number, pair in enumerate(self._pairs, start=1)
        }

    def split(self, share: float) -> tuple["Pairs", "Pairs"]:
        """Split into pairs for training and for validation; the last pairs of each set, which are adjacent, validate.

        Args:
            share: share of the pairs for validation, at least one per set; sets of one pair are for training.

        Returns:
            The pairs for training and for validation.

        Raises:
            ValueError: one of them would be empty.
        """
        training, validation = [], []
        for _, members in itertools.groupby(self._pairs, lambda pair: pair.group):
            group = list(members)
            border = len(group) if len(group) == 1 else len(group) - max(round(share * len(group)), 1)
            training += group[:border]
            validation += group[border:]
        if not training or not validation:
            raise ValueError(
                "pairs: expected at least two of one set and a share that leaves some for training, "
                f"got {self.size}, share {share:g}"
            )
        return Pairs(training), Pairs(validation)

    def dataset(
        self,
        batch_size: int,
        crop: int = 96,
        augmentation: bool = False,
        first_epoch: int = 0,
        seed: int = 0,
        crops_per_pair: int = 1,
        fixed: bool = False,
        truths: Sequence[str] = (),
    ) -> tf.data.Dataset:
        """Make a dataset of ({"left": …, "right": …}, {}) in random order; one pass is one epoch.

        Both images of a sample are cropped at the same position, where neither has missing pixels; pairs without such a
        position are left out.

        Args:
            batch_size: number of crops per batch; the last batch may be smaller.
            crop: side of the crops, in pixels.
            augmentation: randomly flip and rotate both images together, and swap them.
            first_epoch: number of the first pass's epoch.
            seed: seed of positions, order and augmentation: the same seed and epoch give the same batches.
            crops_per_pair: number of crops per pair and epoch.
            fixed: draw the same crops in every epoch, for validation.
            truths: names of truth arrays to return as targets, from `FLOWS` or `FINE`. Images are then not swapped; if
                `FINE` images are rotated, crops begin one pixel inside the image, because half of it is needed.

        Returns:
            Batches of `left` and `right`, (batch, crop, crop, bands), float32 counts, and of the truths.

        Raises:
            ValueError: an argument is less than 1, an image is smaller than the crop, no pair has enough valid pixels,
                or truth is requested that a pair does not have.
        """
        for name, value in (("batch_size", batch_size), ("crop", crop), ("crops_per_pair", crops_per_pair)):
            if value < 1:
                raise ValueError(f"{name}: expected 1 or more, got {value}")
        first = int(augmentation and not set(FINE).isdisjoint(truths))
        for pair in self._pairs:
            rows, columns = pair.images[0].shape[:2]
            largest = min(rows, columns) - first
            if crop > largest:
                raise ValueError(
                    f"crop: expected at most {largest} for {pair.name} of {rows} x {columns} pixels, got {crop}"
                )
            if truths and pair.truth is None:
                raise ValueError(f"pairs: expected pairs with truth, such as simulated ones, got {pair.name}")
            lacking = sorted(set(truths) - set(_truth_names(pair.truth))) if truths else []
            if lacking:
                raise ValueError(
                    f"pairs: expected truth {', '.join(lacking)}, which simulate.detector_pairs writes by now, "
                    f"found none in {pair.truth}"
                )
        places = [pair.clear_places(crop, first) for pair in self._pairs]
        usable = [(pair, clear) for pair, clear in zip(self._pairs, places) if len(clear)]
        if not usable:
            raise ValueError(
                f"pairs: expected {crop} x {crop} pixels without a missing one (0) in at least one pair, got none"
            )
        epochs = itertools.count(first_epoch)
        images = {name: tf.TensorSpec((None, crop, crop, len(BANDS)), tf.float32) for name in DETECTORS}
        targets = {name: tf.TensorSpec((None, *_truth_shape(name, crop)), tf.float32) for name in truths}

        def batches() -> Iterator[tuple[dict, dict]]:
            generator = np.random.default_rng((seed, 0 if fixed else next(epochs)))
            order = generator.permutation(np.repeat(np.arange(len(usable)), crops_per_pair))
            for start in range(0, len(order), batch_size):
                samples = [
                    _sample(*usable[index], crop, augmentation, generator, truths)
                    for index in order[start : start + batch_size]
                ]
                yield tuple(
                    {name: np.stack([part[name] for part in parts]) for name in parts[0]} for parts in zip(*samples)
                )

        dataset = tf.data.Dataset.from_generator(batches, output_signature=(images, targets))
        count = tf.data.experimental.assert_cardinality(math.ceil(len(usable) * crops_per_pair / batch_size))
        return dataset.apply(count).prefetch(4)


def _truth_shape(name: str, crop: int) -> tuple[int, ...]:
    """Return the shape of a crop of a truth array."""
    if name in FINE:
        return (SCALE * crop, SCALE * crop, len(BANDS))
    return (crop, crop, 2) if name == "cross" else (crop, crop, len(BANDS), 2)


def _sample(
    pair: Pair,
    places: Sequence[int],
    crop: int,
    augmentation: bool,
    generator: np.random.Generator,
    truths: Sequence[str],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Crop both images of a pair, and the requested truth, at one of the positions: (crop, crop, …), float32."""
    row, column = divmod(int(places[generator.integers(len(places))]), pair.images[0].shape[1] - crop + 1)
    place = np.s_[row : row + crop, column : column + crop]
    top, left = SCALE * row - augmentation, SCALE * column - augmentation
    fine = np.s_[top : SCALE * (row + crop), left : SCALE * (column + crop)]
    images = [image[place].astype(np.float32) for image in pair.images]
    targets = read_truth(pair.truth, truths) if truths else {}
    targets = {name: array[fine if name in FINE else place] for name, array in targets.items()}
    if augmentation:
        turns, is_mirrored, is_swapped = generator.integers(4), generator.integers(2), generator.integers(2)
        images = [np.rot90(image, turns) for image in images]
        images = [image[:, ::-1] if is_mirrored else image for image in images]
        images = images[::-1] if is_swapped and not truths else images
        targets = {
            name: (_turned_fine if name in FINE else _turned)(array, turns, is_mirrored)
            for name, array in targets.items()
        }
    return dict(zip(DETECTORS, images)), targets


def _turned_fine(image: np.ndarray, turns: int, is_mirrored: bool) -> np.ndarray:
    """Rotate and mirror a fine image like `_turned`, and keep pixel (2y, 2x) centred on pixel (y, x).

    Args:
        image: a crop with one extra row and column of fine pixels at the start, so that an axis may be reversed. The
            first row and column of the result are dropped.
        turns: number of quarter turns.
        is_mirrored: whether to reverse the columns afterwards.
    """
    image = np.rot90(image, turns)
    return (image[:, ::-1] if is_mirrored else image)[1:, 1:]


def _turned(flow: np.ndarray, turns: int, is_mirrored: bool) -> np.ndarray:
    """Rotate a flow with its image, by counterclockwise quarter turns, then mirror the columns."""
    flow = np.rot90(flow, turns)
    for _ in range(turns):
        flow = np.stack([flow[..., 1], -flow[..., 0]], axis=-1)
    return flow[:, ::-1] * np.float32([-1, 1]) if is_mirrored else flow


def _truth_names(path: Path) -> list[str]:
    """Return the names of a truth file's arrays."""
    with np.load(path) as arrays:
        return list(arrays.files)


def _read_all(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of a truth file that are known."""
    return read_truth(path, [name for name in _truth_names(path) if name in TRUTH + SHARP])


def read_truth(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Read truth arrays."""
    with np.load(path) as arrays:
        return {name: arrays[name] for name in names}
