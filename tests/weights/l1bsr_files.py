# SPDX-License-Identifier: Apache-2.0
"""Tensors of L1BSR's networks, by the names and shapes of the authors' files."""

import numpy as np


def rec_shapes(groups=1, blocks=2, depth=4, hidden=2):
    """Name the convolutions of REC, with the shapes of their kernels, as the authors' network does."""
    inner = (depth, depth, 3, 3)
    shapes = {"head.0": (depth, 4, 3, 3)}
    for group in range(groups):
        for block in range(blocks):
            prefix = f"body.{group}.body.{block}.body"
            shapes |= {f"{prefix}.0": inner, f"{prefix}.2": inner}
            shapes |= {f"{prefix}.3.conv_du.0": (hidden, depth, 1, 1), f"{prefix}.3.conv_du.2": (depth, hidden, 1, 1)}
        shapes[f"body.{group}.body.{blocks}"] = inner
    return shapes | {f"body.{groups}": inner, "tail.0.0": (4 * depth, depth, 3, 3), "tail.1": (4, depth, 3, 3)}


def csr_shapes(depth=2):
    """Name the convolutions of CSR likewise."""
    sizes = [("convPool1", 2, depth)]
    sizes += [(f"convPool{level}", depth << level - 2, depth << level - 1) for level in (2, 3, 4)]
    sizes += [("convBinl1", 8 * depth, 8 * depth), ("convBinl2", 8 * depth, 8 * depth)]
    sizes += [("convBinl3", 8 * depth, 4 * depth), ("convBinl4", 4 * depth, 2 * depth)]
    shapes = {}
    for name, before, after in sizes:
        shapes |= {f"{name}.convleaky.conv1": (after, before, 3, 3), f"{name}.convleaky.conv2": (after, after, 3, 3)}
    return shapes | {"conv1": (depth, 2 * depth, 3, 3), "conv2": (2, depth, 3, 3)}


def draw(shapes, seed=0):
    """Draw the tensors of convolutions."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in shapes.items():
        tensors[f"{name}.weight"] = rng.normal(0, 0.2, shape).astype("f4")
        tensors[f"{name}.bias"] = rng.normal(0, 0.1, shape[0]).astype("f4")
    return tensors
