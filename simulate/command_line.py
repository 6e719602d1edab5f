# SPDX-License-Identifier: Apache-2.0
"""What the simulators' command lines share: how small numbers are refused, and how an error ends."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

FAILURES = (ValueError, OSError, RuntimeError)
"""Exceptions that `failed` tells of: bad input, and a disk or GDAL that refuses."""


def check_least(parser: argparse.ArgumentParser, arguments: argparse.Namespace, least: Mapping[str, int]) -> None:
    """Ends the program with status 2 when an argument is less than its least value."""
    for name, value in least.items():
        if getattr(arguments, name) < value:
            option = name.replace("_", "-")
            parser.error(f"--{option}: expected {value} or more, got {getattr(arguments, name)}")


def failed(error: Exception, argument: str, output: str | Path, content: str) -> int:
    """Tells of an error in one line.

    Args:
        error: one of `FAILURES`.
        argument: name of the argument of the folder that was written into, as the line calls it.
        output: the folder.
        content: what was written, in words.

    Returns:
        The exit status.
    """
    text = str(error)
    if not isinstance(error, ValueError):
        reason = " ".join(text.split())
        text = f"{argument}: expected a writable folder with room for the {content}, got {output} ({reason})"
    print(text, file=sys.stderr)
    return 1
