# SPDX-License-Identifier: Apache-2.0
"""Networks of L1BSR whose results are known, images to run them on, and the program run on these."""

import numpy as np
from osgeo import gdal

from inference import l1bsr
from models.l1bsr import CSR, REC

FLOW = (2.0, -1.0)
"""x and y of the flow that the network of constant flow finds, in pixels."""


def nearest(gain=1.0, bias=0.0):
    """Return a REC that repeats pixels, times `gain`, plus `bias` counts."""
    model = REC.from_bands(num_groups=0, num_blocks=0, depth=4, reduction=2)
    identity = np.zeros((3, 3, 4, 4), np.float32)
    identity[1, 1] = np.eye(4)
    zeros = np.zeros(4, np.float32)
    for name, kernel, biases in (
        ("head", identity, zeros),
        ("body_last", 0 * identity, zeros),
        ("upsample", np.tile(identity, 4), np.tile(zeros, 4)),
        ("last", gain * identity, zeros + bias / 400),
    ):
        model.model.get_layer(name).set_weights([kernel, biases])
    return model


def drawn(model, spread):
    """Return a model whose weights are drawn anew."""
    rng = np.random.default_rng(0)
    for layer in model.model.layers:
        kernels = [rng.normal(0, spread / np.sqrt(np.prod(w.shape[:-1]) or 1), w.shape) for w in layer.get_weights()]
        layer.set_weights(kernels)
    return model


def moving():
    """Return a CSR that finds the same flow everywhere."""
    model = CSR.from_bands(depth=1)
    kernel, _ = model.model.get_layer("flow_2").get_weights()
    model.model.get_layer("flow_2").set_weights([0 * kernel, np.arctanh(np.array(FLOW) / 10)])
    return model


def counts(rows, columns, seed=0):
    return np.random.default_rng(seed).integers(50, 900, (rows, columns, 4)).astype(np.uint16)


def varied(rows, columns):
    """Return an image whose halves have other means than the whole."""
    pixels = counts(rows, columns, 1)
    pixels[rows // 2 :] += 800
    return pixels


def plain(path, pixels, driver="GTiff", **options):
    """Write an image without descriptions and georeference."""
    memory = gdal.GetDriverByName("MEM").Create("", pixels.shape[1], pixels.shape[0], pixels.shape[2], gdal.GDT_UInt16)
    memory.WriteArray(np.ascontiguousarray(np.moveaxis(pixels, 2, 0)))
    gdal.GetDriverByName(driver).CreateCopy(str(path), memory, options=[f"{k}={v}" for k, v in options.items()])
    return str(path)


def twice(pixels):
    return np.repeat(np.repeat(pixels, 2, axis=0), 2, axis=1)


def read(path):
    dataset = gdal.Open(str(path))
    return np.moveaxis(dataset.ReadAsArray(), 0, -1), dataset


def infer(source, output, model, *more):
    sources = [source] if isinstance(source, str) else source
    return l1bsr.main(["--input", *sources, "--output", str(output), "--model-dir", model, *map(str, more)])


def register(source, output, model, *more):
    return infer(source, output, model, "--task", "registration", *more)


def failure(capsys):
    """Return the one line in which a program said on the standard error why it failed."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def warnings(capsys):
    """Return the lines in which a program warned of something."""
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
