# SPDX-License-Identifier: Apache-2.0
"""A SavedModel that is more than a network is refused before it is loaded."""

import pytest
import tensorflow as tf

from chain.serving.saved_model_operations import check_folders
from inference import spot7
from models import base
from models.dsen2 import DSen2
from tests import toy_models

pytestmark = pytest.mark.keras


def write_file(tensor, target):
    with tf.control_dependencies([tf.io.write_file(str(target), "written")]):
        return tf.identity(tensor)


class Resource(tf.Module):
    """A model that writes where only its loading looks."""

    def __init__(self, target):
        super().__init__()
        self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a"], [1]), 0)

    @tf.function(input_signature=[tf.TensorSpec([None])])
    def serve(self, values):
        return {"out": values + tf.cast(self.table.lookup(tf.constant(["a"])), tf.float32)}


def test_models_of_this_project_are_accepted(tmp_path):
    toy_models.blurring(tmp_path / "toy")
    base.export(DSen2.from_bands("2x", depth=2, num_blocks=1), tmp_path / "deep" / "dsen2")
    check_folders([tmp_path, tmp_path / "toy", tmp_path / "none"])


@pytest.mark.parametrize("name", ["WriteFile", "EagerPyFunc", "ReadFile", "PrintV2"])
def test_a_model_that_does_more_is_refused_by_what_it_does(tmp_path, name):
    target = tmp_path / "target"
    target.write_text("mine")
    functions = {
        "WriteFile": lambda lr: write_file(lr, target),
        "EagerPyFunc": lambda lr: tf.py_function(lambda x: x, [lr], tf.float32),
        "ReadFile": lambda lr: lr + tf.cast(tf.strings.length(tf.io.read_file(str(target))), tf.float32),
        "PrintV2": lambda lr: (tf.print(lr), tf.identity(lr))[1],
    }

    def function(lr):
        made = functions[name](lr)
        made.set_shape(lr.shape)
        return toy_models.upsample(made, 4)

    source = toy_models.Source("lr", toy_models.BANDS, 6.0)
    folder = toy_models.export(tmp_path / "model", function, [source], 1.5, 8)
    with pytest.raises(ValueError, match=f"^--safe-models: expected a model of the operations .*, got .*{name}.* in "):
        check_folders([tmp_path])
    options = spot7.Options(model_dir=folder, safe_models=True)
    with pytest.raises(ValueError, match=f"^--safe-models: .*{name}"):
        spot7.super_resolve("s2.tif", tmp_path / "sr.tif", options)
    assert target.read_text() == "mine"


def test_resources_that_are_set_up_by_loading_are_refused(tmp_path):
    module = Resource(tmp_path)
    tf.saved_model.save(module, str(tmp_path / "m"), signatures=module.serve)
    with pytest.raises(ValueError, match="HashTableV2"):
        check_folders([tmp_path / "m"])


def test_saving_that_serving_would_run_is_refused(tmp_path):
    def save(lr):
        with tf.control_dependencies(
            [tf.raw_ops.SaveV2(prefix="x", tensor_names=["a"], shape_and_slices=[""], tensors=[lr])]
        ):
            return toy_models.upsample(tf.identity(lr), 4)

    toy_models.export(tmp_path / "m", save, [toy_models.Source("lr", toy_models.BANDS, 6.0)], 1.5, 8)
    with pytest.raises(ValueError, match="got SaveV2 in"):
        check_folders([tmp_path / "m"])


@pytest.mark.parametrize("content", [b"\xff" * 100, b"no model at all", bytes(range(256))])
def test_what_is_no_model_is_refused(tmp_path, content):
    (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(ValueError, match="--safe-models: expected a SavedModel, got"):
        check_folders([tmp_path])
