# SPDX-License-Identifier: Apache-2.0
"""What DeepSUM does with the images of a scene before its network sees them: enlarge, register, order, choose.

As the authors' data were made (Molini et al. 2020, doi:10.1109/TGRS.2019.2959248) and in their precision, so that
networks trained on such data see what they are used to. Three things are unusual:

* registration is plain circular cross-correlation by FFT, in whole fine pixels, of images with their mean and their
  clouds; not phase correlation;
* stored images and masks stay unregistered. Only shifts are kept, and move the masks later;
* many masks are equally clear. Which image is the reference then depends on how NumPy 1.16 sorted (`descending`).

    from datasets.deepsum.preparation import prepare
    frames = prepare(lr, qm)
    best = frames.take(best_frames(frames.masks))
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SCALE = 3
FRAMES = 9
"""Number of frames that the network takes."""
LARGEST = 60000
"""Digital number above which a pixel makes its whole image count as corrupt."""
FARTHEST = 4
"""Largest shift of an image that is used, in fine pixels."""
SHORT = 16
"""Number of elements up to which NumPy 1.16 sorts by insertion."""


@dataclass(frozen=True)
class Frames:
    """Images of a scene, the reference first, on the fine grid, not registered."""

    images: np.ndarray
    """Digital numbers, float32 (frames, rows, columns)."""
    masks: np.ndarray
    """Whether a pixel is clear, of the same shape."""
    shifts: np.ndarray
    """Rows and columns, int64 (frames, 2), by which to roll a frame so that it lies on the reference."""

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Sequence[int] | np.ndarray) -> "Frames":
        """Return some frames, in the order given."""
        indices = np.asarray(indices, np.int64)
        return Frames(self.images[indices], self.masks[indices], self.shifts[indices])

    def part(self, row: int, column: int, size: int) -> "Frames":
        """Return a square part of all frames, from a row and a column on."""
        place = np.s_[:, row : row + size, column : column + size]
        return Frames(self.images[place], self.masks[place], self.shifts)

    def registered_masks(self) -> np.ndarray:
        """Return the masks rolled onto the reference."""
        return np.stack([roll(mask, shift) for mask, shift in zip(self.masks, self.shifts)])

    def classes(self) -> np.ndarray:
        """Return for each frame the index, int64, of its ideal filter among the 9 x 9 of the registration network.

        It is the displacement of the frame, the opposite of its shift: row by row, no displacement in the middle.

        Raises:
            ValueError: a shift is larger than the filters hold.
        """
        if np.abs(self.shifts).max() > FARTHEST:
            raise ValueError(f"shifts: expected at most {FARTHEST} pixels, got {np.abs(self.shifts).max()}")
        rows, columns = FARTHEST - self.shifts.T
        return rows * (2 * FARTHEST + 1) + columns


def prepare(lr: np.ndarray, qm: np.ndarray) -> Frames | None:
    """Prepare the images of a scene.

    Args:
        lr: digital numbers (frames, rows, columns), on the coarse grid.
        qm: whether a pixel is clear, of the same shape.

    Returns:
        The frames that are neither corrupt nor displaced by more than `FARTHEST`; `None` where these are less than
        `FRAMES`: the authors leave out such scenes.

    Raises:
        ValueError: shapes differ or are not those above.
    """
    if lr.ndim != 3 or 0 in lr.shape:
        raise ValueError(f"lr: expected shape (frames, rows, columns), none of them 0, got {lr.shape}")
    if qm.shape != lr.shape:
        raise ValueError(f"qm: expected the images' shape {lr.shape}, got {qm.shape}")
    sound = lr.max(axis=(1, 2)) <= LARGEST
    if sound.sum() < FRAMES:
        return None
    frames = register(
        np.stack([enlarge(image) for image in lr[sound]]),
        np.stack([enlarge_mask(mask) for mask in np.asarray(qm[sound], bool)]),
    )
    near = np.flatnonzero(np.abs(frames.shifts).max(axis=1) <= FARTHEST)
    return frames.take(near) if near.size >= FRAMES else None


def enlarge(image: np.ndarray) -> np.ndarray:
    """Interpolate an image by cubic convolution, as scikit-image 0.14's `rescale` of order 3 does.

    Keys' kernel with a = -0.5 between pixel centres; pixels of the edge are repeated; values are clipped to the image's
    range, so that nothing overshoots.

    Args:
        image: (rows, columns), of any unit.

    Returns:
        (rows x 3, columns x 3), float32; computed in float64.
    """
    image = np.asarray(image, np.float64)
    fine = _along_rows(_along_rows(image).T).T
    return np.clip(fine, image.min(), image.max()).astype(np.float32)


def _along_rows(image: np.ndarray) -> np.ndarray:
    """Interpolate each column at three times as many rows."""
    positions = (np.arange(SCALE * image.shape[0]) + 0.5) / SCALE - 0.5
    firsts = np.floor(positions).astype(int)
    t = (positions - firsts)[:, np.newaxis]
    before, left, right, after = (image[np.clip(firsts + step, 0, image.shape[0] - 1)] for step in (-1, 0, 1, 2))
    slope = 0.5 * (right - before)
    square = before - 2.5 * left + 2 * right - 0.5 * after
    cube = 1.5 * (left - right) + 0.5 * (after - before)
    return left + t * (slope + t * (square + t * cube))


def enlarge_mask(mask: np.ndarray) -> np.ndarray:
    """Repeat each pixel of a mask (rows, columns) 3 x 3 times."""
    return np.repeat(np.repeat(mask, SCALE, axis=0), SCALE, axis=1)


def register(images: np.ndarray, masks: np.ndarray) -> Frames:
    """Choose the clearest image as the reference, and find the shifts of the others.

    Args:
        images: digital numbers, float32 (frames, rows, columns), on the fine grid.
        masks: whether a pixel is clear, of the same shape.

    Returns:
        All frames, the others in the order in which they came.
    """
    reference = descending(masks.sum(axis=(1, 2)))[0]
    order = np.concatenate([[reference], np.delete(np.arange(len(images)), reference)])
    spectrum = _spectrum(images[reference])
    shifts = np.array([_peak(spectrum, images[index]) for index in order])
    return Frames(images[order], masks[order], shifts)


def translation(reference: np.ndarray, image: np.ndarray) -> tuple[int, int]:
    """Find by how many rows and columns to roll an image so that it lies on another one (rows, columns)."""
    return _peak(_spectrum(reference), image)


def roll(image: np.ndarray, shift: Sequence[int] | np.ndarray) -> np.ndarray:
    """Move an image (rows, columns) by a shift; what leaves at one edge enters at the other."""
    return np.roll(image, tuple(int(step) for step in shift), axis=(0, 1))


def _spectrum(image: np.ndarray) -> np.ndarray:
    """Return the Fourier transform, complex128 whatever the image's precision."""
    return np.fft.fft2(np.asarray(image, np.float64))


def _peak(spectrum: np.ndarray, image: np.ndarray) -> tuple[int, int]:
    """Return the place of the largest correlation with the image of a spectrum; that beyond the middle is negative."""
    correlation = np.abs(np.fft.ifft2(spectrum * _spectrum(image).conj()))
    place = np.unravel_index(correlation.argmax(), correlation.shape)
    row, column = (int(at) - size * (at > size // 2) for at, size in zip(place, correlation.shape))
    return int(row), int(column)


def best_frames(masks: np.ndarray) -> np.ndarray:
    """Choose the frames that the network takes.

    Args:
        masks: whether a pixel is clear (frames, rows, columns), of a patch or a whole image.

    Returns:
        Indices, int64 (9,): the reference, then the eight clearest others, the clearest first.

    Raises:
        ValueError: there are less than nine frames.
    """
    if len(masks) < FRAMES:
        raise ValueError(f"masks: expected at least {FRAMES} frames, got {len(masks)}")
    others = descending(masks[1:].sum(axis=(1, 2)))[: FRAMES - 1] + 1
    return np.concatenate([[0], others])


def descending(values: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return the indices, int64, that sort integers downwards, those of equal ones as `argsort()[::-1]` of NumPy 1.16.

    That is the order of Hoare's quicksort: pivots are the median of the first, middle and last element, and up to
    `SHORT` elements are sorted by insertion, which keeps the order of equal ones. (NumPy turns to heapsort where many
    partitions in a row are uneven, which 38 elements cannot cause yet; this does not.) Later versions of NumPy order
    equal elements otherwise, and not on every processor alike.
    """
    values = np.asarray(values).tolist()
    indices = list(range(len(values)))
    _quicksort(values, indices, 0, len(indices) - 1)
    return np.array(indices[::-1], np.int64)


def _quicksort(values: list[int], indices: list[int], first: int, last: int) -> None:
    """Sort indices from first to last by their values, in place."""
    if last - first < SHORT:
        indices[first : last + 1] = sorted(indices[first : last + 1], key=values.__getitem__)
        return
    middle = first + (last - first) // 2
    for low, high in ((first, middle), (middle, last), (first, middle)):
        if values[indices[high]] < values[indices[low]]:
            _swap(indices, low, high)
    pivot, left, right = values[indices[middle]], first, last - 1
    _swap(indices, middle, right)
    while True:
        left += 1
        while values[indices[left]] < pivot:
            left += 1
        right -= 1
        while pivot < values[indices[right]]:
            right -= 1
        if left >= right:
            break
        _swap(indices, left, right)
    _swap(indices, left, last - 1)
    _quicksort(values, indices, first, left - 1)
    _quicksort(values, indices, left + 1, last)


def _swap(indices: list[int], one: int, other: int) -> None:
    """Exchange two elements."""
    indices[one], indices[other] = indices[other], indices[one]


def mean_of_registered(frames: Frames) -> np.ndarray:
    """Average all images, rolled onto the reference by their shifts.

    Each pixel is the plain mean of those that are clear there; of all, where none is.

    Args:
        frames: frames of a scene, all that can be used or the nine that a network takes.

    Returns:
        (rows, columns) of the fine grid, digital numbers, float32; computed in float64.
    """
    images = np.stack([roll(image, shift) for image, shift in zip(frames.images, frames.shifts)]).astype(np.float64)
    masks = frames.registered_masks()
    masks |= ~masks.any(axis=0)
    return np.mean(images, axis=0, where=masks).astype(np.float32)
