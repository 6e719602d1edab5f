# SPDX-License-Identifier: Apache-2.0
"""What the converters of published weights have in common: options, which file it is, and how models are written.

Nothing heavy is imported here, so that help and wrong usage answer at once.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from chain.runtime.files import default_cache
from chain.runtime.options import MISSING, BaseOptions, option
from chain.runtime.progress import Progress
from models.description import ModelDescription, check_replaceable
from weights.published import Published, digests, identify, is_web_address

if TYPE_CHECKING:
    from models.base import SuperResolutionModel

File = TypeVar("File")
Model = TypeVar("Model")

READING = 0.7
"""Fraction of the work after which all files are read."""


@dataclass(frozen=True, kw_only=True)
class ConversionOptions(BaseOptions):
    """How files of weights are converted."""

    overwrite: bool = option(False, "replace models that exist")


def _web_address(text: str) -> None:
    """Check the address of a mirror.

    Raises:
        ValueError: it is none.
    """
    if not is_web_address(text):
        raise ValueError(f"expected an address such as https://mirror.org, got {text!r}")


def _no_file(path: str) -> None:
    """Check that a folder can be made.

    Raises:
        ValueError: there is a file.
    """
    if Path(path).exists() and not Path(path).is_dir():
        raise ValueError(f"expected a folder, got {path}, a file")


@dataclass(frozen=True, kw_only=True)
class ConversionCommand(BaseOptions):
    """What only the command lines of converters have; each adds `download`."""

    input: tuple[str, ...] = option((), "files of weights", many=True, metavar="FILE", reads=True)
    output: str = option(MISSING, "folder of the models", metavar="DIR", check=_no_file)
    cache: str = option(str(default_cache()), "folder in which fetched files stay", metavar="DIR")
    base_url: str | None = option(
        None, "address of a mirror, in place of the authors' server, for --download", metavar="URL", check=_web_address
    )

    def check(self) -> None:
        """Raise ValueError when options do not go together."""
        super().check()
        self.exclude("input", "download")
        if not (self.given("input") or self.given("download")):
            raise ValueError("--input or --download is required")
        self.require("base_url", "download")


@dataclass(frozen=True)
class Conversion:
    """What a file of weights has become.

    Attributes:
        path: folder of the model, or file of a part's weights.
        description: what the model is; None for a part of one.
        text: what it is and where it comes from, in words.
    """

    path: Path
    description: ModelDescription | None
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


def read_all(
    files: str | Path | Sequence[str | Path], read: Callable[[str | Path], Model], progress: Progress
) -> list[Model]:
    """Read files of weights, given one or several.

    Raises:
        ValueError: a file does not hold what is expected.
        OSError: a file cannot be read.
    """
    paths = [files] if isinstance(files, str | Path) else list(files)
    models = []
    for number, path in enumerate(paths):
        progress(READING * number / len(paths), Path(path).name)
        try:
            models.append(read(path))
        except OSError as error:
            raise OSError(f"--input: {error}") from error
        except ValueError as error:
            raise ValueError(f"--input: {error}") from error
    return models


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
        ValueError: it does not hold what is expected.
        OSError: it cannot be read.
    """
    try:
        identity = digests(path)
        published = identify(identity["blob"], known)
        file = read(path, published)
    except OSError as error:
        raise OSError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
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


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Refuse to replace a model or a file that exists, unless that is asked for.

    Raises:
        FileExistsError: it exists.
    """
    if path.exists() and not overwrite:
        raise FileExistsError(f"--output: {path} exists already; --overwrite replaces it")


def write_models(
    places: "Sequence[tuple[Path, SuperResolutionModel]]",
    files: str | Path | Sequence[str | Path],
    overwrite: bool,
    describe: "Callable[[SuperResolutionModel], str]",
    progress: Progress,
) -> list[Conversion]:
    """Write models, each to its folder. None is written unless all can be.

    Args:
        places: the folders, and the models.
        files: what they were read from.
        overwrite: replace folders that exist, and are models'.
        describe: says what a model is.
        progress: where to report.

    Raises:
        OSError: a folder exists, and is not to be replaced, or cannot be made.
        ValueError: a folder holds a file that was read.
    """
    for folder, _ in places:
        refuse_existing(folder, overwrite)
        check_replaceable(folder, "--output")
        refuse_inputs(folder, files)
        make_folder(folder.parent)

    from models.base import export

    made = []
    for number, (folder, model) in enumerate(places):
        progress(READING + (1 - READING) * number / len(places), folder.name)
        made.append(Conversion(folder, export(model, folder, overwrite), describe(model)))
    return made


def refuse_inputs(folder: Path, files: str | Path | Sequence[str | Path]) -> None:
    """Refuse to replace a folder that holds files that were read."""
    for file in [files] if isinstance(files, str | Path) else files:
        if Path(file).resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"--output: expected another folder than that of --input, got {folder}, of {file}")


def make_folder(path: Path) -> None:
    """Make a folder of models.

    Raises:
        OSError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"--output: cannot make the folder {path} ({error.strerror})") from error
