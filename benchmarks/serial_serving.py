# SPDX-License-Identifier: Apache-2.0
"""The plain way of OTBTF: TensorflowModelServe reads two files and writes one, tile after tile, without concurrency.

The parameters are those that this project computes for the network. The product lacks the network's margin on each
side, because the application does not pad images.

    python -m benchmarks.serial_serving --input S1998_10m.tif S1998_20m.tif --model-dir networks/2x --output serial.tif
"""

import argparse
import sys
from pathlib import Path

from chain.serving.network import TILE_SIZE
from chain.serving.tensorflow_model_serve import serve


def main(argv=None) -> int:
    """Super-resolve an image."""
    from models.description import read_description

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", type=Path, nargs=2, required=True, help="the images of 10 and 20 m")
    parser.add_argument("--model-dir", type=Path, required=True, help="folder of the network 2x")
    parser.add_argument("--output", type=Path, required=True, help="the GeoTIFF")
    parser.add_argument("--tile-size", type=int, default=TILE_SIZE, help="side in 10 m pixels (default: %(default)s)")
    arguments = parser.parse_args(argv)
    description = read_description(arguments.model_dir)
    images = {source.name: str(path) for source, path in zip(description.sources, arguments.input)}
    served = serve(images, description, str(arguments.model_dir), tile_size=arguments.tile_size)
    streaming = {
        "streaming:type": "tiled",
        "streaming:sizemode": "height",
        "streaming:sizevalue": str(arguments.tile_size),
        "gdal:co:COMPRESS": "DEFLATE",
        "gdal:co:PREDICTOR": "2",
        "gdal:co:TILED": "YES",
        "gdal:co:BIGTIFF": "IF_SAFER",
    }
    served.app.write(str(arguments.output), pixel_type="uint16", ext_fname=streaming)
    return 0


if __name__ == "__main__":
    sys.exit(main())
