# SPDX-License-Identifier: Apache-2.0
"""The options of a program: a frozen dataclass whose fields describe themselves.

    @dataclass(frozen=True, kw_only=True)
    class Options(BaseOptions):
        tile_size: int = option(768, "side of a tile, in output pixels", metavar="N", check=at_least(8))
        figure: str | None = option(None, "figure of the scores", metavar="PNG", writes=(".png",), replaces=True)

A notebook makes an instance by keywords; the command line makes it from a parser that is built from the same fields
(`chain.runtime.command_line.run_program`). Values are checked when an instance is made, so both get the same errors.
Whatever has to know options of a kind (those that pixels depend on, files that are read or written) asks the fields.
"""

import dataclasses
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING as MISSING
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from chain.runtime.files import is_device

Made = TypeVar("Made", bound="BaseOptions")
_KEY = "option"
FOLDER = "DIR"
"""Stands for a folder in the help; one that is not read is written."""
LONGEST_NAME = 255
"""Bytes of the longest name that file systems take."""
SUFFIX = 16
"""Bytes that are added to the name of a written file in those of files that go with it, at most."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What an option is, beside its name, type and default.

    Attributes:
        help: what it does, with units.
        read: reads the value from a word of the command line; raises ValueError with what was expected.
        metavar: stands for the value in the help.
        choices: values that are allowed.
        many: several values, a tuple.
        count: how many, where their number is fixed.
        repeated: the command line may give the option several times; the value is a tuple of what each gives.
        negated: whether the command line also takes `--no-` and the name: for True, False and undecided.
        group: title under which the help lists it.
        flag: how the command line spells it, where that is not the field's name; a word without dashes stands for a
            value that has no flag.
        formerly: spellings of earlier versions, which are refused with the present one.
        also: spellings of earlier versions that are still taken, with a warning.
        check: raises ValueError, with what was expected, for a value that cannot be right.
        pixels: whether pixels of the result depend on it.
        reads: whether it names files that are read.
        weights: whether these are the weights of a network.
        writes: endings of the file that it names, where it names one that is written.
        replaces: whether that file may replace an older one without `overwrite`.
    """

    help: str
    read: Callable[[str], Any] | None = None
    metavar: str | tuple[str, ...] | None = None
    choices: tuple | None = None
    many: bool = False
    count: int | None = None
    repeated: bool = False
    negated: bool = False
    group: str | None = None
    flag: str | None = None
    formerly: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    check: Callable[[Any], None] | None = None
    pixels: bool = True
    reads: bool = False
    weights: bool = False
    writes: tuple[str, ...] = ()
    replaces: bool = False


def option(default: Any, help: str, **kind: Any) -> Any:
    """Return the field of an option.

    Args:
        default: its value when it is not given; `dataclasses.MISSING` when it has to be.
        help: what it does, with units.
        **kind: as `Kind`.
    """
    if "choices" in kind:
        kind["choices"] = tuple(kind["choices"])
    return dataclasses.field(default=default, metadata={_KEY: Kind(help=help, **kind)})


def changed(cls: "type[BaseOptions]", name: str, default: Any, **kind: Any) -> Any:
    """Return the field of an option of a base class with another default, or of another kind.

    Args:
        cls: the base class.
        name: the option's field.
        default: the new default.
        **kind: what else is new, as `Kind`.
    """
    return dataclasses.field(default=default, metadata={_KEY: dataclasses.replace(kinds(cls)[name], **kind)})


@dataclass(frozen=True, kw_only=True)
class BaseOptions:
    """Base of all options: checks its values when it is made.

    Raises:
        ValueError: a value cannot be right, or two do not go together; the message names the option.
    """

    def __post_init__(self) -> None:
        for name, kind in kinds(type(self)).items():
            value = getattr(self, name)
            if isinstance(value, list | tuple):
                value = tuple(tuple(each) if isinstance(each, list) else each for each in value)
                object.__setattr__(self, name, value)
            if value is not None and value is not MISSING:
                _check(flag_of(name, kind), kind, value)
        self.check()
        check_places(files_written(self), names_read(self))

    def check(self) -> None:
        """Raise ValueError when options do not go together; subclasses add theirs and call `super().check()`."""

    def given(self, name: str) -> bool:
        """Return whether an option is not empty: neither None, False nor without values."""
        value = getattr(self, name)
        return not (value is None or value is False or value == ())

    def exclude(self, *names: str) -> None:
        """Raise ValueError when more than one of these options is given."""
        given = [flag_of(name, kinds(type(self))[name]) for name in names if self.given(name)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are mutually exclusive")

    def require(self, name: str, *others: str) -> None:
        """Raise ValueError when an option is given without one of the others."""
        if self.given(name) and not any(self.given(other) for other in others):
            flags = {each: flag_of(each, kinds(type(self))[each]) for each in (name, *others)}
            raise ValueError(f"{flags[name]} requires {' or '.join(flags[other] for other in others)}")


def kinds(cls: type[BaseOptions]) -> dict[str, Kind]:
    """Return what the options of a class are, by field name, those of base classes first."""
    return {each.name: each.metadata[_KEY] for each in dataclasses.fields(cls) if _KEY in each.metadata}


def flag_of(name: str, kind: Kind) -> str:
    """Return how the command line spells an option."""
    return kind.flag or f"--{name.replace('_', '-')}"


def values_for_pixels(options: BaseOptions) -> dict[str, Any]:
    """Return the options on which pixels depend, by field name."""
    return {name: getattr(options, name) for name, kind in kinds(type(options)).items() if kind.pixels}


def paths_read(options: BaseOptions) -> dict[str, Any]:
    """Return the options that name files which are read, by field name, where given."""
    return {
        name: getattr(options, name)
        for name, kind in kinds(type(options)).items()
        if kind.reads and options.given(name)
    }


def names_read(options: BaseOptions) -> Iterator[str | Path]:
    """Yield the names of all that options name to be read."""
    for value in paths_read(options).values():
        for each in value if isinstance(value, tuple) else [value]:
            yield from each if isinstance(each, tuple) else [each]


def check_places(written: Iterable[tuple[str, Path, bool]], read: Iterable[str | Path]) -> None:
    """Refuse to write over what is read, and to write two things into one file.

    Files are told apart by where they really lie: links, also hard ones, lead to the file itself.

    Args:
        written: files that are written, as `files_written` yields them.
        read: names of what is read.

    Raises:
        ValueError: a file would be written over.
    """
    read_places = {place_of(name) for name in read}
    taken: dict[object, str] = {}
    for flag, path, _ in written:
        place = place_of(path)
        if place in read_places:
            raise ValueError(f"{flag}: expected a file that is not read as input, got {path}")
        if place in taken:
            raise ValueError(f"{flag}: expected another file than that of {taken[place]}, got {path}")
        taken[place] = flag


def read_within(options: BaseOptions, folder: str | Path) -> Path | None:
    """Return what options name to be read and is a folder, or lies in it; None if nothing does."""
    within = os.path.realpath(folder)
    for name in names_read(options):
        if os.path.exists(name) and Path(os.path.realpath(name)).is_relative_to(within):
            return Path(name)
    return None


def place_of(name: str | Path) -> object:
    """Return what tells a file from others: its inode, or its path while it does not exist."""
    try:
        status = os.stat(name)
    except (OSError, ValueError):
        return os.path.realpath(name)
    return status.st_dev, status.st_ino


def files_written(options: BaseOptions) -> Iterator[tuple[str, Path, bool]]:
    """Yield the flag of each option that names a written file, the file, and whether it may replace an older one."""
    for name, kind in kinds(type(options)).items():
        if kind.writes and options.given(name):
            yield flag_of(name, kind), Path(getattr(options, name)), kind.replaces


def from_values(cls: type[Made], values: Mapping[str, Any]) -> Made:
    """Return the options that values by field name are, such as parsed arguments; values of other options are ignored.

    Raises:
        ValueError: as of `BaseOptions`.
    """
    return cls(
        **{name: values[name] for name, kind in kinds(cls).items() if not (kind.repeated and values[name] is None)}
    )


def _check(flag: str, kind: Kind, value: Any) -> None:
    """Raise ValueError for a value that cannot be right."""
    several = kind.many or kind.count
    each_value = list(value) if several or kind.repeated else [value]
    if several and kind.repeated:
        each_value = [each for part in value for each in part]
    for each in each_value:
        if kind.choices and each not in kind.choices:
            raise ValueError(f"{flag}: expected one of {', '.join(map(str, kind.choices))}, got {each!r}")
    if kind.count and len(value) != kind.count:
        raise ValueError(f"{flag}: expected {kind.count} values, got {len(value)}")
    if several and "" in each_value:
        raise ValueError(f"{flag}: expected names, got an empty one")
    if (kind.writes or kind.metavar == FOLDER) and not kind.reads and "://" in str(value):
        raise ValueError(f"{flag}: expected a name on this machine, got the address {value}")
    if kind.writes and not str(value).lower().endswith(kind.writes):
        raise ValueError(f"{flag}: expected a {kind.writes[0]} file, got {str(value)!r}")
    longest = LONGEST_NAME - SUFFIX
    if kind.writes and longest < len(os.fsencode(Path(value).name)) <= LONGEST_NAME:
        raise ValueError(f"{flag}: expected a name of at most {longest} bytes, to which others are added, got {value}")
    if kind.check:
        try:
            kind.check(value)
        except ValueError as error:
            raise ValueError(f"{flag}: {error}") from None
        except OSError as error:
            raise ValueError(f"{flag}: expected a name that the system takes ({error.strerror}), got {value}") from None
    for each in each_value:
        if kind.reads or kind.metavar or isinstance(each, str):
            _check_word(flag, each)
        if isinstance(each, str | Path) and (kind.reads or kind.writes or kind.metavar) and "://" not in str(each):
            _check_name(flag, str(each))


def _check_word(flag: str, value: Any) -> None:
    """Raise ValueError for a value that no user means."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{flag}: expected a finite number, got {value!r}")
    if isinstance(value, str | Path) and not str(value).strip():
        raise ValueError(f"{flag}: expected a value, got an empty one")
    if not isinstance(value, str | Path):
        return
    text = str(value)
    if not text.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError(f"{flag}: expected text in UTF-8, got {os.fsencode(text)!r}")
    if "\0" in text:
        raise ValueError(f"{flag}: expected a value without null characters, got {text!r}")


def _check_name(flag: str, text: str) -> None:
    """Raise ValueError for a name that no file or folder has."""
    longest = max((os.fsencode(part) for part in text.split("/")), key=len)
    if len(longest) > LONGEST_NAME:
        raise ValueError(f"{flag}: expected names of at most {LONGEST_NAME} bytes, got one of {len(longest)}")
    if is_device(text):
        raise ValueError(f"{flag}: expected a file or a folder, got {text}, a device or a pipe")


def at_least(least: float) -> Callable[[Any], None]:
    """Return a check of numbers: finite, and at least this one."""

    def check(value: float) -> None:
        if not least <= value < float("inf"):
            raise ValueError(f"expected at least {least:g}, got {value!r}")

    return check


LARGEST_NUMBER = 4096
"""Threads and processes, at most, that an option takes."""


def above(bound: float) -> Callable[[Any], None]:
    """Return a check of numbers: finite, and more than this one."""

    def check(value: float) -> None:
        if not bound < value < float("inf"):
            raise ValueError(f"expected more than {bound:g}, got {value!r}")

    return check


def within(least: float, most: float) -> Callable[[Any], None]:
    """Return a check of numbers: between these two, both included."""

    def check(value: float) -> None:
        if not least <= value <= most:
            raise ValueError(f"expected {least:g} to {most:g}, got {value!r}")

    return check


def band_names(text: str) -> tuple[str, ...]:
    """Read names of bands separated by commas.

    Raises:
        ValueError: there are none.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise ValueError(f"expected names separated by commas, got {text!r}")
    return names


def integers(text: str) -> tuple[int, ...]:
    """Read integers separated by commas.

    Raises:
        ValueError: one is none.
    """
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise ValueError(f"expected integers separated by commas, got {text!r}") from None


def distinct(values: Sequence) -> None:
    """Refuse values that are given twice.

    Raises:
        ValueError: one is.
    """
    if len(set(values)) < len(values):
        raise ValueError(f"expected each only once, got {','.join(map(str, values))}")


def memory_size(text: str) -> None:
    """Check a size of memory, such as 3GB or 3000MiB.

    Raises:
        ValueError: it is none.
    """
    if not re.fullmatch(r"0*[1-9]\d*(\.\d+)? ?[kMGT]i?B", text):
        raise ValueError(f"expected a size such as 3GB or 3000MiB, got {text!r}")
