# SPDX-License-Identifier: Apache-2.0
"""Which scenes names stand for, and a run over all of them."""

import json
import pickle

import numpy as np
import pytest

from chain.runtime.progress import shown_on_terminal
from chain.serving.batch import check_all, run_all, scenes_of, summary
from inference import dsen2
from tests import toy_models

SAFE = "S2A_MSIL1C_20210908T042701_N0301_R133_T46RER_20210908T070248"
OTHER = "S2B_MSIL2A_20220413T150759_N0400_R025_T33XWJ_20220414T082126"


@pytest.fixture
def touch(tmp_path):
    """Return a function that makes empty files, and returns their names."""

    def make(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return [str(tmp_path / name) for name in names]

    return make


def found(tmp_path, *inputs):
    """Return the scenes with files relative to the folder."""
    scenes = scenes_of([str(tmp_path / name) for name in inputs] or [str(tmp_path)])
    return {name: sorted(file.removeprefix(f"{tmp_path}/") for file in files) for name, files in scenes.items()}


def test_safe_folders_zips_and_their_metadata(tmp_path, touch):
    touch(
        f"{SAFE}.SAFE/MTD_MSIL1C.xml", f"{SAFE}.SAFE/GRANULE/L1C/IMG_DATA/T46RER_B05.jp2", f"{OTHER}.zip", "notes.txt"
    )
    expected = {SAFE: [f"{SAFE}.SAFE"], OTHER: [f"{OTHER}.zip"]}
    assert found(tmp_path) == expected
    assert found(tmp_path, f"{SAFE}.SAFE", f"{OTHER}.zip") == expected
    assert found(tmp_path, f"{SAFE}.SAFE/MTD_MSIL1C.xml") == {SAFE: [f"{SAFE}.SAFE/MTD_MSIL1C.xml"]}


@pytest.mark.parametrize(
    "names, scenes",
    [
        (("S_10m.tif", "S_20m.tif", "S_60m.tif"), {"S": 3}),
        (("A_10m.tif", "A_20m.tif", "B_10m.tif", "B_20m.tif"), {"A": 2, "B": 2}),
        (("T46RER_20210908T042701_B05.jp2", "T46RER_20210908T042701_B8A.jp2"), {"T46RER_20210908T042701": 2}),
        ((f"{SAFE}_B05.tif", f"{SAFE}_B1.tif", f"{SAFE}_b12.TIF", f"{SAFE}_SCL.tif"), {SAFE: 4}),
        (("T31_B02_10m.jp2", "T31_B05_20m.jp2", "T31_SCL_20m.jp2", "T31_TCI_10m.jp2"), {"T31": 4}),
        (("stack one.tif", "stack two.vrt"), {"stack one": 1, "stack two": 1}),
        (("B05_T31UDQ.tif", "B8A_T31UDQ.tif"), {"T31UDQ": 2}),
        (("site.10m.tiff", "site.20m.tiff"), {"site": 2}),
        (("SUB05_x.tif", "AB12m.tif", "R160m.tif", "B13.tif"), {"SUB05_x": 1, "AB12m": 1, "R160m": 1, "B13": 1}),
    ],
)
def test_files_that_differ_in_band_and_resolution_only_are_one_scene(tmp_path, touch, names, scenes):
    touch(*names)
    for inputs in ((), names):
        assert {name: len(files) for name, files in found(tmp_path, *inputs).items()} == scenes


def test_files_named_by_their_band_alone_are_the_scene_of_their_folder(tmp_path, touch, monkeypatch):
    touch("one/B05.tif", "one/B8A.tif", "one/SCL.tif", "two/10m.tif", "two/20m.tif")
    assert found(tmp_path) == {
        "one": ["one/B05.tif", "one/B8A.tif", "one/SCL.tif"],
        "two": ["two/10m.tif", "two/20m.tif"],
    }
    monkeypatch.chdir(tmp_path / "one")
    assert scenes_of(["."]) == {"one": ["B05.tif", "B8A.tif", "SCL.tif"]}


def test_folders_in_folders_are_searched_and_products_are_no_scenes(tmp_path, touch):
    touch(
        "a/deep/S_10m.tif",
        "a/deep/S_20m.tif",
        f"a/{SAFE}.SAFE/MTD_MSIL1C.xml",
        "b.tif",
        "b_SR.tif",
        "b_SR.tif.json",
        "b_SR_B05.tif",
        "b_SR_B8A.tif",
        "c_SR.tif.parts/0_0.tif",
        ".b_SR_B05.tif.partial",
        ".cache/x.tif",
        "._b.tif",
        "item.json",
    )
    assert found(tmp_path) == {"S": ["a/deep/S_10m.tif", "a/deep/S_20m.tif"], SAFE: [f"a/{SAFE}.SAFE"], "b": ["b.tif"]}
    assert found(tmp_path, "item.json") == {"item": ["item.json"]}
    assert found(tmp_path, "b_SR.tif") == {"b_SR": ["b_SR.tif"]}


def test_addresses_are_scenes():
    item = "https://example.com/collections/sentinel-2-l2a/items/S2A_MSIL2A_T31UDQ"
    assert scenes_of([item, "https://example.com/x/one.tif?sig=1.2/3", "s3://bucket/two.tif"]) == {
        "S2A_MSIL2A_T31UDQ": [item],
        "one": ["https://example.com/x/one.tif?sig=1.2/3"],
        "two": ["s3://bucket/two.tif"],
    }


def test_lists_and_patterns_are_the_scenes_of_what_they_name(tmp_path, touch):
    touch(f"images/{SAFE}.SAFE/MTD_MSIL1C.xml", f"images/deep/{OTHER}.zip", "images/S_10m.tif", "images/S_20m.tif")
    (tmp_path / "list.txt").write_text("images/**/*.SAFE\nimages/S_10m.tif\nimages/S_20m.tif\n")
    assert found(tmp_path, "list.txt", "images/*/*.zip") == {
        SAFE: [f"images/{SAFE}.SAFE"],
        OTHER: [f"images/deep/{OTHER}.zip"],
        "S": ["images/S_10m.tif", "images/S_20m.tif"],
    }
    (tmp_path / "twice.txt").write_text(f"images/deep/{OTHER}.zip\nimages/deep/*.zip\n")
    with pytest.raises(ValueError, match=f"^--input: expected scenes of different names, got {OTHER} twice$"):
        found(tmp_path, "twice.txt")


def item(identity, collection="sentinel-2-l2a"):
    """Return an item, as small as one can be."""
    return {"type": "Feature", "stac_version": "1.0.0", "id": identity, "collection": collection, "links": []} | {
        "assets": {"B04": {"href": f"http://localhost/{collection}/{identity}/B04.tif"}},
        "properties": {},
    }


def write_collection(path, *items):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return str(path)


def test_items_of_a_collection_are_scenes_named_by_their_identifiers(tmp_path, touch):
    one, other, again = item("S2A.1"), item("../S2B/2"), item("S2A.1", "sentinel-2-c1-l2a")
    name = write_collection(tmp_path / "items.json", one, other, again)
    scenes = scenes_of([name, *touch("S.zip")])
    assert scenes == {
        "S2A.1": [one],
        ".._S2B_2": [other],
        "sentinel-2-c1-l2a_S2A.1": [again],
        "S": [str(tmp_path / "S.zip")],
    }
    assert pickle.loads(pickle.dumps(scenes)) == json.loads(json.dumps(scenes)) == scenes


def test_items_of_one_name_in_a_collection_are_refused(tmp_path):
    name = write_collection(tmp_path / "items.json", item("one"), item("two"), item("one"))
    with pytest.raises(ValueError, match="^--input: expected scenes of different names, got one twice$"):
        scenes_of([name])


def test_collections_in_folders_are_no_scenes_and_items_are(tmp_path):
    write_collection(tmp_path / "items.json", item("one"))
    (tmp_path / "two.json").write_text(json.dumps(item("two")))
    assert found(tmp_path) == {"two": ["two.json"]}


def test_one_file_given_twice_is_one(tmp_path, touch):
    touch("S_10m.tif", "S_20m.tif")
    assert found(tmp_path, "S_10m.tif", "S_20m.tif", "S_10m.tif") == {"S": ["S_10m.tif", "S_20m.tif"]}
    assert found(tmp_path, ".", "S_10m.tif") == {"S": ["S_10m.tif", "S_20m.tif"]}


@pytest.mark.parametrize(
    "names, inputs",
    [
        (("S.zip", "S.SAFE/MTD_MSIL2A.xml"), (".",)),
        (("S.zip", "S_10m.tif"), (".",)),
        (("S.zip",), ("S.zip", "S.zip")),
    ],
)
def test_two_scenes_of_one_name_in_one_folder_are_refused(tmp_path, touch, names, inputs):
    touch(*names)
    with pytest.raises(ValueError, match="^--input: expected scenes of different names, got S twice$"):
        found(tmp_path, *inputs)


def test_scenes_of_one_name_in_two_folders_are_named_after_these(tmp_path, touch):
    touch("a/S_10m.tif", "b/S_10m.tif", "b/S_20m.tif")
    assert found(tmp_path) == {"S": ["a/S_10m.tif"], "b_S": ["b/S_10m.tif", "b/S_20m.tif"]}


def test_items_in_folders_are_scenes_and_other_json_is_none(tmp_path, touch):
    touch("S_10m.tif")
    (tmp_path / "one.json").write_text('{"stac_version": "1.0.0", "assets": {}}')
    (tmp_path / "labels_metadata.json").write_text('{"labels": []}')
    (tmp_path / "list.json").write_text("[1]")
    assert found(tmp_path) == {"one": ["one.json"], "S": ["S_10m.tif"]}


def test_files_that_only_sound_like_products_are_scenes_and_links_to_a_parent_end(tmp_path, touch):
    touch("COPERNICUS_S2_SR.tif", "deep/x.tif")
    (tmp_path / "deep" / "up").symlink_to(tmp_path)
    assert found(tmp_path) == {"COPERNICUS_S2_SR": ["COPERNICUS_S2_SR.tif"], "x": ["deep/x.tif"]}


def test_what_is_missing_or_empty_is_refused(tmp_path):
    with pytest.raises(ValueError, match="^--input: no such file or folder: .*/none.tif$"):
        found(tmp_path, "none.tif")
    (tmp_path / "empty" / "deep").mkdir(parents=True)
    with pytest.raises(ValueError, match="^--input: expected scenes, got none in .*/empty$"):
        found(tmp_path, "empty")


def test_a_run_goes_on_after_failures_and_ends_with_a_table_and_their_names(capsys):
    made = []

    def make(name, files, progress):
        made.append((name, files))
        if name == "broken":
            raise ValueError("input: expected\npixels")
        if name == "odd":
            raise KeyError("B05")
        return "done before" if name == "old" else f"{name}_SR.tif"

    scenes = {"one": ["a", "b"], "broken": ["c"], "old": ["d"], "odd": ["e"], "the last": ["f"]}
    with shown_on_terminal():
        outcomes = run_all(scenes, make)
    with pytest.raises(RuntimeError, match="^2 of 5 scenes failed: broken, odd$"):
        check_all(outcomes)
    assert made == list(scenes.items())
    output = capsys.readouterr()
    assert output.out == ""
    assert summary(outcomes).splitlines() == [
        "one       one_SR.tif",
        "broken    failed: input: expected pixels",
        "old       done before",
        "odd       failed: KeyError: 'B05'",
        "the last  the last_SR.tif",
    ]
    told = [line for line in output.err.splitlines() if not line.startswith("[")]
    assert told == ["error: broken: input: expected pixels", "error: odd: KeyError: 'B05'"]
    assert [line for line in output.err.splitlines() if line.startswith("[")] == [
        f"[{number}/5] {name}" for number, name in enumerate(scenes, start=1)
    ]


def test_a_run_without_failures_ends_quietly(capsys):
    outcomes = run_all({"one": ["a"]}, lambda name, files, progress: "made")
    check_all(outcomes)
    assert outcomes == {"one": "made"} and capsys.readouterr() == ("", "")


def test_an_interruption_ends_the_run():
    def make(name, files, progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_all({"one": ["a"], "two": ["b"]}, make)


def test_a_stack_brought_back_to_native_pixels_is_done_once_unless_it_changes(tmp_path, write_raster, capsys):
    for role in ("2x", "6x"):
        toy_models.dsen2(tmp_path / "models" / role, role)
    rng, cube = np.random.default_rng(0), []
    bands = {1: ("B02", "B03", "B04", "B08"), 2: ("B05", "B06", "B07", "B8A", "B11", "B12"), 6: ("B01", "B09")}
    for ratio, names in bands.items():
        for _ in names:
            pixels = rng.integers(1, 8000, (96 // ratio, 120 // ratio)).astype(np.uint16)
            cube.append(np.repeat(np.repeat(pixels, ratio, 0), ratio, 1))
    path = write_raster("S2A_MSIL2A_x.tif", np.stack(cube, axis=2), bands=sum(bands.values(), ()))
    command = ["--input", str(path), "--output-dir", str(tmp_path / "out"), "--model-dir", str(tmp_path / "models")]
    assert dsen2.main(command) == 0
    record = json.loads((tmp_path / "out" / "S2A_MSIL2A_x_SR.tif.json").read_text())
    assert list(record["input"]["files"]) == [str(path)]
    capsys.readouterr()
    assert dsen2.main(command) == 0
    assert "S2A_MSIL2A_x  done before" in capsys.readouterr().out
    path.touch()
    assert dsen2.main(command) == 1
    assert "_SR.tif exists, made of other " in capsys.readouterr().err
