# SPDX-License-Identifier: Apache-2.0
"""Scenes in the layout of the PROBA-V challenge, small, whose frames can all be used; and a tiny model."""

import numpy as np
import tensorflow as tf
from osgeo import gdal
from scipy.ndimage import gaussian_filter

from models.base import export
from models.deepsum import DeepSUM
from simulate.probav import ground_shape, see

gdal.UseExceptions()

SIDE = 24


def export_model(folder, variant="P"):
    """Export a network of two features, whose weights are drawn so that features keep their size; return it."""
    model = DeepSUM.from_bands(depth=2, variant=variant)
    rng = np.random.default_rng(3)
    for layer in model.model.layers:
        drawn = []
        for array in layer.get_weights():
            size = 1 / np.sqrt(np.prod(array.shape[:-1])) if array.ndim > 1 else 0.1
            drawn.append(rng.normal(size=array.shape) * size + ("_norm_" in layer.name and not drawn))
        layer.set_weights(drawn)
    export(model, folder)
    return model


def run(model, images, masks):
    """Run a network as Keras has it."""
    inputs = {"frames": images, "masks": masks}
    inputs = {name: tf.constant(np.moveaxis(array, 0, -1)[np.newaxis], tf.float32) for name, array in inputs.items()}
    return model.training_model()(inputs)[0].numpy()[0, ..., 0]


def draw_scene(count=11, seed=0, side=SIDE):
    """Look at smooth ground from several places: images, their masks with holes, and the truth."""
    rng = np.random.default_rng(seed)
    ground = gaussian_filter(rng.normal(size=ground_shape(side, side)), 5).astype("f4")
    ground *= 1500 / ground.std()
    places = rng.uniform(-1.2, 1.2, (count, 2))
    images = [8000 + see(ground, tuple(place), 0.3) for place in places]
    masks = np.ones((count, side, side), bool)
    for number, mask in enumerate(masks[1:], start=1):
        row, column = rng.integers(side - 6, size=2)
        mask[row : row + 2 + number % 4, column : column + 5] = False
    hr = 8000 + see(ground, (0.0, 0.0), 0.2, 100.0)
    return np.rint(images).astype(np.uint16), masks, np.rint(hr).astype(np.uint16)


def write_png(path, pixels):
    """Write an image of one band."""
    code = gdal.GDT_Byte if pixels.dtype == np.uint8 else gdal.GDT_UInt16
    memory = gdal.GetDriverByName("MEM").Create("", pixels.shape[1], pixels.shape[0], 1, code)
    memory.WriteArray(pixels)
    gdal.GetDriverByName("PNG").CreateCopy(str(path), memory)


def write_scene(folder, lr, qm, hr=None):
    """Write a scene."""
    folder.mkdir(parents=True)
    for number, (image, mask) in enumerate(zip(lr, qm)):
        write_png(folder / f"LR{number:03d}.png", image)
        write_png(folder / f"QM{number:03d}.png", mask * np.uint8(255))
    if hr is not None:
        clear = np.ones(hr.shape, bool)
        clear[:9, :5] = False
        write_png(folder / "HR.png", hr)
        write_png(folder / "SM.png", clear * np.uint8(255))
    return folder
