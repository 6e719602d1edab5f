# SPDX-License-Identifier: Apache-2.0
"""`REC` and `CSR`: the 10 m bands of Sentinel-2 L1B to 5 m, and their registration (L1BSR, Nguyen et al. 2023).

N. L. Nguyen, J. Anger, A. Davy, P. Arias, G. Facciolo, "L1BSR: exploiting detector overlap for self-supervised
single-image super-resolution of Sentinel-2 L1B imagery", EarthVision 2023 (arXiv:2304.06871).

`REC` doubles the resolution of the four bands and aligns them all with the green one. It is RCAN (Y. Zhang et al.,
"Image super-resolution using very deep residual channel attention networks", ECCV 2018, arXiv:1807.02758) without its
mean subtraction. Pixel (2y, 2x) of its output is centred on pixel (y, x) of its input.

`CSR` registers bands: for each pixel of the green band it finds the matching position in another band, at most 10
pixels away. It serves to train `REC`, which then works without it; on its own it registers an image at its own
resolution. It is an encoder-decoder without skips, like the FNet of M. S. M. Sajjadi, R. Vemulapalli, M. Brown,
"Frame-recurrent video super-resolution", CVPR 2018 (arXiv:1801.04590). Its flows may be refined by local correlation,
which is not learnt.

Both work on the counts of L1B, and both depend on the whole image: `REC` weighs features by their means, `CSR`
standardises bands by their statistics. An image processed in tiles therefore differs.

    python -c "from models.l1bsr import REC; REC.from_bands().summary()"
"""

from typing import Any

import tensorflow as tf
from tensorflow import keras

from models.base import Source, SuperResolutionModel, Tensors, layer_name
from models.flow_refinement import refine
from models.layers import PixelShuffle, ReflectPadding
from models.sharpness import BackProjection
from models.warp import mirrored, standardize, warp

BANDS = ("B02", "B03", "B04", "B08")
GREEN = BANDS.index("B03")
OTHERS = tuple(index for index in range(len(BANDS)) if index != GREEN)
"""Indices of the bands that are registered onto the green one."""

REC_SIZES = {
    "paper": {"num_groups": 10, "num_blocks": 20, "depth": 64, "reduction": 16},
    "small": {"num_groups": 4, "num_blocks": 4, "depth": 32, "reduction": 8},
}
"""Arguments of `REC` by name: those of the paper, and one that a few CPU cores can train."""

CSR_SIZES = {"paper": {"depth": 32, "max_flow": 10.0}, "small": {"depth": 16, "max_flow": 10.0}}
"""Arguments of `CSR` by name: those of the paper, and one that a few CPU cores can train."""

KERNEL = 3
LEVELS = 4
"""How many times `CSR` halves an image."""
SLOPE = 0.2
"""Slope of `CSR`'s activations below zero."""


class _L1BModel(SuperResolutionModel):
    """What both models share: one source, in counts, and the dependence on the whole image."""

    sources = (Source("x10", BANDS, 10.0),)
    bands = BANDS
    unit = 1.0
    whole_image = True

    @classmethod
    def from_bands(cls, **arguments: Any) -> "_L1BModel":
        """Make the model from its arguments, without a dataset."""
        return cls(({"x10": tf.TensorSpec((None, None, None, len(BANDS)))}, {}), **arguments)


class REC(_L1BModel):
    """The super-resolution network. Input `x10` and output `sr` are counts, at 10 m and at 5 m.

    Args:
        dataset_element_spec: `element_spec` of a batched dataset of (inputs, targets).
        num_groups: number of groups of blocks, each with a skip.
        num_blocks: number of residual blocks per group.
        depth: number of features.
        reduction: factor by which the attention reduces the number of features.
        registered: whether the weights are for images whose bands a `CSR` has registered onto the green one. The
            computation is the same.
        sharp: whether the weights make images as sharp as a sensor with pixels of 5 m sees them, instead of as sharp as
            the input; these are then made consistent with it (`models.sharpness.BackProjection`).
        inference_cropping: crops, in 5 m pixels; by default none.

    Raises:
        ValueError: an argument is out of range.
    """

    system = "l1bsr"
    class_name = "REC"
    gsd = 5.0
    normalization = 1 / 400
    shift = 0.5

    def __init__(
        self,
        dataset_element_spec: tuple,
        num_groups: int = 10,
        num_blocks: int = 20,
        depth: int = 64,
        reduction: int = 16,
        registered: bool = False,
        sharp: bool = False,
        inference_cropping: list[int] | None = None,
    ):
        for name, value in (("num_groups", num_groups), ("num_blocks", num_blocks)):
            if value < 0:
                raise ValueError(f"{name}: expected at least 0, got {value}")
        if depth < 1:
            raise ValueError(f"depth: expected at least 1, got {depth}")
        if not 1 <= reduction <= depth:
            raise ValueError(f"reduction: expected 1 to the depth {depth}, got {reduction}")
        self.arguments = {
            "num_groups": num_groups,
            "num_blocks": num_blocks,
            "depth": depth,
            "reduction": reduction,
            "registered": registered,
            "sharp": sharp,
        }
        super().__init__(dataset_element_spec, inference_cropping)

    def _convolution(self, tensor: tf.Tensor, features: int, kernel: int, name: str, **options: Any) -> tf.Tensor:
        """Apply a convolution whose initial weights are within 1 / sqrt(number of inputs), as in torch."""
        initializer = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
        return keras.layers.Conv2D(
            features, kernel, padding="same", kernel_initializer=initializer, name=name, **options
        )(tensor)

    def _attention(self, tensor: tf.Tensor, name: str) -> tf.Tensor:
        """Multiply each feature by a weight from 0 to 1, computed from the means of all features over the image."""
        depth, hidden = self.arguments["depth"], self.arguments["depth"] // self.arguments["reduction"]
        means = keras.layers.GlobalAveragePooling2D(keepdims=True, dtype="float32", name=f"{name}_means")(tensor)
        weights = self._convolution(means, hidden, 1, f"{name}_squeeze", activation="relu", dtype="float32")
        weights = self._convolution(weights, depth, 1, f"{name}_excite", activation="sigmoid", dtype="float32")
        return keras.layers.Multiply(dtype="float32", name=f"{name}_weigh")([tensor, weights])

    def _block(self, tensor: tf.Tensor, name: str) -> tf.Tensor:
        """Add convolution, ReLU, convolution, attention. In mixed precision only the convolutions use 16 bits."""
        depth = self.arguments["depth"]
        branch = self._convolution(tensor, depth, KERNEL, f"{name}_1")
        branch = keras.layers.ReLU(name=f"{name}_relu")(branch)
        branch = self._attention(self._convolution(branch, depth, KERNEL, f"{name}_2"), name)
        return keras.layers.Add(dtype="float32", name=f"{name}_add")([tensor, branch])

    def network(self, normalized_inputs: Tensors) -> tf.Tensor:
        """Compute the image, twice as high and wide, from (batch, height, width, 4): counts / 400."""
        depth = self.arguments["depth"]
        head = self._convolution(normalized_inputs["x10"], depth, KERNEL, "head", dtype="float32")
        features = head
        for group in range(1, self.arguments["num_groups"] + 1):
            start = features
            for block in range(1, self.arguments["num_blocks"] + 1):
                features = self._block(features, f"group{group}_block{block}")
            features = self._convolution(features, depth, KERNEL, f"group{group}_last")
            features = keras.layers.Add(dtype="float32", name=f"group{group}_add")([start, features])
        features = self._convolution(features, depth, KERNEL, "body_last")
        features = keras.layers.Add(dtype="float32", name="long_skip")([head, features])
        features = self._convolution(features, self.scale**2 * depth, KERNEL, "upsample", dtype="float32")
        features = PixelShuffle(self.scale, dtype="float32", name="shuffle")(features)
        images = self._convolution(features, len(BANDS), KERNEL, "last", dtype="float32")
        if not self.arguments["sharp"]:
            return images
        return BackProjection(dtype="float32", name="consistent")([images, normalized_inputs["x10"]])


class CSR(_L1BModel):
    """The registration network. Input `x10` and output `sr` are counts; the green band is copied.

    Output `flow` is (batch, height, width, 6): x and y of B02, B04 and B08, in pixels, on the grid of the green band
    and into the other one. Everything is computed in 32 bits, because flows need a precision of a hundredth of a pixel.

    Args:
        dataset_element_spec: `element_spec` of a batched dataset of (inputs, targets).
        depth: number of features of the first convolutions.
        max_flow: largest flow of the network, along each axis, in pixels.
        refinements: number of steps in which `models.flow_refinement` improves the network's flows; none in the paper.
        inference_cropping: crops, in pixels; by default none.

    Raises:
        ValueError: an argument is out of range.
    """

    system = "l1bsr"
    class_name = "CSR"
    gsd = 10.0
    normalization = 1.0

    def __init__(
        self,
        dataset_element_spec: tuple,
        depth: int = 32,
        max_flow: float = 10.0,
        refinements: int = 0,
        inference_cropping: list[int] | None = None,
    ):
        for name, value, least in (("depth", depth, 1), ("refinements", refinements, 0)):
            if value < least:
                raise ValueError(f"{name}: expected at least {least}, got {value}")
        if max_flow <= 0:
            raise ValueError(f"max_flow: expected more than 0, got {max_flow}")
        self.arguments = {"depth": depth, "max_flow": max_flow, "refinements": refinements}
        features = {f"encode{level}": depth << level - 1 for level in range(1, LEVELS + 1)}
        features |= {f"decode{level}": depth << min(LEVELS - level + 1, LEVELS - 1) for level in range(1, LEVELS + 1)}
        self._convolutions = {
            f"{name}_{n}": self._convolution(f"{name}_{n}", features[name]) for name in features for n in (1, 2)
        }
        self._convolutions["flow_1"] = self._convolution("flow_1", depth)
        self._convolutions["flow_2"] = self._convolution("flow_2", 2, keras.initializers.RandomNormal(stddev=1e-4))
        super().__init__(dataset_element_spec, inference_cropping)

    @staticmethod
    def _convolution(name: str, features: int, initializer: Any = "he_normal") -> keras.layers.Conv2D:
        return keras.layers.Conv2D(features, KERNEL, kernel_initializer=initializer, dtype="float32", name=name)

    def get_outputs(self, normalized_inputs: Tensors) -> Tensors:
        """Return the registered image and the flows."""
        images = normalized_inputs["x10"]
        flows = self._flow(Pairs(dtype="float32", name="pairs")(images))
        flow = FlowsOfBands(dtype="float32", name=layer_name("flow"))(flows)
        return {"sr": Registration(dtype="float32", name=layer_name("sr"))([images, flow]), "flow": flow}

    def pair_model(self, refined: bool = True) -> keras.Model:
        """Return a Keras model, with the same weights, for any two bands.

        Its input is (batch, height, width, 2), standardised: the band on whose grid the flow is defined, and the one
        that it points into. Its output is the flow, (batch, height, width, 2), in pixels.

        Args:
            refined: whether to refine the flow like the model's.
        """
        pairs = keras.Input((None, None, 2), name="pairs")
        return keras.Model(pairs, self._flow(pairs) if refined else self._network_flow(pairs), name="pair_model")

    def _flow(self, pairs: tf.Tensor) -> tf.Tensor:
        """Compute the flows, (batch, height, width, 2), in pixels, of standardised pairs."""
        flow, steps = self._network_flow(pairs), self.arguments["refinements"]
        return Refinement(steps, dtype="float32")([pairs, flow]) if steps else flow

    def _network_flow(self, pairs: tf.Tensor) -> tf.Tensor:
        # Two pixels remain at the coarsest level, the fewest that can be mirrored.
        tensor = MirrorToMultiple(1 << LEVELS, 2 << LEVELS, dtype="float32")(pairs)
        for level in range(1, LEVELS + 1):
            tensor = self._activated(self._activated(tensor, f"encode{level}_1"), f"encode{level}_2")
            tensor = keras.layers.MaxPooling2D(2, dtype="float32")(tensor)
        for level in range(1, LEVELS + 1):
            tensor = self._activated(self._activated(tensor, f"decode{level}_1"), f"decode{level}_2")
            tensor = keras.layers.UpSampling2D(2, interpolation="bilinear", dtype="float32")(tensor)
        tensor = self._convolved(self._activated(tensor, "flow_1"), "flow_2")
        flow = keras.layers.Activation("tanh", dtype="float32")(tensor)
        flow = keras.layers.Rescaling(self.arguments["max_flow"], dtype="float32")(flow)
        return CropLike(dtype="float32")([flow, pairs])

    def _convolved(self, tensor: tf.Tensor, name: str) -> tf.Tensor:
        return self._convolutions[name](ReflectPadding(KERNEL // 2, dtype="float32")(tensor))

    def _activated(self, tensor: tf.Tensor, name: str) -> tf.Tensor:
        return keras.layers.LeakyReLU(SLOPE, dtype="float32")(self._convolved(tensor, name))


class Pairs(keras.layers.Layer):
    """Standardises images and pairs their green band with each of the others."""

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """Turn (batch, height, width, 4) into (3 batch, height, width, 2), an image's pairs one after the other."""
        images = standardize(images)
        pairs = tf.stack([tf.gather(images, [GREEN, other], axis=-1) for other in OTHERS], axis=1)
        shape = tf.shape(pairs)
        return tf.reshape(pairs, [shape[0] * shape[1], shape[2], shape[3], 2])


class FlowsOfBands(keras.layers.Layer):
    """Joins the flows of an image's bands."""

    def call(self, flows: tf.Tensor) -> tf.Tensor:
        """Turn (3 batch, height, width, 2) into (batch, height, width, 6)."""
        shape, bands = tf.shape(flows), len(OTHERS)
        flows = tf.reshape(flows, [-1, bands, shape[1], shape[2], 2])
        return tf.reshape(tf.transpose(flows, [0, 2, 3, 1, 4]), [-1, shape[1], shape[2], 2 * bands])


class Refinement(keras.layers.Layer):
    """Improves flows between bands by local correlation.

    Args:
        steps: number of steps.
    """

    def __init__(self, steps: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.steps = steps

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Refine flows of pairs (batch, height, width, 2) with `models.flow_refinement.refine`."""
        pairs, flow = inputs
        return refine(pairs, flow, self.steps)

    def get_config(self) -> dict:
        """Return the arguments."""
        return {**super().get_config(), "steps": self.steps}


class Registration(keras.layers.Layer):
    """Warps the bands of images onto their green one."""

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Register images (batch, height, width, 4) by their flows (batch, height, width, 6)."""
        images, flow = inputs
        bands = tf.split(images, len(BANDS), axis=-1)
        for other, part in zip(OTHERS, tf.split(flow, len(OTHERS), axis=-1)):
            bands[other] = warp(bands[other], part)
        return tf.concat(bands, axis=-1)


class MirrorToMultiple(keras.layers.Layer):
    """Pads images by mirroring, below and to the right, to the next multiples of a size.

    Args:
        multiple: the size, in pixels.
        least: smallest height and width, a multiple.
    """

    def __init__(self, multiple: int, least: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.multiple = multiple
        self.least = least

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """Pad (batch, height, width, bands), of any size."""
        for axis in (1, 2):
            size = tf.shape(images)[axis]
            extended = tf.maximum(-(-size // self.multiple) * self.multiple, self.least)
            images = tf.gather(images, mirrored(tf.range(extended), size), axis=axis)
        return images

    def get_config(self) -> dict:
        """Return the arguments."""
        return {**super().get_config(), "multiple": self.multiple, "least": self.least}


class CropLike(keras.layers.Layer):
    """Crops images, from below and from the right, to the size of others."""

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Crop the first images (batch, height, width, bands) to the height and width of the second ones."""
        images, others = inputs
        return images[:, : tf.shape(others)[1], : tf.shape(others)[2]]
