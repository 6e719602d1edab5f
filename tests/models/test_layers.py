# SPDX-License-Identifier: Apache-2.0
"""Layers against closed forms, and bicubic interpolation against GDAL's."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from osgeo import gdal
from skimage.transform import resize
from tensorflow import keras

from models.layers import (
    BicubicUpsampling,
    BilinearInitializer,
    BilinearUpsampling,
    Crop,
    DigitalNumbers,
    ScaledConv2D,
)

pytestmark = pytest.mark.keras


def test_crop():
    image = np.arange(5 * 6, dtype="float32").reshape(1, 5, 6, 1)
    assert np.array_equal(Crop(2)(image), image[:, 2:-2, 2:-2])
    assert Crop(3)(image).shape[1] == 0


def test_digital_numbers_are_rounded_and_clipped():
    reflectance = np.array([-0.5, 0.00006, 0.00004, 0.64647, 6.5535, 9.0], "float32")
    assert DigitalNumbers(1e4)(reflectance).numpy().tolist() == [0, 1, 0, 6465, 65535, 65535]


@pytest.mark.parametrize("policy, most", [("float32", 1e-6), ("mixed_bfloat16", 0.02)])
def test_scaled_convolution_is_one_that_is_scaled(policy, most):
    rng = np.random.default_rng(0)
    image = rng.normal(0, 1, (2, 9, 7, 3)).astype("float32")
    weights = [rng.normal(0, 1, shape).astype("float32") for shape in ((3, 3, 3, 4), (4,))]
    plain, scaled = keras.layers.Conv2D(4, 3, padding="same"), ScaledConv2D(4, 3, scale=0.2, dtype=policy)
    for layer in (plain, scaled):
        layer.build(image.shape)
        layer.set_weights(weights)
    wanted, found = 0.2 * plain(image).numpy(), scaled(image)
    assert found.dtype.name == scaled.compute_dtype
    assert np.abs(tf.cast(found, tf.float32).numpy() - wanted).max() < most * np.abs(wanted).max()


def test_bicubic_is_gdals(write_raster, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 1000, (24, 20)).astype("float32")
    path = write_raster("image.tif", pixels, gsd=6.0)
    options = {"format": "MEM", "width": 80, "height": 96, "resampleAlg": "cubic"}
    wanted = gdal.Translate("", str(path), **options).ReadAsArray()
    upsampled = BicubicUpsampling(4)(pixels[None, :, :, None])[0, :, :, 0].numpy()
    inside = np.s_[8:-8, 8:-8]
    assert np.allclose(upsampled[inside], wanted[inside], atol=0.01)


@settings(deadline=None, max_examples=40)
@given(
    scale=st.sampled_from([2, 3, 6]), rows=st.integers(1, 9), columns=st.integers(1, 9), seed=st.integers(0, 2**32 - 1)
)
def test_bilinear_is_scikit_images(scale, rows, columns, seed):
    """As in the original DSen2: order 1, mirrored about the centres of the edge pixels, down to a single pixel."""
    pixels = np.random.default_rng(seed).integers(0, 20000, (rows, columns, 2)).astype("float32")
    size = (scale * rows, scale * columns)
    wanted = resize(pixels.astype("float64"), size, order=1, mode="reflect", anti_aliasing=False, preserve_range=True)
    upsampled = BilinearUpsampling(scale)(pixels[None])[0]
    assert upsampled.dtype == tf.float32 and np.allclose(upsampled, wanted, rtol=0, atol=0.01)


@pytest.mark.parametrize("axis", [1, 2])
def test_bilinear_of_a_ramp(axis):
    ramp = np.moveaxis(np.array([0, 100, 200, 300], "float32").reshape(1, 4, 1, 1), 1, axis)
    lines = [np.take(BilinearUpsampling(scale)(ramp), 0, axis=3 - axis).ravel() for scale in (2, 6)]
    assert lines[0].tolist() == [25, 25, 75, 125, 175, 225, 275, 275]
    assert np.allclose(lines[1][:5], [125 / 3, 25, 25 / 3, 25 / 3, 25])


def test_bilinear_of_images_of_unknown_size():
    """As in an exported graph; `tf.image.resize` differs at the edges only."""
    layer = BilinearUpsampling(2)
    graph = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, 3))])
    for shape in ((2, 5, 7, 3), (1, 1, 2, 3)):
        images = np.random.default_rng(0).random(shape, "float32")
        upsampled = graph(images).numpy()
        assert upsampled.shape == layer.compute_output_shape(shape) and np.array_equal(upsampled, layer(images))
        clamped = tf.image.resize(images, upsampled.shape[1:3]).numpy()
        assert np.allclose(upsampled[:, 1:-1, 1:-1], clamped[:, 1:-1, 1:-1], atol=1e-5)
    assert layer.compute_output_shape((None, None, 4, 3)) == (None, None, 8, 3)


@pytest.mark.parametrize("kernel", [2, 4])
def test_bilinear_initializer_keeps_constants_and_ramps(kernel):
    layer = keras.layers.Conv2DTranspose(
        3, kernel, strides=2, padding="same", kernel_initializer=BilinearInitializer(noise=0)
    )
    constant = layer(np.full((1, 8, 8, 3), 5, "float32")).numpy()
    assert np.allclose(constant[:, 2:-2, 2:-2], 5)
    ramp = np.broadcast_to(np.arange(8, dtype="float32")[None, None, :, None], (1, 8, 8, 3))
    doubled = layer(ramp).numpy()[0, 6, 2:-2, 0]
    centres = (np.arange(2, 14) + 0.5) / 2 - 0.5
    assert np.allclose(doubled, centres if kernel == 4 else np.round(centres))


def test_bilinear_initializer_follows_the_seed():
    kernels = []
    for _ in range(2):
        keras.utils.set_random_seed(4)
        kernels.append(np.asarray(BilinearInitializer()((4, 4, 3, 3))))
    assert np.array_equal(*kernels) and not np.array_equal(kernels[0], BilinearInitializer()((4, 4, 3, 3)))
    with pytest.raises(ValueError, match=r"even kernel, got \(3, 3, 1, 1\)"):
        BilinearInitializer()((3, 3, 1, 1))


@pytest.mark.parametrize(
    "layer",
    [
        Crop(1),
        DigitalNumbers(1e4),
        BicubicUpsampling(4),
        BilinearUpsampling(2),
        ScaledConv2D(2, 3, scale=0.2, kernel_initializer="ones"),
    ],
)
def test_layers_tell_their_arguments(layer):
    again = type(layer).from_config(layer.get_config())
    image = tf.random.uniform((1, 6, 6, 2))
    assert np.array_equal(again(image), layer(image))
