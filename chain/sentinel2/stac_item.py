# SPDX-License-Identifier: Apache-2.0
"""Reading Sentinel-2 STAC items of any catalogue, STAC 1.0 and 1.1: bands, level, baseline, offset.

An asset is a band's by its key (`B04`, `B04_10m`, `red`, `red-jp2`), by the one band that it lists (`eo:bands`,
`bands`), or by its file's name. Of several resolutions the native one is taken, of several formats that of tiles.

Planetary Computer leaves the pixels as ESA made them and states no offset: it follows from the baseline. Earth Search
has removed the offset from most of its `sentinel-2-l2a` (`earthsearch:boa_offset_applied`), though its assets still
state one; its `sentinel-2-c1-l2a` states the offset which its pixels have.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union
from urllib.parse import urljoin

from chain.raster import addresses, http
from chain.runtime.files import read_document
from chain.sentinel2.band_names import ANCILLARY, STAC, NamedBands, esa_band, understand
from chain.sentinel2.bands import (
    BANDS,
    CLASSES_NAME,
    band_in_name,
    baseline_in_name,
    companion_in_name,
    level_in_name,
)
from chain.sentinel2.contents import Contents
from chain.sentinel2.decision import Decision
from chain.sentinel2.layers import Layer
from chain.sentinel2.offset import Statement, day_of, statement_of_tags, statements_of_baseline

if TYPE_CHECKING:
    from pystac import Item

FileOrItem = Union[str, Path, Mapping[str, Any], "Item"]
"""A file, a folder or an address, by its name, or a STAC item."""
BASELINE_KEYS = ("s2:processing_baseline", "sentinel:processing_baseline", "processing_baseline", "processing:version")
NAME_KEYS = ("s2:product_uri", "sentinel:product_id", "s2:product_id", "title")
"""Properties that hold the name of the SAFE product."""
APPLIED_KEY = "boa_offset_applied"
"""End of the name of the property by which catalogues say that they have taken the offset off."""
COMMON_NAME_KEYS = ("common_name", "eo:common_name")
PICTURE_ROLES = {"thumbnail", "overview", "visual", "metadata", "date"}
FORMATS = re.compile(r"[-_](?:jp2|cog|tif)$", re.IGNORECASE)
CLASSES_GSD = 20.0
FOREIGN = (LookupError, TypeError, AttributeError)
"""What reading an item raises of which parts are missing, or of other kinds."""
DOCUMENT = "_document"
"""Key, in an item that was read, of where it comes from."""
ADDRESS_KEY = "item"
"""Key of an image's identity: where its item lies; None where that is not known. No pixel depends on it."""


def read_item(source: FileOrItem) -> dict[str, Any]:
    """Return a STAC item as a mapping whose images are told by absolute names.

    Args:
        source: a mapping, a `pystac.Item`, a path or a URL.

    Raises:
        ValueError: it is no STAC item, or cannot be read.
    """
    if hasattr(source, "assets") and not isinstance(source, str | Path | Mapping):
        item = source.to_dict(include_self_link=False, transform_hrefs=False)
        for key, asset in source.assets.items():
            item["assets"][key]["href"] = asset.get_absolute_href() or asset.href
        return {**item, DOCUMENT: source.get_self_href() or ""}
    document: Any = source
    place = ""
    try:
        if isinstance(source, str) and source.startswith(("http://", "https://")):
            document, place = _get_json(source), source
        elif isinstance(source, str | Path):
            document, place = json.loads(read_document(source)), str(Path(source).resolve())
    except (OSError, ValueError, RecursionError, http.RemoteError) as error:
        raise ValueError(f"{source}: expected a STAC item ({error})") from error
    name = source if isinstance(source, str | Path) else "--input"
    if not isinstance(document, Mapping) or "assets" not in document or "properties" not in document:
        raise ValueError(f"{name}: expected a STAC item, got a document without assets")
    try:
        if not place:
            links = document.get("links", ())
            place = next((link["href"] for link in links if link.get("rel") == "self" and "://" in link["href"]), "")
        assets = {
            key: {**asset, "href": _absolute(asset["href"], place)}
            for key, asset in document["assets"].items()
            if asset.get("href")
        }
        return {**document, "id": document["id"], "assets": assets, DOCUMENT: place}
    except FOREIGN as error:
        raise _no_item(name, error) from error


def _no_item(name: object, error: Exception) -> ValueError:
    """Return the error of a document that is no item, given what went wrong in reading it."""
    return ValueError(f"{name}: expected a STAC item ({type(error).__name__}: {error})")


def _absolute(href: str, place: str) -> str:
    """Return an address or path, relative to where the item lies if it is relative."""
    if "://" in href or href.startswith("/") or not place:
        return href
    return urljoin(place, href) if "://" in place else str(Path(place).parent / href)


def _get_json(url: str) -> Any:
    """Get a JSON document."""
    from chain.raster.documents import read_text

    return json.loads(read_text(url))


@dataclass(frozen=True)
class _Image:
    """An asset that may be a band's."""

    key: str
    asset: dict[str, Any]
    gsd: float | None
    """Its resolution in metres, where it is told."""

    def rank(self, gsd: float) -> tuple[float, bool]:
        """Return a key by which the best image of a band of this resolution sorts first."""
        return abs((self.gsd or gsd) - gsd), self.asset["href"].split("?")[0].lower().endswith(".jp2")


def _images(item: Mapping) -> Iterator[_Image]:
    """Yield the assets that may be bands'."""
    for key, asset in item["assets"].items():
        kind = asset.get("type") or "image/"
        if PICTURE_ROLES & set(asset.get("roles") or ()) or not kind.startswith("image/") or kind == "image/png":
            continue
        stem = Path(asset["href"].split("?")[0]).stem
        stated = re.search(r"[_-](\d\d)m$", key) or re.search(r"_(\d\d)m$", stem)
        raster = [band.get("spatial_resolution") for band in asset.get("raster:bands", ())]
        gsd = float(stated[1]) if stated else asset.get("gsd") or next(iter(raster), None)
        yield _Image(key, asset, float(gsd) if gsd else None)


def _band_of(image: _Image, item: str) -> str | None:
    """Return the band of an asset of an item, given its id.

    Raises:
        ValueError: its key, the band that it lists and its file name several.
    """
    listed = _listed(image.asset)
    if len(listed) > 1 or ANCILLARY.search(image.key) or companion_in_name(image.key):
        return None
    file = Path(image.asset["href"].split("?")[0])
    by_file = band_in_name(file.stem)
    named = {
        f"key {image.key}": _band_of_word(FORMATS.sub("", image.key)),
        **{f"name {band['name']}": _band_of_word(str(band["name"])) for band in listed if band.get("name")},
        f"file {file.name}": by_file[0] if by_file else None,
    }
    known = {word: band for word, band in named.items() if band}
    if len(set(known.values())) > 1:
        raise ValueError(f"{item}: expected an asset of one band, got {', '.join(known)}")
    common = (band for word in _words(listed, COMMON_NAME_KEYS) if (band := _band_of_word(word)))
    return next(iter(known.values()), None) or next(common, None)


def _band_of_word(word: str) -> str | None:
    """Return the band that a word names: ESA's number, or STAC's common name."""
    return esa_band(word) or STAC.get(re.sub(r"[^a-z0-9]", "", word.lower()))


def _listed(asset: Mapping) -> Sequence[Mapping]:
    """Return the bands that an asset lists."""
    return asset.get("eo:bands") or asset.get("bands") or ()


def band_assets(item: Mapping) -> dict[str, dict]:
    """Return the asset of each band of an item.

    Raises:
        ValueError: several assets are a band's, or an asset is called by several bands.
    """
    found: dict[str, list[_Image]] = {}
    for image in _images(item):
        band = _band_of(image, item["id"])
        if band:
            found.setdefault(band, []).append(image)
    chosen = {}
    for band in sorted(found, key=list(BANDS).index):
        images = sorted(found[band], key=lambda image: image.rank(BANDS[band]))
        best = [image for image in images if image.rank(BANDS[band]) == images[0].rank(BANDS[band])]
        if len(best) > 1:
            keys = ", ".join(image.key for image in best)
            raise ValueError(f"{item['id']}: expected one asset for each band, got {keys} for {band}")
        chosen[band] = best[0].asset
    return chosen


def stacked_asset(item: Mapping) -> tuple[dict, NamedBands] | None:
    """Return the asset that holds all bands, and which each is, of an item that has one such asset."""
    stacks = []
    for image in _images(item):
        listed = _listed(image.asset)
        for words in (_words(listed, ("name",)), _words(listed, COMMON_NAME_KEYS)):
            named = understand(words)
            if len(named.bands) > 1:
                stacks.append((image.asset, named))
                break
    return stacks[0] if len(stacks) == 1 else None


def _words(listed: Sequence[Mapping], keys: Sequence[str]) -> list[str]:
    """Return what bands are called under the first of some keys that each has; an empty word where it has none."""
    return [next((str(band[key]) for key in keys if band.get(key)), "") for band in listed]


def classes_asset(item: Mapping) -> dict | None:
    """Return the asset of the scene classification of an item, or None."""
    images = [image for image in _images(item) if CLASSES_NAME in re.split(r"[_\W]", image.key.upper())]
    return min(images, key=lambda image: image.rank(CLASSES_GSD)).asset if images else None


def classification_address(source: FileOrItem) -> str | None:
    """Return the address of the scene classification of an item, or None.

    Raises:
        ValueError: it is one that the item may not name.
    """
    item = read_item(source)
    asset = classes_asset(item)
    if asset is None:
        return None
    _check_address(asset, item)
    return str(asset["href"])


def baseline(item: Mapping) -> str | None:
    """Return the processing baseline of an item, `04.00` for instance, or None when it does not say.

    It is a property, or a part of the name of the SAFE product, in a property or in the URLs of the assets.
    """
    properties = item["properties"]
    for key in BASELINE_KEYS:
        stated = str(properties.get(key) or "")
        if stated and (key != BASELINE_KEYS[-1] or re.fullmatch(r"\d\d\.\d\d", stated)):
            return stated
    names = [str(properties.get(key, "")) for key in NAME_KEYS]
    names += [str(item["id"]), *(asset["href"] for asset in item["assets"].values())]
    found = {each for name in names if (each := baseline_in_name(name))}
    return found.pop() if len(found) == 1 else None


def level(item: Mapping) -> str:
    """Return the processing level of an item, or `unknown`."""
    properties = item["properties"]
    stated_by = [properties.get(key) for key in (*NAME_KEYS, "s2:product_type", "processing:level")]
    names = (item.get("collection"), *stated_by, item["id"])
    return next((stated for name in names if (stated := level_in_name(str(name))) != "unknown"), "unknown")


def statements(item: Mapping, assets: Sequence[Mapping]) -> list[Statement]:
    """Return what an item says of the offset of some of its assets.

    Raises:
        ValueError: scale and offset of an asset give no reflectance, or differ.
    """
    for key, value in item["properties"].items():
        if key.endswith(APPLIED_KEY) and value is True:
            return [Statement(0, f"its {key}")]
    stated = {_of_asset(asset, str(item["id"])) for asset in assets}
    if len(stated) > 1:
        said = " and ".join(sorted(each.source if each else "none" for each in stated))
        raise ValueError(f"{item['id']}: expected one offset, got assets with {said}")
    found = [each for each in stated if each]
    taken = day_of(item["properties"].get("datetime"))
    return found + statements_of_baseline(baseline(item) or "", "its baseline", taken)


def _of_asset(asset: Mapping, name: str) -> Statement | None:
    """Return what an asset states (raster extension 1 or 2) by its scale and offset."""
    for stated in (*asset.get("raster:bands", ()), *asset.get("bands", ()), asset):
        scale = stated.get("scale", stated.get("raster:scale"))
        offset = stated.get("offset", stated.get("raster:offset"))
        if scale and offset is not None:
            return statement_of_tags(scale, offset, name)
    return None


def item_contents(
    source: FileOrItem, bands: Sequence[str] | None = None, offset: int | None = None
) -> tuple[Contents, dict[str, str]]:
    """Tell what a STAC item holds.

    Args:
        source: as `read_item`.
        bands: those that are needed, all by default.
        offset: offset of the digital numbers, which overrides the metadata.

    Returns:
        What it holds, and the address of each remote band.

    Raises:
        ValueError: it is no item, or has no bands of Sentinel-2.
    """
    try:
        return _contents(read_item(source), bands, offset)
    except FOREIGN as error:
        raise _no_item(source if isinstance(source, str | Path) else "--input", error) from error


def _contents(
    item: Mapping[str, Any], bands: Sequence[str] | None, offset: int | None
) -> tuple[Contents, dict[str, str]]:
    """Tell what an item that was read holds, as `item_contents` does."""
    assets, named = band_assets(item), NamedBands()
    stack = stacked_asset(item) if not assets else None
    if stack:
        asset, named = stack
        assets = dict.fromkeys(named.bands, asset)
    used = [assets[band] for band in assets if bands is None or band in bands]
    classes = classes_asset(item)
    contents = Contents(
        str(item["id"]),
        {**identity(item), ADDRESS_KEY: item[DOCUMENT] or None},
        {
            band: Layer(asset["href"], named.bands.get(band, 1), _fill(asset), named.validity, is_unseen=True)
            for band, asset in assets.items()
        },
        level(item),
        statements(item, used) if offset is None else (),
        Layer(classes["href"]) if classes else _classes_of_stack(stack),
        [Decision("bands", ", ".join(assets), "assets of a STAC item"), Decision("nodata", "0", "a STAC item")],
        are_numbers_known=False,
        document=item[DOCUMENT],
    )
    for asset in [*used, *([classes] if classes else [])]:
        _check_address(asset, item)
    return contents, {band: asset["href"] for band, asset in assets.items() if "://" in asset["href"]}


def _classes_of_stack(stack: tuple[dict, NamedBands] | None) -> Layer | None:
    """Return the scene classification that a local asset of all bands holds, if it does."""
    if stack is None or stack[1].classes is None or "://" in stack[0]["href"]:
        return None
    return Layer(stack[0]["href"], stack[1].classes)


def _check_address(asset: Mapping, item: Mapping) -> None:
    """Refuse the address of an asset that an item from elsewhere may not name.

    Raises:
        ValueError: it may not.
    """
    try:
        addresses.check_address(asset["href"], item[DOCUMENT])
    except addresses.ForbiddenAddress as error:
        raise ValueError(f"{item['id']}: {error}") from error


def _fill(asset: Mapping) -> tuple[float, ...]:
    """Return the numbers, beside 0, that an asset says to mean no data."""
    found = {stated.get("nodata") for stated in (*asset.get("raster:bands", ()), *asset.get("bands", ()), asset)}
    return tuple(sorted(float(number) for number in found if isinstance(number, int | float) and number != 0))


def identity(item: Mapping) -> dict:
    """Return what a run records of an item."""
    properties = item["properties"]
    code = properties.get("proj:code") or f"EPSG:{properties.get('proj:epsg')}"
    return {
        "kind": "STAC",
        "id": item["id"],
        "collection": item.get("collection"),
        "datetime": properties.get("datetime"),
        "baseline": baseline(item),
        "crs": code,
        "eo:cloud_cover": properties.get("eo:cloud_cover"),
    }
