# SPDX-License-Identifier: Apache-2.0
"""Preparation of a scene's images for DeepSUM: upsampling, registration, ordering, and selection.

It follows the authors (Molini et al. 2020, doi:10.1109/TGRS.2019.2959248), in their precision, so that networks trained
on their data get the same kind of input. Three points are unusual:

* registration is plain circular cross-correlation by FFT, in whole fine pixels, of images including their mean and
  their clouds, not phase correlation;
* images and masks are stored unregistered. Only the shifts are kept, to move the masks later;
* many masks are equally clear. Which image becomes the reference then depends on how NumPy 1.16 sorted (`descending`).

    from datasets.deepsum.preparation import prepare
    frames = prepare(lr, qm)
    best = frames.take(best_frames(frames.masks))
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datasets.deepsum.kelvins import SCALE

FRAMES = 9
"""Number of frames in the network's input."""
LARGEST = 60000
"""Digital number above which a pixel marks its whole image as corrupt."""
FARTHEST = 4
"""Largest accepted shift of an image, in fine pixels."""
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
    """Rows and columns, int64 (frames, 2), by which to roll a frame to align it with the reference."""

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Sequence[int] | np.ndarray) -> "Frames":
        """Return selected frames, in the given order."""
        indices = np.asarray(indices, np.int64)
        return Frames(self.images[indices], self.masks[indices], self.shifts[indices])

    def part(self, row: int, column: int, size: int) -> "Frames":
        """Return a square part of all frames, starting at a row and a column."""
        place = np.s_[:, row : row + size, column : column + size]
        return Frames(self.images[place], self.masks[place], self.shifts)

    def registered_masks(self) -> np.ndarray:
        """Return the masks rolled onto the reference."""
        return np.stack([roll(mask, shift) for mask, shift in zip(self.masks, self.shifts)])

    def classes(self) -> np.ndarray:
        """Return, for each frame, the index, int64, of its ideal filter among the 9 x 9 of the registration network.

        The index is the frame's displacement, the negative of its shift, counted row by row; zero is in the middle.

        Raises:
            ValueError: a shift exceeds the size of the filters.
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
        The frames that are neither corrupt nor displaced by more than `FARTHEST`; `None` if there are fewer than
        `FRAMES`, because the authors leave out such scenes.

    Raises:
        ValueError: the shapes differ or are not as above.
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
    """Upsample an image by cubic convolution, like scikit-image 0.14's `rescale` of order 3.

    It uses Keys' kernel with a = -0.5 between pixel centres, repeats the pixels at the edge, and clips values to the
    range of the image, so that nothing overshoots.

    Args:
        image: (rows, columns), of any unit.

    Returns:
        (rows x 3, columns x 3), float32; computed in float64.
    """
    image = np.asarray(image, np.float64)
    fine = _along_rows(_along_rows(image).T).T
    return np.clip(fine, image.min(), image.max()).astype(np.float32)


def _along_rows(image: np.ndarray) -> np.ndarray:
    """Upsample each column to three times as many rows."""
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
    """Choose the clearest image as the reference, and determine the shifts of the others.

    Args:
        images: digital numbers, float32 (frames, rows, columns), on the fine grid.
        masks: whether a pixel is clear, of the same shape.

    Returns:
        All frames, the reference first and the others in their original order.
    """
    reference = descending(masks.sum(axis=(1, 2)))[0]
    order = np.concatenate([[reference], np.delete(np.arange(len(images)), reference)])
    spectrum = _spectrum(images[reference])
    shifts = np.array([_peak(spectrum, images[index]) for index in order])
    return Frames(images[order], masks[order], shifts)


def translation(reference: np.ndarray, image: np.ndarray) -> tuple[int, int]:
    """Return by how many rows and columns to roll an image (rows, columns) to align it with a reference."""
    return _peak(_spectrum(reference), image)


def roll(image: np.ndarray, shift: Sequence[int] | np.ndarray) -> np.ndarray:
    """Shift an image (rows, columns) circularly."""
    return np.roll(image, tuple(int(step) for step in shift), axis=(0, 1))


def _spectrum(image: np.ndarray) -> np.ndarray:
    """Return the Fourier transform, complex128 for any precision of the image."""
    return np.fft.fft2(np.asarray(image, np.float64))


def _peak(spectrum: np.ndarray, image: np.ndarray) -> tuple[int, int]:
    """Return the shift of the largest correlation with a spectrum's image; shifts beyond the middle are negative."""
    correlation = np.abs(np.fft.ifft2(spectrum * _spectrum(image).conj()))
    place = np.unravel_index(correlation.argmax(), correlation.shape)
    row, column = (int(at) - size * (at > size // 2) for at, size in zip(place, correlation.shape))
    return int(row), int(column)


def best_frames(masks: np.ndarray) -> np.ndarray:
    """Select the frames for the network.

    Args:
        masks: whether a pixel is clear (frames, rows, columns), of a patch or a whole image.

    Returns:
        Indices, int64 (9,): the reference, then the eight clearest others, the clearest first.

    Raises:
        ValueError: there are fewer than nine frames.
    """
    if len(masks) < FRAMES:
        raise ValueError(f"masks: expected at least {FRAMES} frames, got {len(masks)}")
    others = descending(masks[1:].sum(axis=(1, 2)))[: FRAMES - 1] + 1
    return np.concatenate([[0], others])


def descending(values: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return indices, int64, that sort integers in descending order, with ties as in `argsort()[::-1]` of NumPy 1.16.

    That is the order of Hoare's quicksort: the pivot is the median of the first, middle and last element, and up to
    `SHORT` elements are sorted by insertion, which is stable. (NumPy switches to heapsort after many uneven partitions,
    which cannot happen with up to 38 elements; this implementation does not.) Later versions of NumPy order equal
    elements differently, depending on the processor.
    """
    indices = list(range(len(values)))
    _quicksort(np.asarray(values).tolist(), indices, 0, len(indices) - 1)
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
    """Average all images after registration onto the reference by their shifts.

    Each pixel is the mean of the frames that are clear there, or of all frames where none is.

    Args:
        frames: frames of a scene: all usable ones, or the nine for the network.

    Returns:
        (rows, columns) of the fine grid, digital numbers, float32; computed in float64.
    """
    images = np.stack([roll(image, shift) for image, shift in zip(frames.images, frames.shifts)]).astype(np.float64)
    masks = frames.registered_masks()
    masks |= ~masks.any(axis=0)
    return np.mean(images, axis=0, where=masks).astype(np.float32)
