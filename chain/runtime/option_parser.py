# SPDX-License-Identifier: Apache-2.0
"""The command line of options (`chain.runtime.options`): a parser that is built from their fields.

add_options(parser, Options)
options = from_values(Options, vars(parser.parse_args()))
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable
from dataclasses import MISSING
from typing import Any, NoReturn

from chain.runtime.options import BaseOptions, Kind, flag_of, kinds

_NUMBERS: dict[Any, str] = {int: "an integer", float: "a number"}


def add_options(parser: argparse.ArgumentParser, cls: type[BaseOptions]) -> None:
    """Add the options of a class to a parser, in their groups."""
    defaults = {each.name: each.default for each in dataclasses.fields(cls)}
    groups: dict[str, argparse._ArgumentGroup] = {}
    for name, kind in kinds(cls).items():
        if kind.group and kind.group not in groups:
            groups[kind.group] = parser.add_argument_group(kind.group)
        place = groups[kind.group] if kind.group else parser
        flag, default = flag_of(name, kind), defaults[name]
        if not flag.startswith("-"):
            place.add_argument(name, metavar=flag, help=kind.help)
        elif kind.negated:
            place.add_argument(flag, dest=name, action=argparse.BooleanOptionalAction, help=_help(kind, default))
            parser.set_defaults(**{name: default})
        elif default is False:
            place.add_argument(flag, dest=name, action="store_true", help=kind.help)
        else:
            place.add_argument(flag, dest=name, **_argument(kind, default))
        for old in kind.also:
            read = {key: value for key, value in _argument(kind, default).items() if key in ("type", "nargs")}
            parser.add_argument(
                old, dest=name, action=_Older, const=flag, default=argparse.SUPPRESS, help=argparse.SUPPRESS, **read
            )
        for old in kind.formerly:
            parser.add_argument(old, action=_Renamed, nargs="*", const=flag, help=argparse.SUPPRESS)


class _Older(argparse.Action):
    """Takes the value of a former spelling of an option, and says the present one, which is `const`."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: object,
        values: object,
        option_string: str | None = None,
    ) -> None:
        print(f"warning: {option_string} is now called {self.const}", file=sys.stderr)
        setattr(namespace, self.dest, values)


class _Renamed(argparse.Action):
    """Refuses a former spelling of an option; `const` is the present one."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: object,
        values: object,
        option_string: str | None = None,
    ) -> NoReturn:
        parser.error(f"{option_string} is now called {self.const}")


def _help(kind: Kind, default: Any) -> str:
    """Return the help of an option as argparse takes it, with the default where there is one."""
    text = kind.help
    if default not in (None, MISSING, ()) and "(default:" not in text:
        shown: Any = default
        if isinstance(default, bool):
            shown = "yes" if default else "no"
        elif isinstance(default, tuple):
            shown = (" " if kind.many or kind.count else ",").join(map(str, default))
        text += f" (default: {shown})"
    return text.replace("%", "%%")


def _argument(kind: Kind, default: Any) -> dict[str, Any]:
    """Return the keywords of `add_argument` for an option that takes a value."""
    found: dict[str, Any] = {"required": default is MISSING, "help": _help(kind, default)}
    found["default"] = None if default is MISSING or kind.repeated else default
    if kind.many or kind.count:
        found["nargs"] = kind.count or "+"
    if kind.repeated:
        found["action"] = "append"
    if kind.choices:
        found["choices"] = list(kind.choices)
    if kind.metavar:
        found["metavar"] = kind.metavar
    if kind.read:
        found["type"] = _reader(kind.read)
    elif isinstance(default, int | float):
        found["type"] = _reader(type(default))
    return found


def _reader(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return what argparse calls to read a value: errors say what was expected."""

    def read_word(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            reason = f"expected {_NUMBERS[read]}, got {text!r}" if read in _NUMBERS else str(error)
            raise argparse.ArgumentTypeError(reason) from error

    return read_word
