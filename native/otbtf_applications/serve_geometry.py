# SPDX-License-Identifier: Apache-2.0
"""The grid arithmetic of TensorflowModelServe: from output pixels to the pixels of the sources.

A network is described by the receptive field of each source (pixels of that source that it reads), the expression
field (pixels of the output that it writes at once) and the spacing of the output relative to the first source. These
determine the size and the position of the output, and the window of every source that one run of the network needs.

All positions are along one axis, in pixels of the first source, from its upper-left corner, so that no result depends
on the magnitude of map coordinates.

The arithmetic is OTBTF's, including the half pixel by which it misplaces outputs whose spacing differs from the first
source's: the stated upper-left corner is ``0.5 * (1 - scale)`` pixels of the first source to the right of and below the
true one. Products are corrected where they are made (``chain/serving/tensorflow_model_serve.py``), for OTBTF and for
this application alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

TOLERANCE = 1e-6
"""Largest distance, in pixels, at which a position still counts as being on a pixel corner or centre."""


@dataclass(frozen=True)
class SourceAxis:
    """One source along one axis."""

    size: int
    """Number of pixels."""
    field: int
    """Receptive field, in pixels of this source."""
    corner: float = 0.0
    """Upper (or left) edge of the source, in pixels of the first source from the edge of the first source."""
    spacing: float = 1.0
    """Pixel size, in pixels of the first source."""

    def on_grid(self, place: float, whole: Callable[[float], int], tolerance: float) -> float:
        """Move a position, in pixels of the first source, to a pixel edge of this one, by `math.floor` or `ceil`."""
        return self.corner + whole((place - self.corner) / self.spacing + tolerance) * self.spacing


@dataclass(frozen=True)
class OutputAxis:
    """The served image along one axis."""

    size: int
    """Number of pixels, a multiple of the expression field."""
    corner: float
    """Stated edge of the first pixel, in pixels of the first source from the edge of the first source."""
    scale: float
    """Pixel size, in pixels of the first source (output.spcscale)."""
    field: int
    """Expression field, in pixels of the output."""


def round_half_up(value: float) -> int:
    """Round to the nearest integer, halves upwards, as ITK rounds a continuous index to a pixel."""
    return math.floor(value + 0.5 + TOLERANCE)


def output_axis(sources: list[SourceAxis], field: int, scale: float, fully_convolutional: bool) -> OutputAxis:
    """Place the output where the complete receptive field is inside every source.

    In fully convolutional mode, the intersection of all sources is reduced to whole pixels of each of them, so that it
    ends on the coarsest grid: where spacings differ, this costs a complete expression field unless the sources extend
    one coarse pixel further.

    Args:
        sources: The sources along this axis; the first one is the reference.
        field: Expression field, in output pixels.
        scale: Output spacing, in pixels of the first source.
        fully_convolutional: Whether start and end are moved onto the pixel grids of the sources.

    Raises:
        ValueError: Not even one expression field fits.
    """
    start = max(source.corner + (source.field // 2) * source.spacing for source in sources)
    stop = min(
        source.corner + (source.field // 2 + source.size - source.field + 1) * source.spacing for source in sources
    )
    if fully_convolutional:
        start, stop = (
            max(source.on_grid(start, math.ceil, -TOLERANCE) for source in sources),
            min(source.on_grid(stop, math.floor, TOLERANCE) for source in sources),
        )
    size = math.floor((stop - start) / scale + TOLERANCE) + field - 1 if stop > start else 0
    size -= size % field
    if size < field:
        raise ValueError(
            "Output grid size is larger than output image size: no complete expression field fits. Expected "
            f"sources that hold the receptive field, got sizes {[source.size for source in sources]}, receptive fields "
            f"{[source.field for source in sources]}, expression field {field}"
        )
    return OutputAxis(size, start - scale * (field // 2) + 0.5 * (1.0 - scale), scale, field)


def align(start: int, stop: int, step: int) -> tuple[int, int]:
    """Enlarge the pixels ``[start, stop)`` to whole multiples of ``step``."""
    return start - start % step, stop + (-stop) % step


def padding(source: SourceAxis, output: OutputAxis) -> tuple[int, int]:
    """Pixels of the source needed before and after those which an expression field covers.

    Raises:
        ValueError: When the receptive field is smaller than what the expression field covers.
    """
    total = source.field - int(1 + (output.field - 1) * output.scale / source.spacing + TOLERANCE)
    if total < 0:
        raise ValueError("receptive field smaller than the expression field")
    return total - total // 2, total // 2


def convolution_window(source: SourceAxis, output: OutputAxis, start: int, stop: int) -> tuple[int, int]:
    """Source pixels ``[first, last)`` that a run for the aligned output pixels ``[start, stop)`` reads.

    The window is cropped to the source, and may then be empty.
    """
    before, after = padding(source, output)
    first = round_half_up((output.corner + output.scale * start - source.corner) / source.spacing)
    last = round_half_up((output.corner + output.scale * stop - source.corner) / source.spacing - 1.0)
    return max(first - before, 0), min(last + 1 + after, source.size)


def patch_start(source: SourceAxis, output: OutputAxis, position: int) -> int:
    """First source pixel of the patch that belongs to one output pixel (patch mode); it may lie outside."""
    centre = output.corner + output.scale * (position + 0.5)
    return math.floor((centre - source.corner) / source.spacing + TOLERANCE) - source.field // 2


def patch_window(source: SourceAxis, output: OutputAxis, start: int, stop: int) -> tuple[int, int]:
    """Source pixels ``[first, last)`` that the patches of the output pixels ``[start, stop)`` cover, uncropped."""
    return (
        patch_start(source, output, start),
        patch_start(source, output, stop - 1) + source.field,
    )


def tile_length(length: int, field: int) -> int:
    """Side of a tile made a multiple of the expression field, rounded up.

    Args:
        length: Side that was asked for, in output pixels.
        field: Expression field, in output pixels.
    """
    return length if length % field == 0 else (1 + length // field) * field


def tiles(start: int, stop: int, length: int) -> list[tuple[int, int]]:
    """Cut ``[start, stop)`` at the multiples of ``length``, counted from 0 whatever ``start`` is."""
    edges = [start, *range(start - start % length + length, stop, length), stop]
    return list(zip(edges[:-1], edges[1:], strict=True))
