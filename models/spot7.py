# SPDX-License-Identifier: Apache-2.0
"""`SRModel`: four bands of Sentinel-2, resampled to 6 m, to the 1.5 m of pansharpened Spot-7.

The network is the one of OTBTF's tutorial (https://otb-keras-tutorial.readthedocs.io, part 4): a 7x7 convolution,
residual blocks without normalisation, a skip over all of them, two transposed convolutions of stride 2, and a 7x7
convolution. The tutorial leaves depth, number of blocks and activation open; here they are arguments. It differs from
the tutorial in three points:

* `global_skip`: the network computes the residual to the bicubic interpolation of its input. Its last layer is
  initially zero, so training starts from bicubic interpolation;
* transposed convolutions have even kernels, which do not shift the image by a fraction of a pixel, and are initially
  bilinear interpolation, which has no checkerboard pattern;
* activations are `swish` by default: reflectances are all positive, so with `relu` a feature is either off over the
  whole image or linear, and a few large steps switch all features off for good.

    python -c "from models.spot7 import SRModel; SRModel.from_bands(depth=32, num_blocks=4).summary()"
"""

from typing import Any

import tensorflow as tf
from tensorflow import keras

from models.base import Source, SuperResolutionModel, Tensors
from models.layers import BicubicUpsampling, BilinearInitializer

SIZES = {
    "base": {"depth": 64, "num_blocks": 16},
    "small": {"depth": 32, "num_blocks": 4},
}
"""Arguments of `SRModel` by name: `base` for GPUs, `small` for training and serving on a few CPU cores."""

OUTER_KERNEL = 7
BLOCK_KERNEL = 3
BICUBIC_RADIUS = 2
MEAN_REFLECTANCE = 0.1
"""Initial output without `global_skip`: an activation such as ReLU that started at zero would stay there."""


def contaminated(rows: int, kernel: int) -> int:
    """Return how many output rows of a stride-2 transposed convolution depend on `rows` invalid input rows.

    With an even kernel k and same padding, output row o gathers input rows from ceil((o - k / 2) / 2) on.
    """
    return 2 * rows - 1 + kernel // 2


class SRModel(SuperResolutionModel):
    """The tutorial's network. Input key `lr` (digital numbers), target and output `sr` (reflectance).

    Args:
        dataset_element_spec: `element_spec` of a batched dataset of (inputs, targets).
        depth: number of features.
        num_blocks: number of residual blocks.
        activation: activation of the first convolution, of the blocks and of the upsampling.
        final_activation: activation of the output; it must pass the bicubic interpolation unchanged (`relu`, `linear`).
        upsampling_kernel: size of the transposed convolutions' kernels, even.
        global_skip: add the network's output to the bicubic interpolation of the input.
        inference_cropping: crops, in 1.5 m pixels; by default the one that leaves no seam between tiles.

    Raises:
        ValueError: an argument is out of range.
    """

    system = "spot7"
    sources = (Source("lr", ("B04", "B03", "B02", "B08"), 6.0),)
    gsd = 1.5
    bands = ("B04", "B03", "B02", "B08")

    def __init__(
        self,
        dataset_element_spec: tuple,
        depth: int = 64,
        num_blocks: int = 16,
        activation: str = "swish",
        final_activation: str = "relu",
        upsampling_kernel: int = 4,
        global_skip: bool = True,
        inference_cropping: list[int] | None = None,
    ):
        if depth < 1:
            raise ValueError(f"depth: expected at least 1, got {depth}")
        if num_blocks < 0:
            raise ValueError(f"num_blocks: expected at least 0, got {num_blocks}")
        if upsampling_kernel < 2 or upsampling_kernel % 2:
            raise ValueError(f"upsampling_kernel: expected an even number, got {upsampling_kernel}")
        self.arguments = {
            "depth": depth,
            "num_blocks": num_blocks,
            "activation": activation,
            "final_activation": final_activation,
            "upsampling_kernel": upsampling_kernel,
            "global_skip": global_skip,
        }
        super().__init__(dataset_element_spec, inference_cropping)

    @classmethod
    def from_bands(cls, **arguments: Any) -> "SRModel":
        """Make the model from its arguments, without a dataset."""
        source = cls.sources[0]
        return cls(({source.name: tf.TensorSpec((None, None, None, len(source.bands)))}, {}), **arguments)

    @property
    def receptive_field_radius(self) -> int:
        """Number of 1.5 m rows along the edge of an image that depend on pixels beyond the edge."""
        kernel = self.arguments["upsampling_kernel"]
        rows = OUTER_KERNEL // 2 + 2 * self.arguments["num_blocks"] * (BLOCK_KERNEL // 2)
        rows = contaminated(contaminated(rows, kernel), kernel) + OUTER_KERNEL // 2
        return max(rows, self.scale * BICUBIC_RADIUS) if self.arguments["global_skip"] else rows

    def _convolution(
        self, tensor: tf.Tensor, kernel: int, name: str, initializer: str = "he_normal", dtype: str | None = None
    ) -> tf.Tensor:
        return keras.layers.Conv2D(
            self.arguments["depth"], kernel, padding="same", kernel_initializer=initializer, dtype=dtype, name=name
        )(tensor)

    def _activation(self, tensor: tf.Tensor, name: str, dtype: str | None = None) -> tf.Tensor:
        return keras.layers.Activation(self.arguments["activation"], dtype=dtype, name=f"{name}_activation")(tensor)

    def _block(self, tensor: tf.Tensor, name: str) -> tf.Tensor:
        """Apply convolution, activation, convolution, addition, activation.

        In mixed precision only the layers before the addition use 16 bits. The second convolution is initially zero
        (Zhang et al. 2019, arXiv:1901.09321): without normalisation, features would otherwise explode in deep stacks of
        blocks.
        """
        branch = self._activation(self._convolution(tensor, BLOCK_KERNEL, f"{name}_1"), f"{name}_1")
        branch = self._convolution(branch, BLOCK_KERNEL, f"{name}_2", "zeros")
        total = keras.layers.Add(dtype="float32", name=f"{name}_add")([tensor, branch])
        return self._activation(total, name, dtype="float32")

    def _upsampling(self, tensor: tf.Tensor, name: str) -> tf.Tensor:
        """Double height and width."""
        tensor = keras.layers.Conv2DTranspose(
            self.arguments["depth"],
            self.arguments["upsampling_kernel"],
            strides=2,
            padding="same",
            kernel_initializer=BilinearInitializer(),
            name=name,
        )(tensor)
        return self._activation(tensor, name)

    def network(self, normalized_inputs: Tensors) -> tf.Tensor:
        """Compute the image, four times as high and wide, from (batch, height, width, 4): reflectance."""
        image = normalized_inputs[self.sources[0].name]
        first = self._convolution(image, OUTER_KERNEL, "first", dtype="float32")
        first = self._activation(first, "first", dtype="float32")
        features = first
        for index in range(self.arguments["num_blocks"]):
            features = self._block(features, f"block{index + 1}")
        features = keras.layers.Add(dtype="float32", name="long_skip")([first, features])
        features = self._upsampling(self._upsampling(features, "upsampling1"), "upsampling2")
        global_skip = self.arguments["global_skip"]
        output = keras.layers.Conv2D(
            len(self.bands),
            OUTER_KERNEL,
            padding="same",
            kernel_initializer="zeros",
            bias_initializer=keras.initializers.Constant(0.0 if global_skip else MEAN_REFLECTANCE),
            dtype="float32",
            name="last",
        )(features)
        if global_skip:
            interpolated = BicubicUpsampling(self.scale, dtype="float32", name="bicubic")(image)
            output = keras.layers.Add(dtype="float32", name="global_skip")([interpolated, output])
        return keras.layers.Activation(self.arguments["final_activation"], dtype="float32", name="final_activation")(
            output
        )
