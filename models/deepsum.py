# SPDX-License-Identifier: Apache-2.0
"""`DeepSUM`: nine unregistered images of a place to one image of three times the resolution (Molini et al. 2020).

A. B. Molini, D. Valsesia, G. Fracastoro, E. Magli, "DeepSUM: deep neural network for super-resolution of unregistered
multitemporal images", IEEE Transactions on Geoscience and Remote Sensing 58(5), 2020 (doi:10.1109/TGRS.2019.2959248),
which won ESA's PROBA-V challenge.

The input is frames upsampled to the fine grid, not registered, the reference first. Three networks follow each other:

* `sisr_*` computes features of each frame on its own;
* `registration_*` compares the features of each frame with those of the reference and predicts a 9 x 9 filter per
  frame, which moves its features and its image onto the reference;
* `fusion_*` fuses the nine frames into one, the residual to the mean of the registered images.

In between, pixels that a frame's mask conceals are filled from the first frame that is clear there. The `variant` says
when: `P`, the authors' program, fills after the registration, with registered masks; `C`, the graph in their
checkpoints, fills before it, with unregistered masks. The weights are the same; the evaluations here use `P`.

Features are normalised by their statistics over the image, and filters are averaged over it, so an image is processed
in one piece. It needs at least 5 rows and columns, because filters reach 4 mirrored pixels beyond the border.

    python -c "from models.deepsum import DeepSUM; DeepSUM.from_bands().summary()"
"""

from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow import keras

from models.base import Source, SuperResolutionModel, Tensors, layer_name, policy
from models.deepsum_layers import (
    BandsToFrames,
    DynamicFilters,
    FillConcealed,
    FoldFrames,
    GlobalResidual,
    PairConvolution,
    UnfoldFrames,
)
from models.layers import InstanceNormalization, ReflectPadding
from models.weights_file import load_weights, read_weights

SIZES = {"paper": {"depth": 64}, "small": {"depth": 16}}
"""Arguments of `DeepSUM` by name: those of the paper, and one that a few CPU cores can train."""

STATISTICS = {
    "NIR": (7754.6640625, 2316.3408203125, 596.9820556640625),
    "RED": (4913.21728515625, 2468.337158203125, 490.3779296875),
}
"""Mean, standard deviation, and that of the target, of PROBA-V's bands: the arguments for the authors' weights."""

VARIANTS = ("P", "C")
FRAMES = 9
FILTER = 9
"""Rows and columns of the filters."""
KERNEL = 3
SLOPE = 0.2
"""Slope of the activations below zero."""
SISR_LAYERS = 8
REGISTRATION_LAYERS = 5
FUSION_LAYERS = (FRAMES - 1) // (KERNEL - 1)
"""Number of convolutions that reduce nine frames to one."""


class DeepSUM(SuperResolutionModel):
    """The network of the paper. Inputs and output `sr` are digital numbers, on the fine grid.

    Args:
        dataset_element_spec: `element_spec` of a batched dataset of (inputs, targets).
        variant: `P`: masks are registered to the reference; `C`: they are not.
        depth: number of features.
        mean: mean of the frames' pixels, in digital numbers, subtracted from them.
        deviation: their standard deviation, by which they are divided.
        target_deviation: divisor of the target after the mean is subtracted.
        inference_cropping: crops, in fine pixels; by default none.

    Raises:
        ValueError: an argument is out of range.
    """

    system = "deepsum"
    sources = tuple(
        Source(f"{kind}s", tuple(f"{kind}{number}" for number in range(1, FRAMES + 1)), 100.0)
        for kind in ("frame", "mask")
    )
    gsd = 100.0
    bands = ("sr",)
    unit = 1.0
    whole_image = True
    least_side = FILTER // 2 + 1

    def __init__(
        self,
        dataset_element_spec: tuple,
        variant: str = "P",
        depth: int = 64,
        mean: float = STATISTICS["NIR"][0],
        deviation: float = STATISTICS["NIR"][1],
        target_deviation: float = STATISTICS["NIR"][2],
        inference_cropping: list[int] | None = None,
    ):
        if variant not in VARIANTS:
            raise ValueError(f"variant: expected one of {', '.join(VARIANTS)}, got {variant}")
        if depth < 1:
            raise ValueError(f"depth: expected at least 1, got {depth}")
        for name, value in (("deviation", deviation), ("target_deviation", target_deviation)):
            if not value > 0:
                raise ValueError(f"{name}: expected more than 0, got {value}")
        self.arguments = {
            "variant": variant,
            "depth": depth,
            "mean": mean,
            "deviation": deviation,
            "target_deviation": target_deviation,
        }
        self._weighted = self._layers_with_weights(depth)
        super().__init__(dataset_element_spec, inference_cropping)

    @classmethod
    def from_bands(cls, **arguments: Any) -> "DeepSUM":
        """Make the model from its arguments, without a dataset."""
        spec = {source.name: tf.TensorSpec((None, None, None, len(source.bands))) for source in cls.sources}
        return cls((spec, {}), **arguments)

    @staticmethod
    def _layers_with_weights(depth: int) -> dict[str, keras.layers.Layer]:
        """Make all layers with weights, by name. Several Keras models share them.

        In mixed precision, only the convolutions between the first and the last of each network use 16 bits.
        """
        layers: dict[str, keras.layers.Layer] = {}

        def add(kind: Any, name: str, *arguments: Any, **options: Any) -> None:
            layers[name] = kind(*arguments, name=name, **options)

        def convolution(
            name: str,
            features: int,
            kernel: int = KERNEL,
            dtype: str | None = None,
            kind: Any = keras.layers.Conv2D,
            scale: float = 1.0,
        ) -> None:
            initializer = keras.initializers.VarianceScaling(scale, "fan_avg", "truncated_normal")
            add(kind, name, features, kernel, kernel_initializer=initializer, dtype=dtype)

        for number in range(1, SISR_LAYERS + 1):
            convolution(f"sisr_{number}", depth, dtype=None if number > 1 else "float32")
            add(InstanceNormalization, f"sisr_norm_{number}", dtype="float32")
        convolution("sisr_head", 1, 1, "float32")
        # The authors convolve pairs in three dimensions: each of the two kernels is initialised for all features.
        convolution("registration_1", 2 * depth, dtype="float32", kind=PairConvolution, scale=2 / 3)
        for number in range(2, REGISTRATION_LAYERS):
            convolution(f"registration_{number}", depth)
        convolution(f"registration_{REGISTRATION_LAYERS}", FILTER**2, dtype="float32")
        for number in range(1, FUSION_LAYERS + 1):
            convolution(f"fusion_{number}", depth, kind=keras.layers.Conv3D)
            add(InstanceNormalization, f"fusion_norm_{number}", dtype="float32")
        convolution("fusion_last", 1, 1, "float32", keras.layers.Conv3D)
        return layers

    def _convolved(self, tensor: tf.Tensor, name: str, padding: Any = ReflectPadding) -> tf.Tensor:
        layer = self._weighted[name]
        return layer(padding(KERNEL // 2, dtype=layer.compute_dtype)(tensor))

    def _activated(self, tensor: tf.Tensor) -> tf.Tensor:
        return keras.layers.LeakyReLU(SLOPE, dtype="float32")(tensor)

    def _features(self, images: tf.Tensor, padding: Any = ReflectPadding) -> tf.Tensor:
        """Compute features (batch, height, width, depth) of standardised images (batch, height, width, 1)."""
        for number in range(1, SISR_LAYERS + 1):
            images = self._convolved(images, f"sisr_{number}", padding)
            images = self._activated(self._weighted[f"sisr_norm_{number}"](images))
        return images

    def _registered(self, features: tf.Tensor, frames: int) -> tf.Tensor:
        """Predict filter logits, (batch, frames - 1, 81), from features (batch, frames, height, width, depth)."""
        tensor = FoldFrames(dtype="float32")(self._weighted["registration_1"](features))
        for number in range(2, REGISTRATION_LAYERS + 1):
            tensor = self._convolved(self._activated(tensor), f"registration_{number}")
        tensor = keras.layers.GlobalAveragePooling2D(dtype="float32")(tensor)
        return UnfoldFrames(frames - 1, dtype="float32", name="logits")(tensor)

    def _fused(self, features: tf.Tensor) -> tf.Tensor:
        """Fuse the features of nine frames into one frame, (batch, 1, height, width, 1)."""
        for number in range(1, FUSION_LAYERS + 1):
            features = self._convolved(features, f"fusion_{number}")
            features = self._activated(self._weighted[f"fusion_norm_{number}"](features))
        return self._weighted["fusion_last"](features)

    def normalize_inputs(self, inputs: Tensors) -> Tensors:
        """Standardise the frames."""
        scale, mean = 1 / self.arguments["deviation"], self.arguments["mean"]
        rescaling = keras.layers.Rescaling(scale, -mean * scale, dtype="float32", name="frames_normalized")
        return {"frames": rescaling(inputs["frames"]), "masks": inputs["masks"]}

    def network(self, normalized_inputs: Tensors) -> tf.Tensor:
        """Compute the image, (batch, height, width, 1), minus the mean and divided by the target's deviation."""
        masks = normalized_inputs["masks"]
        images = BandsToFrames(dtype="float32")(normalized_inputs["frames"])
        features = self._features(FoldFrames(dtype="float32")(images))
        features = UnfoldFrames(FRAMES, dtype="float32", name="features")(features)
        if self.arguments["variant"] == "C":
            features, images = self._filled(features, masks), self._filled(images, masks)
        filters = keras.layers.Softmax(dtype="float32", name="filters")(self._registered(features, FRAMES))
        features, images = self._filtered(features, filters), self._filtered(images, filters)
        if self.arguments["variant"] == "P":
            features, images = self._filled(features, masks), self._filled(images, masks)
        factor = self.arguments["deviation"] / self.arguments["target_deviation"]
        return GlobalResidual(factor, dtype="float32", name="global_skip")([self._fused(features), images])

    def _filled(self, frames: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
        return FillConcealed(dtype="float32")([frames, masks])

    def _filtered(self, frames: tf.Tensor, filters: tf.Tensor) -> tf.Tensor:
        return DynamicFilters(FILTER, dtype="float32")([frames, filters])

    def get_outputs(self, normalized_inputs: Tensors) -> Tensors:
        """Return the trained output, `sr`: digital numbers, float32."""
        with policy(self._policy):
            image = self.network(normalized_inputs)
        scale, mean = self.arguments["target_deviation"], self.arguments["mean"]
        return {"sr": keras.layers.Rescaling(scale, mean, dtype="float32", name=layer_name("sr"))(image)}

    def training_model(self) -> keras.Model:
        """Return a Keras model with the same weights and inputs, and a list of two outputs.

        They are the image `sr`, (batch, height, width, 1), in digital numbers, and the logits of the filters,
        (batch, 8, 81), before the softmax `filters`.
        """
        layers = (layer_name("sr"), "logits")
        return keras.Model(self.model.input, [self.model.get_layer(name).output for name in layers], name="training")

    def features_model(self) -> keras.Model:
        """Return a Keras model, with the same weights, that computes the features for the registration.

        Its input is standardised images (batch, height, width, 1), its output (batch, height, width, depth).
        """
        images = keras.Input((None, None, 1), name="images")
        return keras.Model(images, self._features(images), name="features")

    def sisrnet_model(self) -> keras.Model:
        """Return a Keras model, with the same weights, that learns features by super-resolving single images.

        Input and output are standardised images (batch, height, width, 1). Borders are padded with zeros instead of
        mirrored, as in the authors' program. Its last layer, `sisr_head`, is in no other model.
        """
        images = keras.Input((None, None, 1), name="images")
        details = self._weighted["sisr_head"](self._features(images, keras.layers.ZeroPadding2D))
        return keras.Model(images, keras.layers.Add(dtype="float32")([details, images]), name="sisrnet")

    def registration_model(self, frames: int = FRAMES) -> keras.Model:
        """Return a Keras model, with the same weights, of the registration alone.

        Its input is features (batch, frames, height, width, depth), the reference first. Its output is the logits of
        the other frames' filters, (batch, frames - 1, 81).

        Args:
            frames: number of frames, including the reference.
        """
        features = keras.Input((frames, None, None, self.arguments["depth"]), name="features")
        return keras.Model(features, self._registered(features, frames), name="registration")


def load_part(model: DeepSUM, path: str | Path) -> str:
    """Load the weights of a pre-training, `sisrnet_model()` or `registration_model()`, into a model.

    The file must hold exactly the weights of one of them; the rest of the model is unchanged.

    Args:
        model: the model.
        path: the file, written by `models.weights_file.save_weights`.

    Returns:
        The name of the part, `sisrnet` or `registration`.

    Raises:
        ValueError: it is not a weights file, or the weights are those of neither part.
    """
    is_registration = any(name.startswith("registration_") for name in read_weights(path))
    part = model.registration_model() if is_registration else model.sisrnet_model()
    load_weights(part, path)
    return part.name
