# SPDX-License-Identifier: Apache-2.0
"""The page of all options, made of the programs' own parsers. It needs nothing but Python.

    python docs/options.py > options.md

The site has it as a page (`docs/hooks.py`).
"""

import argparse
import html
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn
from unittest import mock

PROJECT = Path(__file__).resolve().parents[1]
FOLDERS = ("inference", "train", "weights", "datasets")


class _Parser(Exception):  # noqa: N818 - it carries what is looked for
    """Carries a program's parser out of it."""


def programs() -> list[str]:
    """Return the modules that are programs, in the folders whose programs users run."""
    found = ["sr_dataset"]
    for folder in FOLDERS:
        for path in sorted((PROJECT / folder).rglob("*.py")):
            if path.name == "__main__.py" or '__name__ == "__main__"' in path.read_text(encoding="utf-8"):
                found.append(".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__main__"))
    return found


def parser_of(module: str) -> argparse.ArgumentParser:
    """Return the parser of a program, as it is when the command line is read."""

    def stop(parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        raise _Parser(parser)

    with mock.patch.object(argparse.ArgumentParser, "parse_args", stop):
        try:
            importlib.import_module(module).main([])
        except _Parser as found:
            return found.args[0]
    raise RuntimeError(f"expected {module} to read its command line")


def rows(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """Yield each option as it is written, and its help; titles of groups have no help."""
    formatter = parser._get_formatter()
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.help is not argparse.SUPPRESS]
        if actions and group.title not in ("positional arguments", "options", "optional arguments"):
            yield f"**{group.title}**", ""
        for action in actions:
            value = formatter._format_args(action, formatter._get_default_metavar_for_optional(action))
            names = ", ".join(action.option_strings)
            text = _cell(" ".join(formatter._expand_help(action).split()))
            yield f"<code>{_cell(f'{names} {value}'.strip())}</code>{' (required)' if action.required else ''}", text


def _cell(text: str) -> str:
    """Return text as the cell of a table shows it."""
    return html.escape(text, quote=False).replace("|", "&#124;").replace("*", "&#42;").replace("_", "&#95;")


def page() -> str:
    """Return the page, in Markdown."""
    parts = [
        "# Options",
        "Made from the programs' parsers when this site was built. `--help` of each says the same.",
    ]
    for module in programs():
        parser = parser_of(module)
        command = "python sr_dataset.py" if module == "sr_dataset" else f"python -m {module}"
        summary = (parser.description or "").strip().splitlines()[0]
        lines = ["| option | |", "|---|---|"]
        lines += [f"| {name} | {text} |" for name, text in rows(parser)]
        parts += [f"## {command}", summary, "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.path.insert(0, str(PROJECT))
    print(page(), end="")
