# SPDX-License-Identifier: Apache-2.0
"""Make every band of a Sentinel-2 product 10 m fine, with DSen2 (Lanaras et al. 2018).

The product holds the 12 bands in ESA's order, B01 to B12 without B10: the 10 m bands as they are, the six 20 m bands
from the `2x` network, B01 and B09 from the `6x` network. Weights that come with the project are used unless others are
given; weights are chosen by the product's level. Bands may come as a SAFE product, files, or one stack in which all
bands were resampled to 10 m: those are first brought back to their native resolution.

Deviations from the original (doi:10.1016/j.isprsjprs.2018.09.018): tiles overlap by all that the network sees, so there
is no seam (`--tiling original` computes as the authors did); missing pixels stay missing, each band's by itself, and
nothing else is affected; numbers are rounded to 16 bits. The offset of baseline 04.00 is taken off.

    python -m inference.dsen2 --input S2A_MSIL2A_….SAFE --output sr.tif
    python -m inference.dsen2 --input S_10m.tif S_20m.tif S_60m.tif --output sr.tif --bands B05,B11
    python -m inference.dsen2 --input images --output-dir products
    python -m inference.dsen2 --evaluate wald --input S2A_MSIL1C_….SAFE --box 3000,3000,1200,1200 --metrics m.json
    python -m inference.dsen2 --info --input S2A_MSIL2A_….SAFE

    from inference.dsen2 import Options, super_resolve
    product = super_resolve("S2A_MSIL2A_….SAFE", "sr.tif", Options(bands=("B05", "B11"), box=(0, 0, 600, 600)))
"""

from inference.dsen2.arrays import read_scene, super_resolve_arrays
from inference.dsen2.options import Command, Options
from inference.dsen2.program import PROGRAM, score

super_resolve, super_resolve_scenes, describe = PROGRAM.super_resolve, PROGRAM.super_resolve_scenes, PROGRAM.describe
super_resolve_mosaic, main, opened_input = PROGRAM.super_resolve_mosaic, PROGRAM.main, PROGRAM.opened_input

__all__ = [
    "PROGRAM",
    "Command",
    "Options",
    "describe",
    "main",
    "opened_input",
    "read_scene",
    "score",
    "super_resolve",
    "super_resolve_arrays",
    "super_resolve_mosaic",
    "super_resolve_scenes",
]
