# SPDX-License-Identifier: Apache-2.0
"""Makes a folder that a model can be published as: SavedModel, card, STAC item, how OTBTF runs it, checksums.

    python -m weights.publish weights/dsen2/2x --output published/dsen2-2x --license Apache-2.0
    python -m weights.publish --info weights/dsen2/2x

All is derived from the model's description (`model.json`), the record of its training (`run.json`) and its scores, so
any model of this project's base class can be published.
"""

import argparse
import datetime
import hashlib
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain.runtime.command_line import quiet, run_program
from chain.runtime.files import default_cache, read_document, whole_folder
from chain.runtime.options import MISSING, BaseOptions, option
from chain.runtime.progress import Progress
from models.description import FILE_NAME, SPECTRA_NAME, WEIGHTS_NAME, ModelDescription, read_description

CARD, ITEM, SCRIPT, CHECKSUMS = "README.md", "item.json", "otbcli.sh", "SHA256SUMS"
RUN, SCORES = "run.json", "scores.json"
SAVED_MODEL = ("saved_model.pb", "fingerprint.pb", "variables", "assets")


@dataclass(frozen=True, kw_only=True)
class Options(BaseOptions):
    """How a model is published."""

    name: str | None = option(None, "what it is called (default: its system, network and kind)", metavar="NAME")
    license: str | None = option(
        None, "SPDX identifier of its licence, such as CC-BY-4.0 (default: not stated)", metavar="ID"
    )
    scores: tuple[str, ...] = option(
        (), f"files of scores, in place of the model's own {SCORES}", many=True, metavar="JSON", reads=True
    )
    overwrite: bool = option(False, "replace what was published in the folder")
    cache: str = option(str(default_cache()), "folder in which exported models stay", metavar="DIR")


@dataclass(frozen=True, kw_only=True)
class Command(Options):
    """The command line."""

    model: str = option(MISSING, "folder of a model: trained, converted, or of weights/", flag="MODEL", reads=True)
    output: str | None = option(None, "folder to make", metavar="DIR")
    info: bool = option(False, "print how OTBTF's application runs the model, and do nothing else")

    def check(self) -> None:
        """Raise ValueError when options do not go together."""
        super().check()
        self.exclude("output", "info")
        if not (self.given("output") or self.given("info")):
            raise ValueError("--output or --info is required")


def name_of(description: ModelDescription) -> str:
    """Return what a model is called by default: its system, its network, and arguments that are words."""
    words = [description.system, description.model, *(each for each in description.arguments.values())]
    return "-".join(str(word).lower() for word in words if isinstance(word, str) and word)


def publish(model: str | Path, output: str | Path, options: Options = Options()) -> Path:
    """Write a model into a folder to be published, all or nothing.

    Args:
        model: folder of the model.
        output: the folder to make.
        options: how.

    Returns:
        The folder.

    Raises:
        ValueError: the model or its records cannot be read, or the folder holds something already.
        OSError: the disk refuses.
    """
    from chain.serving.exported_models import served_folder
    from models.weights_file import read_weights
    from weights.model_card import card
    from weights.otbcli import FOLDER, script, serving_of
    from weights.stac_mlm import item

    model = Path(model)
    description = read_description(model)
    name = options.name or name_of(description)
    parameters = sum(array.size for array in read_weights(model).values())
    scores = {Path(file).name: _read(file, "--scores") for file in options.scores or _there(model, SCORES)}
    run = next((_read(file, "MODEL") for file in _there(model, RUN)), {})
    exported = served_folder(model, Path(options.cache), whole=True)
    with whole_folder(Path(output), CHECKSUMS, options.overwrite) as folder:
        for file in (*(exported / each for each in (*SAVED_MODEL, WEIGHTS_NAME, SPECTRA_NAME, FILE_NAME)), model / RUN):
            _copy(file, folder)
        for file, content in scores.items():
            (folder / file).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        (folder / SCRIPT).write_text(script(serving_of(description, FOLDER), name), encoding="utf-8")
        serving = serving_of(description, "THIS_FOLDER")
        text = card(name, description, serving, options.license or "", parameters, run, scores)
        (folder / CARD).write_text(text, encoding="utf-8")
        now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
        described = item(name, description, options.license or "", parameters, folder, now)
        described.set_self_href(str(folder / ITEM))
        content = described.to_dict(include_self_link=False, transform_hrefs=False)
        (folder / ITEM).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        (folder / CHECKSUMS).write_text(_checksums(folder), encoding="utf-8")
    return Path(output)


def info(model: str | Path) -> str:
    """Return how OTBTF's application runs a model, as text.

    Args:
        model: folder of the model.

    Raises:
        ValueError: it is none.
    """
    from weights.otbcli import command_line, described, place_in_words, qgis_command_line, serving_of

    description = read_description(model)
    serving = serving_of(description, str(model))
    served = (Path(model) / SAVED_MODEL[0]).is_file()
    return "\n\n".join(
        [
            "\n".join(
                [f"{name_of(description)}: {', '.join(description.bands)} at {description.gsd:g} m"]
                + [f"source{number}: {described(source)}" for number, source in enumerate(serving.sources, start=1)]
            ),
            command_line(serving),
            qgis_command_line(serving),
            place_in_words(serving),
            *(
                []
                if served
                else [f"{model} holds weights alone: publish it, and serve the folder that --output names."]
            ),
        ]
    )


def _there(model: Path, name: str) -> list[Path]:
    """Return the file of a model's folder, if it is there."""
    return [model / name] if (model / name).is_file() else []


def _read(path: str | Path, argument: str) -> dict[str, Any]:
    """Read a record or scores.

    Raises:
        ValueError: it is no JSON object.
    """
    try:
        content = json.loads(read_document(path))
    except (OSError, ValueError) as error:
        raise ValueError(f"{argument}: expected a file of JSON, got {path} ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{argument}: expected an object in JSON, got {path}, a {type(content).__name__}")
    return content


def _copy(source: Path, folder: Path) -> None:
    """Copy a file or a folder of files into a folder, if it is there."""
    if source.is_dir():
        shutil.copytree(source, folder / source.name)
    elif source.is_file():
        shutil.copyfile(source, folder / source.name)


def _checksums(folder: Path) -> str:
    """Return the checksums of the files of a folder, as `sha256sum` writes them."""
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return "".join(f"{hashlib.sha256((folder / file).read_bytes()).hexdigest()}  {file}\n" for file in files)


def command(options: Command, progress: Progress) -> None:
    """Publish a model, or tell how it is run."""
    quiet()
    if options.output is None:
        print(info(options.model))
        return
    progress(0, "exporting")
    print(publish(options.model, options.output, options))


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        prog="python -m weights.publish",
        description="Make a folder to publish a model: SavedModel, card, STAC item, otbcli and QGIS parameters.",
        allow_abbrev=False,
    )
    return run_program(parser, Command, command, argv, doc=__doc__)


if __name__ == "__main__":
    sys.exit(main())
