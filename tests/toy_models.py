# SPDX-License-Identifier: Apache-2.0
"""Exported models whose output is known without training, for the tests of serving and inference."""

import json

import tensorflow as tf

from models.description import FILE_NAME, ModelDescription, Source

BANDS = ("B04", "B03", "B02", "B08")


class Toy(tf.Module):
    """A SavedModel with the outputs of this project's models, made of one function of the sources' tensors."""

    def __init__(self, function, sources, crop):
        super().__init__()

        def serve(*tensors):
            numbers = function(*tensors)
            numbers = numbers[:, crop : tf.shape(numbers)[1] - crop, crop : tf.shape(numbers)[2] - crop]
            return {f"sr_crop{crop}": numbers * 1e-4, f"sr_dn_crop{crop}": tf.maximum(tf.round(numbers), 0.0)}

        specs = [tf.TensorSpec([None, None, None, len(s.bands)], name=s.name) for s in sources]
        self.serve = tf.function(serve, input_signature=specs, autograph=False)


def export(
    folder, function, sources, gsd, crop, bands=BANDS, weights="0" * 64, system="spot7", arguments=None, levels=()
):
    """Write a model made of `function`, and return its folder as a string."""
    toy = Toy(function, sources, crop)
    tf.saved_model.save(toy, str(folder), signatures=toy.serve)
    description = ModelDescription(
        system=system,
        arguments=arguments or {},
        sources=tuple(sources),
        gsd=gsd,
        bands=tuple(bands),
        crop=crop,
        outputs={"float": f"sr_crop{crop}", "integer": f"sr_dn_crop{crop}"},
        software={"tensorflow": tf.__version__},
        weights=weights,
        levels=levels,
    )
    (folder / FILE_NAME).write_text(json.dumps(description.to_json()))
    return str(folder)


def upsample(tensor, factor):
    """Repeat each pixel of a tensor (batch, rows, columns, bands)."""
    return tf.repeat(tf.repeat(tensor, factor, axis=1), factor, axis=2)


def nearest(folder, factor=4, crop=8, gsd=6.0, bands=BANDS):
    """Export a network that repeats pixels."""
    source = Source("lr", tuple(bands), gsd)
    return export(folder, lambda lr: upsample(lr, factor), [source], gsd / factor, crop, bands)


def blurring(folder, factor=4, crop=16, gsd=6.0, radius=3, bands=BANDS):
    """Export a network that averages (2 radius + 1)^2 source pixels, zero-padded at its borders, and repeats them."""

    def blur(lr):
        kernel = tf.ones((2 * radius + 1, 2 * radius + 1, len(bands), 1)) / (2 * radius + 1) ** 2
        return upsample(tf.nn.depthwise_conv2d(lr, kernel, (1, 1, 1, 1), "SAME"), factor)

    return export(folder, blur, [Source("lr", tuple(bands), gsd)], gsd / factor, crop, bands)


def dsen2(folder, role, levels=(), change=0.0):
    """Export a network of DSen2's that repeats the pixels of its coarsest source, and adds a change to them."""
    from models.dsen2 import ROLES, SOURCES

    sources = [SOURCES[name] for name in ROLES[role]]
    factor = round(sources[-1].gsd / 10)
    return export(
        folder,
        lambda *tensors: upsample(tensors[-1], factor) + change,
        sources,
        10.0,
        12,
        bands=sources[-1].bands,
        system="dsen2",
        arguments={"role": role},
        levels=levels,
    )
