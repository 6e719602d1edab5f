# SPDX-License-Identifier: Apache-2.0
"""`ModelBase` and the layers: names of the exported outputs in both generations of Keras, crops, values."""

import numpy as np
import otbtf
import pytest
import tensorflow as tf
from tensorflow import keras

pytestmark = pytest.mark.keras

SPEC = (
    {"lr": tf.TensorSpec((2, 8, 8, 3), tf.uint16), "day": tf.TensorSpec((2, 1), tf.float32)},
    {"sr": tf.TensorSpec((2, 16, 16, 1), tf.float32)},
)


class Toy(otbtf.ModelBase):
    """Doubles the size of the first band. The output's key is `sr`, its layer's name `sr_layer`."""

    def normalize_inputs(self, inputs):
        return {"lr": keras.layers.Rescaling(0.5, name="half")(inputs["lr"])}

    def get_outputs(self, normalized_inputs):
        image = keras.layers.Conv2D(1, 1, kernel_initializer="ones", name="sum")(normalized_inputs["lr"])
        return {"sr": keras.layers.UpSampling2D(2, name="sr_layer")(image)}


@pytest.fixture
def toy():
    return Toy(SPEC, input_keys=["lr"], inference_cropping=[2, 4])


def images(height=20, width=24):
    return np.random.default_rng(0).integers(0, 1000, (1, height, width, 3)).astype("float32")


def expected(lr):
    return (lr.sum(axis=-1, keepdims=True) / 2).repeat(2, axis=1).repeat(2, axis=2)


def test_version_tells_the_generation():
    assert otbtf.__version__.startswith("5." if hasattr(keras, "ops") else "4.3.")


def test_inputs_have_free_size(toy):
    inputs = toy.get_inputs()
    assert list(inputs) == ["lr"] and tuple(inputs["lr"].shape) == (None, None, None, 3)
    assert tf.as_dtype(inputs["lr"].dtype) == tf.float32
    every = Toy(SPEC).get_inputs()
    assert list(every) == ["lr", "day"] and tuple(every["day"].shape) == (None, 1)


def test_outputs_and_crops(toy):
    lr = images()
    outputs = toy.model({"lr": lr})
    assert set(outputs) == {"sr", "sr_crop2", "sr_crop4"}
    assert np.allclose(outputs["sr"], expected(lr))
    assert np.allclose(outputs["sr_crop4"], expected(lr)[:, 4:-4, 4:-4])


def test_default_crops():
    assert [key for key in Toy(SPEC, ["lr"]).model.output if "crop" in key] == [
        f"sr_crop{crop}" for crop in (16, 32, 64, 96, 128)
    ]
    assert otbtf.model.cropped_tensor_name("sr", 16) == "sr_crop16"


def test_exported_signature(toy, tmp_path):
    """Keras 2: names of layers. Keras 3: keys."""
    if otbtf.model.KERAS_3:
        toy.export(str(tmp_path / "model"), verbose=False)
        names = ["sr", "sr_crop2", "sr_crop4"]
    else:
        toy.save(str(tmp_path / "model"))
        names = ["sr_layer", "sr_layer_crop2", "sr_layer_crop4"]
    signature = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    assert sorted(signature.structured_outputs) == names
    (_, inputs) = signature.structured_input_signature
    assert {key: (tuple(spec.shape), spec.dtype) for key, spec in inputs.items()} == {
        "lr": ((None, None, None, 3), tf.float32)
    }
    lr = images(9, 13)
    assert np.allclose(signature(lr=tf.constant(lr))[names[0]], expected(lr))


def test_trains_by_way_of_the_keras_model(toy):
    lr = images(8, 8).repeat(2, axis=0)
    toy.compile(optimizer=keras.optimizers.Adam(0.01), loss={"sr": "mse"}, metrics={"sr": ["mae"]})
    data = tf.data.Dataset.from_tensors(({"lr": lr}, {"sr": 0 * expected(lr)}))
    history = toy.fit(data.repeat(3), epochs=2, verbose=0).history["loss"]
    assert history[1] < history[0]


def test_subclass_that_fails_early_says_so():
    class Fails(otbtf.ModelBase):
        def __init__(self):
            self.layers_count  # noqa: B018

        def get_outputs(self, normalized_inputs):
            return {}

    with pytest.raises(AttributeError, match="ModelBase.__init__"):
        Fails()


def test_summary_is_for_the_chief(toy, capsys):
    toy.summary()
    assert "sr_layer" in capsys.readouterr().out
    toy.summary(strategy=tf.distribute.get_strategy())
    assert "sr_layer" in capsys.readouterr().out


def test_dilated_mask_is_a_square_around_nodata():
    image = np.ones((1, 9, 9, 1), "float32")
    image[0, 4, 3] = -5
    mask = otbtf.layers.DilatedMask(nodata_value=-5, radius=2, name="mask")(image)
    wanted = np.zeros((1, 9, 9, 1), "uint8")
    wanted[0, 2:7, 1:6] = 1
    assert mask.dtype == tf.uint8 and np.array_equal(mask, wanted)
    masked = otbtf.layers.ApplyMask(out_nodata=7)((mask, 3 * image))
    assert np.array_equal(masked, np.where(wanted == 1, 7, 3 * image))


def test_scalars_argmax_max():
    reference, scalars = np.zeros((2, 3, 4, 1), "float32"), [np.array([1.0, 3.0]), np.array([2.0, 4.0])]
    tiled = otbtf.layers.ScalarsTile()([reference, scalars])
    assert tiled.shape == (2, 3, 4, 2) and np.array_equal(tiled[1, 2, 3], [3, 4])
    transposed = otbtf.layers.ScalarsTile()([reference, np.stack(scalars, axis=1)])
    assert np.array_equal(transposed[1, 2, 3], [2, 4])
    classes = np.random.default_rng(1).random((2, 3, 4, 5)).astype("float32")
    assert np.array_equal(otbtf.layers.Argmax()(classes), classes.argmax(-1)[..., None])
    assert otbtf.layers.Argmax(expand_last_dim=False)(classes).shape == (2, 3, 4)
    assert np.array_equal(otbtf.layers.Max()(classes), classes.max(-1, keepdims=True))


def test_one_hot():
    labels = np.array([[[0], [2]], [[1], [1]]], "uint8")
    hot = otbtf.ops.one_hot(labels, nb_classes=3)
    assert hot.shape == (2, 2, 3) and np.array_equal(hot, np.eye(3)[labels[..., 0]])


def test_layers_in_a_saved_model(tmp_path):
    image = keras.layers.Input((None, None, 2), name="image")
    mask = otbtf.layers.DilatedMask(nodata_value=0, radius=1)(image[:, :, :, :1])
    output = otbtf.layers.ApplyMask(out_nodata=-1, name="masked")((mask, otbtf.layers.Max()(image)))
    model = keras.Model({"image": image}, {"masked": output})
    model.save(str(tmp_path / "model.keras"))
    again = keras.models.load_model(str(tmp_path / "model.keras"))
    batch = np.random.default_rng(2).integers(0, 3, (1, 6, 7, 2)).astype("float32")
    assert np.array_equal(again({"image": batch})["masked"], model({"image": batch})["masked"])
