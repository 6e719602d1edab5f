# SPDX-License-Identifier: Apache-2.0
"""Many scenes by one command: which they are, which are done, and what became of each."""

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from chain.bands import CLASSES_NAME, COMPANIONS
from chain.command_line import one_line

RASTERS = (".tif", ".tiff", ".jp2", ".vrt")
PRODUCT_SUFFIX = "_SR"
"""End of the names of products, which are no scenes when they stand among them."""
PARTS_SUFFIX = ".parts"
"""End of the names of folders of products that are being made."""
TOKENS = re.compile(
    rf"[_\W]*(?<![A-Za-z0-9])(?:B(?:0?[1-9]|1[0-2]|8A)|[126]0m|{CLASSES_NAME}|{'|'.join(COMPANIONS)})(?![A-Za-z0-9])",
    re.IGNORECASE,
)
"""Parts of a file's name that tell its band or its resolution, not its scene."""


def scenes_of(inputs: Sequence[str], required: bool = True) -> dict[str, list[str]]:
    """Return the scenes that inputs are or hold.

    A SAFE folder or zip, or a STAC item, is a scene; so are files of one folder whose names differ in band and
    resolution only; a folder holds those that its files and folders are.

    Args:
        inputs: files, folders, URLs.
        required: whether there has to be a scene.

    Returns:
        For the name of each scene, its files.

    Raises:
        ValueError: an input does not exist, two scenes have one name, or there is none.
    """
    scenes: dict[str, list[str]] = {}
    rasters: dict[Path, None] = {}
    for name in inputs:
        path = Path(name)
        if "://" not in name and not path.exists():
            raise ValueError(f"--input: files or folders that exist are wanted. Received: {name}")
        if "://" in name or _is_safe(path) or (path.is_file() and path.suffix.lower() not in RASTERS):
            _merge(scenes, {_name_of(name): [name]})
        elif path.is_file():
            rasters[path] = None
        else:
            for entry in sorted(path.iterdir()):
                if entry.name.startswith("."):
                    continue
                if entry.suffix.lower() in RASTERS and not TOKENS.sub("", entry.stem).endswith(PRODUCT_SUFFIX):
                    rasters[entry] = None
                elif entry.suffix.lower() == ".zip" or (entry.is_dir() and not entry.suffix == PARTS_SUFFIX):
                    _merge(scenes, scenes_of([str(entry)], required=False))
    groups: dict[tuple[Path, str], list[str]] = {}
    for path in rasters:
        stem = TOKENS.sub("", path.stem).strip("_-. ")
        groups.setdefault((path.resolve().parent, stem or path.resolve().parent.name), []).append(str(path))
    for (_, name), files in groups.items():
        _merge(scenes, {name: files})
    if required and not scenes:
        raise ValueError(f"--input: scenes are wanted. Received: none in {' '.join(inputs)}")
    return scenes


def _name_of(name: str) -> str:
    """Return the name of the scene that one input is; metadata of a SAFE product stand for its folder."""
    path = Path(name.split("?")[0])
    return path.resolve().parent.stem if path.name.startswith("MTD_MSI") and "://" not in name else path.stem


def _is_safe(path: Path) -> bool:
    """Return whether a folder is a SAFE product."""
    return any(path.glob("MTD_MSI*.xml"))


def _merge(scenes: dict[str, list[str]], more: dict[str, list[str]]) -> None:
    """Add scenes.

    Raises:
        ValueError: one has the name of another.
    """
    for name, files in more.items():
        if name in scenes:
            raise ValueError(f"--input: scenes of different names are wanted. Received: {name} twice")
        scenes[name] = files


def run_all(scenes: dict[str, Sequence[str]], make: Callable[[str, Sequence[str]], str]) -> None:
    """Make the product of each scene; one that fails does not stop the others. A table of all ends it.

    Args:
        scenes: names and files.
        make: makes a product, and returns what is to be said of it.

    Raises:
        RuntimeError: some failed.
    """
    outcomes, failed = {}, []
    for number, (name, files) in enumerate(scenes.items(), start=1):
        print(f"[{number}/{len(scenes)}] {name}", flush=True)
        try:
            outcomes[name] = make(name, files)
        except Exception as error:
            outcomes[name] = f"failed: {one_line(error)}"
            failed.append(name)
            print(f"{name}: error: {one_line(error)}", file=sys.stderr)
    width = max(len(name) for name in outcomes)
    print("\n".join(f"{name:{width}}  {outcome}" for name, outcome in outcomes.items()))
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(scenes)} scenes failed: {', '.join(failed)}")
