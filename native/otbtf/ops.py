# SPDX-License-Identifier: Apache-2.0
"""Operations on labels."""

import tensorflow as tf
from tensorflow import keras


def one_hot(labels: tf.Tensor, nb_classes: int) -> tf.Tensor:
    """Convert an image of labels to one band per class.

    Args:
        labels: class numbers from 0, shape (..., 1): the last axis is dropped.
        nb_classes: number of classes.

    Returns:
        Zeros and ones, float32, shape (..., nb_classes).
    """
    if hasattr(keras, "ops"):
        return keras.ops.one_hot(keras.ops.cast(keras.ops.squeeze(labels, axis=-1), "int32"), nb_classes)
    return tf.one_hot(tf.cast(tf.squeeze(labels, axis=-1), tf.int32), depth=nb_classes)
