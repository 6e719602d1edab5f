# SPDX-License-Identifier: Apache-2.0
"""The OTB provider of QGIS with this project's applications: pixels against numpy, and failures that are seen."""

import numpy as np
import pytest
import tensorflow as tf
from osgeo import gdal

from tests.toy_models import upsample

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A SavedModel that adds a tensor of 20 m to one of 10 m."""

    class Sum(tf.Module):
        @tf.function(
            input_signature=[tf.TensorSpec([None, None, None, 1], name=name) for name in ("fine", "coarse")],
            autograph=False,
        )
        def serve(self, fine, coarse):
            return {"sr": fine + upsample(coarse, 2)}

    folder, module = tmp_path_factory.mktemp("model"), Sum()
    tf.saved_model.save(module, str(folder), signatures=module.serve)
    return folder


@pytest.fixture
def images(write_raster):
    rng = np.random.default_rng(0)
    fine = rng.integers(1, 999, (64, 64)).astype(np.uint16)
    coarse = rng.integers(1, 999, (32, 32)).astype(np.uint16)
    return fine, coarse, write_raster("fine.tif", fine), write_raster("coarse.tif", coarse, gsd=20.0)


def read(path):
    dataset = gdal.Open(str(path))
    return dataset.ReadAsArray(), dataset.GetGeoTransform()


def count(points):
    dataset = gdal.OpenEx(str(points))
    return dataset.GetLayer(0).GetFeatureCount()


def test_stock_application(qgis, images, tmp_path):
    fine, _, path, _ = images
    out = tmp_path / "roi.tif"
    parameters = {"mode": "standard", "startx": 16, "sizex": 32, "sizey": 24, "outputpixeltype": 1}
    status, told = qgis.run("otb:ExtractROI", **{"in": path}, out=out, **parameters)
    assert status == 0, told
    np.testing.assert_array_equal(read(out)[0], fine[:24, 16:48])


def test_two_sources(qgis, images, model, tmp_path):
    """As OTBTF does, the application crops to where both images are known (docs/otbtf_compatibility.md)."""
    fine, coarse, ten, twenty = images
    out = tmp_path / "sr.tif"
    parameters = {"source1__il": ten, "source1__rfieldx": 16, "source1__rfieldy": 16, "source1__placeholder": "fine"}
    parameters |= {"source2__il": twenty, "source2__rfieldx": 8, "source2__rfieldy": 8}
    parameters |= {"source2__placeholder": "coarse", "source3__rfieldx": 1, "source3__nodata": 5}
    parameters |= {"model__dir": model, "model__fullyconv": "true", "output__names": "sr", "outputpixeltype": 1}
    parameters |= {"output__efieldx": 16, "output__efieldy": 16}
    status, told = qgis.run("otb:TensorflowModelServe", **parameters, out=out)
    assert status == 0, told
    pixels, geotransform = read(out)
    x, y = round((geotransform[0] - 300000) / 10), round((5000040 - geotransform[3]) / 10)
    rows, columns = pixels.shape
    assert geotransform[1] == 10 and rows >= 48 and columns >= 48
    expected = (fine.astype(int) + np.repeat(np.repeat(coarse, 2, 0), 2, 1))[y : y + rows, x : x + columns]
    np.testing.assert_array_equal(pixels, expected)


def test_patches(qgis, images, tmp_path):
    fine, _, path, _ = images
    points, patches = tmp_path / "points.gpkg", tmp_path / "patches.tif"
    parameters = {"grid__step": 16, "grid__psize": 16, "strategy": "all"}
    status, told = qgis.run("otb:PatchesSelection", **{"in": path}, **parameters, outtrain=points)
    assert status == 0 and count(points) > 8, told
    parameters = {"source1__il": path, "source1__patchsizex": 16, "source1__patchsizey": 16, "outputpixeltype": 1}
    status, told = qgis.run("otb:PatchesExtraction", **parameters, vec=points, field="id", source1__out=patches)
    assert status == 0, told
    found = read(patches)[0].reshape(count(points), 16, 16)
    windows = np.lib.stride_tricks.sliding_window_view(fine, (16, 16)).reshape(-1, 16, 16)
    assert all((windows == patch).all(axis=(1, 2)).any() for patch in found)


def test_a_failed_run_is_seen(qgis, images, tmp_path):
    """The provider ends with 0 in any case: what lies at the output's place must not be taken for the result."""
    *_, path, _ = images
    out = tmp_path / "sr.tif"
    out.write_bytes(path.read_bytes())
    parameters = {"source1__il": path, "model__dir": tmp_path, "model__fullyconv": "true", "output__names": "sr"}
    _, told = qgis.run("otb:TensorflowModelServe", **parameters, out=out)
    assert "(FATAL) TensorflowModelServe" in told
    assert "ERROR: TensorflowModelServe failed with exit status 1" in told
    assert not out.exists() and (tmp_path / "sr.tif.failed").exists()
