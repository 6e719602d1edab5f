# SPDX-License-Identifier: Apache-2.0
"""`DSen2` and `VDSen2`: the 20 m and 60 m bands of Sentinel-2 to 10 m (Lanaras et al. 2018).

C. Lanaras, J. Bioucas-Dias, S. Galliani, E. Baltsavias, K. Schindler, "Super-resolution of Sentinel-2 images: learning
a globally applicable deep neural network", ISPRS Journal 146, 2018 (doi:10.1016/j.isprsjprs.2018.09.018).

Two networks, by their role: `2x` makes the six 20 m bands of the 10 m and the 20 m ones, `6x` makes B01 and B09 of all
of them. Coarse bands are interpolated, concatenated behind the finer ones, and go through convolutions and residual
blocks without normalisation; the result is what the interpolated bands lack. `VDSen2` is a size of it.

Two things may be added that are not in the paper. `back_projection`: what the output's mean over each coarse pixel
lacks of that pixel is interpolated and added, one step of M. Irani and S. Peleg, "Improving resolution by image
registration", CVGIP 53(3), 1991. The output then has no colour shift. `consistent`: made coarser again, the output is
the input, exactly (`models/consistency.py`).

Sources come at their native resolution: interpolation (bilinear, mirrored at the borders), scaling (DN / 2000) and the
final addition are in the exported graph. In the original they are done outside, on patches.

`FastDSen2` is a network of this project for the same roles. It works on the 20 m grid, where each pixel holds its four
10 m ones as further bands: at equal width, a quarter of the cost. Bands are standardised by their local level and
spread, so that a gain or an offset of a band changes nothing but its own output, and by as much. Its output is always
consistent. The windows of the statistics see further than the convolutions: of tiles, `cropped` leaves out what these
would compute beyond what they see.

    python -c "from models.dsen2 import DSen2; DSen2.from_bands('2x').model.summary()"
"""

from typing import Any

import tensorflow as tf
from tensorflow import keras

from models.base import Source, SuperResolutionModel, Tensors
from models.consistency import RADIUS, ConsistentUpsampling, Degradation
from models.degradation import blur_radius
from models.layers import BilinearUpsampling, Crop, PixelShuffle, ScaledConv2D
from models.local_statistics import (
    ByPhase,
    LocalCorrelation,
    LocalStatistics,
    SpaceToDepth,
    Standardization,
    WeightedSum,
    Windows,
)

SIZES = {
    "dsen2": {"depth": 128, "num_blocks": 6},
    "vdsen2": {"depth": 256, "num_blocks": 32},
    "narrow": {"depth": 64, "num_blocks": 6},
}
"""Arguments of `DSen2` by name: those of the paper, and one that a few CPU cores can train."""

FAST_SIZES = {"fast": {"depth": 96, "num_blocks": 3}}
"""Arguments of `FastDSen2` by name."""

SOURCES = {
    "x10": Source("x10", ("B04", "B03", "B02", "B08"), 10.0),
    "x20": Source("x20", ("B05", "B06", "B07", "B8A", "B11", "B12"), 20.0),
    "x60": Source("x60", ("B01", "B09"), 60.0),
}
"""Sources by name, bands in the order of the authors' weights."""

ROLES = {"2x": ("x10", "x20"), "6x": ("x10", "x20", "x60")}
"""Names of each role's sources; the last one is made finer."""

RESIDUAL_SCALE = 0.1
KERNEL = 3
FAST_RESIDUAL_SCALE = 0.2
GRID = 2
"""Number of 10 m pixels along those that `FastDSen2` works on."""
PHASES = GRID**2
WINDOWS = {"2x": Windows(5, 3, 3, of_pixels=True), "6x": Windows(2, 2, 2, of_pixels=False)}
"""Windows of each role, in pixels of its coarsest source."""


def _check(role: str, depth: int, num_blocks: int) -> None:
    """Refuse arguments that are out of their range.

    Raises:
        ValueError: one is.
    """
    if role not in ROLES:
        raise ValueError(f"role: expected one of {', '.join(ROLES)}, got {role}")
    if depth < 1:
        raise ValueError(f"depth: expected at least 1, got {depth}")
    if num_blocks < 0:
        raise ValueError(f"num_blocks: expected at least 0, got {num_blocks}")


def _consistent(image: tf.Tensor, coarse: tf.Tensor, ratio: int) -> tf.Tensor:
    """Add to an image at 10 m what it lacks, made coarser, of the coarse image."""
    seen = Degradation(ratio, dtype="float32", name="seen")(image)
    lacking = keras.layers.Subtract(dtype="float32", name="lacking_of_coarse")([coarse, seen])
    lacking = ConsistentUpsampling(ratio, dtype="float32", name="lacking_of_coarse_interpolated")(lacking)
    return keras.layers.Add(dtype="float32", name="consistent")([image, lacking])


def _consistent_rows(rows: int, ratio: int) -> int:
    """Return how many rows along a side depend on what lies beyond it, given that number before `_consistent`.

    These rows reach the coarse pixels that see them, and whatever is interpolated with those.
    """
    return (-(-(rows + blur_radius(ratio)) // ratio) + RADIUS) * ratio


class DSen2(SuperResolutionModel):
    """The network of the paper. Inputs are digital numbers, target and output `sr` are reflectance at 10 m.

    Args:
        dataset_element_spec: `element_spec` of a batched dataset of (inputs, targets).
        role: `2x` or `6x`.
        depth: number of features.
        num_blocks: number of residual blocks.
        back_projection: add what the output's means over coarse pixels lack of these.
        consistent: then make the output consistent with its coarse source. It has no weights.
        start_at_interpolation: start the last convolution at zero, so that training starts at the interpolated bands;
            by default it starts at random, as in the paper.
        inference_cropping: crops, in 10 m pixels; by default the one that leaves no seam between tiles.

    Raises:
        ValueError: an argument is out of its range.
    """

    system = "dsen2"
    gsd = 10.0
    normalization = 1 / 2000

    def __init__(
        self,
        dataset_element_spec: tuple,
        role: str = "2x",
        depth: int = 128,
        num_blocks: int = 6,
        back_projection: bool = False,
        consistent: bool = False,
        start_at_interpolation: bool = False,
        inference_cropping: list[int] | None = None,
    ):
        _check(role, depth, num_blocks)
        self.arguments = {
            "role": role,
            "depth": depth,
            "num_blocks": num_blocks,
            "back_projection": back_projection,
            "consistent": consistent,
        }
        self.sources = tuple(SOURCES[name] for name in ROLES[role])
        self.bands = self.sources[-1].bands
        self._last_initializer = "zeros" if start_at_interpolation else "he_uniform"
        super().__init__(dataset_element_spec, inference_cropping)

    @classmethod
    def from_bands(cls, role: str, **arguments: Any) -> "DSen2":
        """Make the model from its arguments, without a dataset."""
        sources = [SOURCES[name] for name in ROLES.get(role, ())]
        spec = {source.name: tf.TensorSpec((None, None, None, len(source.bands))) for source in sources}
        return cls((spec, {}), role, **arguments)

    @property
    def receptive_field_radius(self) -> int:
        """Number of 10 m rows along an image's side that depend on what lies beyond it.

        Each convolution adds one, and so do the rows that are interpolated with what lies beyond. By back-projection,
        these reach the mean over their coarse pixel, and whatever is interpolated with it.
        """
        convolutions = 2 * self.arguments["num_blocks"] + 2
        rows = convolutions * (KERNEL // 2) + self._ratio // 2
        if self.arguments["back_projection"]:
            rows = -(-rows // self._ratio) * self._ratio + self._ratio // 2
        return _consistent_rows(rows, self._ratio) if self.arguments["consistent"] else rows

    @property
    def _ratio(self) -> int:
        """Number of output pixels along one pixel of the coarsest source."""
        return round(self.sources[-1].gsd / self.gsd)

    def _convolution(self, tensor: tf.Tensor, name: str, dtype: str | None = None) -> tf.Tensor:
        return keras.layers.Conv2D(
            self.arguments["depth"], KERNEL, padding="same", kernel_initializer="he_uniform", dtype=dtype, name=name
        )(tensor)

    def _block(self, tensor: tf.Tensor, name: str, dtype: str | None = None) -> tf.Tensor:
        """Add a tenth of convolution, ReLU, convolution (of a type). In mixed precision only these have 16 bits."""
        branch = keras.layers.ReLU(name=f"{name}_relu")(self._convolution(tensor, f"{name}_1"))
        branch = self._convolution(branch, f"{name}_2", dtype)
        branch = keras.layers.Rescaling(RESIDUAL_SCALE, dtype="float32", name=f"{name}_scale")(branch)
        return keras.layers.Add(dtype="float32", name=f"{name}_add")([tensor, branch])

    def network(self, normalized_inputs: Tensors) -> tf.Tensor:
        """Compute the coarsest source at 10 m, (batch, height, width, bands), from all sources: DN / 2000."""
        images = []
        for source in self.sources:
            image, ratio = normalized_inputs[source.name], round(source.gsd / self.gsd)
            if ratio > 1:
                image = BilinearUpsampling(ratio, dtype="float32", name=f"{source.name}_interpolated")(image)
            images.append(image)
        stacked = keras.layers.Concatenate(dtype="float32", name="stacked")(images)
        features = self._convolution(stacked, "first", dtype="float32")
        features = keras.layers.ReLU(dtype="float32", name="first_relu")(features)
        for index in range(self.arguments["num_blocks"]):
            # What the first block adds is by far the largest: of 16 bits, it made more than half of the error.
            features = self._block(features, f"block{index + 1}", None if index else "float32")
        details = keras.layers.Conv2D(
            len(self.bands),
            KERNEL,
            padding="same",
            kernel_initializer=self._last_initializer,
            dtype="float32",
            name="last",
        )(features)
        output = keras.layers.Add(dtype="float32", name="global_skip")([images[-1], details])
        coarse = normalized_inputs[self.sources[-1].name]
        if self.arguments["back_projection"]:
            means = keras.layers.AveragePooling2D(self._ratio, dtype="float32", name="means")(output)
            lacking = keras.layers.Subtract(dtype="float32", name="lacking")([coarse, means])
            lacking = BilinearUpsampling(self._ratio, dtype="float32", name="lacking_interpolated")(lacking)
            output = keras.layers.Add(dtype="float32", name="back_projection")([output, lacking])
        return _consistent(output, coarse, self._ratio) if self.arguments["consistent"] else output


class FastDSen2(SuperResolutionModel):
    """A network on the 20 m grid that no gain and no offset of a band misleads. Inputs and output are as `DSen2`'s.

    Args:
        dataset_element_spec: `element_spec` of a batched dataset of (inputs, targets).
        role: `2x` or `6x`.
        depth: number of features.
        num_blocks: number of residual blocks.
        inference_cropping: crops, in 10 m pixels; by default the one that leaves no seam between tiles.
        cropped: make the outputs without that one alone. Only the windows in which bands are looked at see that far:
            behind them what no convolution needs any more is left out.

    Raises:
        ValueError: an argument is out of its range, or there are other crops of a model that is `cropped`.
    """

    system = "dsen2"
    class_name = "FAST"
    gsd = 10.0
    normalization = 1 / 2000

    def __init__(
        self,
        dataset_element_spec: tuple,
        role: str = "2x",
        depth: int = 96,
        num_blocks: int = 3,
        inference_cropping: list[int] | None = None,
        cropped: bool = False,
    ):
        _check(role, depth, num_blocks)
        if cropped and inference_cropping:
            raise ValueError(f"inference_cropping: expected none of a cropped model, got {inference_cropping}")
        self.cropped = cropped
        self.arguments = {"role": role, "depth": depth, "num_blocks": num_blocks}
        self.sources = tuple(SOURCES[name] for name in ROLES[role])
        self.bands = self.sources[-1].bands
        super().__init__(dataset_element_spec, inference_cropping)

    @classmethod
    def from_bands(cls, role: str, **arguments: Any) -> "FastDSen2":
        """Make the model from its arguments, without a dataset."""
        sources = [SOURCES[name] for name in ROLES.get(role, ())]
        spec = {source.name: tf.TensorSpec((None, None, None, len(source.bands))) for source in sources}
        return cls((spec, {}), role, **arguments)

    @property
    def _ratio(self) -> int:
        """Number of output pixels along one pixel of the coarsest source."""
        return round(self.sources[-1].gsd / self.gsd)

    @property
    def receptive_field_radius(self) -> int:
        """Number of 10 m rows along an image's side that depend on what lies beyond it.

        Windows and convolutions add up.
        """
        statistics = self._ratio * WINDOWS[self.arguments["role"]].radius
        if self._ratio > GRID:
            statistics += self._ratio  # interpolated to 20 m
        convolutions = 2 * self.arguments["num_blocks"] + 2
        rows = statistics + (GRID * convolutions + 1) * (KERNEL // 2)
        return _consistent_rows(rows, self._ratio)

    def _convolution(
        self, tensor: tf.Tensor, features: int, name: str, zeros: bool = False, dtype: str | None = None
    ) -> tf.Tensor:
        """Convolve. In mixed precision all but the last one have 16 bits: what they see is standardised."""
        initializer = "zeros" if zeros else "he_uniform"
        return keras.layers.Conv2D(
            features, KERNEL, padding="same", kernel_initializer=initializer, dtype=dtype, name=name
        )(tensor)

    def _block(self, tensor: tf.Tensor, name: str) -> tf.Tensor:
        """Add a share of convolution, ReLU, convolution: of one type, without casts, TensorFlow makes it two steps."""
        branch = self._convolution(tensor, self.arguments["depth"], f"{name}_1")
        branch = keras.layers.ReLU(name=f"{name}_relu")(branch)
        branch = ScaledConv2D(
            self.arguments["depth"],
            KERNEL,
            scale=FAST_RESIDUAL_SCALE,
            kernel_initializer="he_uniform",
            name=f"{name}_2",
        )(branch)
        return keras.layers.Add(name=f"{name}_add")([tensor, branch])

    def _without(self, tensor: tf.Tensor, rows: int, dtype: str | None = "float32") -> tf.Tensor:
        """Leave out pixels on each side, if the output is cropped."""
        return Crop(rows, dtype=dtype)(tensor) if self.cropped and rows else tensor

    def _standardized(self, normalized_inputs: Tensors) -> tuple[list[tf.Tensor], tf.Tensor, tf.Tensor]:
        """Standardise all bands by what is seen of them in windows of coarse pixels.

        Returns:
            The sources on the 20 m grid, the correlations of their bands there, and the spread of the coarsest source.
        """
        windows = WINDOWS[self.arguments["role"]]
        images, coarse, spread = [], [], None
        for source in self.sources:
            image, ratio = normalized_inputs[source.name], round(source.gsd / self.gsd)
            means, phases = image, 1
            if ratio < self._ratio:
                size = self._ratio // ratio
                means = keras.layers.AveragePooling2D(size, dtype="float32", name=f"{source.name}_means")(image)
            if ratio < GRID:
                image, phases = SpaceToDepth(GRID, dtype="float32", name=f"{source.name}_on_grid")(image), PHASES
            seen = [means, image] if windows.of_pixels and ratio < self._ratio else [means]
            statistics = LocalStatistics(
                windows.level, windows.spread, dtype="float32", name=f"{source.name}_statistics"
            )
            level, spread = statistics(*seen)
            standardize = Standardization(dtype="float32", name=f"{source.name}_means_standardized")
            coarse.append(standardize(means, level, spread))
            if ratio == self._ratio:
                images.append(self._on_grid(coarse[-1], source.name))
                continue
            standardize = Standardization(phases, dtype="float32", name=f"{source.name}_standardized")
            parts = ((level, "level"), (spread, "spread"))
            images.append(standardize(image, *(self._on_grid(part, f"{source.name}_{name}") for part, name in parts)))
        *fine, last = coarse
        fine = keras.layers.Concatenate(dtype="float32", name="fine_means")(fine) if len(fine) > 1 else fine[0]
        correlation = LocalCorrelation(windows.correlation, dtype="float32", name="correlation")
        return images, self._on_grid(correlation(last, fine), "correlation"), spread

    def _on_grid(self, coarse: tf.Tensor, name: str) -> tf.Tensor:
        """Interpolate what is as coarse as the coarsest source to 20 m."""
        if self._ratio == GRID:
            return coarse
        return BilinearUpsampling(self._ratio // GRID, dtype="float32", name=f"{name}_interpolated")(coarse)

    def network(self, normalized_inputs: Tensors) -> tf.Tensor:
        """Compute the coarsest source at 10 m, (batch, height, width, bands), from all sources: DN / 2000."""
        ratio, blocks = self._ratio, self.arguments["num_blocks"]
        seen = _consistent_rows(0, ratio)
        last = seen // GRID + 2 * (KERNEL // 2)
        first = last + (2 * blocks + 1) * (KERNEL // 2)  # rows of 20 m around the output that convolutions need
        (*fine, coarse), correlation, spread = self._standardized(normalized_inputs)
        fine = ByPhase(PHASES, dtype="float32", name="fine")(fine) if len(fine) > 1 else fine[0]
        images = [self._without(image, self.crop // GRID - first) for image in (fine, coarse, correlation)]
        stacked = keras.layers.Concatenate(dtype="float32", name="stacked")(images)
        features = self._convolution(stacked, self.arguments["depth"], "first")
        features = self._without(keras.layers.ReLU(name="first_relu")(features), KERNEL // 2, dtype=None)
        for index in range(blocks):
            features = self._without(self._block(features, f"block{index + 1}"), 2 * (KERNEL // 2), dtype=None)
        details = self._details(features, self._without(fine, self.crop // GRID - last))
        details = self._without(details, GRID * last - seen)
        spread = self._without(spread, (self.crop - seen) // ratio - 1)
        spread = BilinearUpsampling(ratio, dtype="float32", name="spread")(spread)
        details = keras.layers.Multiply(dtype="float32", name="scaled_back")([details, self._without(spread, ratio)])
        source = self._without(normalized_inputs[self.sources[-1].name], (self.crop - seen) // ratio)
        return self._without(_consistent(details, source, ratio), seen)

    def _details(self, features: tf.Tensor, fine: tf.Tensor) -> tf.Tensor:
        """Make standardised details at 10 m: made of features, and of fine bands with weights made of features.

        The last convolution looks across the pixels of 20 m, so that these leave no grid. It starts at zero.
        """
        bands, fine_bands = len(self.bands), sum(len(source.bands) for source in self.sources[:-1])
        details = self._convolution(features, PHASES * bands, "details")
        weights = self._convolution(features, fine_bands * bands, "weights")
        injected = WeightedSum(PHASES, dtype="float32", name="injected")(weights, fine)
        details = keras.layers.Add(dtype="float32", name="details_add")([details, injected])
        details = PixelShuffle(GRID, dtype="float32", name="shuffle")(details)
        return self._convolution(details, bands, "last", zeros=True, dtype="float32")
