# SPDX-License-Identifier: Apache-2.0
"""Losses by which L1BSR's networks learn from two detectors' views of the same ground, without a truth.

N. L. Nguyen, J. Anger, A. Davy, P. Arias, G. Facciolo, "L1BSR: exploiting detector overlap for self-supervised
single-image super-resolution of Sentinel-2 L1B imagery", EarthVision 2023 (arXiv:2304.06871). Two departures from what
the authors' helpers do: displacements are composed as residuals, whose lookup repeats the border, where theirs composes
positions and falls to the corner outside the image; and borders are left out of a loss on all four sides. Inside, both
agree.

Images are (batch, height, width, bands); flows (batch, height, width, 2), x first, in pixels of the grid they lie on:
`warp(image, flow)` shows at p what the image has at p + flow(p).
"""

import tensorflow as tf

from models.sharpness import BORDER, seen_coarser
from models.warp import compose, warp, warp_and_decimate

DOUBLE_WARP_BORDER = 6
"""Pixels on each side that are left out where two flows are followed."""
WARP_BORDER = 5
"""Pixels on each side that are left out where one flow is followed."""


def inner(images: tf.Tensor, border: int) -> tf.Tensor:
    """Return images without a border of some pixels on each side."""
    return images[:, border : images.shape[1] - border, border : images.shape[2] - border]


def absolute_difference(images: tf.Tensor, targets: tf.Tensor, border: int) -> tf.Tensor:
    """Return the mean absolute difference of images inside a border."""
    return tf.reduce_mean(tf.abs(inner(images - targets, border)))


def total_variation(flows: tf.Tensor) -> tf.Tensor:
    """Return the mean absolute difference of neighbours below plus that of neighbours beside (anisotropic)."""
    down = tf.reduce_mean(tf.abs(flows[:, 1:] - flows[:, :-1]))
    return down + tf.reduce_mean(tf.abs(flows[:, :, 1:] - flows[:, :, :-1]))


def anchor_consistency(
    targets: tf.Tensor, images: tf.Tensor, to_anchor: tf.Tensor, from_anchor: tf.Tensor
) -> tf.Tensor:
    """Return how far one detector's band, reached by way of an anchor image, is from the other detector's same band.

    Args:
        targets: band i of one detector.
        images: band i of the other detector.
        to_anchor: flows on the targets' grid into the anchor.
        from_anchor: flows on the anchor's grid into the images.
    """
    return absolute_difference(warp(images, compose(to_anchor, from_anchor)), targets, DOUBLE_WARP_BORDER)


def super_resolution_loss(targets: tf.Tensor, images: tf.Tensor, flows: tf.Tensor) -> tf.Tensor:
    """Return how far super-resolved images, seen as the other detector would, are from what it saw."""
    return absolute_difference(warp_and_decimate(images, flows), targets, WARP_BORDER)


def consistency(images: tf.Tensor, made: tf.Tensor) -> tf.Tensor:
    """Return how far what a detector sees of super-resolved images is from the images that they were made of."""
    return absolute_difference(seen_coarser(made), images, BORDER)


def roll(images: tf.Tensor, shifts: tf.Tensor) -> tf.Tensor:
    """Shift images by whole pixels, circularly.

    Args:
        images: (batch, height, width, bands).
        shifts: (batch, 2): rows and columns, int.

    Returns:
        Images whose pixel (y, x) is that of (y - rows, x - columns).
    """
    height, width = images.shape[1:3]
    rows = (tf.range(height)[tf.newaxis] - shifts[:, :1]) % height
    columns = (tf.range(width)[tf.newaxis] - shifts[:, 1:]) % width
    return tf.gather(tf.gather(images, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)
