# SPDX-License-Identifier: Apache-2.0
"""Models of TensorFlow 1, as OTBTF's tutorial makes them, through TensorflowModelServe.

Four networks of the same kinds: a classifier of patches, the same in fully convolutional form, one of two sources of
two spacings, and a U-Net. Their signatures list the labels, and outputs that need them, beside what is served. Pixels
are those of a session of the test's own, on windows that numpy cuts.
"""

import numpy as np
import pyotb
import pytest
import tensorflow as tf

pytestmark = pytest.mark.keras

v1 = tf.compat.v1
CLASSES = 3


class Graph:
    """A network that is being made: convolutions with drawn weights, and its SavedModel."""

    def __init__(self):
        self.rng = np.random.default_rng(1)

    def variable(self, *shape):
        drawn = self.rng.normal(0, 1 / np.sqrt(np.prod(shape[:-1])), shape)
        return v1.get_variable(f"w{len(v1.global_variables())}", initializer=drawn.astype(np.float32))

    def convolution(self, tensor, filters, size, stride=1, padding="VALID"):
        kernel = self.variable(size, size, tensor.shape[-1], filters)
        return tf.nn.relu(tf.nn.conv2d(tensor, kernel, stride, padding))


def classifier(graph, x):
    """16 x 16 pixels to one class: convolutions, poolings, a dense layer."""
    features = tf.nn.max_pool2d(graph.convolution(x, 8, 5), 2, 2, "VALID")
    features = tf.nn.max_pool2d(graph.convolution(features, 8, 3), 2, 2, "VALID")
    features = tf.reshape(graph.convolution(features, 16, 2), (-1, 16))
    scores = tf.matmul(features, graph.variable(16, CLASSES))
    return {"prediction": tf.argmax(scores, axis=-1), "scores": scores}


def convolutional(graph, x):
    """16 x 16 pixels to one, by convolutions alone."""
    features = graph.convolution(graph.convolution(x, 8, 5), 8, 5)
    scores = graph.convolution(graph.convolution(features, 8, 5), CLASSES, 4)
    return {"prediction": tf.argmax(scores, axis=-1)[..., tf.newaxis], "scores": scores}


def two_sources(graph, x1, x2):
    """32 x 32 pixels of the first source and 8 x 8 of the second, four times as coarse, to one."""
    fine = graph.convolution(graph.convolution(x1, 8, 8), 8, 25)
    coarse = graph.convolution(x2, 8, 8)
    scores = graph.convolution(tf.concat([fine, coarse], axis=-1), CLASSES, 1)
    return {"prediction": tf.argmax(scores, axis=-1)[..., tf.newaxis], "scores": scores}


def u_net(graph, x):
    """As many pixels as it is given, less 8 on each side, at half the resolution in between."""
    down = graph.convolution(x, 8, 3, stride=2, padding="SAME")
    kernel = graph.variable(2, 2, 8, 8)
    shape = tf.shape(x)
    up = tf.nn.conv2d_transpose(down, kernel, tf.stack([shape[0], shape[1], shape[2], 8]), 2)
    scores = graph.convolution(tf.concat([up, graph.convolution(x, 4, 3, padding="SAME")], axis=-1), CLASSES, 1)
    scores = scores[:, 8 : shape[1] - 8, 8 : shape[2] - 8]
    return {"prediction": tf.argmax(scores, axis=-1)[..., tf.newaxis], "scores": scores}


def save(folder, network, *bands):
    """Write the SavedModel of a network of one or two sources, with labels, a loss and a rate in its signature."""
    with v1.Graph().as_default(), v1.Session() as session:
        names = ["x"] if len(bands) == 1 else [f"x{number}" for number, _ in enumerate(bands, start=1)]
        inputs = [v1.placeholder(tf.float32, [None, None, None, n], name=k) for k, n in zip(names, bands)]
        if network is classifier:
            inputs = [v1.placeholder(tf.float32, [None, 16, 16, bands[0]], name="x")]
        labels = v1.placeholder(tf.int32, [None, None, None, 1], name="y")
        rate = v1.placeholder_with_default(1.0, [], name="rate")
        outputs = network(Graph(), *inputs)
        outputs["scores"] = outputs["scores"] * rate
        if network is convolutional:
            outputs["missed"] = tf.cast(labels, tf.float32) - outputs["scores"]
        one_hot = tf.one_hot(tf.reshape(labels, (-1,)), CLASSES)
        loss = v1.losses.softmax_cross_entropy(one_hot, tf.reshape(outputs["scores"], (-1, CLASSES)))
        outputs["loss"] = loss
        session.run(v1.global_variables_initializer())
        signature = {**dict(zip(names, inputs)), "y": labels, "rate": rate}
        v1.saved_model.simple_save(session, str(folder), signature, outputs)
    return str(folder)


def session_of(folder):
    """Return a function that runs a model: output, inputs by name -> array."""
    session = v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        signature = v1.saved_model.load(session, ["serve"], folder).signature_def["serving_default"]

    def run(output, **inputs):
        feeds = {signature.inputs[name].name: array for name, array in inputs.items()}
        return session.run(signature.outputs[output].name, feeds)

    return run


@pytest.fixture
def source(write_raster):
    """Return a function that writes a random image; it returns the path and the pixels."""

    def write(name, rows, columns, bands, gsd=10.0):
        pixels = np.random.default_rng(rows).integers(1, 1000, (rows, columns, bands)).astype(np.uint16)
        return str(write_raster(f"{name}.tif", pixels, gsd=gsd)), pixels.astype(np.float32)

    return write


def serve(model, sources, fields, output, expression=1, convolutional=True, tile=16, **others):
    """Serve sources, each with the name of its placeholder."""
    parameters = {
        "model.dir": model,
        "model.fullyconv": convolutional,
        "output.names": [output],
        "output.efieldx": expression,
        "output.efieldy": expression,
        **({"optim.disabletiling": True} if tile is None else {"optim.tilesizex": tile, "optim.tilesizey": tile}),
        **others,
    }
    for number, ((name, path), field) in enumerate(zip(sources.items(), fields), start=1):
        key = f"source{number}"
        parameters |= {f"{key}.il": [path], f"{key}.placeholder": name}
        parameters |= {f"{key}.rfieldx": field, f"{key}.rfieldy": field}
    return pyotb.TensorflowModelServe(parameters).to_numpy()


def patches(pixels, field, rows, columns):
    """Return the patches (n, field, field, bands) that begin at rows and columns."""
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (field, field), axis=(0, 1))
    return np.moveaxis(windows[np.ix_(rows, columns)], 2, -1).reshape(-1, field, field, pixels.shape[2])


@pytest.mark.parametrize("output, bands", [("prediction", 1), ("scores", CLASSES)])
def test_classifier_of_patches(tmp_path, source, output, bands):
    model = save(tmp_path / "model", classifier, 4)
    path, pixels = source("image", 40, 50, 4)
    found = serve(model, {"x": path}, [16], output, convolutional=False)
    expected = session_of(model)(output, x=patches(pixels, 16, range(25), range(35)))
    np.testing.assert_allclose(found, expected.reshape(25, 35, bands), rtol=1e-5, atol=1e-4)
    assert np.ptp(found) > 0


@pytest.mark.parametrize("tile", [16, 8, None])
def test_fully_convolutional(tmp_path, source, tile):
    model = save(tmp_path / "model", convolutional, 4)
    path, pixels = source("image", 40, 50, 4)
    found = serve(model, {"x": path}, [16], "scores", tile=tile)
    expected = session_of(model)("scores", x=pixels[np.newaxis])[0]
    assert found.shape == expected.shape == (25, 35, CLASSES)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)
    by_patches = serve(model, {"x": path}, [16], "scores", convolutional=False)
    np.testing.assert_allclose(by_patches, expected, rtol=1e-5, atol=1e-3)


def test_two_sources(tmp_path, source):
    """Patches: of the coarse source, the one around the pixel under the centre of the fine one's."""
    model = save(tmp_path / "model", two_sources, 1, 4)
    fine_path, fine = source("fine", 60, 68, 1, 5.0)
    coarse_path, coarse = source("coarse", 15, 17, 4, 20.0)
    found = serve(model, {"x1": fine_path, "x2": coarse_path}, [32, 8], "scores", convolutional=False)
    rows, columns = np.arange(found.shape[0]), np.arange(found.shape[1])
    assert found.shape == (29, 37, CLASSES)
    expected = session_of(model)(
        "scores",
        x1=patches(fine, 32, rows, columns),
        x2=patches(coarse, 8, (rows + 16) // 4 - 4, (columns + 16) // 4 - 4),
    )
    np.testing.assert_allclose(found, expected.reshape(found.shape), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("tile, expression", [(32, 16), (32, 32), (None, 16)])
def test_u_net(tmp_path, source, tile, expression):
    model = save(tmp_path / "model", u_net, 4)
    path, pixels = source("image", 80, 96, 4)
    found = serve(model, {"x": path}, [expression + 16], "scores", expression=expression, tile=tile)
    assert found.shape == (64, 64 if expression == 32 else 80, CLASSES)
    run = session_of(model)
    side = tile or 1000
    for top in range(0, found.shape[0], side):
        for left in range(0, found.shape[1], side):
            part = found[top : top + side, left : left + side]
            window = pixels[top : top + part.shape[0] + 16, left : left + part.shape[1] + 16]
            np.testing.assert_array_equal(part, run("scores", x=window[np.newaxis])[0])


def test_outputs_that_need_labels_are_refused_with_tensorflows_reason(tmp_path, source):
    model = save(tmp_path / "model", convolutional, 4)
    path, _ = source("image", 40, 50, 4)
    with pytest.raises(RuntimeError, match="session: You must feed a value for placeholder tensor 'y'"):
        serve(model, {"x": path}, [16], "missed")
    other, _ = source("other", 40, 50, 6)
    with pytest.raises(RuntimeError, match="session: input depth must be .*: 6 vs 4"):
        serve(model, {"x": other}, [16], "scores")


def test_an_input_with_a_default_may_be_left_out_or_given(tmp_path, source):
    model = save(tmp_path / "model", convolutional, 4)
    path, _ = source("image", 40, 50, 4)
    once = serve(model, {"x": path}, [16], "scores")
    twice = serve(model, {"x": path}, [16], "scores", **{"model.userplaceholders": ["rate=2.0"]})
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-6)
