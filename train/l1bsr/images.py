# SPDX-License-Identifier: Apache-2.0
"""What the trainings of L1BSR's networks show in TensorBoard, of a few samples and after each epoch."""

import numpy as np
import tensorflow as tf
from matplotlib.colors import hsv_to_rgb

from models.base import layer_name
from models.l1bsr import BANDS, OTHERS
from train.callbacks import DISPLAY_PERCENTILES, PictureSummaries

RED, GREEN, BLUE = BANDS.index("B04"), BANDS.index("B03"), BANDS.index("B02")

LONGEST = 10.0
"""Length of a flow that is fully saturated in pictures, in pixels."""


class _L1BSummaries(PictureSummaries):
    """What both networks' pictures have in common: they are of the left detector's samples."""

    def outputs(self) -> dict[str, tf.Tensor]:
        """Run the model."""
        return self.shown.model({"x10": self.inputs["left"]}, training=False)

    def colours(self, images: tf.Tensor) -> np.ndarray:
        """Show red, green and blue, stretched as the input is."""
        inputs = np.asarray(self.inputs["left"])[..., [RED, GREEN, BLUE]]
        low, high = np.percentile(inputs, DISPLAY_PERCENTILES, axis=(0, 1, 2))
        return np.clip((np.asarray(images)[..., [RED, GREEN, BLUE]] - low) / np.maximum(high - low, 1e-6), 0, 1)


class FlowSummaries(_L1BSummaries):
    """Shows the bands before and after registration, and the flows as colours."""

    def pictures(self) -> dict[str, np.ndarray]:
        """Return both, and a picture for each band's flow."""
        outputs = self.outputs()
        pictures = {"1 before": self.colours(self.inputs["left"]), "2 after": self.colours(_output(outputs, "sr"))}
        flows = np.split(np.asarray(_output(outputs, "flow")), len(OTHERS), axis=-1)
        return pictures | {f"3 flow of {BANDS[other]}": flow_colours(flow) for other, flow in zip(OTHERS, flows)}


class ImageSummaries(_L1BSummaries):
    """Shows the input, and what it is super-resolved to."""

    def pictures(self) -> dict[str, np.ndarray]:
        """Return both."""
        outputs = self.outputs()
        return {"1 input": self.colours(self.inputs["left"]), "2 super-resolved": self.colours(_output(outputs, "sr"))}


def _output(outputs: dict[str, tf.Tensor], name: str) -> tf.Tensor:
    """Return an output of a model, which Keras 2 and 3 name differently."""
    return outputs[name] if name in outputs else outputs[layer_name(name)]


def flow_colours(flow: np.ndarray) -> np.ndarray:
    """Show flows as colours: the direction as the hue, the length as the saturation.

    Args:
        flow: (..., 2), in pixels.

    Returns:
        Red, green and blue, 0 to 1, (..., 3).
    """
    hue = np.arctan2(flow[..., 1], flow[..., 0]) / (2 * np.pi) % 1
    saturation = np.minimum(np.hypot(flow[..., 0], flow[..., 1]) / LONGEST, 1)
    return hsv_to_rgb(np.stack([hue, saturation, np.ones_like(hue)], axis=-1))
