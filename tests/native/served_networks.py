# SPDX-License-Identifier: Apache-2.0
"""Small networks of known output, and how they are served."""

import pyotb
import tensorflow as tf

GSD, X, Y = 10.0, 300000.0, 5000040.0


class Network(tf.Module):
    """A SavedModel of one signature, made of a Python function."""

    def __init__(self, function, **inputs):
        super().__init__()
        specs = [tf.TensorSpec(shape, dtype, name=name) for name, (shape, dtype) in inputs.items()]
        names = list(inputs)
        self.serve = tf.function(
            lambda *tensors: function(**dict(zip(names, tensors))), input_signature=specs, autograph=False
        )

    def save(self, folder, signature="serving_default"):
        tf.saved_model.save(self, str(folder), signatures={signature: self.serve})
        return str(folder)


IMAGE = ([None, None, None, 2], tf.float32)


def nearest(factor, crop):
    """Return a network that repeats pixels, and drops `crop` output pixels on each side."""

    def function(lr):
        image = tf.repeat(tf.repeat(lr, factor, axis=1), factor, axis=2)
        return {"sr": image[:, crop : tf.shape(image)[1] - crop, crop : tf.shape(image)[2] - crop]}

    return Network(function, lr=IMAGE)


def serve(path, model, receptive=1, expression=1, tile=16, convolutional=True, **parameters):
    names = parameters.pop("names", None)
    arguments = {
        "source1.il": [path],
        "source1.rfieldx": receptive,
        "source1.rfieldy": receptive,
        "model.dir": model,
        "model.fullyconv": convolutional,
        "output.efieldx": expression,
        "output.efieldy": expression,
        "optim.tilesizex": tile,
        "optim.tilesizey": tile,
        **({"output.names": names} if names else {}),
    }
    arguments.update({key.replace("__", "."): value for key, value in parameters.items()})
    return pyotb.TensorflowModelServe(arguments)


def corner(app):
    """Return the upper-left corner of the output, in pixels of the input."""
    (x, y), (dx, dy) = app.app.GetImageOrigin("out"), app.app.GetImageSpacing("out")
    return (x - dx / 2 - X) / GSD, (Y - y + dy / 2) / GSD
