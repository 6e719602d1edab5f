# SPDX-License-Identifier: Apache-2.0
"""TensorflowModelServe through pyotb: pixels against TensorFlow called directly, places against OTBTF."""

import numpy as np
import pyotb
import pytest
import tensorflow as tf
from osgeo import gdal

from tests.native.served_networks import IMAGE, Network, X, Y, corner, nearest, serve

pytestmark = pytest.mark.keras


@pytest.mark.parametrize(
    "factor, crop, expression, tile",
    [
        (1, 0, 16, 16),
        (2, 8, 16, 32),
        (3, 6, 12, 24),
        (4, 8, 8, 64),
        (4, 8, 4, 20),
        (4, 16, 12, 60),
        (4, 8, 20, 16),
    ],
)
def test_nearest_neighbour_network_gives_the_pixels_of_the_input(tmp_path, image, factor, crop, expression, tile):
    path, pixels = image
    model = nearest(factor, crop).save(tmp_path / "model")
    receptive = (expression + 2 * crop) // factor
    app = serve(path, model, receptive, expression, tile, output__spcscale=1 / factor)
    expected = np.repeat(np.repeat(pixels, factor, 0), factor, 1)[crop:, crop:]
    result = app.to_numpy()
    height, width = ((n - receptive + 1) * factor + expression - 1 for n in pixels.shape[:2])
    assert result.shape == (height - height % expression, width - width % expression, 2)
    np.testing.assert_array_equal(result, expected[: result.shape[0], : result.shape[1]])
    shift = receptive // 2 - (expression // 2) / factor + 0.5 * (1 - 1 / factor)
    np.testing.assert_allclose(corner(app), (shift, shift), atol=1e-5)


def test_stated_origin_of_a_times_4_product(tmp_path, image):
    model = nearest(4, 8).save(tmp_path / "model")
    app = serve(image[0], model, 20, 64, 64, output__spcscale=0.25)
    app.write(str(tmp_path / "sr.tif"), pixel_type="uint16")
    product = gdal.Open(str(tmp_path / "sr.tif"))
    assert product.GetGeoTransform() == (X + 23.75, 2.5, 0, Y - 23.75, 0, -2.5)
    assert "32631" in product.GetProjection()


def test_tiles_regions_and_streaming_do_not_change_a_valid_convolution(tmp_path, image, models):
    path, pixels = image
    expected = sum(pixels[i : i + 96, j : j + 116] for i in range(5) for j in range(5))
    for tile in (16, 48, 200):
        np.testing.assert_array_equal(serve(path, models["blur"], 5, 1, tile).to_numpy(), expected)
    whole = serve(path, models["blur"], 5, 1, optim__disabletiling=True)
    np.testing.assert_array_equal(whole.to_numpy(), expected)
    whole.write(
        str(tmp_path / "tiled.tif"), ext_fname="streaming:type=tiled&streaming:sizemode=height&streaming:sizevalue=32"
    )
    np.testing.assert_array_equal(np.moveaxis(gdal.Open(str(tmp_path / "tiled.tif")).ReadAsArray(), 0, -1), expected)
    box = pyotb.ExtractROI({"in": whole, "startx": 33, "starty": 7, "sizex": 40, "sizey": 50})
    np.testing.assert_array_equal(box.to_numpy(), expected[7:57, 33:73])


def test_only_the_needed_part_of_the_input_is_read(image, models, monkeypatch):
    sizes = []
    from otbtf_applications.saved_model_session import SavedModelSession

    run = SavedModelSession.run
    monkeypatch.setattr(
        SavedModelSession, "run", lambda self, feeds, *rest: sizes.append(feeds["lr"].shape) or run(self, feeds, *rest)
    )
    app = serve(image[0], models["blur"], 5, 1, tile=16)
    pyotb.ExtractROI({"in": app, "startx": 20, "starty": 20, "sizex": 10, "sizey": 20}).to_numpy()
    assert sizes == [(1, 16, 14, 2), (1, 12, 14, 2)]


def test_chain_in_memory_upstream_and_downstream(image, models):
    path, pixels = image
    half = pyotb.ExtractROI({"in": path, "startx": 60, "starty": 10, "sizex": 60, "sizey": 80})
    app = serve(half, models["same"], 16, 16, names=["b"])
    assert corner(app) == (60, 10)
    doubled = app * 2
    np.testing.assert_array_equal(doubled.to_numpy(), pixels[10:90, 60:108] * 4)


@pytest.mark.parametrize(
    "names, expected", [(["b"], (0, 1)), (["b", "a"], (0, 1, 2)), (["a", "b"], (2, 0, 1)), ([], (2,))]
)
def test_outputs_are_stacked_in_the_given_order(image, models, names, expected):
    path, pixels = image
    stack = np.concatenate([pixels * 2, pixels[..., :1]], axis=2)
    result = serve(path, models["same"], 4, 4, tile=32, names=names).to_numpy()
    np.testing.assert_array_equal(result, stack[: result.shape[0], : result.shape[1], list(expected)])


@pytest.mark.parametrize("receptive", [1, 2, 7, 8])
def test_patch_mode(image, models, receptive):
    path, pixels = image
    app = serve(path, models["patch"], receptive, convolutional=False, names=["mean", "first", "plane"])
    assert corner(app) == (receptive // 2, receptive // 2)
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (receptive, receptive), (0, 1))
    expected = np.concatenate([windows.mean((-1, -2)), windows[..., 0, 0]], axis=2)
    np.testing.assert_allclose(app.to_numpy(), expected, rtol=1e-5)


def test_patch_mode_every_fourth_pixel(image, models):
    path, pixels = image
    result = serve(path, models["patch"], 4, convolutional=False, names=["first"], output__spcscale=4).to_numpy()
    np.testing.assert_array_equal(result[..., 0], pixels[:93:4, :113:4, 0][:24, :29])


@pytest.mark.parametrize("expression, scale", [(2, 1.0), (1, 0.5)])
def test_patch_mode_leaves_the_image_with_expression_fields_or_finer_pixels(image, models, expression, scale):
    app = serve(image[0], models["patch"], 4, expression, convolutional=False, names=["first"], output__spcscale=scale)
    with pytest.raises(RuntimeError, match="is outside of buffered region"):
        app.to_numpy()


def test_two_sources_of_two_spacings(write_raster, models):
    fine = np.random.default_rng(1).integers(0, 9999, (96, 112, 2)).astype(np.uint16)
    coarse = np.random.default_rng(2).integers(0, 9999, (48, 56, 2)).astype(np.uint16)
    app = pyotb.TensorflowModelServe(
        {
            "source1.il": [str(write_raster("fine.tif", fine))],
            "source1.placeholder": "fine",
            "source2.il": [str(write_raster("coarse.tif", coarse, gsd=20.0))],
            "source2.placeholder": "coarse",
            "source1.rfieldx": 16,
            "source1.rfieldy": 16,
            "source2.rfieldx": 8,
            "source2.rfieldy": 8,
            "model.dir": models["two"],
            "model.fullyconv": True,
            "output.efieldx": 16,
            "output.efieldy": 16,
            "optim.tilesizex": 32,
            "optim.tilesizey": 32,
        }
    )
    expected = fine[..., :1].astype(np.float32) + np.repeat(np.repeat(coarse, 2, 0), 2, 1)[..., 1:]
    np.testing.assert_array_equal(app.to_numpy(), expected[:80, :96])  # one expression field less
    assert corner(app) == (0, 0)


def test_images_of_a_source_are_stacked_and_must_have_one_size(image, write_raster, models):
    path, pixels = image
    bands = [str(write_raster(f"band{k}.tif", pixels[..., k].astype(np.uint16))) for k in (1, 0)]
    app = serve(bands[0], models["same"], source1__il=bands, names=["b"])
    np.testing.assert_array_equal(app.to_numpy(), pixels[..., ::-1] * 2)
    small = str(write_raster("small.tif", pixels[:50, :, 0].astype(np.uint16)))
    with pytest.raises(RuntimeError, match="Input image size number 1 mismatch"):
        serve(bands[0], models["same"], source1__il=[bands[0], small])


def test_only_runs_wholly_without_data_are_blank(write_raster, models):
    pixels = np.full((100, 120, 2), 7, np.uint16)
    pixels[32:72, 32:80] = 0
    app = serve(
        str(write_raster("hole.tif", pixels)), models["same"], 16, 16, names=["b"], source1__nodata=0.0, output__bv=-1.0
    )
    result = app.to_numpy()[..., 0]
    assert np.count_nonzero(result == -1) == 1536
    assert np.count_nonzero(result == 0) == 384


def test_model_is_loaded_again_when_its_folder_changes(tmp_path, image):
    path, pixels = image
    for factor in (2.0, 5.0):
        folder = Network(lambda lr, factor=factor: {"out": lr * factor}, lr=IMAGE).save(tmp_path / "model")
        np.testing.assert_array_equal(serve(path, folder).to_numpy(), pixels * factor)


@pytest.mark.parametrize("fixed", [False, True])
def test_keras_model_exported_as_in_its_generation_equals_a_direct_call(tmp_path, image, fixed):
    path, pixels = image
    inputs = tf.keras.Input((16, 16, 2) if fixed else (None, None, 2), name="lr")
    layer = tf.keras.layers.Conv2D(3, 3, padding="same", activation="relu", name="out")(inputs)
    model = tf.keras.Model(inputs, {"out": layer})
    if hasattr(model, "export"):
        model.export(str(tmp_path / "model"))
    else:
        model.save(str(tmp_path / "model"))
    result = serve(path, str(tmp_path / "model"), 16, 16, 16).to_numpy()
    tiles = pixels[:96, :112].reshape(6, 16, 7, 16, 2).swapaxes(1, 2).reshape(42, 16, 16, 2)
    expected = np.asarray(model(tiles)["out"]).reshape(6, 7, 16, 16, 3).swapaxes(1, 2).reshape(96, 112, 3)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-2)


def test_model_of_tensorflow_1(tmp_path, image):
    path, pixels = image
    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, None, None, 2], name="x")
        gain = v1.get_variable("gain", initializer=3.0)
        rate = v1.placeholder_with_default(1.0, [], name="rate")
        y = tf.identity(x * gain * rate, name="y")
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(tmp_path / "model"), {"x": x, "rate": rate}, {"y": y})
    app = serve(path, str(tmp_path / "model"), 8, 8, source1__placeholder="x", model__userplaceholders=["rate=2.0"])
    np.testing.assert_array_equal(app.to_numpy(), pixels[:96] * 6)


def test_image_without_georeference_keeps_its_direction(tmp_path, image, models):
    _, pixels = image
    path = str(tmp_path / "plain.tif")
    dataset = gdal.GetDriverByName("GTiff").Create(path, 120, 100, 2, gdal.GDT_UInt16)
    dataset.WriteArray(np.moveaxis(pixels, 2, 0))
    del dataset
    app = serve(path, models["blur"], 5, 1, tile=32)
    expected = sum(pixels[i : i + 96, j : j + 116] for i in range(5) for j in range(5))
    np.testing.assert_array_equal(app.to_numpy(), expected)
    assert list(app.app.GetImageOrigin("out")) == [2.5, 2.5]
