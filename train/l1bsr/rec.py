# SPDX-License-Identifier: Apache-2.0
"""How `REC` learns to super-resolve without a truth: what it makes of one detector's image is what the other one saw.

The output is sampled where the other detector has its pixels, band by band, by flows of a `CSR` that stays as it is,
and compared with what that detector saw (Nguyen et al. 2023, see `train.l1bsr.losses`). All flows end on the green grid
of the input: so all bands of the output come to lie there. Each detector stands in both roles, at random. Of simulated
pairs the true images may be learnt instead, as sharp as the detectors' images or as a sensor with pixels of 5 m sees
them; and to super-resolve images that the `CSR` has registered before, which takes far fewer steps. What is sharper
has to be consistent: seen by the detector, it is the input.
"""

import tensorflow as tf
from tensorflow import keras

from datasets.l1bsr.pairs import DETECTORS
from models.base import Tensors
from models.l1bsr import BANDS, CSR, GREEN, REC
from models.warp import standardize
from train.l1bsr.images import ImageSummaries
from train.l1bsr.losses import absolute_difference, consistency, roll, super_resolution_loss
from train.l1bsr.options import Options
from train.objective import Losses, Objective


class SuperResolution(Objective):
    """The training of `REC`.

    Args:
        options: those of the training.
        csr: the network that registers.
    """

    options: Options
    summaries = ImageSummaries
    names = ("loss", "l1", "consistency")

    def __init__(self, options: Options, csr: CSR):
        super().__init__(options)
        self._flow = csr.pair_model()
        self._flow.trainable = False

    def network(self, model: REC) -> keras.Model:
        """Return the network from counts to counts."""
        return model.training_model()

    def losses(self, network: keras.Model, inputs: Tensors, targets: Tensors, training: bool) -> Losses:
        """Compare one detector's image, super-resolved, with the truth; or seen as the other one does, with its."""
        images = [inputs[name] for name in DETECTORS]
        draws = self.draws(network) if training else None
        role = draws.uniform([], 0, 2, tf.int32) if draws else tf.zeros([], tf.int32)
        image, seen = tf.gather(tf.stack(images), role), tf.gather(tf.stack(images), 1 - role)
        made = network({"x10": image}, training=training)
        if self.options.supervised:
            kind = "sharp" if self.options.sharp else "hr"
            truth = tf.gather(tf.stack([targets[f"{kind}_{name}"] for name in DETECTORS]), role)
            loss = absolute_difference(made, truth, 0)
        else:
            if draws and self.options.roll:
                farthest = self.options.roll
                seen = roll(seen, draws.uniform([tf.shape(seen)[0], 2], -farthest, farthest + 1, tf.int32))
            loss = super_resolution_loss(seen, made, tf.stop_gradient(self._flows(seen, image)))
        weight = self.options.consistency or 0
        inconsistency = consistency(image, made) if weight else tf.zeros([])
        total = loss + weight * inconsistency
        return {"loss": total * REC.normalization, "l1": loss, "consistency": inconsistency}

    def _flows(self, seen: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
        """Find the flow from each band of the other detector into the input's green one: (batch, h, w, bands, 2)."""
        seen, green = standardize(seen), standardize(image[..., GREEN : GREEN + 1])
        pairs = [tf.concat([seen[..., band : band + 1], green], axis=-1) for band in range(len(BANDS))]
        flows = self._flow(tf.concat(pairs, axis=0), training=False)
        return tf.stack(tf.split(flows, len(BANDS), axis=0), axis=3)
