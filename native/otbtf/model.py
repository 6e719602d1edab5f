# SPDX-License-Identifier: Apache-2.0
"""`ModelBase`: a Keras model made from the specification of its training dataset, ready to be served on images.

A subclass defines how inputs are normalised and how outputs are computed. The base class makes the inputs from the
dataset's element specification, with free height and width, and adds cropped copies of every output, without the pixels
that are affected by the border of a tile.

Names of the exported outputs: under Keras 2 (`save`), the name of the layer that makes the output; under
Keras 3 (`export`), the key of the output.
"""

import abc
import logging

import tensorflow as tf
from tensorflow import keras

KERAS_3 = hasattr(keras, "ops")
Tensors = dict[str, tf.Tensor]


def cropped_tensor_name(tensor_name: str, crop: int) -> str:
    """Return the name of the copy of an output that is cropped by `crop` pixels on each side."""
    return f"{tensor_name}_crop{crop}"


def _producer(tensor: tf.Tensor) -> str:
    """Return the name of the layer that makes a symbolic tensor."""
    history = tensor._keras_history
    return (history.operation if KERAS_3 else history.layer).name


def _identity(name: str) -> keras.layers.Layer:
    return keras.layers.Identity(name=name) if KERAS_3 else keras.layers.Activation("linear", name=name)


class ModelBase(abc.ABC):
    """Base class of models, to be created inside the scope of the distribution strategy, if there is one.

    Attributes that this class does not define are those of the Keras model, `model`: `compile`, `fit`, `summary`...

    Args:
        dataset_element_spec: `element_spec` of a batched dataset that yields (inputs, targets).
        input_keys: the dataset's inputs that the model uses; by default, all but the targets.
        inference_cropping: crops, in pixels of the outputs, default [16, 32, 64, 96, 128].
    """

    def __init__(
        self,
        dataset_element_spec: tuple,
        input_keys: list[str] | None = None,
        inference_cropping: list[int] | None = None,
    ):
        inputs_spec = dataset_element_spec[0]
        self.dataset_input_keys = list(inputs_spec)
        self.inputs_keys = input_keys or self.dataset_input_keys
        self.inference_cropping = inference_cropping or [16, 32, 64, 96, 128]
        self.dataset_element_spec = dataset_element_spec
        self.inputs_shapes = {key: tuple(inputs_spec[key].shape)[1:] for key in self.inputs_keys}
        self.model = self.create_network()

    def __getattr__(self, name: str):
        """Return an attribute of the Keras model."""
        if name == "model":
            raise AttributeError("The Keras model is not made yet: ModelBase.__init__() has not run.")
        return getattr(self.model, name)

    def get_inputs(self) -> Tensors:
        """Make the inputs of the model: images have free height and width."""
        inputs = {}
        for key, shape in self.inputs_shapes.items():
            shape = (None, None, *shape[2:]) if len(shape) > 2 else shape
            inputs[key] = keras.layers.Input(shape=shape, name=key)
        return inputs

    def normalize_inputs(self, inputs: Tensors) -> Tensors:
        """Normalise the inputs, in the exported graph. To be overridden; by default, inputs are unchanged."""
        logging.warning("normalize_inputs() is undefined: the inputs are used as they are.")
        return inputs

    @abc.abstractmethod
    def get_outputs(self, normalized_inputs: Tensors) -> Tensors:
        """Compute the outputs of the model from its normalised inputs."""

    def postprocess_outputs(self, outputs: Tensors, inputs: Tensors, normalized_inputs: Tensors) -> Tensors:
        """Make the additional outputs for inference: the cropped ones.

        Args:
            outputs: the result of `get_outputs`, (batch, height, width, bands) each.
            inputs: inputs of the model.
            normalized_inputs: normalised inputs of the model.

        Returns:
            The additional outputs.
        """
        extra_outputs = {}
        for key, output in outputs.items():
            for crop in self.inference_cropping:
                cropped = output[:, crop:-crop, crop:-crop, :]
                name = cropped_tensor_name(_producer(output), crop)
                extra_outputs[cropped_tensor_name(key, crop)] = _identity(name)(cropped)
        return extra_outputs

    def create_network(self) -> keras.Model:
        """Make the Keras model, from a dict of inputs to a dict of outputs."""
        inputs = self.get_inputs()
        if KERAS_3:
            normalized_inputs = self.normalize_inputs(inputs)
            outputs = self.get_outputs(normalized_inputs)
        else:
            normalized_inputs = self.normalize_inputs(inputs=inputs)
            outputs = self.get_outputs(normalized_inputs=normalized_inputs)
        extra_outputs = self.postprocess_outputs(outputs, inputs, normalized_inputs)
        outputs = {**outputs, **extra_outputs}
        if KERAS_3:
            outputs = {
                key: output if _producer(output) == key else _identity(key)(output) for key, output in outputs.items()
            }
        return keras.Model(inputs=inputs, outputs=outputs, name=self.__class__.__name__)

    def summary(self, strategy: tf.distribute.Strategy | None = None) -> None:
        """Print the layers, on the chief worker only."""
        if strategy is None or _is_chief(strategy):
            self.model.summary(line_length=150)

    def plot(self, output_path: str, strategy: tf.distribute.Strategy | None = None, show_shapes: bool = False) -> None:
        """Draw the model, on the chief worker only. Needs pydot and graphviz."""
        if strategy is None or _is_chief(strategy):
            keras.utils.plot_model(self.model, output_path, show_shapes=show_shapes)


def _is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Return whether this process is the one that writes, under the strategy."""
    resolver = strategy.cluster_resolver
    return not resolver or not resolver.task_type or resolver.task_type == "chief" or resolver.task_id == 0
