# SPDX-License-Identifier: Apache-2.0
"""Losses by which DeepSUM learns (Molini et al. 2020, doi:10.1109/TGRS.2019.2959248).

`shift_loss` is the error that ESA's challenge counts (`evaluation/cpsnr.py`): the image without its border is compared
with the truth at all 7 x 7 positions that hold it, at each less the mean difference of clear pixels, and the best
position counts. So a network is not taught where, to 3 pixels, and how bright the truth is. Differences are taken
first, and squared less their mean: sums of squares of the images would cancel to few digits.

Registration is learnt as which of 9 x 9 displacements a frame has.
"""

import tensorflow as tf

BORDER = 3
"""Pixels that the truth may be displaced by, at each edge."""
PEAK = 65535.0
"""Largest digital number of 16 bits."""
FARTHEST = 4
"""Largest displacement, in pixels, for which there is a filter."""


def shift_loss(targets: tf.Tensor, images: tf.Tensor, clear: tf.Tensor, border: int = BORDER) -> tf.Tensor:
    """Compute the least of the mean squared errors at all positions, each corrected for the mean difference.

    Args:
        targets: truth (batch, height, width, 1), in any unit.
        images: of the same shape and unit.
        clear: whether a pixel of the truth is not concealed, or 1 and 0, of the same shape.
        border: pixels that the truth may be displaced by, at each edge.

    Returns:
        (batch,), in the unit squared; infinite, without a gradient, for a truth that has no clear pixel. Positions
        that have none do not count.
    """
    inner = images[:, border : tf.shape(images)[1] - border, border : tf.shape(images)[2] - border, 0]
    inner = inner[:, tf.newaxis, :, tf.newaxis]
    masks = _positions(tf.cast(clear, images.dtype), border)
    numbers = tf.reduce_sum(masks, axis=(2, 4), keepdims=True)
    divisors = tf.maximum(numbers, 1)
    differences = _positions(targets, border) - inner
    biases = tf.reduce_sum(masks * differences, axis=(2, 4), keepdims=True) / divisors
    errors = tf.reduce_sum(masks * (differences - biases) ** 2, axis=(2, 4), keepdims=True) / divisors
    errors = tf.where(numbers > 0, errors, tf.constant(float("inf"), errors.dtype))
    return tf.reduce_min(errors, axis=(1, 2, 3, 4))


def _positions(images: tf.Tensor, border: int) -> tf.Tensor:
    """Return the parts of images (batch, height, width, 1) that begin at the first 2 border + 1 rows and columns.

    Returns:
        (batch, 2 border + 1, height - 2 border, 2 border + 1, width - 2 border): the first row, rows, the first column,
        columns.
    """
    rows, columns = (
        tf.range(2 * border + 1)[:, tf.newaxis] + tf.range(tf.shape(images)[axis] - 2 * border) for axis in (1, 2)
    )
    return tf.gather(tf.gather(images[..., 0], rows, axis=1), columns, axis=3)


def cpsnr(errors: tf.Tensor) -> tf.Tensor:
    """Return the challenge's cPSNR, in dB, of what `shift_loss` gives of digital numbers."""
    return 10 * tf.math.log(PEAK**2 / errors) / tf.math.log(10.0)


def filter_classes(displacements: tf.Tensor) -> tf.Tensor:
    """Return the indices of the filters that move frames onto the reference.

    Args:
        displacements: rows and columns by which what frames show is displaced, int (..., 2); 4 at most.

    Returns:
        int32 (...), of 9 x 9, row by row; 40 where nothing is displaced.

    Raises:
        tf.errors.InvalidArgumentError: a displacement is larger.
    """
    displacements = tf.cast(displacements, tf.int32)
    message = f"displacements: expected at most {FARTHEST} pixels"
    with tf.control_dependencies([tf.debugging.assert_less_equal(tf.abs(displacements), FARTHEST, message)]):
        return (displacements[..., 0] + FARTHEST) * (2 * FARTHEST + 1) + displacements[..., 1] + FARTHEST


def registration_loss(displacements: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Compute the cross-entropy of filters and displacements.

    Args:
        displacements: as `filter_classes` takes them, (batch, frames, 2).
        logits: logits of the filters, (batch, frames, 81).

    Returns:
        The mean over the frames, (batch,).
    """
    entropies = tf.nn.sparse_softmax_cross_entropy_with_logits(filter_classes(displacements), logits)
    return tf.reduce_mean(entropies, axis=1)


def registration_accuracy(displacements: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Compute the share of frames, (batch,), whose largest weight is at their displacement. Arguments as above."""
    classes = filter_classes(displacements)
    found = tf.argmax(logits, axis=-1, output_type=tf.int32)
    return tf.reduce_mean(tf.cast(found == classes, tf.float32), axis=1)
