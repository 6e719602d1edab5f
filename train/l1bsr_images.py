# SPDX-License-Identifier: Apache-2.0
"""What the trainings of L1BSR's networks show in TensorBoard, of a few samples and after each epoch."""

from pathlib import Path

import numpy as np
import tensorflow as tf
from matplotlib.colors import hsv_to_rgb
from tensorflow import keras

from models.base import layer_name
from models.l1bsr import BANDS, CSR, OTHERS, REC

RED, GREEN, BLUE = BANDS.index("B04"), BANDS.index("B03"), BANDS.index("B02")
DISPLAY_PERCENTILES = (2, 98)


class _Summaries(keras.callbacks.Callback):
    """Writes images of the left detector's samples.

    Args:
        log_dir: TensorBoard's folder.
        sample: batch of both detectors' samples, counts.
        model: the model.
    """

    def __init__(self, log_dir: Path, sample: tuple[dict, dict], model: CSR | REC):
        super().__init__()
        self.images = sample[0]["left"]
        self.shown = model.model
        self.writer = tf.summary.create_file_writer(str(log_dir / "images"))

    def pictures(self) -> dict[str, np.ndarray]:
        """Return pictures by name, (samples, height, width, 3), 0 to 1."""
        raise NotImplementedError(f"{type(self).__name__} does not define pictures")

    def colours(self, images: tf.Tensor) -> np.ndarray:
        """Show red, green and blue, stretched as the input is."""
        inputs = np.asarray(self.images)[..., [RED, GREEN, BLUE]]
        low, high = np.percentile(inputs, DISPLAY_PERCENTILES, axis=(0, 1, 2))
        return np.clip((np.asarray(images)[..., [RED, GREEN, BLUE]] - low) / np.maximum(high - low, 1e-6), 0, 1)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write the images."""
        with self.writer.as_default(step=epoch):
            for name, pictures in self.pictures().items():
                tf.summary.image(name, pictures, max_outputs=len(pictures))
        self.writer.flush()


class FlowSummaries(_Summaries):
    """Shows the bands before and after registration, and the flows as colours."""

    def pictures(self) -> dict[str, np.ndarray]:
        """Return both, and a picture for each band's flow."""
        outputs = self.shown({"x10": self.images}, training=False)
        pictures = {"1 before": self.colours(self.images), "2 after": self.colours(_output(outputs, "sr"))}
        flows = np.split(np.asarray(_output(outputs, "flow")), len(OTHERS), axis=-1)
        return pictures | {f"3 flow of {BANDS[other]}": flow_colours(flow) for other, flow in zip(OTHERS, flows)}


class ImagesSummaries(_Summaries):
    """Shows the input, and what it is super-resolved to."""

    def pictures(self) -> dict[str, np.ndarray]:
        """Return both."""
        outputs = self.shown({"x10": self.images}, training=False)
        return {"1 input": self.colours(self.images), "2 super-resolved": self.colours(_output(outputs, "sr"))}


def _output(outputs: dict[str, tf.Tensor], name: str) -> tf.Tensor:
    """Return an output of a model, which Keras 2 and 3 name differently."""
    return outputs[name] if name in outputs else outputs[layer_name(name)]


def flow_colours(flow: np.ndarray, longest: float = 10.0) -> np.ndarray:
    """Show flows as colours: the direction as the hue, the length as the saturation.

    Args:
        flow: (..., 2), in pixels.
        longest: length that is fully saturated.

    Returns:
        Red, green and blue, 0 to 1, (..., 3).
    """
    hue = np.arctan2(flow[..., 1], flow[..., 0]) / (2 * np.pi) % 1
    saturation = np.minimum(np.hypot(flow[..., 0], flow[..., 1]) / longest, 1)
    return hsv_to_rgb(np.stack([hue, saturation, np.ones_like(hue)], axis=-1))
