# SPDX-License-Identifier: Apache-2.0
"""A network of L1BSR on a whole image at once, by TensorflowModelServe."""

from pathlib import Path

import numpy as np

from chain.raster.gdal_memory import memory_image
from chain.raster.grids import Grid
from chain.raster.otb import OTB_LOCK
from chain.runtime.files import default_cache
from chain.serving.exported_models import served_folder
from chain.serving.tensorflow_model_serve import serve_whole
from inference.l1bsr.product import ProductInputs


def run_whole(work: ProductInputs, output: str) -> np.ndarray:
    """Return an output of the network, float32 (rows, columns, bands).

    Args:
        work: what a product is made of.
        output: name of the output.

    Raises:
        ValueError: the folder of the network has neither SavedModel nor weights.
        RuntimeError: OTB or TensorFlow refuses.
        OSError: the cache of exported models cannot be written.
    """
    description, pixels = work.network.description, work.counts.pixels
    source = description.sources[0]
    folder = str(served_folder(Path(work.network.model_dir), default_cache()))
    grid = Grid(0.0, 0.0, source.gsd, source.gsd, pixels.shape[1], pixels.shape[0], "")
    with memory_image(pixels, grid) as image, OTB_LOCK:
        return serve_whole({source.name: image}, description, folder, [output]).app.to_numpy(copy=True)
