# SPDX-License-Identifier: Apache-2.0
"""The command line of precision and engine: `--precision`, `--engine`, `--max-error`."""

import argparse

from chain.serving.engines.engines import ENGINES

PRECISIONS = ("float32", "bfloat16", "int8", "auto")
MAX_ERROR = 2.0
"""Error that `auto` allows, in digital numbers."""


def add_arguments(parser) -> None:
    """Add the arguments to a parser, or a group of one."""
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="of the networks' inner convolutions; int8 is made from tiles of the input and needs OpenVINO; auto: the "
        "fastest whose error on such tiles is within --max-error (default: %(default)s)",
    )
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        help="what runs the networks; auto tries this one only (default: otbtf in the otbtf image, else tensorflow; "
        "openvino for int8; all for auto)",
    )
    parser.add_argument(
        "--max-error",
        type=float,
        default=MAX_ERROR,
        metavar="DN",
        help="root mean square difference from float32 that auto allows, in digital numbers (default: %(default)s)",
    )


def check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End with a usage error when the arguments do not go together."""
    precision, engine = arguments.precision, arguments.engine
    if precision == "int8" and engine not in (None, "openvino"):
        parser.error(f"--engine: openvino is wanted with --precision int8. Received: {engine}")
    if precision == "bfloat16" and engine == "openvino":
        parser.error("--engine: otbtf or tensorflow is wanted with --precision bfloat16. Received: openvino")
    if not 0 < arguments.max_error < float("inf"):
        parser.error(f"--max-error: more than 0 is wanted. Received: {arguments.max_error:g}")
