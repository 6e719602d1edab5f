# SPDX-License-Identifier: Apache-2.0
"""Serving a described model: fields, and the true place of the output."""

import dataclasses

import numpy as np
import pyotb
import pytest
import tensorflow as tf

from chain.serving import network
from chain.serving import tensorflow_model_serve as chain_serve
from models.description import ModelDescription, Source, read_description
from tests import toy_models

LEFT, TOP = 300000.0, 5000040.0


def description(gsds, gsd, crop):
    sources = tuple(Source(f"s{k}", ("B04",), value) for k, value in enumerate(gsds))
    outputs = {"float": f"sr_crop{crop}", "integer": f"sr_dn_crop{crop}"}
    return ModelDescription("toy", {}, sources, gsd, ("B04",), crop, outputs, {})


@pytest.mark.parametrize(
    "gsds, gsd, crop, expression, receptive, ratios, surplus",
    [
        ((6.0,), 1.5, 32, 8, (18,), (4,), 0),
        ((10.0,), 5.0, 16, 8, (20,), (2,), 0),
        ((300.0,), 100.0, 24, 24, (24,), (3,), 0),
        ((20.0, 20.0), 10.0, 4, 8, (8, 8), (2, 2), 0),
        ((10.0, 20.0), 10.0, 4, 8, (16, 8), (1, 2), 2),
        ((10.0, 20.0, 60.0), 10.0, 12, 24, (48, 24, 8), (1, 2, 6), 6),
        ((20.0, 30.0), 10.0, 12, 24, (24, 16), (2, 3), 6),
    ],
)
def test_fields_follow_from_the_description(gsds, gsd, crop, expression, receptive, ratios, surplus):
    fields = network.fields(description(gsds, gsd, crop))
    assert fields == network.Fields(expression, receptive, ratios, surplus)


@pytest.mark.parametrize("gsds, crop", [((6.0,), 33), ((5.0,), 32), ((1.5, 3.0), 3)])
def test_fields_that_are_no_whole_pixels_are_refused(gsds, crop):
    with pytest.raises(ValueError, match="multiple"):
        network.fields(description(gsds, 1.5, crop))


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(1, 10000, (61, 75, 4)).astype(np.uint16)


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 6])
def test_pixels_and_place_of_a_nearest_neighbour_network(tmp_path, write_raster, pixels, factor):
    crop = 2 * factor
    model = toy_models.nearest(tmp_path / "model", factor, crop, gsd=6.0)
    path = str(write_raster("lr.tif", pixels, gsd=6.0))
    served = chain_serve.serve({"lr": path}, read_description(model), model, "integer", 64)
    result = served.app.to_numpy()
    expected = np.repeat(np.repeat(pixels, factor, 0), factor, 1)[crop:, crop:]
    assert served.size == result.shape[1::-1]
    np.testing.assert_array_equal(result, expected[: result.shape[0], : result.shape[1]])
    assert served.geotransform == (LEFT + 12, 6 / factor, 0, TOP - 12, 0, -6 / factor)
    assert "32631" in served.projection


def test_a_pyotb_image_is_served_as_well(tmp_path, write_raster, pixels):
    model = toy_models.nearest(tmp_path / "model")
    image = pyotb.ExtractROI(
        {"in": str(write_raster("lr.tif", pixels, gsd=6.0)), "startx": 10, "starty": 5, "sizex": 40, "sizey": 50}
    )
    served = chain_serve.serve({"lr": image}, read_description(model), model)
    assert served.geotransform == (LEFT + 60 + 12, 1.5, 0, TOP - 30 - 12, 0, -1.5)
    np.testing.assert_array_equal(served.app.to_numpy()[:4, :4], np.broadcast_to(pixels[7, 12], (4, 4, 4)))


def test_an_upstream_that_states_the_true_place_is_accepted_and_any_other_refused(
    tmp_path, write_raster, pixels, monkeypatch
):
    model = toy_models.nearest(tmp_path / "model")
    path = str(write_raster("lr.tif", pixels, gsd=6.0))
    measure = chain_serve.corner_and_spacing

    def stating(shift):
        def corner_and_spacing(image):
            left, top, dx, dy = measure(image)
            return (LEFT + shift, TOP - shift, dx, dy) if dx == 1.5 else (left, top, dx, dy)

        monkeypatch.setattr(chain_serve, "corner_and_spacing", corner_and_spacing)
        return chain_serve.serve({"lr": path}, read_description(model), model).geotransform[0]

    assert stating(12.0) == LEFT + 12
    assert stating(12.0 + 2.25) == LEFT + 12
    with pytest.raises(ValueError, match="states its corner 14.2500 m .* got 13.5000 m"):
        stating(13.5)


@pytest.mark.parametrize("order", [1, -1])
def test_two_sources(tmp_path, write_raster, order):
    """In either order, and up to the last whole expression field that OTBTF gives."""
    sources = [Source("fine", ("B02",), 10.0), Source("coarse", ("B05",), 20.0)]
    rng = np.random.default_rng(3)
    fine, coarse = (rng.integers(1, 9999, size).astype(np.uint16) for size in ((64, 80, 1), (32, 40, 1)))
    model = toy_models.export(
        tmp_path / "model",
        lambda *tensors: tensors[::order][0] + toy_models.upsample(tensors[::order][1], 2),
        sources[::order],
        10.0,
        4,
        bands=("B05",),
    )
    served = chain_serve.serve(
        {
            "fine": str(write_raster("f.tif", fine, gsd=10.0)),
            "coarse": str(write_raster("c.tif", coarse, gsd=20.0)),
        },
        read_description(model),
        model,
    )
    result = served.app.to_numpy()
    expected = (fine.astype(np.float32) + np.repeat(np.repeat(coarse, 2, 0), 2, 1))[4:-4, 4:-4]
    assert expected.shape == (56, 72, 1) and result.shape == (48, 64, 1)
    np.testing.assert_array_equal(result, expected[:48, :64])
    assert served.geotransform == (LEFT + 40, 10.0, 0, TOP - 40, 0, -10.0)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"images": {}}, "expected the source lr"),
        ({"output_kind": "double"}, "output_kind: expected one of .*, got double"),
        ({"gsd": 10.0}, "expected a spacing of 6.0 m, north up, got 10.0"),
        ({"output": "nope"}, 'Tensor name "nope" not found'),
    ],
)
def test_what_does_not_suit_the_model_is_refused(tmp_path, write_raster, pixels, change, message):
    model = toy_models.nearest(tmp_path / "model")
    path = str(write_raster("lr.tif", pixels, gsd=change.get("gsd", 6.0)))
    stated = read_description(model)
    if "output" in change:
        stated = dataclasses.replace(stated, outputs={"integer": change["output"]})
    with pytest.raises((ValueError, RuntimeError), match=message):
        chain_serve.serve(change.get("images", {"lr": path}), stated, model, change.get("output_kind", "integer"))


def whole_image_model(folder, factor=2):
    """Export a network that repeats pixels and adds their mean, and return what it is."""

    def network(lr):
        return toy_models.upsample(lr, factor) + tf.reduce_mean(lr, axis=(1, 2), keepdims=True)

    source = Source("lr", toy_models.BANDS, 10.0)
    model = toy_models.export(folder, network, [source], 10.0 / factor, 0)
    return dataclasses.replace(read_description(model), whole_image=True, shift=0.5), model


@pytest.mark.parametrize("rows, columns", [(21, 34), (40, 27), (1, 1)])
def test_a_whole_image_is_served_at_once_and_lies_where_its_shift_says(tmp_path, write_raster, pixels, rows, columns):
    stated, model = whole_image_model(tmp_path / "model")
    image = pixels[:rows, :columns].astype(np.float32)
    path = str(write_raster("lr.tif", image))
    served = chain_serve.serve_whole({"lr": path}, stated, model, ["sr_crop0", "sr_dn_crop0"])
    expected = np.repeat(np.repeat(image, 2, 0), 2, 1) + image.mean(axis=(0, 1), dtype=np.float64)
    result = served.app.to_numpy()
    np.testing.assert_allclose(result[..., :4], expected * 1e-4, rtol=1e-5)
    assert np.abs(result[..., 4:] - expected).max() <= 0.51
    assert served.size == (2 * columns, 2 * rows)
    assert served.geotransform == (LEFT + 2.5, 5.0, 0, TOP - 2.5, 0, -5.0)


def test_a_model_of_whole_images_of_several_spacings_is_refused(tmp_path):
    stated = dataclasses.replace(description((10.0, 20.0), 10.0, 0), whole_image=True)
    with pytest.raises(ValueError, match=r"expected one spacing of the sources .* got ratios \(1, 2\)"):
        chain_serve.serve_whole({}, stated, str(tmp_path), ["sr"])


def test_a_model_of_whole_images_is_not_run_by_tiles(tmp_path, write_raster, pixels):
    stated, model = whole_image_model(tmp_path / "model")
    path = str(write_raster("lr.tif", pixels))
    whole = network.Network(stated, model, "tensorflow")
    for tiled in (
        lambda: chain_serve.serve({"lr": path}, stated, model),
        lambda: network.run_by_tiles({"lr": pixels}, whole, "float", 64, network.fields(stated)),
    ):
        with pytest.raises(ValueError, match="that can be run tile by tile, got spot7, whose pixels depend"):
            tiled()
