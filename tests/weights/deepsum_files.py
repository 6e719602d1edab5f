# SPDX-License-Identifier: Apache-2.0
"""Variables of DeepSUM's checkpoints, by the names and shapes of the authors' graphs, and checkpoints of them."""

import numpy as np
import tensorflow as tf


def _normalization(name, depth):
    return {f"{name}/gamma": (depth,), f"{name}/beta": (depth,)}


def _convolution(name, *kernel):
    return {f"{name}/W": kernel, f"{name}/b": kernel[-1:]}


def _sisr_shapes(depth):
    shapes = _convolution("conv_up_0", 1, 3, 3, 1, depth)
    for number in range(1, 8):
        shapes |= _convolution(f"conv_up_{number}", 1, 3, 3, depth, depth)
    for number in range(8):
        shapes |= _normalization(f"inst_norm_up_{number}", depth)
    return shapes


def sisrnet_shapes(depth=64):
    """Name the variables of SISRNet's pre-training."""
    return {**_sisr_shapes(depth), **_convolution("conv_up_8", 1, 1, 1, depth, 1)}


def regnet_shapes(depth=64):
    """Name the variables of RegNet's pre-training."""
    return {
        **_convolution("Rconv1b", 2, 3, 3, depth, 2 * depth),
        **_convolution("Rconv2b", 1, 3, 3, 2 * depth, depth),
        **_convolution("Rconv3b", 1, 3, 3, depth, depth),
        **_convolution("Rconv4b", 1, 3, 3, depth, depth),
        **_convolution("Rconv7_b", 1, 3, 3, depth, 81),
    }


def deepsum_shapes(depth=64):
    """Name the variables of the whole network."""
    shapes = {**_sisr_shapes(depth), **regnet_shapes(depth)}
    for number in range(4):
        shapes |= _convolution(f"conv_fuse_{number}", 3, 3, 3, depth, depth)
        shapes |= _normalization(f"inst_norm_fuse_{number}", depth)
    return {**shapes, **_convolution("conv_fuse_4", 1, 1, 1, depth, 1)}


def draw(shapes, seed=2024):
    """Draw variables by the rule of the test vectors: in the order of names, of the size that keeps features' size."""
    stream = np.random.RandomState(seed)
    variables = {}
    for name in sorted(shapes):
        array = stream.standard_normal(shapes[name])
        if name.endswith("/W"):
            array = array / np.sqrt(np.prod(shapes[name][:-1]))
        else:
            array = 0.1 * array + name.endswith("/gamma")
        if name.startswith("Rconv7_b/"):
            array = 10 * array
        variables[name] = array.astype("f4")
    return variables


def with_state(variables, step=123):
    """Add what Adam keeps, and the number of steps."""
    slots = {f"{name}/{slot}": np.zeros_like(array) for name, array in variables.items() for slot in ("Adam", "Adam_1")}
    counters = {"beta1_power": np.float32(0.9), "beta2_power": np.float32(0.999), "global_step": np.int32(step)}
    return {**variables, **slots, **counters}


def write_checkpoint(prefix, variables):
    """Write a checkpoint of format V2, as TensorFlow 1 names its files, and return what their names begin with."""
    names = sorted(variables)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    part = f"{prefix}_temp/part-00000-of-00001"
    tf.raw_ops.SaveV2(
        prefix=part, tensor_names=names, shape_and_slices=[""] * len(names), tensors=[variables[name] for name in names]
    )
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=[part], destination_prefix=str(prefix))
    return prefix
