# SPDX-License-Identifier: Apache-2.0
"""Random command lines of every program, made of what its options say of themselves.

They are parsed and checked, and not carried out: how they are refused is looked at.
"""

import dataclasses
import functools
import importlib
import io
import random
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from unittest import mock

from chain.runtime import command_line
from chain.runtime.options import MISSING, BaseOptions, Kind, flag_of, kinds

PROGRAMS = (
    *("sr_dataset", "inference.spot7", "inference.dsen2", "inference.l1bsr", "inference.deepsum"),
    *("train.spot7", "train.dsen2", "train.l1bsr", "train.deepsum", "datasets.deepsum.records"),
    *("weights.convert_dsen2", "weights.convert_l1bsr", "weights.convert_deepsum", "evaluation.scene_table"),
)
VALUES = (
    *("", " ", "0", "-1", "1", "nan", "inf", "-inf", "1e400", "abc", "--", "a b", "ä\n", "\udcff", "1,2", "1,2,3,4"),
    *("/nowhere/a.tif", "https://127.0.0.1:9/a", "x" * 300, "a?b", "2022-01-01", "9" * 20, "0x10", "%s%n"),
)


class _Seen(Exception):
    """The options of a program were found."""


@functools.cache
def options_of(program: str) -> type[BaseOptions]:
    """Return the class of a program's options."""
    found: list[type[BaseOptions]] = []

    def stop(_: object, options: type[BaseOptions]) -> None:
        found.append(options)
        raise _Seen

    with mock.patch.object(command_line, "add_options", stop), suppress(_Seen):
        importlib.import_module(program).main([])
    return found[0]


def status_of(program: str, words: list[str]) -> tuple[int, str]:
    """Parse and check a command line; return the status, and what is said."""
    said = io.StringIO()
    with (
        mock.patch.object(command_line, "run", lambda *_: 0),
        redirect_stdout(said),
        redirect_stderr(said),
    ):
        try:
            return importlib.import_module(program).main(words), said.getvalue()
        except SystemExit as ended:
            return int(ended.code or 0), said.getvalue()


def random_words(program: str, draw: random.Random) -> list[str]:
    """Return words for a program: those that have to be given, and some others, of which some mean nothing."""
    options = options_of(program)
    fields = {field.name: field for field in dataclasses.fields(options)}
    words: list[str] = []
    for name, kind in kinds(options).items():
        is_needed = fields[name].default is MISSING and fields[name].default_factory is MISSING
        if draw.random() < (0.9 if is_needed else 0.08):
            words += [flag_of(name, kind), *_values(fields[name], kind, draw)]
    return words


def _values(field: dataclasses.Field, kind: Kind, draw: random.Random) -> Iterator[str]:
    """Yield the values of one option."""
    if "bool" in str(field.type):
        return
    for _ in range(kind.count or draw.choice((1, 1, 1, 2) if kind.many else (1,))):
        yield str(draw.choice(kind.choices)) if kind.choices and draw.random() < 0.7 else draw.choice(VALUES)
