# SPDX-License-Identifier: Apache-2.0
"""What the programs' command lines share: options that all have, how one is run, and how an error ends.

Nothing heavy is imported here, so that help and wrong usage answer at once.
"""

import argparse
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NoReturn

from chain.runtime.credentials import without_credentials
from chain.runtime.option_parser import add_options
from chain.runtime.options import Made, from_values
from chain.runtime.progress import SHOWN, Progress, shown_on_terminal
from chain.runtime.streams import without_credentials_printed, without_credentials_shown

QUIET = {"OTB_LOGGER_LEVEL": "CRITICAL", "PYOTB_LOGGER_LEVEL": "ERROR", "TF_CPP_MIN_LOG_LEVEL": "3"}
"""Environment in which OTB, pyotb and TensorFlow say nothing but errors, unless the user has set it."""
LOUD = {"OTB_LOGGER_LEVEL": "INFO", "PYOTB_LOGGER_LEVEL": "INFO", "TF_CPP_MIN_LOG_LEVEL": "0"}
"""Environment of --verbose and --debug."""
EXPECTED = (ValueError, RuntimeError, OSError)
"""Exceptions whose message is written for the user; others are named too."""
LONGEST_LINE = 500


class _Version(argparse.Action):
    """Prints the version and ends the program."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from chain.runtime.provenance import software

        print(software())
        parser.exit()


class _Help(argparse.HelpFormatter):
    """Wraps texts of one line, and keeps others as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(
            super(_Help, self)._fill_text(part, width, indent) if "\n" not in part else part
            for part in text.split("\n\n")
        )


def examples(doc: str) -> str:
    """Return the commands of a docstring, each on a line: what stands indented and begins with `python`."""
    found: list[str] = []
    goes_on = False
    for line in doc.splitlines():
        if goes_on or re.match(r" +python ", line):
            text = line.strip().removesuffix("\\").strip()
            found[len(found) - goes_on :] = [f"{found[-1]} {text}" if goes_on else f"  {text}"]
            goes_on = line.rstrip().endswith("\\")
    return "\n".join(["examples:", *(re.sub(r"(?<=\S) +", " ", line) for line in found)]) if found else ""


def add_program_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--quiet`, `--verbose`, `--debug` and `--version`, which all programs have, to a parser."""
    told = parser.add_mutually_exclusive_group()
    told.add_argument("--quiet", action="store_true", help="show warnings and errors alone")
    told.add_argument("--verbose", action="store_true", help="show the messages of OTB and TensorFlow, too")
    parser.add_argument(
        "--debug", action="store_true", help="show the messages of OTB and TensorFlow, and the traceback of an error"
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, dest=argparse.SUPPRESS, help="show this project's version and exit"
    )


def one_line(error: Exception) -> str:
    """Return the message of an error in one line, without credentials and without OTB's places in code."""
    text = re.sub(r"Exception thrown in otbApplication \w+: (\S+:\d+:)?\s*", "", without_credentials(str(error)))
    lines = text.strip().splitlines() or [type(error).__name__]
    text = " ".join(" ".join(lines).split())
    if len(text) > LONGEST_LINE:
        text = " ".join((f"{lines[0]} {lines[-1]}" if lines[0].endswith(":") else lines[0]).split())
    text = re.sub(r"itk::ERROR: \w+\(0x[0-9a-f]+\): ", "", text)
    return text if isinstance(error, EXPECTED) else f"{type(error).__name__}: {text}"


def quiet() -> None:
    """Let OTB, pyotb and TensorFlow, which are loaded from now on, say nothing but errors."""
    _set_unless_given(QUIET)


def _set_unless_given(variables: Mapping[str, str]) -> None:
    """Set variables of the environment that the user has not set."""
    for name, value in variables.items():
        os.environ.setdefault(name, value)


def _with_numbers(words: Sequence[str]) -> list[str]:
    """Return the words of a command line with values that begin with a minus bound to their options.

    argparse takes `--bbox -4.3,50.8,-4.2,50.9` for two options.
    """
    bound: list[str] = []
    for word in words:
        if re.match(r"-\.?\d", word) and bound and re.fullmatch(r"--[a-z][a-z0-9-]*", bound[-1]):
            bound[-1] = f"{bound[-1]}={word}"
        else:
            bound.append(word)
    return bound


def is_quiet() -> bool:
    """Return whether OTB, pyotb and TensorFlow say nothing but errors."""
    return all(os.environ.get(name) == value for name, value in QUIET.items())


def run_program(
    parser: argparse.ArgumentParser,
    options: type[Made],
    command: Callable[[Made, Progress], None],
    argv: Sequence[str] | None = None,
    complete: Callable[[dict], dict] | None = None,
    doc: str | None = None,
) -> int:
    """Run a program of its command line.

    Wrong usage ends the program with status 2.

    Args:
        parser: an empty parser; the options, `--debug` and `--version` are added to it.
        options: the class of the program's options.
        command: called with the options and with where to report progress.
        argv: words of the command line; None for those of this process.
        complete: given the parsed values by name, returns them with those that come from elsewhere; it may raise
            ValueError.
        doc: the docstring of the program's module, whose commands end the help.

    Returns:
        The exit status: 0, 1 when it failed, 130 when it was interrupted.
    """
    parser.formatter_class = _Help
    parser.epilog = "\n\n".join(filter(None, (parser.epilog, examples(doc or ""))))
    add_options(parser, options)
    add_program_arguments(parser)
    parser.add_argument(
        "--progress",
        choices=list(SHOWN),
        default="bar",
        help="on the standard error: a bar, if it is a terminal; JSON on lines; or none (default: %(default)s)",
    )
    refuse = parser.error
    parser.error = lambda message: refuse(" ".join(message.split()))  # type: ignore[method-assign]
    with without_credentials_printed():
        arguments = parser.parse_args(_with_numbers(sys.argv[1:] if argv is None else argv))
        try:
            made = from_values(options, complete(vars(arguments)) if complete else vars(arguments))
        except ValueError as error:
            parser.error(str(error))

    def shown(_: argparse.Namespace) -> None:
        with shown_on_terminal(arguments.quiet), SHOWN[arguments.progress]() as progress:
            command(made, progress)

    return run(parser, arguments, shown)


def run(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace, command: Callable[[argparse.Namespace], None]
) -> int:
    """Run a program's command: an error is one line on the standard error and status 1.

    Args:
        parser: the program's parser.
        arguments: the parsed arguments; with `verbose` or `debug`, OTB and TensorFlow tell what they do; with `debug`,
            errors pass.
        command: called with the arguments.

    Returns:
        The exit status: 0, 1 when it failed, 130 when it was interrupted.
    """
    _set_unless_given(LOUD if arguments.verbose or arguments.debug else QUIET)
    try:
        with without_credentials_shown(), _terminated_as_interrupted():
            command(arguments)
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted; the same command goes on", file=sys.stderr)
        return 130
    except Exception as error:
        if arguments.debug:
            raise
        print(f"{parser.prog}: error: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM, with which schedulers and containers end programs, clean up as an interruption does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
