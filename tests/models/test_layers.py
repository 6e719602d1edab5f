# SPDX-License-Identifier: Apache-2.0
"""Layers against closed forms, and bicubic interpolation against GDAL's."""

import numpy as np
import pytest
import tensorflow as tf
from osgeo import gdal
from tensorflow import keras

from models.layers import BicubicUpsampling, BilinearInitializer, Crop, DigitalNumbers


def test_crop():
    image = np.arange(5 * 6, dtype="float32").reshape(1, 5, 6, 1)
    assert np.array_equal(Crop(2)(image), image[:, 2:-2, 2:-2])
    assert Crop(3)(image).shape[1] == 0


def test_digital_numbers_are_rounded_and_clipped():
    reflectance = np.array([-0.5, 0.00006, 0.00004, 0.64647, 6.5535, 9.0], "float32")
    assert DigitalNumbers(1e4)(reflectance).numpy().tolist() == [0, 1, 0, 6465, 65535, 65535]


def test_bicubic_is_gdals(write_raster, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 1000, (24, 20)).astype("float32")
    path = write_raster("image.tif", pixels, gsd=6.0)
    options = {"format": "MEM", "width": 80, "height": 96, "resampleAlg": "cubic"}
    wanted = gdal.Translate("", str(path), **options).ReadAsArray()
    upsampled = BicubicUpsampling(4)(pixels[None, :, :, None])[0, :, :, 0].numpy()
    inside = np.s_[8:-8, 8:-8]
    assert np.allclose(upsampled[inside], wanted[inside], atol=0.01)


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
    with pytest.raises(ValueError, match=r"even kernel .* Received: \(3, 3, 1, 1\)"):
        BilinearInitializer()((3, 3, 1, 1))


@pytest.mark.parametrize("layer", [Crop(1), DigitalNumbers(1e4), BicubicUpsampling(4)])
def test_layers_tell_their_arguments(layer):
    again = type(layer).from_config(layer.get_config())
    image = tf.random.uniform((1, 6, 6, 2))
    assert np.array_equal(again(image), layer(image))
