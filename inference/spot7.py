# SPDX-License-Identifier: Apache-2.0
"""Super-resolve Sentinel-2 to Spot-7's 1.5 m, with a model that `train.spot7` exported.

The four 10 m bands are resampled to the 6 m of Spot-7's multispectral images, on a grid that begins at the input's
upper-left corner, by the bicubic interpolation of Superimpose, as in the training; the network makes 1.5 m of them.
The product covers the whole input. Pixels where a band is missing stay missing, all others are given a value.

Limits: the input's coordinate system is projected, in metres, and north up. An input finer than 6 m is interpolated,
not averaged. The product keeps the input's registration: nothing corrects it.

    python -m inference.spot7 --input S2B_MSIL2A_20220714T105629_N0400_R094_T31UDQ_20220714T182657.SAFE \
        --model-dir model --output sr.tif --box 4000,4000,500,500 --quicklook sr.png
"""

import argparse
import functools
import sys

from chain.command_line import run
from inference.common import add_arguments, check_arguments, infer


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m inference.spot7",
        description="Super-resolve Sentinel-2's B04, B03, B02 and B08 to 1.5 m.",
    )
    add_arguments(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the program.

    Args:
        argv: Arguments of the command line.

    Returns:
        Exit status: 0, or 1 when it failed. Wrong usage ends the program with status 2.
    """
    parser = make_parser()
    arguments = parser.parse_args(argv)
    check_arguments(parser, arguments)
    return run(parser, arguments, functools.partial(infer, system="spot7"))


if __name__ == "__main__":
    sys.exit(main())
