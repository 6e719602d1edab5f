# SPDX-License-Identifier: Apache-2.0
"""What the converters of published weights have in common: command line, which file it is, and how models are written.

Nothing heavy is imported here, so that help and wrong usage answer at once.
"""

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from chain.runtime.command_line import add_program_arguments
from chain.runtime.files import default_cache
from models.description import check_replaceable
from weights.published import Published, digests, identify, is_web_address

if TYPE_CHECKING:
    from models.base import SuperResolutionModel

File = TypeVar("File")


def make_parser(
    module: str, description: str, formats: str, output: str, download: dict[str, Any], servers: str
) -> argparse.ArgumentParser:
    """Make the parser of a converter's command line.

    Args:
        module: name of the converter in `weights`.
        description: what it does.
        formats: formats of the files that it reads.
        output: names of the models in the output folder.
        download: options of argparse for `--download`.
        servers: addresses from which it fetches.
    """
    parser = argparse.ArgumentParser(prog=f"python -m weights.{module}", description=description)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--input", type=Path, nargs="+", metavar="FILE", help=f"files of weights: {formats}")
    source.add_argument("--download", **download)
    add = parser.add_argument
    add("--output", type=Path, required=True, metavar="DIR", help=f"folder of the models: {output}")
    add("--overwrite", action="store_true", help="replace folders of models that exist")
    add(
        "--cache",
        type=Path,
        default=default_cache(),
        metavar="DIR",
        help="folder in which fetched files stay (default: %(default)s)",
    )
    add("--base-url", metavar="URL", help=f"address of a mirror, in place of {servers}, for --download")
    add_program_arguments(parser)
    return parser


def check_arguments(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End the program, with status 2, when arguments that all converters have are not right."""
    if arguments.base_url and not arguments.download:
        parser.error("argument --base-url: is wanted with --download only")
    if arguments.base_url and not is_web_address(arguments.base_url):
        parser.error(
            f"argument --base-url: an address such as https://mirror.org is wanted. Received: {arguments.base_url}"
        )
    if arguments.output.exists() and not arguments.output.is_dir():
        parser.error(f"argument --output: a folder, or one to be made, is wanted. Received: {arguments.output}, a file")


def read_identified(
    path: Path, known: Iterable[Published], read: Callable[[Path, Published | None], File]
) -> tuple[dict[str, Any], Published | None, File]:
    """Read a file of weights, and find out which it is.

    Args:
        path: the file.
        known: published files.
        read: reads it, given the published file that it is.

    Returns:
        Where a model of it comes from, for its `origin`; the published file that it is; its content.

    Raises:
        ValueError: it does not hold what is wanted.
        OSError: it cannot be read.
    """
    try:
        identity = digests(path)
        published = identify(identity["blob"], known)
        file = read(path, published)
    except OSError as error:
        raise OSError(f"input: a file that can be read is wanted ({error.strerror}). Received: {path}") from error
    except ValueError as error:
        raise ValueError(f"input: {error}. Received: {path}") from error
    origin = {
        "file": path.name,
        "blob": identity["blob"],
        "sha256": identity["sha256"],
        "published": f"{published.who}, {published.name}" if published else None,
        "published_matched_by": published.matched_by if published else None,
    }
    return origin, published, file


def source_in_words(origin: dict[str, Any]) -> str:
    """Say which file a model comes from."""
    return origin["published"] or f"{origin['file']}, which is none of the known files"


def write_models(
    places: "Sequence[tuple[Path, SuperResolutionModel]]",
    overwrite: bool,
    describe: "Callable[[SuperResolutionModel], str]",
) -> None:
    """Write models, each to its folder, and say of each what it is. None is written unless all can be.

    Args:
        places: the folders, and the models.
        overwrite: replace folders that exist, and are models'.
        describe: says what a model is.

    Raises:
        OSError: a folder exists, and is not to be replaced, or cannot be made.
    """
    for folder, _ in places:
        if folder.exists() and not overwrite:
            raise FileExistsError(f"output: a folder without such models is wanted, or --overwrite. Received: {folder}")
        check_replaceable(folder, "output")
        make_folder(folder.parent)

    from models.base import export

    for folder, model in places:
        export(model, folder, overwrite)
        print(f"{folder}: {describe(model)}")


def make_folder(path: Path) -> None:
    """Make a folder of models.

    Raises:
        OSError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"output: a folder that can be made is wanted ({error.strerror}). Received: {path}") from error
