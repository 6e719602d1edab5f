# SPDX-License-Identifier: Apache-2.0
"""The card of a model: what it takes and gives, how it was trained and scored, how it is run."""

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from models.description import ModelDescription
from weights.otbcli import Serving, command_line, described, place_in_words, qgis_command_line

Tables = dict[tuple[str, ...], list[tuple[str, list[float]]]]


def card(
    name: str,
    description: ModelDescription,
    serving: Serving,
    licence: str,
    parameters: int,
    run: Mapping[str, Any],
    scores: Mapping[str, Any],
) -> str:
    """Return the card, in Markdown.

    Args:
        name: what the model is called.
        description: what it is.
        serving: how OTBTF serves it.
        licence: SPDX identifier; empty when unknown.
        parameters: number of its weights.
        run: record of its training; empty when there is none.
        scores: scores, by the name of their file.
    """
    parts = [
        f"# {name}",
        _what(description, parameters, licence),
        "## Running it",
        _running(description, serving),
        "## Training",
        _training(run),
        "## Scores",
        "\n\n".join(f"`{file}`\n\n{_scores(found)}" for file, found in scores.items())
        or "None were published with it.",
        "## Files",
        "`SHA256SUMS` has the checksum of each file: `sha256sum -c SHA256SUMS`. A SavedModel is a program: run those "
        "of people whose programs you would run.",
    ]
    return "\n\n".join(parts) + "\n"


def _what(description: ModelDescription, parameters: int, licence: str) -> str:
    """Return what the model takes and gives, as a table."""
    rows = {
        "system": f"`{description.system}`" + (f", network `{description.model}`" if description.model else ""),
        "arguments": _pairs(description.arguments),
        "input": "; ".join(map(described, description.sources)),
        "output": f"{', '.join(description.bands)} at {description.gsd:g} m",
        "levels": ", ".join(description.levels) or "any",
        "parameters": f"{parameters:,}".replace(",", " "),
        "margin": f"{description.crop} output pixels on each side, which the output lacks",
        "image": "in one piece: its pixels depend on the whole image" if description.whole_image else "tile by tile",
        "origin": _pairs({key: value for key, value in description.origin.items() if value}) or "trained, see below",
        "licence": licence or "not stated by whoever published it",
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows.items())])


def _running(description: ModelDescription, serving: Serving) -> str:
    """Return the commands that run the model."""
    return f"""With this project, which reads products as they come, keeps nodata, and covers the input to its borders:

```sh
python -m inference.{description.system} --model-dir THIS_FOLDER --input INPUT --output OUTPUT.tif
```

With OTBTF's application, on images of the sources' bands and spacings (`otbcli.sh` does it):

```sh
{command_line(serving)}
```

In QGIS, by its OTB provider:

```sh
{qgis_command_line(serving)}
```

{place_in_words(serving)}"""


def _training(run: Mapping[str, Any]) -> str:
    """Return how the model was trained, after its record."""
    if not run:
        return "There is no record of it."
    rows = {key: _value(value) for key, value in run.get("arguments", {}).items() if value not in (None, [], False, "")}
    lines = ["| option | value |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows.items())]
    told = [f"{len(run['patches'])} sets of patches." if run.get("patches") else ""]
    told += [f"Best epoch: {run['best_epoch']}." if "best_epoch" in run else ""]
    told += [f"{run['seconds']:.0f} s." if "seconds" in run else "", _pairs(run.get("versions", {}))]
    return "\n".join([*lines, "", " ".join(filter(None, told))])


def _value(value: Any) -> str:
    """Return an option's value in a line; of files their names, not where they lay."""
    if isinstance(value, list):
        return ", ".join(_value(each) for each in value)
    return PurePath(value).name if isinstance(value, str) and "/" in value else str(value)


def _pairs(content: Mapping[str, Any]) -> str:
    """Return a mapping in a line."""
    return ", ".join(f"{key} {value}" for key, value in content.items())


def _scores(scores: Mapping[str, Any]) -> str:
    """Return scores as tables: one for each set of names of numbers."""
    tables: Tables = {}
    for name, numbers in _leaves(scores, ""):
        tables.setdefault(tuple(numbers), []).append((name, list(numbers.values())))
    return "\n\n".join(
        "\n".join(
            [
                f"| | {' | '.join(columns)} |",
                "|---" * (len(columns) + 1) + "|",
                *(f"| {name} | {' | '.join(f'{number:.4g}' for number in numbers)} |" for name, numbers in rows),
            ]
        )
        for columns, rows in tables.items()
    )


def _leaves(content: Mapping[str, Any], name: str) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the numbers of a nested mapping, those side by side together, with the names above them."""
    numbers = {key: value for key, value in content.items() if isinstance(value, int | float)}
    if numbers:
        yield name or "all", numbers
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{name} {key}".strip())
