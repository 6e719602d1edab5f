# SPDX-License-Identifier: Apache-2.0
"""Super-resolve Sentinel-2 to Spot-7's 1.5 m, with a model that `train.spot7` exported.

The four 10 m bands are resampled to the 6 m of Spot-7's multispectral images, on a grid that begins at the input's
upper-left corner, by the bicubic interpolation of Superimpose, as in the training; the network makes 1.5 m of them.
The product covers the whole input. Pixels where a band is missing stay missing, all others are given a value.

Limits: the input's coordinate system is projected, in metres, and north up. An input finer than 6 m is interpolated,
not averaged. The product keeps the input's registration: nothing corrects it.

    python -m inference.spot7 --input S2B_MSIL2A_20220714T105629_N0400_R094_T31UDQ_20220714T182657.SAFE \
        --model-dir model --output sr.tif --box 4000,4000,500,500 --quicklook sr.png

    from inference.spot7 import Options, super_resolve
    product = super_resolve("S2B_….SAFE", "sr.tif", Options(model_dir="model", box=(4000, 4000, 500, 500)))
"""

import sys

from chain.serving.single_network import Command, Options, single_network_program

PROGRAM = single_network_program("spot7", "Super-resolve Sentinel-2's B04, B03, B02 and B08 to 1.5 m.")
super_resolve, super_resolve_scenes, describe = PROGRAM.super_resolve, PROGRAM.super_resolve_scenes, PROGRAM.describe
main, opened_input = PROGRAM.main, PROGRAM.opened_input

__all__ = ["PROGRAM", "Command", "Options", "describe", "main", "opened_input", "super_resolve", "super_resolve_scenes"]

if __name__ == "__main__":
    sys.exit(main())
