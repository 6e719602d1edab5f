# SPDX-License-Identifier: Apache-2.0
"""Many scenes by one command: which they are, which are done, and what became of each."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from chain.runtime.command_line import one_line
from chain.runtime.files import read_document
from chain.runtime.progress import LOG, SILENT, Cancelled, Progress
from chain.runtime.provenance import NAME
from chain.sentinel2.packings import RASTER_SUFFIXES, holds_scenes, is_scene, rasters_in, scenes_among
from chain.sentinel2.stac_item import read_item
from chain.serving.inputs import (
    JSON_SUFFIXES,
    expanded,
    is_address,
    is_collection,
    items_of,
    name_of_item,
)
from chain.serving.journal import PARTS_SUFFIX

Made = TypeVar("Made")


def scenes_of(inputs: Sequence[str], required: bool = True) -> dict[str, list]:
    """Return the scenes that inputs are or hold.

    A SAFE folder or zip, a folder of another packing, or a STAC item, is a scene; so are files of one folder whose
    names differ in band and resolution only, unless they hold the same bands; a folder holds those that its files and
    folders are. Each item of a collection that is named is a scene. Lists and patterns stand for what they name
    (`chain.serving.inputs`).

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
    rasters: dict[Path, dict[Path, None]] = {}
    for name in expanded(inputs):
        path = Path(name)
        if not is_address(name) and not path.exists():
            raise ValueError(f"--input: no such file or folder: {name}")
        if is_collection(name):
            for item in items_of(name):
                _merge(scenes, name_of_item(item), [item])
            continue
        if (
            is_address(name)
            or (path.is_dir() and is_scene(path))
            or (path.is_file() and path.suffix.lower() not in RASTER_SUFFIXES)
        ):
            _merge(scenes, _name_of(name), [name])
            continue
        for raster in [path] if path.is_file() else rasters_in(path):
            rasters.setdefault(raster.resolve().parent, {})[raster] = None
        for entry in sorted(path.iterdir()) if path.is_dir() else ():
            if _is_scene(entry) and entry.resolve() not in path.resolve().parents:
                for found, names in scenes_of([str(entry)], required=False).items():
                    _merge(scenes, found, names)
    for files in rasters.values():
        for scene, of_scene in scenes_among(list(files)).items():
            _merge(scenes, scene, of_scene)
    if required and not scenes:
        raise ValueError(f"--input: expected scenes, got none in {' '.join(map(str, inputs))}")
    return scenes


def scenes_told(inputs: Sequence, in_folder: bool) -> Mapping[str, Sequence]:
    """Return the scenes that `--info` tells of, by their names; the only one has none.

    Args:
        inputs: names, or items: one, or those that become a mosaic.
        in_folder: whether each scene has a product of its own.
    """
    names = [name for name in inputs if isinstance(name, str)]
    if in_folder and len(names) == len(inputs):
        return scenes_of(names)
    if not names and len(inputs) > 1:
        return {name_of_item(read_item(item)): [item] for item in inputs}
    return {"": inputs}


def _is_scene(entry: Path) -> bool:
    """Return whether an entry of a folder is, or may hold, a scene: a folder, a zip, a STAC item.

    Collections of items are none: they often lie beside the images that they tell of. Nor are items of products.
    """
    if entry.name.startswith(".") or entry.suffix == PARTS_SUFFIX:
        return False
    if entry.suffix.lower() in JSON_SUFFIXES:
        try:
            item = json.loads(read_document(entry))
            is_product = NAME in item.get("properties", {}).get("processing:software", {})
            return {"assets", "stac_version"} <= item.keys() and not is_product
        except (OSError, ValueError, AttributeError, TypeError, RecursionError):
            return False
    return holds_scenes(entry)


def _name_of(name: str) -> str:
    """Return the name of the scene that one input is; metadata of a SAFE product stand for its folder."""
    path = Path(name.split("?")[0])
    return path.resolve().parent.stem if path.name.startswith("MTD_MSI") and not is_address(name) else path.stem


def _merge(scenes: dict[str, list], name: str, names: list) -> None:
    """Add a scene; one that has the name of another is named after its folder or collection too.

    Raises:
        ValueError: it has the name of another all the same.
    """
    place = _place(names[0])
    if name in scenes and place != _place(scenes[name][0]):
        name = f"{place.name}_{name}"
    if name in scenes:
        raise ValueError(f"--input: expected scenes of different names, got {name} twice")
    scenes[name] = names


def _place(name: str | Mapping) -> Path:
    """Return where a scene comes from: the folder of its file, or the collection of its item."""
    if isinstance(name, Mapping):
        return Path(str(name.get("collection") or "items").replace("/", "_"))
    return Path(name).resolve().parent


def run_all(
    scenes: Mapping[str, Sequence],
    make: Callable[[str, Sequence, Progress], Made],
    progress: Progress = SILENT,
    at_once: int = 1,
) -> dict[str, Made | Exception]:
    """Make the product of each scene; one that fails does not stop the others.

    Args:
        scenes: names, and files or item, as `scenes_of` returns them.
        make: makes a product, given the name, the files or item, and where to report progress.
        progress: where progress of all is reported.
        at_once: number of scenes that are worked on at once, in threads.

    Returns:
        For each scene, what `make` returned, or the exception that it raised.

    Raises:
        Cancelled: the work was cancelled.
    """
    interrupted, count = threading.Event(), len(scenes)

    def attempt(number: int, name: str, files: Sequence) -> Made | Exception:
        LOG.info("[%d/%d] %s", number, count, name)
        part = progress.part((number - 1) / count, number / count)
        try:
            return make(name, files, Progress(cancelled=progress.cancelled) if at_once > 1 else part)
        except Cancelled:
            raise
        except Exception as error:
            if not interrupted.is_set():
                LOG.error("%s: %s", name, one_line(error))
            return error

    with _mapping(at_once, interrupted) as mapping:
        return dict(zip(scenes, mapping(attempt, range(1, count + 1), scenes.keys(), scenes.values())))


def summary(outcomes: Mapping[str, object]) -> str:
    """Return a table of what became of scenes."""
    width = max(len(name) for name in outcomes)
    return "\n".join(
        f"{name:{width}}  {f'failed: {one_line(outcome)}' if isinstance(outcome, Exception) else outcome}"
        for name, outcome in outcomes.items()
    )


def check_all(outcomes: Mapping[str, object]) -> None:
    """Raise the failure of scenes, if there is one.

    Raises:
        RuntimeError: some failed.
    """
    failed = [name for name, outcome in outcomes.items() if isinstance(outcome, Exception)]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(outcomes)} scenes failed: {', '.join(failed)}")


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
