# SPDX-License-Identifier: Apache-2.0
"""True flows between any two bands of any of two detectors, of those that a simulated pair comes with.

These lead from the green band of each detector into its other bands, and from the left green band into the right one
(`simulate.detector_pairs`). All others follow by going back along a flow, and by following one after another.
"""

import tensorflow as tf

from models.base import Tensors
from models.warp import compose

ITERATIONS = 3
"""Steps that find the way back; flows bend so little that each makes the error 50 times smaller."""


def inverse(flow: tf.Tensor) -> tf.Tensor:
    """Return the flow that leads back, on the grid that a flow (batch, height, width, 2) leads to.

    Beyond the border a flow is taken to be that of its edge.
    """
    back = -flow
    for _ in range(ITERATIONS):
        back = back - compose(back, flow)
    return back


def flow_between(truth: Tensors, detectors: tf.Tensor, bands: tf.Tensor) -> tf.Tensor:
    """Return the flow from one band of one detector into another, by way of the green bands.

    Args:
        truth: `flow_left`, `flow_right` (batch, height, width, bands, 2) and `cross` (batch, height, width, 2).
        detectors: of the grid and of where the flow leads: 0 is left, 1 is right; int32 (batch, 2).
        bands: the bands of both, int32 (batch, 2).

    Returns:
        (batch, height, width, 2), in pixels.
    """
    into = [_into(truth, detectors[:, end], bands[:, end]) for end in (0, 1)]
    cross = truth["cross"]
    first, second = (detectors[:, end][:, tf.newaxis, tf.newaxis, tf.newaxis] for end in (0, 1))
    between = tf.where(first == second, tf.zeros_like(cross), tf.where(first == 0, cross, inverse(cross)))
    return compose(compose(inverse(into[0]), between), into[1])


def _into(truth: Tensors, detectors: tf.Tensor, bands: tf.Tensor) -> tf.Tensor:
    """Return the flow from a detector's green band into one of its bands."""
    left, right = (tf.gather(truth[f"flow_{name}"], bands, axis=3, batch_dims=1) for name in ("left", "right"))
    return tf.where((detectors == 0)[:, tf.newaxis, tf.newaxis, tf.newaxis], left, right)
