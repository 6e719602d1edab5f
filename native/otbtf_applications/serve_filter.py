# SPDX-License-Identifier: Apache-2.0
"""The streaming filter of TensorflowModelServe, from a requested output region to runs of the session."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import otbApplication as otb

from otbtf_applications import serve_geometry as geometry
from otbtf_applications.saved_model_session import SavedModelSession

Region = tuple[int, int, int, int]
"""Columns and rows: first column, first row, width, height."""
Window = tuple[tuple[int, int], tuple[int, int]]
"""Columns and rows: (first, end), (first, end)."""


@dataclass(frozen=True)
class Source:
    """A stack of images that feeds one input of the network."""

    images: list[otb.Image]
    """Images of one size; the first defines the grid."""
    fields: tuple[int, int]
    """Width and height of the receptive field, in pixels of this source."""
    placeholder: str
    """Input of the signature."""
    nodata: float | None
    """Value of missing pixels."""

    def axis(self, axis: int, reference: otb.Image) -> geometry.SourceAxis:
        """Return the source along x (0) or y (1), placed on the pixels of the first source."""
        image = self.images[0]
        unit = reference.spacing[axis]
        corner = (_edge(image, axis) - _edge(reference, axis)) / unit
        return geometry.SourceAxis(image.size[axis], self.fields[axis], corner, abs(image.spacing[axis] / unit))


@dataclass(frozen=True)
class ServeFilter:
    """Computes the application's output, region by region, on OTB's request."""

    session: SavedModelSession
    """The model."""
    sources: list[Source]
    """The sources; the first is the reference of the output's grid."""
    constants: dict[str, np.ndarray]
    """User placeholders."""
    outputs: dict[str, int]
    """Number of bands of each output, stacked in this order."""
    scale: float
    """Output pixel size, in pixels of the first source."""
    fields: tuple[int, int]
    """Width and height of the expression field, in output pixels."""
    fully_convolutional: bool
    """Whether the model works on windows instead of patches."""
    blank: float
    """Output of runs in which a source has no data."""
    tile: tuple[int, int] | None
    """Width and height of a run, in output pixels; None: one run per requested region."""

    @cached_property
    def axes(self) -> tuple[geometry.OutputAxis, geometry.OutputAxis]:
        """The output along x and along y."""
        reference = self.sources[0].images[0]
        return tuple(
            geometry.output_axis(
                [source.axis(axis, reference) for source in self.sources],
                self.fields[axis],
                self.scale,
                self.fully_convolutional,
            )
            for axis in (0, 1)
        )

    def warnings(self) -> list[str]:
        """Return OTBTF's warnings: tiles that are enlarged, and sources whose origins differ from the first one's."""
        texts = []
        for axis, name in ((0, "optim.tilesizex"), (1, "optim.tilesizey")):
            if self.tile and self.tile[axis] % self.fields[axis]:
                length = geometry.tile_length(self.tile[axis], self.fields[axis])
                texts.append(
                    f"{name}: {self.tile[axis]} is not a multiple of the expression field {self.fields[axis]}. "
                    f"It becomes {length}"
                )
        if self.fully_convolutional:
            reference = _lower_left(self.sources[0].images[0])
            for number, source in enumerate(self.sources[1:], start=1):
                if not np.allclose(_lower_left(source.images[0]), reference, rtol=0, atol=1e-6):
                    texts.append(f"Input #{number} origin does not match reference (first) input")
        return texts

    def output_information(self) -> dict:
        """Return the output's size, position and number of bands."""
        reference = self.sources[0].images[0]
        spacing = tuple(unit * self.scale for unit in reference.spacing)
        origin = tuple(
            _edge(reference, axis) + output.corner * reference.spacing[axis] + 0.5 * spacing[axis]
            for axis, output in enumerate(self.axes)
        )
        return {
            "size": tuple(output.size for output in self.axes),
            "bands": sum(self.outputs.values()),
            "origin": origin,
            "spacing": spacing,
            "projection": reference.projection,
        }

    def input_regions(self, region: Region) -> list[Region]:
        """Return the region of each image that the output region needs."""
        regions = []
        for number, source in enumerate(self.sources):
            (left, right), (top, bottom) = self._window(number, _window(region))
            for image in source.images:
                regions.append((image.index[0] + left, image.index[1] + top, right - left, bottom - top))
        return regions

    def compute(self, region: Region, arrays: list[np.ndarray], regions: list[Region]) -> np.ndarray:
        """Run the model over an output region, tile by tile.

        Args:
            region: Output pixels.
            arrays: Pixels of each image, (height, width, bands).
            regions: Regions of these pixels in the images.

        Returns:
            float32 array (height, width, bands) of the output region.
        """
        (left, right), (top, bottom) = _window(region)
        stacks, corners = self._stack(arrays, regions)
        result = np.empty((bottom - top, right - left, sum(self.outputs.values())), np.float32)
        for rows in self._cuts(top, bottom, 1):
            for columns in self._cuts(left, right, 0):
                part = (columns, rows)
                window = np.s_[rows[0] - top : rows[1] - top, columns[0] - left : columns[1] - left]
                result[window] = self._run_part(part, stacks, corners)
        return result

    def _stack(self, arrays: list[np.ndarray], regions: list[Region]) -> tuple[list[np.ndarray], list[tuple[int, int]]]:
        """Stack the images of each source, and return the first column and row of each stack."""
        stacks, corners, first = [], [], 0
        for source in self.sources:
            group = slice(first, first + len(source.images))
            first = group.stop
            stacks.append(np.concatenate(arrays[group], axis=2) if len(source.images) > 1 else arrays[group][0])
            index = source.images[0].index
            corners.append((regions[group][0][0] - index[0], regions[group][0][1] - index[1]))
        return stacks, corners

    def _cuts(self, start: int, stop: int, axis: int) -> list[tuple[int, int]]:
        if self.tile is None:
            return [(start, stop)]
        return geometry.tiles(start, stop, geometry.tile_length(self.tile[axis], self.fields[axis]))

    def _window(self, number: int, part: Window) -> Window:
        """Return the pixels of a source that an output part needs, in pixels from its upper-left corner."""
        reference = self.sources[0].images[0]
        source = self.sources[number]
        windows = []
        for axis, (start, stop) in enumerate(part):
            along = source.axis(axis, reference)
            output = self.axes[axis]
            if not self.fully_convolutional:
                first, last = geometry.patch_window(along, output, start, stop)
                if first < 0 or last > along.size:
                    raise RuntimeError(
                        f"Region [{first}, {last}) of dimension {axis} of source #{number} is outside of buffered "
                        f"region [0, {along.size})"
                    )
                windows.append((first, last))
                continue
            try:
                window = geometry.convolution_window(along, output, *geometry.align(start, stop, output.field))
            except ValueError:
                raise RuntimeError(
                    f"The input requested region of source #{number} is not consistent (dim {axis}). "
                    "Please check RF, EF, SF vs physical spacing of your image! "
                    f"Receptive field: {along.field}, expression field: {output.field}, spacing scale: {self.scale}"
                ) from None
            windows.append(window)
        return tuple(windows)

    def _run_part(self, part: Window, stacks: list[np.ndarray], corners: list[tuple[int, int]]) -> np.ndarray:
        """Compute the output pixels of one tile."""
        aligned = part
        if self.fully_convolutional:
            aligned = tuple(geometry.align(*part[axis], self.fields[axis]) for axis in (0, 1))
        height, width = (aligned[axis][1] - aligned[axis][0] for axis in (1, 0))
        crop = np.s_[
            part[1][0] - aligned[1][0] : part[1][1] - aligned[1][0],
            part[0][0] - aligned[0][0] : part[0][1] - aligned[0][0],
        ]
        feeds = {}
        for number, (source, stack, corner) in enumerate(zip(self.sources, stacks, corners, strict=True)):
            tensor = self._tensor(number, part, stack, corner)
            if source.nodata is not None and np.all(tensor == np.float32(source.nodata)):
                return np.full((part[1][1] - part[1][0], part[0][1] - part[0][0], 1), self.blank, np.float32)
            feeds[source.placeholder] = tensor
        arrays = self.session.run(feeds, self.constants, list(self.outputs))
        bands = []
        for array, (name, count) in zip(arrays, self.outputs.items(), strict=True):
            if array.size != height * width * count:
                raise RuntimeError(
                    f"Number of elements in the tensor is {array.size} but image outputRegion has "
                    f"{height * width * count} values to fill (output {name}, shape {array.shape}, region of "
                    f"{width} x {height} pixels, {count} bands). Please check the receptive and expression fields, the "
                    "scale and the tile size"
                )
            bands.append(array.reshape(height, width, count)[crop])
        return np.concatenate(bands, axis=2) if len(bands) > 1 else bands[0]

    def _tensor(self, number: int, part: Window, stack: np.ndarray, corner: tuple[int, int]) -> np.ndarray:
        """Cut the network's input out of a source: one window, or one patch per output pixel."""
        if self.fully_convolutional:
            (left, right), (top, bottom) = self._window(number, part)
            return stack[np.newaxis, top - corner[1] : bottom - corner[1], left - corner[0] : right - corner[0]]
        reference = self.sources[0].images[0]
        source = self.sources[number]
        columns, rows = (
            [
                geometry.patch_start(source.axis(axis, reference), self.axes[axis], position) - corner[axis]
                for position in range(*part[axis])
            ]
            for axis in (0, 1)
        )
        width, height = source.fields
        patches = np.lib.stride_tricks.sliding_window_view(stack, (height, width), axis=(0, 1))
        patches = patches[np.ix_(rows, columns)]
        return np.moveaxis(patches, 2, -1).reshape(-1, height, width, stack.shape[2])


def _window(region: Region) -> Window:
    x, y, width, height = region
    return (x, x + width), (y, y + height)


def _edge(image: otb.Image, axis: int) -> float:
    """Return the coordinate of the outer edge of the first pixel."""
    return image.origin[axis] + (image.index[axis] - 0.5) * image.spacing[axis]


def _lower_left(image: otb.Image) -> tuple[float, float]:
    """Return the lower-left corner of the first pixel, which OTBTF treats as the upper-left one."""
    return tuple(
        image.origin[axis] + image.index[axis] * image.spacing[axis] - 0.5 * abs(image.spacing[axis]) for axis in (0, 1)
    )
