# SPDX-License-Identifier: Apache-2.0
"""The base class of the project's models: declared sources, named outputs, exact crops, and export.

A model is a subclass of `SuperResolutionModel`, itself an `otbtf.ModelBase`. It declares its sources and its output as
data and defines its network. The SavedModel has the same outputs under Keras 2 (OTBTF 4.x, layer names) and Keras 3
(OTBTF 5.x, keys): `sr`, reflectance; `sr_dn`, digital numbers for 16-bit products; and `sr_crop<c>` and
`sr_dn_crop<c>`, the same without the c pixels on each side that depend on where the tile ends. A model whose pixels
depend on the whole image has no cropped outputs.

    from models import base, spot7
    model = spot7.SRModel(tf_dataset.element_spec, **spot7.SIZES["small"])
    base.export(model, "model")
"""

import importlib.metadata
import logging
import math
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import otbtf
import tensorflow as tf
from tensorflow import keras

from chain.runtime.files import LONGEST_STEM, scratch_folder, synchronize, synchronize_all
from models.convolutions import check_convolutions
from models.description import (
    WEIGHTS_NAME,
    ModelDescription,
    Source,
    check_replaceable,
    read_description,
    write_description,
)
from models.layers import Crop, DigitalNumbers
from models.spectra import Spectra
from models.weights_file import save_weights, weights_digest

__all__ = ["WEIGHTS_NAME", "ModelDescription", "Source", "SuperResolutionModel", "export", "read_description"]

KERAS_3 = hasattr(keras, "ops")
REFLECTANCE = 1e-4
"""Reflectance of one digital number."""

Tensors = dict[str, tf.Tensor]


def keras_version() -> str:
    """Return the version of Keras; `tf.keras` of Keras 2 does not report it."""
    return importlib.metadata.version("keras")


def layer_name(key: str) -> str:
    """Return the name of the layer behind an output that the SavedModel is to call `key`.

    Keras 2 exports the name of the layer. Keras 3 exports the key, and OTBTF 5 adds a layer of that name.
    """
    return f"{key}_layer" if KERAS_3 else key


@contextmanager
def policy(name: Any) -> Iterator[None]:
    """Set Keras' global precision policy, given as a name or a policy, for the duration of the block."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


class SuperResolutionModel(otbtf.ModelBase):
    """Base class of the project's models.

    A subclass sets `system`, `sources`, `gsd` and `bands`, and defines `network` and `receptive_field_radius`.

    Class attributes:
        normalization: factor from digital numbers to the unit of the network's input and output; reflectance by
            default.
        unit: value of one digital number in the output `sr`; a reflectance by default.
        levels: processing levels of the products that the weights are for; any by default.
        origin: where the weights come from.
        spectra: the ground that the weights were trained on; None where it is not known, or does not matter.
        class_name: the class's name, where a module has several.
        whole_image: whether every pixel depends on the whole image. The image is then served in one piece, and
            `receptive_field_radius` is not needed.
        shift: offset of the output's grid, to the right of and below the corner of the first source's, in output
            pixels.
        cropped: whether the network makes images without the crop on each side, which costs less: the model has the
            cropped outputs alone, and is there to be served. Sources are larger than the crops of both sides.
        least_side: smallest number of rows and of columns of an image, in output pixels.

    Args:
        dataset_element_spec: `element_spec` of a batched dataset of (inputs, targets).
        inference_cropping: crops, in output pixels; by default the one that leaves no seam between tiles, or none (0)
            for a whole-image model.

    Raises:
        ValueError: the dataset has a different number of bands for a source.
        RuntimeError: TensorFlow does not compute what it is asked for.
    """

    system: str
    sources: tuple[Source, ...]
    gsd: float
    bands: tuple[str, ...]
    arguments: dict
    normalization: float = REFLECTANCE
    unit: float = REFLECTANCE
    class_name: str = ""
    whole_image: bool = False
    shift: float = 0.0
    cropped: bool = False
    least_side: int = 1
    levels: tuple[str, ...] = ()
    origin: dict = {}
    spectra: Spectra | None = None

    def __init__(self, dataset_element_spec: tuple, inference_cropping: list[int] | None = None):
        check_convolutions()
        for source in self.sources:
            bands = dataset_element_spec[0][source.name].shape[-1]
            if bands != len(source.bands):
                raise ValueError(
                    f"dataset_element_spec: expected {len(source.bands)} bands ({', '.join(source.bands)}) in "
                    f"{source.name}, got {bands}"
                )
        self.crops = inference_cropping or [0 if self.whole_image else self.seamless_crop()]
        super().__init__(
            dataset_element_spec=dataset_element_spec,
            input_keys=[source.name for source in self.sources],
            inference_cropping=self.crops,
        )

    def create_network(self) -> keras.Model:
        """Make the Keras model. A mixed-precision policy applies to the network only, not to the layers around it.

        OTBTF 5 ends the outputs with layers of the policy's type, which would round them to 16 bits.
        """
        self._policy = keras.mixed_precision.global_policy()
        with policy("float32"):
            return super().create_network()

    @property
    def crop(self) -> int:
        """Crop of the served outputs, in output pixels: the first of the crops."""
        return self.crops[0]

    @property
    def scale(self) -> int:
        """Number of output pixels along one pixel of the first source."""
        return round(self.sources[0].gsd / self.gsd)

    @property
    def receptive_field_radius(self) -> int:
        """Number of output rows along the edge of an image that depend on pixels beyond the edge."""
        raise NotImplementedError(f"{type(self).__name__} does not define receptive_field_radius")

    def network(self, normalized_inputs: Tensors) -> tf.Tensor:
        """Compute the super-resolved image, in the unit of the normalised inputs."""
        raise NotImplementedError(f"{type(self).__name__} does not define network")

    def seamless_crop(self) -> int:
        """Return the smallest crop, in output pixels, without seams and of whole pixels in every source."""
        step = math.lcm(2 * self.scale, *(round(source.gsd / self.gsd) for source in self.sources))
        return -(-self.receptive_field_radius // step) * step

    @property
    def _keys(self) -> tuple[str, str]:
        """Names of what the network makes, and of its digital numbers."""
        return (f"sr_crop{self.crop}", f"sr_dn_crop{self.crop}") if self.cropped else ("sr", "sr_dn")

    def normalize_inputs(self, inputs: Tensors) -> Tensors:
        """Convert digital numbers to the unit that the network works in."""
        return {
            key: keras.layers.Rescaling(self.normalization, dtype="float32", name=f"{key}_normalized")(tensor)
            for key, tensor in inputs.items()
        }

    def get_outputs(self, normalized_inputs: Tensors) -> Tensors:
        """Return the trained output, `sr`: reflectance or the model's unit, float32."""
        with policy(self._policy):
            image = self.network(normalized_inputs)
        factor = self.unit / self.normalization
        key, _ = self._keys
        return {key: keras.layers.Rescaling(factor, dtype="float32", name=layer_name(key))(image)}

    def postprocess_outputs(self, outputs: Tensors, inputs: Tensors, normalized_inputs: Tensors) -> Tensors:
        """Return the served outputs: digital numbers, and cropped copies."""
        name, number = self._keys
        digital_numbers = DigitalNumbers(1 / self.unit, dtype="float32", name=layer_name(number))(outputs[name])
        extra_outputs = {number: digital_numbers}
        if self.cropped:
            return extra_outputs
        for key, tensor in {**outputs, **extra_outputs}.items():
            for crop in filter(None, self.crops):
                name = f"{key}_crop{crop}"
                extra_outputs[name] = Crop(crop, dtype="float32", name=layer_name(name))(tensor)
        return extra_outputs

    @property
    def precision(self) -> str:
        """Compute type of the inner convolutions: that of any layer with weights that is not float32."""
        types = {layer.compute_dtype for layer in self.model.layers if layer.weights} - {"float32"}
        return min(types, default="float32")

    def training_model(self) -> keras.Model:
        """Return a Keras model that shares the weights and has one output, the image `sr`, in full precision.

        It skips the outputs that are only served, and is trained with plain losses and metrics: Keras 2 and Keras 3
        treat losses given as dicts, by output, differently.
        """
        return keras.Model(self.model.input, self.model.get_layer(layer_name("sr")).output, name="training")

    def description(self, weights: str = "") -> dict:
        """Return the content of this model's `model.json`, given the SHA-256 of its weights."""
        cropped = f"_crop{self.crop}" if self.crop else ""
        description = ModelDescription(
            system=self.system,
            arguments=self.arguments,
            sources=self.sources,
            gsd=self.gsd,
            bands=self.bands,
            crop=self.crop,
            outputs={"float": f"sr{cropped}", "integer": f"sr_dn{cropped}"},
            software={"tensorflow": tf.__version__, "keras": keras_version(), "otbtf": otbtf.__version__},
            weights=weights,
            levels=self.levels,
            origin=self.origin,
            precision=self.precision,
            model=self.class_name,
            whole_image=self.whole_image,
            shift=self.shift,
        )
        return description.to_json()


def _save(model: otbtf.ModelBase, folder: Path) -> None:
    """Write the SavedModel in the way of the OTBTF release for this version of Keras."""
    if KERAS_3:
        with warnings.catch_warnings(), _quiet_keras():
            warnings.filterwarnings(
                "ignore", message="The structure of `inputs`"
            )  # Keras passes a single input without its dict
            model.model.export(str(folder), verbose=False)
    else:
        with _without_compile_notice():
            model.model.save(str(folder), save_format="tf", include_optimizer=False)


@contextmanager
def _without_compile_notice() -> Iterator[None]:
    """Keep Keras 2 from saying that a model that is saved for inference alone was not compiled."""
    logger = logging.getLogger("tensorflow")

    def is_other(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("Compiled the loaded model, but")

    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)


@contextmanager
def _quiet_keras() -> Iterator[None]:
    """Keep Keras from printing: `export` prints even without `verbose`, which only shortens the text."""
    was_enabled = keras.utils.is_interactive_logging_enabled()
    keras.utils.disable_interactive_logging()
    try:
        yield
    finally:
        if was_enabled:
            keras.utils.enable_interactive_logging()


def replace_folder(new: Path, folder: Path) -> None:
    """Move a folder, maybe from another disk, replacing a model's folder or an empty folder of that name.

    Raises:
        FileExistsError: something else has that name.
        OSError: the disk refuses.
    """
    check_replaceable(folder)
    with scratch_folder(folder.parent, f".{folder.name[:LONGEST_STEM]}.replaced-") as scratch:
        whole, old = scratch / "new", scratch / "old"
        shutil.move(new, whole)
        synchronize_all(whole)
        if folder.exists():
            os.rename(folder, old)
        try:
            os.rename(whole, folder)
        except OSError:
            if old.exists():
                os.rename(old, folder)
            raise
        synchronize(folder.parent)


def export(model: SuperResolutionModel, folder: str | Path, overwrite: bool = False) -> ModelDescription:
    """Write a model as a folder: the SavedModel, `model.json`, `weights.h5`, and its spectra where they are known.

    The folder is written under a temporary name and then renamed: a folder that exists is complete, and on the disk.

    Args:
        model: the model.
        folder: the folder.
        overwrite: replace an existing folder, if it is a model's or empty.

    Returns:
        The content of `model.json`.

    Raises:
        FileExistsError: the folder exists and must not be replaced.
    """
    folder = Path(folder)
    if folder.exists() and not overwrite:
        raise FileExistsError(f"folder: expected a new folder, or overwrite, got {folder}, which exists")
    check_replaceable(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(folder.parent, f".{folder.name[:LONGEST_STEM]}.partial-") as scratch:
        partial = scratch / "model"
        _save(model, partial)
        save_weights(model.model, partial / WEIGHTS_NAME)
        if model.spectra:
            model.spectra.write(partial)
        write_description(partial, model.description(weights_digest(partial)))
        replace_folder(partial, folder)
    return read_description(folder)
