# SPDX-License-Identifier: Apache-2.0
"""What makes a product one that is not done."""

import dataclasses
import functools
import http.server
import json
import os
import zipfile

import numpy as np
import pystac
import pytest
from hypothesis import given
from hypothesis import strategies as st
from osgeo import gdal

from chain.runtime.options import BaseOptions, kinds, option
from chain.runtime.provenance import record_of
from chain.serving import up_to_date
from chain.serving.up_to_date import fingerprint, is_done, mark
from inference import dsen2
from tests.servers import serving

SAS = "sv=2021-06-08&st=2022-07-01T00%3A00%3A00Z&se=2022-07-02&sr=c&sp=rl&skoid=a&sktid=b&sig=c%2Fd%3D"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(BaseOptions):
    """Options of a program."""

    bands: object = option(("B02", "B05"), "bands")
    mask: object = option(None, "a mask", reads=True)
    threads: int | None = option(None, "threads", pixels=False)


def options(**values):
    """Return options of a program."""
    return Options(**values)


@pytest.fixture
def scene(tmp_path):
    """A SAFE folder, a model's folder and a mask."""
    for name in ("images/S.SAFE/MTD_MSIL2A.xml", "images/S.SAFE/GRANULE/x/B05.jp2", "model/weights.h5", "mask.tif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def of(scene, *names, models=("model",), **values):
    """Return the fingerprint of a command on names in the scene's folder, by default that of the SAFE folder."""
    values = {"mask": str(scene / "mask.tif"), **values}
    names = [str(scene / name) for name in names or ["images/S.SAFE"]]
    return fingerprint(options(**values), names, [scene / model for model in models])


def touch(path, later=1):
    """Give a file another time of change, the shortest time later."""
    os.utime(path, ns=(0, os.stat(path).st_mtime_ns + later))


@pytest.mark.parametrize(
    "name", ["images/S.SAFE/MTD_MSIL2A.xml", "images/S.SAFE/GRANULE/x/B05.jp2", "model/weights.h5", "mask.tif"]
)
def test_a_file_of_another_time_size_or_place_is_noticed(scene, name):
    before = of(scene)
    assert of(scene) == before
    touch(scene / name)
    touched = of(scene)
    touch(scene / name, later=-1)
    assert of(scene) == before != touched
    status = os.stat(scene / name)
    with open(scene / name, "ab") as stream:
        stream.write(b"x")
    os.utime(scene / name, ns=(0, status.st_mtime_ns))
    assert of(scene) not in (before, touched)
    os.truncate(scene / name, status.st_size)
    os.utime(scene / name, ns=(0, status.st_mtime_ns))
    assert of(scene) == before
    (scene / name).rename(scene / f"{name}x")
    assert of(scene) != before


def test_files_that_come_beside_or_below_are_noticed(scene):
    before = of(scene)
    (scene / "images" / "T.SAFE").mkdir()
    (scene / "masks.tif").touch()
    assert of(scene) == before
    for name in ("images/S.SAFE/GRANULE/new", "model/new/deep", "mask.tif.aux.xml", "mask.tfw"):
        (scene / name).parent.mkdir(exist_ok=True)
        (scene / name).touch()
        assert of(scene) != before
        before = of(scene)


def test_a_renamed_folder_is_another_input(scene):
    before = of(scene)
    (scene / "images").rename(scene / "others")
    assert of(scene, "others/S.SAFE") != before


def test_a_scene_is_the_same_by_whichever_path(scene, monkeypatch):
    before = of(scene)
    (scene / "link").symlink_to("images")
    monkeypatch.chdir(scene / "images")
    values = options(mask=str(scene / "mask.tif"))
    same = ["S.SAFE", "./S.SAFE/", "../images/S.SAFE", "../link/S.SAFE", "S.SAFE/MTD_MSIL2A.xml"]
    assert {fingerprint(values, [name], ["../model"]) for name in same} == {before}
    monkeypatch.chdir(scene / "images" / "S.SAFE")
    assert fingerprint(values, ["MTD_MSIL2A.xml"], [scene / "model"]) == before


def test_links_that_lead_elsewhere_are_noticed_and_those_in_circles_end(scene):
    folder = scene / "images" / "S.SAFE"
    for name in ("a.jp2", "b.jp2"):
        (scene / name).touch()
        os.utime(scene / name, ns=(0, 0))
    (folder / "B01.jp2").symlink_to(scene / "a.jp2")
    (folder / "B02.jp2").symlink_to(scene / "b.jp2")
    (folder / "up").symlink_to(scene)
    before = of(scene)
    assert of(scene) == before
    for name, target in (("B01.jp2", "b.jp2"), ("B02.jp2", "a.jp2")):
        (folder / name).unlink()
        (folder / name).symlink_to(scene / target)
    assert of(scene) != before


def test_names_of_bands_and_their_order_count(scene):
    for name in ("S_10m.tif", "S_20m.tif"):
        (scene / name).touch()
        os.utime(scene / name, ns=(0, 0))
    (scene / "S_60m.tif").symlink_to("S_20m.tif")
    names = [("S_10m.tif",), ("S_20m.tif",), ("S_10m.tif", "S_20m.tif"), ("S_20m.tif", "S_10m.tif"), ("S_60m.tif",)]
    assert len({of(scene, *each) for each in names}) == len(names)


def test_what_describes_a_raster_beside_it_is_noticed(scene):
    (scene / "S.10m.tif").touch()
    before = of(scene, "S.10m.tif")
    (scene / "S.20m.tif").touch()
    assert of(scene, "S.10m.tif") == before
    (scene / "S.10m.tif.aux.xml").touch()
    assert of(scene, "S.10m.tif") != before


def test_a_zip_is_noticed(scene):
    with zipfile.ZipFile(scene / "S.zip", "w") as archive:
        archive.writestr("S.SAFE/MTD_MSIL2A.xml", "")
    before = of(scene, "S.zip")
    assert of(scene, "S.zip") == before
    touch(scene / "S.zip")
    assert of(scene, "S.zip") != before


def test_files_of_mosaics_of_mosaics_are_noticed(tmp_path, write_raster):
    part = write_raster("part.tif", np.ones((4, 4), np.uint16))
    (tmp_path / "deep").mkdir()
    gdal.BuildVRT(str(tmp_path / "deep" / "inner.vrt"), [str(part)]).FlushCache()
    gdal.BuildVRT(str(tmp_path / "outer.vrt"), [str(tmp_path / "deep" / "inner.vrt")]).FlushCache()
    for values in ((options(), ["outer.vrt"]), (options(mask=str(tmp_path / "outer.vrt")), [])):
        asked = (values[0], [str(tmp_path / name) for name in values[1]], [])
        before = fingerprint(*asked)
        assert fingerprint(*asked) == before
        touch(part)
        assert fingerprint(*asked) != before
    before = of(tmp_path, "outer.vrt")
    (tmp_path / "part.tif.msk").touch()
    assert of(tmp_path, "outer.vrt") != before
    (tmp_path / "outer.vrt").rename(tmp_path / "mosaic.xml")
    before = of(tmp_path, "mosaic.xml")
    touch(part)
    assert of(tmp_path, "mosaic.xml") != before
    (tmp_path / "broken.vrt").write_text("<VRTDataset>")
    assert of(tmp_path, "broken.vrt") == of(tmp_path, "broken.vrt")


def test_what_only_gdal_finds_is_never_done(scene, monkeypatch):
    monkeypatch.setattr(up_to_date, "retrieved", lambda name: {})
    for mask in ("/vsizip/masks.zip/mask.tif", "NETCDF:mask.nc:cloud", "vrt://mask.tif?bands=1"):
        assert of(scene, mask=mask) != of(scene, mask=mask)
    mask = "https://example.com/mask.tif"
    assert of(scene, mask=f"{mask}?{SAS}") == of(scene, mask=f"{mask}?{SAS}x") != of(scene, mask=f"{mask}?a=1&{SAS}")


def test_what_cannot_be_listed_is_never_done(scene, monkeypatch):
    def refuse(_):
        raise PermissionError

    monkeypatch.setattr(up_to_date.os, "listdir", refuse)
    assert of(scene) != of(scene)


def test_options_that_do_not_count_are_those_of_input_output_scores_and_work():
    others = {name for name, kind in kinds(dsen2.Command).items() if not kind.pixels}
    assert others == (
        {"input", "search", "stac_url", "collection", "max_cloud_cover", "output", "output_dir", "env", "info", "json"}
        | {"timeout", "safe_models", "allow_local"}
        | {"overwrite", "restart", "threads", "block_range", "assemble", "scheduler", "workers", "worker_memory"}
        | {"quicklook", "style", "styles", "stac", "scl", "report", "separate", "error", "co"}
        | {"evaluate", "metrics", "figure"}
    )


def test_options_count_unless_they_cannot_touch_pixels(scene):
    assert of(scene, threads=1) == of(scene, threads=2)
    assert of(scene, bands="one") != of(scene, bands="two")


WORDS = st.text(st.characters(exclude_characters="./:\0", exclude_categories=("Cs",))).map("a{}".format)
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS
VALUES |= st.lists(WORDS | st.integers()).map(tuple)


@given(VALUES, VALUES)
def test_any_two_values_of_an_option_differ(one, other):
    found = [fingerprint(Options(bands=value), [], []) for value in (one, other)]
    assert (found[0] == found[1]) == (type(one) is type(other) and repr(one) == repr(other))


def test_files_that_options_name_count(scene):
    (scene / "new.txt").touch()
    for value in (str(scene / "new.txt"), scene / "new.txt", ["a", str(scene / "new.txt")], (str(scene),)):
        before = of(scene, mask=value)
        assert of(scene, mask=value) == before
        touch(scene / "new.txt")
        assert of(scene, mask=value) != before


def test_other_weights_and_another_version_count(scene, monkeypatch):
    (scene / "other").mkdir()
    (scene / "other" / "weights.h5").write_bytes((scene / "model" / "weights.h5").read_bytes())
    before = of(scene)
    assert len({before, of(scene, models=["other"]), of(scene, models=["model", "other"]), of(scene, models=[])}) == 4
    assert of(scene, models=["model/weights.h5"]) != before
    monkeypatch.setattr(up_to_date, "_software", lambda: "9")
    assert of(scene) != before


def item(**assets):
    """Return an item."""
    assets = {band: {"href": href} for band, href in assets.items()}
    return {"type": "Feature", "stac_version": "1.0.0", "id": "S", "assets": assets, "geometry": None} | {
        "properties": {"datetime": "2022-07-01T00:00:00Z"},
        "links": [],
    }


def of_item(content):
    return fingerprint(options(), [content], [])


class SilentHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_items_are_known_by_what_they_say_without_signatures(tmp_path, monkeypatch):
    monkeypatch.setattr(up_to_date, "retrieved", lambda name: {})
    address = "https://a.blob.core.windows.net/c/B04.tif"
    before = of_item(item(B04=address + "?"))
    for query in (SAS, "X-Amz-Signature=1&x-amz-date=2", "X-Goog-Signature=1"):
        assert of_item(item(B04=f"{address}?{query}")) == before
    assert of_item(item(B04=f"{address}?{SAS}")) == of_item(item(B04=f"{address}?{SAS.replace('2022', '2023')}"))
    kept = ("sr=1", "sp=1", f"file=1&{SAS}", f"file=2&{SAS}", f"file=%FF&{SAS}", f"file=%FE&{SAS}")
    assert len({before, *(of_item(item(B04=f"{address}?{query}")) for query in kept)}) == len(kept) + 1
    assert of_item({**item(B04=address), "properties": {"s2:processing_baseline": "04.00"}}) != of_item(
        item(B04=address)
    )
    (tmp_path / "S.json").write_text(json.dumps(item(B04=address), indent=1))
    assert of_item(str(tmp_path / "S.json")) == of_item(item(B04=address))
    stac_item = pystac.Item.from_dict(item(B04=address))
    assert of_item(stac_item) == of_item(stac_item)


def test_local_images_of_items_are_noticed(tmp_path, write_raster):
    path = write_raster("B04.tif", np.ones((4, 4), np.uint16))
    for href in (str(path), f"file://{path}"):
        before = of_item(item(B04=href))
        assert of_item(item(B04=href)) == before
        touch(path)
        assert of_item(item(B04=href)) != before
    assert of_item(item(B04="/vsizip/a.zip/B04.tif")) != of_item(item(B04="/vsizip/a.zip/B04.tif"))


def test_an_item_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="expected a STAC item"):
        of_item(str(tmp_path / "none.json"))


@pytest.fixture
def product(tmp_path):
    """A product that is done, by the fingerprint `f`."""
    path = tmp_path / "S_SR.tif"
    path.write_bytes(b"pixels")
    record_of(path).write_text(json.dumps({"arguments": {}, **mark(path, "f")}))
    return path


def test_a_product_is_done_by_its_own_fingerprint_only(product):
    assert is_done(product, "f") and not is_done(product, "g")


def test_a_product_that_was_touched_truncated_replaced_or_removed_is_not_done(product):
    content, status = product.read_bytes(), os.stat(product)
    touch(product)
    assert not is_done(product, "f")
    touch(product, later=-1)
    assert is_done(product, "f")
    for other in (content[:-1], content + b"x"):
        product.write_bytes(other)
        os.utime(product, ns=(0, status.st_mtime_ns))
        assert not is_done(product, "f")
    product.unlink()
    assert not is_done(product, "f")


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"1",
        b'"fingerprint"',
        b"null",
        b'{"fingerprint": "f"}',
        b'{"fingerprint": "f", "product": null}',
        b'{"fingerprint": "f", "product": {}}',
        b'{"product": {"bytes": 6}}',
    ],
)
def test_a_product_without_its_record_or_with_a_broken_one_is_not_done(product, content):
    whole = record_of(product).read_bytes()
    record_of(product).unlink()
    if content is not None:
        record_of(product).write_bytes(content)
    assert not is_done(product, "f")
    record_of(product).write_bytes(whole[:-1])
    assert not is_done(product, "f")


def test_what_was_replaced_on_a_server_is_not_done(tmp_path):
    (tmp_path / "B04.tif").write_bytes(b"a" * 100)
    handler = functools.partial(SilentHandler, directory=str(tmp_path))
    with serving(handler) as server:
        address = f"{server.url}/B04.tif"
        before = of_item(item(B04=address)), fingerprint(options(), [address], [])
        assert (of_item(item(B04=f"{address}?sig=1&se=2")), fingerprint(options(), [address], [])) == before
        (tmp_path / "B04.tif").write_bytes(b"b" * 101)
        after = of_item(item(B04=address)), fingerprint(options(), [address], [])
        assert after[0] != before[0] and after[1] != before[1]
