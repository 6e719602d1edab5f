# SPDX-License-Identifier: Apache-2.0
"""The part of the STAC API that searches need, on a list of items in memory.

Core, collections, item search by GET and POST with `ids`, `collections`, `bbox`, `intersects`, `datetime`,
`query`, `sortby`, `limit` and paging by `next` links, as https://api.stacspec.org/v1.0.0 defines them and
Planetary Computer answers them.
"""

import datetime
import json
import uuid
from urllib.parse import urlencode

from osgeo import ogr

ogr.UseExceptions()

CONFORMANCE = (
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/collections",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/item-search#query",
    "https://api.stacspec.org/v1.0.0/item-search#sort",
)

PATH = "/api/stac/v1"
"""Path of the API's root."""

MAXIMUM_LIMIT, DEFAULT_LIMIT = 1000, 250

_COMPARISONS = {
    "eq": lambda value, expected: value == expected,
    "neq": lambda value, expected: value != expected,
    "lt": lambda value, expected: value is not None and value < expected,
    "lte": lambda value, expected: value is not None and value <= expected,
    "gt": lambda value, expected: value is not None and value > expected,
    "gte": lambda value, expected: value is not None and value >= expected,
    "in": lambda value, expected: value in expected,
    "startsWith": lambda value, expected: str(value).startswith(expected),
    "endsWith": lambda value, expected: str(value).endswith(expected),
    "contains": lambda value, expected: expected in str(value),
}


class NotFoundError(LookupError):
    """Nothing has that address."""


def _moment(text: str) -> datetime.datetime:
    moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)


def _geometry(geojson: dict) -> ogr.Geometry:
    geometry = ogr.CreateGeometryFromJson(json.dumps(geojson))
    if geometry is None:
        raise ValueError("intersects: expected a GeoJSON geometry")
    return geometry


def _box(bbox: list[float]) -> ogr.Geometry:
    if len(bbox) not in (4, 6):
        raise ValueError(f"bbox: expected 4 or 6 numbers, got {bbox}")
    west, south, east, north = bbox if len(bbox) == 4 else (*bbox[:2], *bbox[3:5])
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return _geometry({"type": "Polygon", "coordinates": [ring]})


def matches(item: dict, search: dict) -> bool:
    """Whether an item answers a search.

    Args:
        item: STAC item.
        search: parameters of the search, as in the body of a POST request.

    Raises:
        ValueError: a parameter is malformed.
    """
    if search.get("ids") and item["id"] not in search["ids"]:
        return False
    if search.get("collections") and item["collection"] not in search["collections"]:
        return False
    if search.get("datetime") and not _within(item, search["datetime"]):
        return False
    for name, conditions in (search.get("query") or {}).items():
        value = item["id"] if name == "id" else item["properties"].get(name)
        for operator, expected in conditions.items():
            if operator not in _COMPARISONS:
                raise ValueError(f"query: expected one of {', '.join(_COMPARISONS)}, got {operator}")
            if not _COMPARISONS[operator](value, expected):
                return False
    for name, shape in (("intersects", _geometry), ("bbox", _box)):
        if search.get(name) and not _geometry(item["geometry"]).Intersects(shape(search[name])):
            return False
    return True


def _within(item: dict, interval: str) -> bool:
    first, _, last = interval.partition("/")
    last = last if "/" in interval else first
    moment = _moment(item["properties"]["datetime"])
    after = first in ("", "..") or moment >= _moment(first)
    return after and (last in ("", "..") or moment <= _moment(last))


def parse_get(query: dict[str, list[str]]) -> dict:
    """Turns the query string of a GET search into the body of the same POST search."""
    search = {name: values[-1] for name, values in query.items()}
    for name in ("ids", "collections"):
        if name in search:
            search[name] = search[name].split(",")
    if "bbox" in search:
        search["bbox"] = [float(value) for value in search["bbox"].split(",")]
    if "limit" in search:
        search["limit"] = int(search["limit"])
    for name in ("intersects", "query"):
        if name in search:
            search[name] = json.loads(search[name])
    if "sortby" in search:
        search["sortby"] = [
            {"field": name.lstrip("+-"), "direction": "desc" if name.startswith("-") else "asc"}
            for name in search["sortby"].split(",")
        ]
    return search


class Catalogue:
    """Answers requests about a list of items."""

    def __init__(self, items: list[dict], base: str):
        """Keeps the items; `base` is the address of the API's root, without a slash at its end."""
        self.items = items
        self.base = base

    def answer(self, path: str, search: dict, method: str = "GET") -> dict:
        """The JSON document at a path below the API's root.

        Args:
            path: what follows the root, `/search` for instance; "" is the root.
            search: parameters of the search.
            method: GET or POST; links to further pages take the same.

        Raises:
            NotFoundError: nothing has that path.
            ValueError: a parameter is malformed.
        """
        parts = [part for part in path.split("/") if part]
        match parts:
            case []:
                return self._landing()
            case ["conformance"]:
                return {"conformsTo": list(CONFORMANCE)}
            case ["search"]:
                return self._page(search, "/search", method)
            case ["collections"]:
                collections = [self._collection(name) for name in self._names()]
                return {
                    "collections": collections,
                    "links": [self._link("root", ""), self._link("self", path)],
                }
            case ["collections", name, *rest] if name in self._names():
                return self._in_collection(name, rest, search)
        raise NotFoundError(path)

    def _in_collection(self, name: str, rest: list[str], search: dict) -> dict:
        if not rest:
            return self._collection(name)
        if rest == ["items"]:
            return self._page({**search, "collections": [name]}, f"/collections/{name}/items", "GET")
        for item in self.items:
            if rest == ["items", item["id"]] and item["collection"] == name:
                return self._linked(item)
        raise NotFoundError("/".join(rest))

    def _names(self) -> list[str]:
        return sorted({item["collection"] for item in self.items})

    def _link(self, relation: str, path: str, **other) -> dict:
        return {"rel": relation, "type": "application/json", "href": self.base + path, **other}

    def _landing(self) -> dict:
        search = {"type": "application/geo+json", "title": "STAC search"}
        return {
            "type": "Catalog",
            "id": "local-planetary-computer",
            "title": "Local stand-in for Planetary Computer",
            "description": "Simulated or local images behind the interface of Planetary Computer.",
            "stac_version": "1.0.0",
            "conformsTo": list(CONFORMANCE),
            "links": [
                self._link("self", ""),
                self._link("root", ""),
                self._link("data", "/collections"),
                self._link("conformance", "/conformance"),
                self._link("search", "/search", method="GET", **search),
                self._link("search", "/search", method="POST", **search),
                *(self._link("child", f"/collections/{name}") for name in self._names()),
            ],
        }

    def _collection(self, name: str) -> dict:
        items = [item for item in self.items if item["collection"] == name]
        west, south, east, north = zip(*(item["bbox"] for item in items), strict=True)
        moments = sorted(item["properties"]["datetime"] for item in items)
        path = f"/collections/{name}"
        return {
            "type": "Collection",
            "id": name,
            "stac_version": "1.0.0",
            "description": f"Items of {name}.",
            "license": "proprietary",
            "extent": {
                "spatial": {"bbox": [[min(west), min(south), max(east), max(north)]]},
                "temporal": {"interval": [[moments[0], moments[-1]]]},
            },
            "links": [
                self._link("self", path),
                self._link("root", ""),
                self._link("parent", ""),
                self._link("items", f"{path}/items", type="application/geo+json"),
            ],
        }

    def _linked(self, item: dict) -> dict:
        collection = f"/collections/{item['collection']}"
        links = [
            self._link("collection", collection),
            self._link("parent", collection),
            self._link("root", ""),
            self._link("self", f"{collection}/items/{item['id']}", type="application/geo+json"),
        ]
        return {**item, "links": links}

    def _page(self, search: dict, path: str, method: str) -> dict:
        limit = int(search.get("limit", DEFAULT_LIMIT))
        if not 1 <= limit <= MAXIMUM_LIMIT:
            raise ValueError(f"limit: expected 1 to {MAXIMUM_LIMIT}, got {limit}")
        found = [item for item in self.items if matches(item, search)]
        found.sort(key=lambda item: item["properties"]["datetime"], reverse=True)
        for order in reversed(search.get("sortby") or []):
            name = order["field"].removeprefix("properties.")
            found.sort(
                key=lambda item, name=name: item["id"] if name == "id" else item["properties"].get(name),
                reverse=order.get("direction") == "desc",
            )
        start = int(str(search.get("token") or "next:0").removeprefix("next:"))
        links = [self._link("root", ""), self._link("self", path)]
        if start + limit < len(found):
            links.append(self._next(search, path, method, f"next:{start + limit}"))
        features = [self._linked(item) for item in found[start : start + limit]]
        return {
            "type": "FeatureCollection",
            "features": features,
            "links": links,
            "numberMatched": len(found),
            "numberReturned": len(features),
        }

    def endless_page(self) -> dict:
        """A page of no items, with a link to a page that no other has linked."""
        following = self._link("next", f"/search?token={uuid.uuid4().hex}", method="GET")
        return {"type": "FeatureCollection", "features": [], "links": [self._link("root", ""), following]}

    def _next(self, search: dict, path: str, method: str, token: str) -> dict:
        following = {**search, "token": token}
        if method == "POST":
            return self._link("next", path, method="POST", body=following, merge=False)
        if path != "/search":
            following.pop("collections")
        values = {name: _flat(name, value) for name, value in following.items() if value}
        return self._link("next", f"{path}?{urlencode(values)}", method="GET")


def _flat(name: str, value) -> str:
    """A parameter as it is written in a query string."""
    if name == "sortby":
        return ",".join(("-" if order["direction"] == "desc" else "+") + order["field"] for order in value)
    if name in ("intersects", "query"):
        return json.dumps(value)
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
