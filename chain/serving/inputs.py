# SPDX-License-Identifier: Apache-2.0
"""What the words of --input stand for: themselves, the lines of a list, the matches of a pattern, a collection's items.

A list is a text file, `.txt`, with a name on each line, relative to the file's folder; blank lines and those that begin
with `#` are skipped. A pattern, such as `images/**/*.SAFE`, is expanded as the shell would, unless a file has that very
name. A collection of STAC items is a JSON file, a JSON document at an address, or the answer of an API, whose further
pages are followed whatever its `limit`; pystac-client gets them.
"""

import glob
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chain.raster import http
from chain.runtime.files import read_document

LIST_SUFFIX = ".txt"
JSON_SUFFIXES = (".json", ".geojson")
WILDCARDS = set("*?[")
COLLECTION_ENDPOINTS = ("search", "items")
"""Last words of the addresses at which APIs answer with collections."""


def expanded(inputs: Sequence[str]) -> list[str]:
    """Return the names that inputs stand for, where some are lists or patterns.

    Args:
        inputs: files, folders, addresses, lists, patterns.

    Raises:
        ValueError: nothing matches a pattern, or a list is empty, no text, or within itself.
    """
    return [name for one in inputs for name in _expanded(one, "", ())]


def _expanded(name: str, folder: str, lists: tuple[str, ...]) -> list[str]:
    """Return the names that one stands for, given the folder it is relative to, and the lists that it is in."""
    if is_address(name):
        return [name]
    path = os.path.join(folder, name)
    if WILDCARDS & set(name) and not os.path.exists(path):
        return [each for match in _matches(name, folder) for each in _expanded(match, folder, lists)]
    if not (path.lower().endswith(LIST_SUFFIX) and os.path.isfile(path)):
        return [path]
    lists = (*lists, os.path.realpath(path))
    if lists[-1] in lists[:-1]:
        raise ValueError(f"--input: expected a list that is not within itself, got {path}")
    return [each for line in _lines(path) for each in _expanded(line, os.path.dirname(path), lists)]


def _matches(pattern: str, folder: str) -> list[str]:
    """Return what matches a pattern, but not what lies in folders that match too."""
    found = set(map(Path, glob.glob(pattern, root_dir=folder, recursive=True)))
    if not found:
        raise ValueError(f"--input: expected a pattern that files or folders match, got {pattern}")
    return sorted(str(path) for path in found if not found & set(path.parents))


def _lines(path: str) -> list[str]:
    """Return the names in a list."""
    try:
        lines = read_document(path, "utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"--input: expected a list that is UTF-8 text, got {path} ({error})") from error
    names = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    if not names:
        raise ValueError(f"--input: expected a list of names, got {path}, without any")
    return names


def names_of_one(inputs: Sequence[str]) -> list[str]:
    """Return the names that inputs stand for where one product is made of all.

    Raises:
        ValueError: one is a collection of items, or as of `expanded`.
    """
    names = expanded(inputs)
    for name in names:
        if is_collection(name):
            raise ValueError(
                f"--input: expected one scene, got the collection {shown(name)}; "
                "--output-dir makes a product of each item"
            )
    return names


def is_address(name: str) -> bool:
    """Return whether a name is an address, not a path."""
    return "://" in name


def shown(name: str) -> str:
    """Return a name as messages show it: addresses without their query, which may hold a signature."""
    return name.split("?")[0] if is_address(name) else name


def is_item(name: str) -> bool:
    """Return whether a name is one of a STAC item, if not of a collection, rather than of an image."""
    if not is_address(name):
        return name.lower().endswith(JSON_SUFFIXES)
    path = urlsplit(name).path
    return path.lower().endswith(JSON_SUFFIXES) or "/collections/" in path


def is_collection(name: str) -> bool:
    """Return whether a name is one of a collection of items. Addresses that do not tell are asked.

    What cannot be read is none: the error is that of who opens it.
    """
    path = urlsplit(name).path.rstrip("/") if is_address(name) else name
    if is_address(name) and path.rsplit("/", 1)[-1] in COLLECTION_ENDPOINTS:
        return True
    if not path.lower().endswith(JSON_SUFFIXES):
        return False
    try:
        document = _api().read_json(name) if is_address(name) else json.loads(read_document(name))
    except (OSError, ValueError, RecursionError, *_api_errors()):  # type: ignore[misc]
        return False
    return isinstance(document, Mapping) and document.get("type") == "FeatureCollection"


def items_of(name: str) -> Iterator[dict]:
    """Yield the items of a collection, page by page, as mappings whose images are told by absolute names.

    Args:
        name: its file or address.

    Raises:
        ValueError: it cannot be read, holds other things than items, or nothing.
    """
    count = 0
    try:
        for page in _api().get_pages(name, parameters={}):
            for feature in page["features"]:
                count += 1
                yield _item(feature, name)
            if any(link["rel"] == "next" and link.get("merge") and "body" in link for link in page.get("links", ())):
                raise ValueError("a next page to be asked for by a search that is not known")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, *_api_errors()) as error:  # type: ignore[misc]
        raise ValueError(
            f"--input: expected a collection of STAC items, got {shown(name)}: {http.reason(error)}"
        ) from error
    if not count:
        raise ValueError(f"--input: expected a collection of STAC items, got {shown(name)}, without any")


def name_of_item(item: Mapping) -> str:
    """Return the name of the scene that an item is: its identifier, as a file can be named."""
    return re.sub(r"[^\w.-]", "_", str(item["id"]))


def _item(feature: Mapping, source: str) -> dict:
    """Return an item of a collection, with absolute names of its images.

    Relative ones are relative to the item's own address if it states one, else to the collection's. What the item may
    name is decided by the host that sent it (`chain.raster.addresses`), whatever it says of itself.
    """
    from pystac.utils import make_absolute_href

    if not isinstance(feature, Mapping) or not {"id", "assets", "properties"} <= feature.keys() or not feature["id"]:
        raise ValueError("a feature that is no item")
    own = next((link["href"] for link in feature.get("links", ()) if link.get("rel") == "self"), "")
    base = own if is_address(own) else source
    assets = {
        key: asset
        if is_address(asset["href"]) or asset["href"].startswith("/")
        else {**asset, "href": make_absolute_href(asset["href"], base)}
        for key, asset in feature["assets"].items()
    }
    others = [link for link in feature.get("links", ()) if link.get("rel") != "self"]
    sender = own if urlsplit(own).hostname == urlsplit(source).hostname else source
    itself = [{"rel": "self", "href": sender}] if sender else []
    return {**feature, "assets": assets, "links": [*others, *itself]}


def _api() -> Any:
    """Return what reads documents and pages, with time limits and bounded retries."""
    from chain.raster.documents import Documents

    return Documents()


def _api_errors() -> tuple[type[Exception], ...]:
    """Return what pystac-client raises when a server does not answer, or answers with an error."""
    from pystac_client.exceptions import APIError

    return (APIError,)
