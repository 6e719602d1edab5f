# SPDX-License-Identifier: Apache-2.0
"""PatchesSelection: points on a regular grid at which to take patches for training, validation and test.

It behaves like OTBTF 4.3.1's application of the same name (grid, order, ids, groups, nodata and mask rules, vector
layers), except for the strategy ``balanced``, which upstream calls experimental and which writes uninitialised points:
here, candidates are chosen one by one so that the classes are as balanced as possible (see
``patch_grid.balanced_groups``). Pixels are read block by block, within the memory of the parameter ``ram``.

    native/bin/otbcli PatchesSelection -in xs.tif -grid.step 32 -grid.psize 32 -outtrain points.geojson
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import otbApplication as otb

from otbtf_applications import patch_grid

OUTPUTS = ("outtrain", "outvalid", "outtest")
_PROPORTIONS = {"outtrain": "trainprop", "outvalid": "validprop", "outtest": "testprop"}
_STRATEGIES = {
    "chessboard": (
        "Chessboard",
        "Training and validation patches alternate like the squares of a chessboard",
    ),
    "split": ("Split", "Patches are dealt to training, validation and test in the given proportions"),
    "all": ("All", "All patches go to the training output"),
    "balanced": (
        "Balanced",
        "Patches are chosen so that the classes of a label image are as even as possible",
    ),
}
_LONG_DESCRIPTION = (
    "Places candidate patches on a regular grid of the input image, drops those that touch nodata or lie "
    "outside the mask, and deals the others to the output vector layers. Each point carries the integer field "
    "'id', which numbers the samples of all outputs. The points locate patches for PatchesExtraction: the "
    "centre of the centre pixel of an odd patch, a corner of it for an even one."
)


class PatchesSelection:
    """Body of the application."""

    def init(self, app: otb.PythonApplication) -> None:
        """Declare the parameters."""
        app.SetDescription("Selects the positions of patches on a regular grid of an image")
        app.SetDocLongDescription(_LONG_DESCRIPTION)
        app.SetDocLimitations("The pixels are assumed to be aligned with the axes of the map.")
        app.SetDocSeeAlso("PatchesExtraction")
        app.AddDocTag("Learning")
        self._init_inputs(app)
        self._init_strategy(app)
        self._init_outputs(app)

    @staticmethod
    def _init_inputs(app: otb.PythonApplication) -> None:
        app.AddParameter(otb.ParameterType_InputImage, "in", "Input image")
        app.SetParameterDescription("in", "Image whose grid and coordinate system locate the patches")
        app.AddParameter(otb.ParameterType_InputImage, "mask", "Input mask")
        app.SetParameterDescription("mask", "Image of the size of the input, 1 where a patch may be centred")
        app.MandatoryOff("mask")
        app.AddParameter(otb.ParameterType_Float, "nodata", "No-data value")
        app.SetParameterDescription("nodata", "Patches with a pixel all bands of which have this value are dropped")
        app.MandatoryOff("nodata")
        app.AddParameter(otb.ParameterType_Group, "grid", "Grid of the patches")
        app.AddParameter(otb.ParameterType_Int, "grid.step", "Distance between patches, in pixels")
        app.SetMinimumParameterIntValue("grid.step", 1)
        app.AddParameter(otb.ParameterType_Int, "grid.psize", "Size of the patches, in pixels")
        app.SetMinimumParameterIntValue("grid.psize", 1)
        for axis in "xy":
            app.AddParameter(otb.ParameterType_Int, f"grid.offset{axis}", f"Offset of the grid in {axis}, in pixels")
            app.SetDefaultParameterInt(f"grid.offset{axis}", 0)

    @staticmethod
    def _init_strategy(app: otb.PythonApplication) -> None:
        app.AddParameter(otb.ParameterType_Choice, "strategy", "How patches are dealt to the outputs")
        for strategy, (name, description) in _STRATEGIES.items():
            app.AddChoice(f"strategy.{strategy}", name)
            app.SetParameterDescription(f"strategy.{strategy}", description)
        app.AddParameter(otb.ParameterType_Bool, "strategy.split.random", "Shuffle, in the same order on every run")
        app.MandatoryOff("strategy.split.random")
        for key, proportion in (("trainprop", 50.0), ("validprop", 25.0), ("testprop", 25.0)):
            key = f"strategy.split.{key}"
            app.AddParameter(otb.ParameterType_Float, key, "Proportion of the output, in any unit")
            app.SetMinimumParameterFloatValue(key, 0.0)
            app.SetDefaultParameterFloat(key, proportion)
        app.AddParameter(otb.ParameterType_Float, "strategy.balanced.sp", "Proportion of the candidates to select")
        app.SetMinimumParameterFloatValue("strategy.balanced.sp", 0.0)
        app.SetMaximumParameterFloatValue("strategy.balanced.sp", 1.0)
        app.SetDefaultParameterFloat("strategy.balanced.sp", 0.25)
        app.AddParameter(otb.ParameterType_Int, "strategy.balanced.nclasses", "Number of classes, numbered from 0")
        app.SetMinimumParameterIntValue("strategy.balanced.nclasses", 2)
        app.AddParameter(otb.ParameterType_InputImage, "strategy.balanced.labelimage", "Image of the classes")

    @staticmethod
    def _init_outputs(app: otb.PythonApplication) -> None:
        for key, name in zip(OUTPUTS, ("training", "validation", "test"), strict=True):
            app.AddParameter(otb.ParameterType_OutputVectorData, key, f"Points of the {name} patches")
        app.MandatoryOff("outvalid")
        app.MandatoryOff("outtest")
        app.AddRAMParameter()
        app.SetDocExampleParameterValue("in", "spot6pms.tif")
        app.SetDocExampleParameterValue("grid.step", "16")
        app.SetDocExampleParameterValue("grid.psize", "16")
        app.SetDocExampleParameterValue("outtrain", "train.geojson")
        app.SetDocExampleParameterValue("outvalid", "valid.geojson")

    def update_parameters(self, app: otb.PythonApplication) -> None:
        """Do nothing: no parameter depends on another one."""

    def execute(self, app: otb.PythonApplication) -> None:
        """Select the patches and pass the points to the outputs."""
        image = app.GetParameterImages("in")[0]
        psize, step = app.GetParameterInt("grid.psize"), app.GetParameterInt("grid.step")
        columns, rows = (
            patch_grid.candidates(length, psize, step, app.GetParameterInt(f"grid.offset{axis}"))
            for length, axis in zip(image.size, "xy", strict=True)
        )
        valid = _valid_candidates(app, image, columns, rows, psize // 2)
        row_ranks, column_ranks = np.nonzero(valid)
        groups = _groups(app, image, columns, rows, column_ranks, row_ranks)
        selected = groups >= 0
        column_ranks, row_ranks, groups = column_ranks[selected], row_ranks[selected], groups[selected]
        x, y = patch_points(image, columns[column_ranks], rows[row_ranks], psize)
        app.LogInfo(f"Number of patches selected: {len(groups)} of {valid.size} positions")
        for group, key in enumerate(_outputs(app)):
            ids = np.flatnonzero(groups == group)
            app.LogInfo(f"Number of samples in {key}: {len(ids)}")
            app.SetOutputVectorDataFromPoints(key, x[ids], y[ids], ids, image.projection)


def patch_points(image: otb.Image, columns: np.ndarray, rows: np.ndarray, psize: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the map coordinates that locate patches.

    Args:
        image: Image of the grid.
        columns: Centre columns of the patches, in pixels from the first one.
        rows: Centre rows of the patches, in pixels from the first one.
        psize: Size of the patches, in pixels.

    Returns:
        Coordinates x and y: the centre of the pixel, less half a pixel in x and in y if the size is even.
    """
    shift = 0.0 if psize % 2 else 0.5
    return tuple(
        origin + spacing * (pixels + start) - shift * abs(spacing)
        for origin, spacing, start, pixels in zip(
            image.origin, image.spacing, image.index, (columns, rows), strict=True
        )
    )


def _outputs(app: otb.PythonApplication) -> list[str]:
    """Return the outputs that receive samples: the training one, and those that the user has set."""
    strategy_outputs = {"all": OUTPUTS[:1], "split": OUTPUTS}.get(app.GetParameterString("strategy"), OUTPUTS[:2])
    return [key for key in strategy_outputs if key == "outtrain" or app.HasValue(key)]


def _read_blocks(
    app: otb.PythonApplication, images: list[otb.Image], columns: np.ndarray, rows: np.ndarray, radius: int
) -> Iterator[tuple[slice, slice, np.ndarray, np.ndarray, list[np.ndarray]]]:
    """Read images of one size around candidates, block by block, within the memory the user allows.

    Yields:
        The ranks of the columns and of the rows of a block, their positions in what was read, and what was
        read of each image, (height, width, bands) float32.
    """
    bytes_per_pixel = 4 * sum(image.bands for image in images) + 32
    max_pixels = app.GetParameterInt("ram") * 2**20 // bytes_per_pixel
    for column_range, row_range in patch_grid.reading_blocks(columns, rows, radius, max_pixels):
        block_columns, block_rows = columns[column_range], rows[row_range]
        left, top = int(block_columns[0]) - radius, int(block_rows[0]) - radius
        width = int(block_columns[-1]) + radius + 1 - left
        height = int(block_rows[-1]) + radius + 1 - top
        arrays = [image.read(image.index[0] + left, image.index[1] + top, width, height) for image in images]
        yield column_range, row_range, block_columns - left, block_rows - top, arrays


def _valid_candidates(
    app: otb.PythonApplication, image: otb.Image, columns: np.ndarray, rows: np.ndarray, radius: int
) -> np.ndarray:
    """Return which (row, column) candidates the nodata value and the mask leave."""
    valid = np.ones((len(rows), len(columns)), dtype=bool)
    masks = _images_like(app, "mask", image) if app.HasValue("mask") else []
    if app.HasValue("nodata"):
        nodata = np.float32(app.GetParameterFloat("nodata"))
        for column_range, row_range, x, y, arrays in _read_blocks(app, [image, *masks], columns, rows, radius):
            invalid = np.all(arrays[0] == nodata, axis=2)
            for mask in arrays[1:]:
                invalid |= mask[..., 0] == 0
            valid[row_range, column_range] = ~patch_grid.box_any(invalid, x, y, radius)
        return valid
    for _ in _read_blocks(app, [image], *map(np.arange, image.size), 0):
        pass  # OTBTF reads all pixels too, and so finds files that are cut short
    if masks:
        for column_range, row_range, x, y, (mask,) in _read_blocks(app, masks, columns, rows, 0):
            valid[row_range, column_range] = mask[np.ix_(y, x)][..., 0] == 1
    return valid


def _images_like(app: otb.PythonApplication, key: str, reference: otb.Image) -> list[otb.Image]:
    """Return the image of a parameter, which must have the size of the input."""
    images = app.GetParameterImages(key)
    for image in images:
        if tuple(image.size) != tuple(reference.size):
            expected, received = ("x".join(map(str, size)) for size in (reference.size, image.size))
            raise RuntimeError(f"{key}: expected the size of the input image, {expected} pixels, got {received}")
    return images


def _groups(
    app: otb.PythonApplication,
    image: otb.Image,
    columns: np.ndarray,
    rows: np.ndarray,
    column_ranks: np.ndarray,
    row_ranks: np.ndarray,
) -> np.ndarray:
    """Return the output of each valid candidate, in image order: 0 is training, -1 is none."""
    strategies: dict[str, Callable[[], np.ndarray]] = {
        "chessboard": lambda: patch_grid.chessboard_groups(column_ranks, row_ranks),
        "split": lambda: _split(app, image, len(column_ranks)),
        "all": lambda: np.zeros(len(column_ranks), dtype=np.int64),
        "balanced": lambda: _balanced(app, image, columns, rows, column_ranks, row_ranks),
    }
    return strategies[app.GetParameterString("strategy")]()


def _split(app: otb.PythonApplication, image: otb.Image, count: int) -> np.ndarray:
    """Deal the samples in the proportions of the outputs that were asked for."""
    proportions = {key: app.GetParameterFloat(f"strategy.split.{_PROPORTIONS[key]}") for key in _outputs(app)}
    maximum = None
    if app.GetParameterInt("strategy.split.random"):
        step = app.GetParameterInt("grid.step")
        maximum = (image.size[0] // step + 1) * (image.size[1] // step + 1)
    return patch_grid.split_groups(count, list(proportions.values()), maximum)


def _balanced(
    app: otb.PythonApplication,
    image: otb.Image,
    columns: np.ndarray,
    rows: np.ndarray,
    column_ranks: np.ndarray,
    row_ranks: np.ndarray,
) -> np.ndarray:
    """Choose the patches by the classes of the label image inside them."""
    for key in ("strategy.balanced.labelimage", "strategy.balanced.nclasses"):
        if not app.HasValue(key):
            raise RuntimeError(f"{key} is required by the strategy 'balanced'")
    psize = app.GetParameterInt("grid.psize")
    classes = app.GetParameterInt("strategy.balanced.nclasses")
    labels = _images_like(app, "strategy.balanced.labelimage", image)
    first_column = -(psize // 2)
    first_row = first_column + int(psize % 2 == 0 and image.spacing[1] < 0)
    histograms = np.zeros((len(rows), len(columns), classes), dtype=np.int64)
    for column_range, row_range, x, y, (block,) in _read_blocks(app, labels, columns, rows, psize // 2):
        for label in range(classes):
            sums = patch_grid.box_sums(block[..., 0] == label, x + first_column, y + first_row, psize)
            histograms[row_range, column_range, label] = sums
    count = patch_grid.sample_count(app.GetParameterFloat("strategy.balanced.sp"), len(column_ranks))
    return patch_grid.balanced_groups(histograms[row_ranks, column_ranks], count, len(_outputs(app)))
