# SPDX-License-Identifier: Apache-2.0
"""Shared parts of the simulators' command lines: lower limits of numbers, and reporting of errors."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

FAILURES = (ValueError, OSError, RuntimeError)
"""Exceptions that `failed` reports: bad input, and failures of the disk or GDAL."""


def check_least(parser: argparse.ArgumentParser, arguments: argparse.Namespace, least: Mapping[str, int]) -> None:
    """Ends the program with status 2 if an argument is less than its lower limit."""
    for name, value in least.items():
        if getattr(arguments, name) < value:
            option = name.replace("_", "-")
            parser.error(f"--{option}: expected {value} or more, got {getattr(arguments, name)}")


def failed(error: Exception, argument: str, output: str | Path, content: str) -> int:
    """Reports an error in one line.

    Args:
        error: one of `FAILURES`.
        argument: name of the output argument, as shown in the line.
        output: the output folder.
        content: the content of the output, in words.

    Returns:
        The exit status.
    """
    text = str(error)
    if not isinstance(error, ValueError):
        reason = " ".join(text.split())
        text = f"{argument}: expected a writable folder with room for the {content}, got {output} ({reason})"
    print(text, file=sys.stderr)
    return 1
