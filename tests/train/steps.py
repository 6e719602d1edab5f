# SPDX-License-Identifier: Apache-2.0
"""How the steps of a training are run: traced, as programs do, or eagerly, which is faster for a few of them."""

from contextlib import contextmanager

import tensorflow as tf


@contextmanager
def steps(eager):
    """Run `tf.function`s eagerly, or trace them, inside the block."""
    was_eager = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(eager)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(was_eager)
