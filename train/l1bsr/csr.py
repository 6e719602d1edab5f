# SPDX-License-Identifier: Apache-2.0
"""How `CSR` learns to register bands without a truth: by anchor consistency, after a warm-up on known shifts.

Band i of one detector is followed into an anchor (any band of either detector) and from there into band i of the other
detector; both views of the same band must agree (Nguyen et al. 2023, see `train.l1bsr.losses`). An error of the flow
into the anchor that the flow out of it takes back would cost nothing. Three things hold the anchor where it is: it is
often the same band, the flow from an image into itself is to be zero, and the warm-up, in which the flow is known. Of
simulated pairs the true flows may be learnt instead.
"""

import math

import tensorflow as tf
from tensorflow import keras

from models.base import Tensors
from models.l1bsr import BANDS, CSR, GREEN
from models.warp import positions, sample, standardize
from train.l1bsr.images import FlowSummaries
from train.l1bsr.losses import WARP_BORDER, absolute_difference, anchor_consistency, roll, total_variation
from train.l1bsr.options import Options
from train.l1bsr.truth import flow_between
from train.objective import Draws, Losses, Objective

IDENTITY_SHARE = 4
"""One of so many anchors is followed into itself."""
MARGIN = 8
"""Pixels on each side of a crop that the warm-up's shifts reach into."""
WAVE = 0.5
"""Largest amplitude of the warm-up's waves, in pixels."""
OTHER_SHARES = {"B02": 0.39, "B03": 0.22, "B04": 0.39}
"""How often each other band than B08 is the one beside green whose true flow is learnt: green is the easiest."""


class RegistrationObjective(Objective):
    """The training of `CSR`.

    Args:
        options: those of the training.
    """

    options: Options
    summaries = FlowSummaries
    names = ("loss", "consistency", "variation", "identity", "warm_up", "truth")

    def network(self, model: CSR) -> keras.Model:
        """Return the network of pairs of bands, whose flows are not refined."""
        return model.pair_model(refined=False)

    def losses(self, network: keras.Model, inputs: Tensors, targets: Tensors, training: bool) -> Losses:
        """Compute the loss of the warm-up while it lasts, and that of the anchor consistency afterwards."""
        images = {name: standardize(image) for name, image in inputs.items()}
        if self.options.supervised:
            error = self._truth_loss(network, images, targets, training)
            return self._named(loss=error, truth=error)
        if not training:
            return self._anchor_losses(network, images, training)
        return tf.cond(
            tf.convert_to_tensor(network.optimizer.iterations) < self.options.warm_up,
            lambda: self._warm_up_losses(network, images, self.draws(network)),
            lambda: self._anchor_losses(network, images, training),
        )

    def _truth_loss(self, network: keras.Model, images: Tensors, truth: Tensors, training: bool) -> tf.Tensor:
        """Compute the error of the flow between a green band and any band of a simulated pair, there or back.

        These are the flows that a registration and the training of `REC` ask for. In validation each sample has its own
        choice, always the same.
        """
        count = tf.shape(images["left"])[0]
        if training:
            draws = self.draws(network)
            detectors = draws.uniform([count, 2], 0, 2, tf.int32)
            band = tf.searchsorted(tf.cumsum(self._shares())[:-1], draws.uniform([count]), "right")
            is_back = draws.uniform([count]) < 0.5
        else:
            choice = 7 * tf.range(count)
            detectors, band = tf.stack([choice % 2, choice // 2 % 2], axis=1), choice // 4 % len(BANDS)
            is_back = choice // (4 * len(BANDS)) % 2 == 0
        there = tf.stack([tf.fill([count], GREEN), band], axis=1)
        bands = tf.where(is_back[:, tf.newaxis], there[:, ::-1], there)
        views = [
            tf.where(
                (detectors[:, end] == 0)[:, tf.newaxis, tf.newaxis, tf.newaxis],
                *(_bands(images[name], bands[:, end]) for name in ("left", "right")),
            )
            for end in (0, 1)
        ]
        flow = flow_between(truth, detectors, bands)
        found = network(tf.concat(views, axis=-1), training=training)
        return absolute_difference(found, flow, WARP_BORDER)

    def _shares(self) -> list[float]:
        """Return how often each band is drawn."""
        nir = self.options.nir_share
        return [(1 - nir) * OTHER_SHARES[name] if name in OTHER_SHARES else nir for name in BANDS]

    def _anchor_losses(self, network: keras.Model, images: Tensors, training: bool) -> Losses:
        target, image, anchor = self._choose(images, self.draws(network) if training else None)
        count = tf.shape(target)[0]
        alike = anchor[: -(-count // IDENTITY_SHARE)]
        pairs = [(target, anchor), (anchor, image), (alike, alike)]
        flows = network(tf.concat([tf.concat(pair, axis=-1) for pair in pairs], axis=0), training=training)
        to_anchor, from_anchor, still = flows[:count], flows[count : 2 * count], flows[2 * count :]
        consistency = anchor_consistency(target, image, to_anchor, from_anchor)
        variation = total_variation(to_anchor) + total_variation(from_anchor)
        identity = tf.reduce_mean(tf.abs(still))
        loss = consistency + self.options.tv_weight * variation + self.options.identity_weight * identity
        return self._named(loss=loss, consistency=consistency, variation=variation, identity=identity)

    def _choose(self, images: Tensors, draws: Draws | None) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Choose, for each sample, a band of the right and of the left detector, and the anchor: (batch, h, w, 1).

        In validation, without draws, each sample has its own choice, always the same.
        """
        count, bands = tf.shape(images["left"])[0], len(BANDS)
        if draws:
            choice = draws.uniform([count], 0, 2 * bands**2, tf.int32)
        else:
            choice = 7 * tf.range(count) % (2 * bands**2)
        band, anchor_band, detector = choice % bands, choice // bands % bands, choice // bands**2
        target, image = _bands(images["right"], band), _bands(images["left"], band)
        anchor = tf.where(
            (detector == 0)[:, tf.newaxis, tf.newaxis, tf.newaxis],
            _bands(images["left"], anchor_band),
            _bands(images["right"], anchor_band),
        )
        if draws and self.options.roll:
            farthest = self.options.roll
            target, image, anchor = (
                roll(one, draws.uniform([count, 2], -farthest, farthest + 1, tf.int32))
                for one in (target, image, anchor)
            )
        return target, image, anchor

    def _warm_up_losses(self, network: keras.Model, images: Tensors, draws: Draws) -> Losses:
        """Compute the error of the flow between two copies of what one detector saw, of which it is known.

        Copies of two bands of a detector are displaced by what lies between these bands too, which is not known and,
        over all samples, zero; half the copies are of one band.
        """
        stack = images["left"]
        count = tf.shape(stack)[0]
        band = draws.uniform([count], 0, len(BANDS), tf.int32)
        other = tf.where(draws.uniform([count]) < 0.5, band, draws.uniform([count], 0, len(BANDS), tf.int32))
        farthest = self.options.warm_up_shift
        flow = random_flow(draws, count, stack.shape[1] - 2 * MARGIN, stack.shape[2] - 2 * MARGIN, farthest)
        constant = draws.uniform([count, 1, 1, 2], -1.0, 1.0)
        grid, seen = (
            standardize(sample(_bands(stack, chosen), *(place + MARGIN for place in positions(displacement))))
            for chosen, displacement in ((band, flow + constant), (other, constant + tf.zeros_like(flow)))
        )
        error = tf.reduce_mean(tf.abs(network(tf.concat([grid, seen], axis=-1), training=True) - flow))
        return self._named(loss=error, warm_up=error)

    @classmethod
    def _named(cls, **values: tf.Tensor) -> Losses:
        """Return values by name, and zero for what is not computed now."""
        return {name: values.get(name, tf.zeros(())) for name in cls.names}


def _bands(images: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
    """Return one band of each image, (batch, height, width, 1)."""
    return tf.gather(images, indices, axis=3, batch_dims=1)[..., tf.newaxis]


def random_flow(draws: Draws, count: tf.Tensor, height: int, width: int, farthest: float) -> tf.Tensor:
    """Draw flows (batch, height, width, 2): a shift, and a wave of at least the image's length."""
    shift = draws.uniform([count, 1, 1, 2], -farthest, farthest)
    amplitude = draws.uniform([count, 1, 1, 2], -WAVE, WAVE)
    phase = draws.uniform([count, 1, 1, 2], 0.0, 2 * math.pi)
    angle, along = draws.uniform([count, 1, 1, 1], 0.0, math.pi), 2 * math.pi / max(height, width)
    x, y = tf.range(width, dtype=tf.float32), tf.range(height, dtype=tf.float32)[:, tf.newaxis]
    distance = (tf.cos(angle)[..., 0] * x + tf.sin(angle)[..., 0] * y)[..., tf.newaxis]
    return shift + amplitude * tf.sin(along * distance + phase)
