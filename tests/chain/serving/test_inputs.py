# SPDX-License-Identifier: Apache-2.0
"""What the words of --input stand for: lists, patterns, collections of STAC items."""

import json
import os
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler

import numpy as np
import pytest

from chain.raster import http
from chain.sentinel2.image import open_product
from chain.sentinel2.stac_item import item_contents
from chain.serving import inputs
from chain.serving.batch import scenes_of
from chain.serving.inputs import expanded, is_collection, is_item, items_of, names_of_one
from inference import dsen2
from tests import toy_models
from tests.servers import serving


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with two scenes, one of them deep."""
    (tmp_path / "images" / "deep" / "two.SAFE" / "GRANULE" / "inner.SAFE").mkdir(parents=True)
    (tmp_path / "images" / "one.SAFE").mkdir()
    (tmp_path / "images" / "x [1].tif").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_names_that_are_neither_lists_nor_patterns_stay(folder):
    names = ["images", "./images/", "none.tif", "notes.txt", "https://example.com/a?b=*", "s3://bucket/*.txt"]
    assert expanded(names) == names


@pytest.mark.parametrize(
    "pattern, names",
    [
        ("images/*.SAFE", ["images/one.SAFE"]),
        ("images/**/*.SAFE", ["images/deep/two.SAFE", "images/one.SAFE"]),
        ("images/**", ["images"]),
        ("im*/o?e.S[AB]FE", ["images/one.SAFE"]),
        ("images/x [1].tif", ["images/x [1].tif"]),
        ("images/x [[]1].tif", ["images/x [1].tif"]),
    ],
)
def test_patterns_are_expanded_and_names_with_brackets_open(folder, pattern, names):
    assert expanded([pattern]) == names
    assert expanded([str(folder / pattern)]) == [str(folder / name) for name in names]


def test_a_pattern_that_nothing_matches_is_refused(folder):
    with pytest.raises(ValueError, match=r"^--input: expected a pattern that .*, got images/\*.zip$"):
        expanded(["images", "images/*.zip"])


def test_lines_of_a_list_are_inputs_relative_to_its_folder(folder):
    lists = folder / "lists [a]"
    lists.mkdir()
    lines = [
        "# scenes",
        "",
        "  ../images/one.SAFE \r",
        str(folder / "images" / "deep"),
        "https://example.com/a.tif?sig=#1",
        "../images/x*.tif",
        "inner.TXT",
    ]
    (lists / "all.txt").write_text("\n".join(lines), encoding="utf-8-sig")
    (lists / "inner.TXT").write_text("été.zip")
    names = ["../images/one.SAFE", str(folder / "images" / "deep"), "../images/x [1].tif", "été.zip"]
    names = [os.path.join("lists [a]", name) for name in names]
    assert expanded(["lists [a]/all.txt", "images"]) == [
        *names[:2],
        "https://example.com/a.tif?sig=#1",
        *names[2:],
        "images",
    ]
    assert expanded(["lists*/a*.txt"])[0] == names[0]


@pytest.mark.parametrize(
    "content, message",
    [
        (b"\n# nothing\n", "expected a list of names, got l.txt, without any"),
        (b"\xff\xfe", "expected a list that is UTF-8 text, got l.txt "),
        (b"images\nl.txt\n", "expected a list that is not within itself, got l.txt"),
        (b"*.zip", r"expected a pattern that files or folders match, got \*.zip"),
    ],
)
def test_lists_that_are_none_are_refused(folder, content, message):
    (folder / "l.txt").write_bytes(content)
    with pytest.raises(ValueError, match=f"^--input: {message}"):
        expanded(["l.txt"])


def item(identity, **more):
    """Return an item, as small as one can be."""
    assets = {"B04": {"href": f"http://localhost/{identity}.tif"}}
    return {"type": "Feature", "stac_version": "1.0.0", "id": identity, "assets": assets, "properties": {}, **more}


def collection(*features, **more):
    return {"type": "FeatureCollection", "features": list(features), **more}


@pytest.fixture
def serve(monkeypatch):
    """Return a function that serves documents by their paths, a POST by its body; it returns address and requests."""
    monkeypatch.setattr(http, "TRIES", 0)

    def start(documents):
        requests = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                length = int(self.headers.get("Content-Length") or 0)
                asked = self.path + self.rfile.read(length).decode()
                requests.append(f"{self.command} {asked}")
                content = json.dumps(documents.get(asked)).encode()
                self.send_response(200 if asked in documents else 404)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        return servers.enter_context(serving(Handler)).url, requests

    with ExitStack() as servers:
        yield start


def test_pages_of_a_search_are_followed(make_sentinel2_item, planetary_computer):
    items = [make_sentinel2_item(f"S2A_{n}", np.full((96, 96), 4), day=f"2022-07-0{9 - n}") for n in range(1, 6)]
    server = planetary_computer(items)
    for address in (
        f"{server.stac_url}/search?collections={items[0]['collection']}&limit=2",
        f"{server.stac_url}/collections/{items[0]['collection']}/items?limit=2",
    ):
        scenes = scenes_of([address])
        assert list(scenes) == [item["id"] for item in items]
        assert [name["assets"] for [name] in scenes.values()] == [item["assets"] for item in items]
    product = open_product(*scenes["S2A_3"])
    try:
        assert product.identity["id"] == "S2A_3" and list(product.bands) == ["B04"]
    finally:
        product.close()


def test_a_page_is_asked_for_by_post_where_its_link_says_so(tmp_path, serve):
    pages = {}
    address, requests = serve(pages)
    link = {"rel": "next", "method": "POST", "href": f"{address}/search", "body": {"token": "2"}}
    pages["/search?limit=1"] = collection(item("one"), links=[{"rel": "self", "href": "x"}, link])
    pages['/search{"token": "2"}'] = collection(item("two"))
    assert list(scenes_of([f"{address}/search?limit=1"])) == ["one", "two"]
    assert requests == ["GET /search?limit=1", 'POST /search{"token": "2"}']
    (tmp_path / "first.json").write_text(json.dumps(pages["/search?limit=1"]))
    assert [each["id"] for each in items_of(str(tmp_path / "first.json"))] == ["one", "two"]
    link["merge"] = True
    (tmp_path / "first.json").write_text(json.dumps(pages["/search?limit=1"]))
    with pytest.raises(ValueError, match="a next page to be asked for by a search that is not known$"):
        list(items_of(str(tmp_path / "first.json")))


def test_pages_without_end_are_refused(serve):
    pages = {}
    address, _ = serve(pages)
    pages["/search"] = collection(item("one"), links=[{"rel": "next", "href": f"{address}/search"}])
    with pytest.raises(ValueError, match="got one twice$"):
        scenes_of([f"{address}/search"])


def test_documents_at_addresses_are_items_or_collections(serve):
    address, _ = serve({"/a/all.json?sig=1": collection(item("one"), item("two")), "/a/three.json": item("three")})
    names = [f"{address}/a/all.json?sig=1", f"{address}/a/three.json", f"{address}/a/gone.json"]
    found = scenes_of(names)
    for name in ("one", "two"):  # which say from where they were sent
        sender = {"rel": "self", "href": names[0]}
        assert found.pop(name) == [{**item(name), "links": [sender]}]
    assert found == {"three": [names[1]], "gone": [names[2]]}
    assert names_of_one(names[1:2]) == names[1:2]


@pytest.mark.parametrize(
    "document, reason",
    [
        (collection(), ", without any"),
        (collection({"type": "Feature", "properties": {}}), ": a feature that is no item"),
        (collection(item("one"), item("")), ": a feature that is no item"),
        (collection(1), ": a feature that is no item"),
        (collection(item("one"), links=[{"href": "x"}]), ": KeyError: 'rel'"),
    ],
)
def test_collections_of_nothing_or_of_other_things_are_refused(tmp_path, document, reason):
    (tmp_path / "items.geojson").write_text(json.dumps(document))
    with pytest.raises(ValueError) as error:
        scenes_of([str(tmp_path / "items.geojson")])
    wanted = "--input: expected a collection of STAC items, got "
    assert str(error.value) == f"{wanted}{tmp_path / 'items.geojson'}{reason}"


def test_a_search_that_is_not_answered_is_refused_without_its_query(serve):
    address, _ = serve({})
    with pytest.raises(ValueError, match=rf"^--input: expected a collection of STAC items, got {address}/search: "):
        scenes_of([f"{address}/search?sig=secret"])


def test_names_of_images_are_relative_to_the_item_or_its_collection(tmp_path):
    hrefs = {"B02": "./one/B02.tif", "B03": "/data/B03.tif", "B04": "s3://bucket/B04.tif"}
    alone = item("one", assets={band: {"href": href, "title": band} for band, href in hrefs.items()})
    placed = {**alone, "links": [{"rel": "self", "href": "https://example.com/x/one.json"}]}
    (tmp_path / "items.json").write_text(json.dumps(collection(alone, placed)))
    found = [
        {key: asset["href"] for key, asset in each["assets"].items()} for each in items_of(str(tmp_path / "items.json"))
    ]
    assert found == [
        {**hrefs, "B02": f"{tmp_path}/one/B02.tif"},
        {**hrefs, "B02": "https://example.com/x/one/B02.tif"},
    ]


def test_names_tell_items_from_images():
    assert all(map(is_item, ["a.json", "a.GeoJSON", "https://x/collections/c/items/i", "https://x/i.json?sig=a/b.tif"]))
    assert not any(map(is_item, ["a.tif", "collections/a.SAFE", "https://x/a.tif?x=/collections/", "s3://x/a.tif"]))
    assert not is_collection("none.json")


def test_one_product_of_a_collection_is_refused_and_lists_and_patterns_are_not(folder):
    (folder / "items.json").write_text(json.dumps(collection(item("one"))))
    with pytest.raises(ValueError, match="got the collection items.json; --output-dir makes a product of each item"):
        names_of_one(["items.json"])
    (folder / "item.json").write_text(json.dumps(item("one")))
    (folder / "names.txt").write_text("item.json\n")
    assert names_of_one(["names.txt", "images/*.tif"]) == ["item.json", "images/x [1].tif"]


def test_a_batch_over_a_collection_makes_a_product_of_each_item(tmp_path, make_sentinel2_item, planetary_computer):
    bands = ("B02", "B03", "B04", "B08", "B05", "B06", "B07", "B8A", "B11", "B12")
    toy_models.dsen2(tmp_path / "models" / "2x", "2x")
    ids = ["S2A_MSIL2A_1", "S2A_MSIL2A_2"]
    server = planetary_computer([make_sentinel2_item(name, np.full((96, 96), 4), bands=bands) for name in ids])
    command = ["--input", f"{server.stac_url}/search?limit=1", "--output-dir", str(tmp_path / "out")]
    command += ["--model-dir", str(tmp_path / "models"), "--bands", "B02,B05", "--box", "0,0,48,48"]
    assert dsen2.main(command) == 0
    assert sorted(path.name for path in (tmp_path / "out").glob("*_SR.tif")) == [f"{name}_SR.tif" for name in ids]
    assert dsen2.main(command) == 0


def test_an_item_of_a_collection_from_elsewhere_names_no_files_whatever_it_says_of_itself(monkeypatch):
    class Api:
        def get_pages(self, *_, **__):
            asset = {"href": "/etc/passwd", "type": "image/tiff"}
            links = [{"rel": "self", "href": "http://127.0.0.1/a"}]
            yield {"features": [{"id": "a", "properties": {}, "links": links, "assets": {"B04": asset}}]}

    monkeypatch.setattr(inputs, "_api", Api)
    (item,) = items_of("https://stac.example.org/items")
    with pytest.raises(ValueError, match="got the path /etc/passwd: --allow-local permits it"):
        item_contents(item)
