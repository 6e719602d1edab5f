# SPDX-License-Identifier: Apache-2.0
"""Many scenes by one command: which they are, which are done, and what became of each."""

import argparse
import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from chain.runtime.command_line import one_line
from chain.sentinel2.bands import scene_in_name
from chain.sentinel2.image import RASTER_SUFFIXES, rasters_in
from chain.serving.inputs import (
    JSON_SUFFIXES,
    expanded,
    is_address,
    is_collection,
    items_of,
    name_of_item,
    names_of_one,
)
from chain.serving.journal import PARTS_SUFFIX
from chain.serving.provenance import DONE, add_to_record
from chain.serving.up_to_date import fingerprint, is_done, mark

PRODUCT_SUFFIX = "_SR"
"""End of the names of products."""
SCENES_AT_ONCE = 3
"""With --scheduler: one is opened, one is made by workers, and one is assembled."""


def scenes_of(inputs: Sequence[str], required: bool = True) -> dict[str, list]:
    """Return the scenes that inputs are or hold.

    A SAFE folder or zip, or a STAC item, is a scene; so are files of one folder whose names differ in band and
    resolution only; a folder holds those that its files and folders are. Each item of a collection that is named
    is a scene. Lists and patterns stand for what they name (`chain.serving.inputs`).

    Args:
        inputs: files, folders, URLs, lists, patterns.
        required: whether there has to be a scene.

    Returns:
        For the name of each scene, its files, or its item alone, a mapping, where it is of a collection.

    Raises:
        ValueError: an input does not exist, cannot be read or is empty, two scenes of one folder or collection have one
            name, or there is no scene.
    """
    scenes: dict[str, list] = {}
    groups: dict[tuple[Path, str], dict[str, None]] = {}
    for name in expanded(inputs):
        path = Path(name)
        if not is_address(name) and not path.exists():
            raise ValueError(f"--input: files or folders that exist are wanted. Received: {name}")
        if is_collection(name):
            for item in items_of(name):
                _merge(scenes, name_of_item(item), [item])
            continue
        if is_address(name) or _is_safe(path) or (path.is_file() and path.suffix.lower() not in RASTER_SUFFIXES):
            _merge(scenes, _name_of(name), [name])
            continue
        for raster in [path] if path.is_file() else rasters_in(path):
            groups.setdefault((raster.resolve().parent, scene_in_name(raster)), {})[str(raster)] = None
        for entry in sorted(path.iterdir()) if path.is_dir() else ():
            if _is_scene(entry) and entry.resolve() not in path.resolve().parents:
                for found, names in scenes_of([str(entry)], required=False).items():
                    _merge(scenes, found, names)
    for (_, name), files in groups.items():
        _merge(scenes, name, list(files))
    if required and not scenes:
        raise ValueError(f"--input: scenes are wanted. Received: none in {' '.join(inputs)}")
    return scenes


def _is_scene(entry: Path) -> bool:
    """Return whether an entry of a folder is, or may hold, a scene: a folder, a zip, a STAC item.

    Collections of items are none: they often lie beside the images that they tell of.
    """
    if entry.name.startswith(".") or entry.suffix == PARTS_SUFFIX:
        return False
    if entry.suffix.lower() in JSON_SUFFIXES:
        try:
            return {"assets", "stac_version"} <= json.loads(entry.read_text(encoding="utf-8")).keys()
        except (OSError, ValueError, AttributeError):
            return False
    return entry.is_dir() or entry.suffix.lower() == ".zip"


def _name_of(name: str) -> str:
    """Return the name of the scene that one input is; metadata of a SAFE product stand for its folder."""
    path = Path(name.split("?")[0])
    return path.resolve().parent.stem if path.name.startswith("MTD_MSI") and not is_address(name) else path.stem


def _is_safe(path: Path) -> bool:
    """Return whether a folder is a SAFE product."""
    return any(path.glob("MTD_MSI*.xml"))


def _merge(scenes: dict[str, list], name: str, names: list) -> None:
    """Add a scene; one that has the name of another is named after its folder or collection too.

    Raises:
        ValueError: it has the name of another all the same.
    """
    place = _place(names[0])
    if name in scenes and place != _place(scenes[name][0]):
        name = f"{place.name}_{name}"
    if name in scenes:
        raise ValueError(f"--input: scenes of different names are wanted. Received: {name} twice")
    scenes[name] = names


def _place(name: str | Mapping) -> Path:
    """Return where a scene comes from: the folder of its file, or the collection of its item."""
    if isinstance(name, Mapping):
        return Path(str(name.get("collection") or "items").replace("/", "_"))
    return Path(name).resolve().parent


def run_all(scenes: Mapping[str, Sequence], make: Callable[[str, Sequence], str], at_once: int = 1) -> None:
    """Make the product of each scene; one that fails does not stop the others. A table of all ends it.

    Args:
        scenes: names, and files or item, as `scenes_of` returns them.
        make: makes a product, and returns what is to be said of it.
        at_once: number of scenes that are worked on at once, in threads.

    Raises:
        RuntimeError: some failed.
    """
    failed, interrupted = [], threading.Event()

    def attempt(number: int, name: str, files: Sequence) -> str:
        print(f"[{number}/{len(scenes)}] {name}", flush=True)
        try:
            return make(name, files)
        except Exception as error:
            if not interrupted.is_set():
                print(f"{name}: error: {one_line(error)}", file=sys.stderr)
            failed.append(name)
            return f"failed: {one_line(error)}"

    with _mapping(at_once, interrupted) as mapping:
        outcomes = dict(zip(scenes, mapping(attempt, range(1, len(scenes) + 1), scenes.keys(), scenes.values())))
    width = max(len(name) for name in outcomes)
    print("\n".join(f"{name:{width}}  {outcome}" for name, outcome in outcomes.items()))
    if failed:
        names = [name for name in scenes if name in failed]
        raise RuntimeError(f"{len(failed)} of {len(scenes)} scenes failed: {', '.join(names)}")


@contextmanager
def _mapping(at_once: int, interrupted: threading.Event) -> Iterator[Callable]:
    """Give `map`, or what maps in threads. These are left to end by themselves when an exception ends the block."""
    if at_once == 1:
        yield map
        return
    pool = ThreadPoolExecutor(at_once)
    try:
        yield pool.map
    except BaseException:
        interrupted.set()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def for_each(
    arguments: argparse.Namespace,
    names: Sequence,
    make: Callable[[Sequence, Path | None, bool], str],
    weights: Sequence[Path] = (),
) -> None:
    """Make the product of --output, or those of the scenes of --output-dir.

    Args:
        arguments: those of the program.
        names: inputs.
        make: makes the product of a scene, given its files, the product's name, and whether it may be done already;
            says what became of it.
        weights: files or folders of weights that no option names.

    Raises:
        ValueError: the inputs are no scenes.
        OSError: the folder cannot be made.
        RuntimeError: some scenes failed.
    """
    searched = not all(isinstance(name, str) for name in names)
    if not arguments.output_dir:
        output = Path(arguments.output) if arguments.output else None
        print(make(names if searched else names_of_one(names), output, False))
        return
    folder = Path(arguments.output_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"--output-dir: a folder is wanted. Received: {folder} ({error.strerror})") from error

    def make_one(name: str, files: Sequence) -> str:
        output = folder / f"{name}{PRODUCT_SUFFIX}.tif"
        found = fingerprint(arguments, files, weights)
        if not (arguments.overwrite or getattr(arguments, "separate", False)) and is_done(output, found):
            return DONE
        outcome = make(files, output, True)
        if outcome != DONE and output.exists():
            add_to_record(output, mark(output, found))
        return outcome

    scenes = {name_of_item({"id": names[0].id}): names} if searched else scenes_of(names)
    run_all(scenes, make_one, SCENES_AT_ONCE if arguments.scheduler else 1)
