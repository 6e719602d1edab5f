# SPDX-License-Identifier: Apache-2.0
"""Rounding the weights of a convolution to integers, so that its results change as little as possible.

E. Frantar, S. Ashkboos, T. Hoefler, D. Alistarh, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
Transformers", 2023 (arXiv:2210.17323): weights are rounded one after the other, and what each rounding changes, on the
inputs that really occur, is made good by those that are still to be rounded. Neighbouring pixels and features are much
alike, so that this leaves a small part of the error of rounding each weight to the nearest integer.
"""

import numpy as np

LARGEST = 127
DAMPING = 0.01
"""Added to the inputs' second moments, as a share of their mean: few samples say little about some directions."""


def steps_of(weights: np.ndarray) -> np.ndarray:
    """Return the value of 1 for each row of weights (outputs, inputs), so that all are within -127 to 127."""
    largest = np.abs(weights).max(axis=1, keepdims=True)
    return np.where(largest > 0, largest, 1.0) / LARGEST


def rounded(weights: np.ndarray, steps: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Round weights.

    Args:
        weights: float (outputs, inputs).
        steps: value of 1 for each output, (outputs, 1).
        inputs: samples of what the weights are multiplied by, (samples, inputs).

    Returns:
        Whole numbers from -127 to 127, (outputs, inputs), int8.
    """
    moments = inputs.T.astype(np.float64) @ inputs / len(inputs)
    diagonal = np.diag(moments)
    moments = moments + np.eye(len(moments)) * (DAMPING * diagonal.mean() + np.finfo(float).tiny)
    order = np.argsort(-diagonal, kind="stable")
    left = (weights / steps)[:, order]
    factor = np.linalg.cholesky(np.linalg.inv(moments[np.ix_(order, order)])).T
    result = np.empty_like(left)
    for index in range(left.shape[1]):
        result[:, index] = np.clip(np.round(left[:, index]), -LARGEST, LARGEST)
        lacking = (left[:, index] - result[:, index]) / factor[index, index]
        left[:, index + 1 :] -= np.outer(lacking, factor[index, index + 1 :])
    found = np.empty_like(result)
    found[:, order] = result
    return found.astype(np.int8)
