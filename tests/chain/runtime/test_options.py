# SPDX-License-Identifier: Apache-2.0
"""Options: one dataclass for keywords and for the command line, with the same errors."""

import argparse
import dataclasses
from pathlib import Path

import pytest

from chain.runtime.command_line import run_program
from chain.runtime.options import (
    MISSING,
    BaseOptions,
    at_least,
    band_names,
    changed,
    files_written,
    integers,
    option,
    paths_read,
    values_for_pixels,
    within,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(BaseOptions):
    input: tuple[str, ...] = option(MISSING, "images", many=True, reads=True)
    tile_size: int = option(768, "side of a tile, in output pixels", check=at_least(8))
    share: float = option(20.0, "part, in %", check=within(0, 100))
    kind: str = option("a", "kind", choices=("a", "b"))
    bands: tuple[str, ...] | None = option(None, "bands", read=band_names, formerly=("--channels",))
    floating: bool = option(False, "reflectance", flag="--float")
    metrics: str | None = option(None, "scores", writes=(".json",), replaces=True, pixels=False)
    evaluate: bool = option(False, "score", pixels=False)

    def check(self):
        super().check()
        self.require("metrics", "evaluate")
        self.exclude("floating", "bands")


def parsed(*words):
    """Return the options of a command line."""
    found = []
    parser = argparse.ArgumentParser("program", allow_abbrev=False)
    assert run_program(parser, Options, lambda options, progress: found.append(options), list(words)) == 0
    return found[0]


def test_the_command_line_and_keywords_make_the_same_options():
    words = [
        "--input",
        "x.tif",
        "y.tif",
        "--tile-size",
        "64",
        "--bands",
        "B05, B11",
        "--evaluate",
        "--metrics",
        "m.json",
    ]
    options = Options(input=["x.tif", "y.tif"], tile_size=64, bands=("B05", "B11"), evaluate=True, metrics="m.json")
    assert parsed(*words) == options
    assert options.input == ("x.tif", "y.tif")


def test_defaults_of_the_command_line_are_those_of_the_dataclass():
    assert parsed("--input", "x.tif") == Options(input=("x.tif",))


@pytest.mark.parametrize(
    "words, keywords, message",
    [
        (["--tile-size", "4"], {"tile_size": 4}, "--tile-size: expected at least 8, got 4"),
        (["--share", "nan"], {"share": float("nan")}, "--share: expected 0 to 100, got nan"),
        (["--metrics", "m.txt"], {"metrics": "m.txt"}, "--metrics: expected a .json file, got 'm.txt'"),
        (["--metrics", "m.json"], {"metrics": "m.json"}, "--metrics requires --evaluate"),
        (
            ["--float", "--bands", "B05"],
            {"floating": True, "bands": ("B05",)},
            "--float and --bands are mutually exclusive",
        ),
        (["--input", ""], {"input": ("",)}, "--input: expected names, got an empty one"),
    ],
)
def test_both_refuse_what_cannot_be_right(words, keywords, message, capsys):
    with pytest.raises(ValueError) as error:
        Options(**{"input": ("x.tif",), **keywords})
    assert str(error.value) == message
    with pytest.raises(SystemExit) as ended:
        parsed(*([] if "--input" in words else ["--input", "x.tif"]), *words)
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"program: error: {message}"


@pytest.mark.parametrize(
    "words, message",
    [
        (["--tile-size", "x"], "argument --tile-size: expected an integer, got 'x'"),
        (["--kind", "c"], "argument --kind: invalid choice: 'c'"),
        (["--bands", ","], "argument --bands: expected names separated by commas, got ','"),
        (["--channels", "B05"], "--channels is now called --bands"),
        (["--tile", "64"], "unrecognized arguments: --tile 64"),
    ],
)
def test_words_that_cannot_be_read_end_with_status_2(words, message, capsys):
    with pytest.raises(SystemExit) as ended:
        parsed("--input", "x.tif", *words)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_fields_tell_what_options_are():
    options = Options(input=("x.tif",), evaluate=True, metrics="m.json")
    assert paths_read(options) == {"input": ("x.tif",)}
    assert list(files_written(options)) == [("--metrics", Path("m.json"), True)]
    assert "tile_size" in values_for_pixels(options)
    assert not {"metrics", "evaluate"} & set(values_for_pixels(options))


def test_the_help_shows_defaults_and_groups_nothing_twice(capsys):
    with pytest.raises(SystemExit):
        parsed("--help")
    shown = capsys.readouterr().out
    assert "side of a tile, in output pixels (default: 768)" in " ".join(shown.split())
    assert "--channels" not in shown


def test_integers():
    assert integers("3,8") == (3, 8)
    with pytest.raises(ValueError, match="expected integers separated by commas, got 'x'"):
        integers("x")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training(BaseOptions):
    scenes: tuple[tuple[str, ...], ...] = option(MISSING, "scenes", many=True, repeated=True, reads=True)
    tests: tuple[tuple[str, ...], ...] = option((), "scenes", many=True, repeated=True)
    split: tuple[float, ...] = option((0.8, 0.2), "shares", read=float, count=2, metavar=("TRAIN", "VALID"))
    flips: bool = option(True, "flip", negated=True)
    adaptive: bool | None = option(None, "adapt", negated=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Other(Training):
    flips: bool = changed(Training, "flips", False, help="mirror")


def trained(cls, *words):
    found = []
    parser = argparse.ArgumentParser("program", allow_abbrev=False)
    words = ["--scenes", "a", "b", *words]
    assert run_program(parser, cls, lambda options, progress: found.append(options), words) == 0
    return found[0]


def test_options_that_are_repeated_or_have_several_values():
    options = trained(Training, "--scenes", "c", "--split", "1", "0")
    assert options == Training(scenes=[["a", "b"], ["c"]], split=[1.0, 0.0])
    assert options.scenes == (("a", "b"), ("c",)) and options.split == (1.0, 0.0)
    assert trained(Training).tests == () and trained(Training, "--tests", "d", "e").tests == (("d", "e"),)
    with pytest.raises(ValueError, match="^--split: expected 2 values, got 1$"):
        Training(scenes=(("a",),), split=(1.0,))
    with pytest.raises(ValueError, match="^--scenes: expected names, got an empty one$"):
        Training(scenes=(("a", ""),))


def test_flags_that_can_be_negated():
    assert [trained(Training, *words).flips for words in ([], ["--flips"], ["--no-flips"])] == [True, True, False]
    answers = [trained(Training, *words).adaptive for words in ([], ["--adaptive"], ["--no-adaptive"])]
    assert answers == [None, True, False]


def test_a_changed_option_keeps_the_rest(capsys):
    assert not trained(Other).flips and trained(Other, "--flips").flips
    with pytest.raises(SystemExit):
        trained(Other, "--help")
    shown = " ".join(capsys.readouterr().out.split())
    assert "--flips, --no-flips mirror (default: no)" in shown and "shares (default: 0.8 0.2)" in shown


def test_values_that_begin_with_a_minus_are_read():
    found = []
    parser = argparse.ArgumentParser("program", allow_abbrev=False)
    words = ["--input", "x.tif", "--bands", "-4.3,50.8", "--evaluate", "--tile-size", "64"]
    assert run_program(parser, Options, lambda options, progress: found.append(options), words) == 0
    assert found[0].bands == ("-4.3", "50.8") and found[0].evaluate and found[0].tile_size == 64
    with pytest.raises(SystemExit):
        parsed("--input", "x.tif", "--tile-size", "-8")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Odd(BaseOptions):
    """Options of several kinds."""

    mask: str | None = option(None, "a mask", reads=True)
    folder: str | None = option(None, "a folder", check=lambda name: Path(name).exists())
    cover: float = option(10.0, "clouds", metavar="PERCENT")
    output: str | None = option(None, "the product", metavar="TIF", writes=(".tif",))


@pytest.mark.parametrize(
    "values, message",
    [
        ({"mask": ""}, "--mask: expected a value, got an empty one"),
        ({"mask": "  "}, "--mask: expected a value, got an empty one"),
        ({"mask": "a\udcff.tif"}, r"--mask: expected text in UTF-8, got b'a\\xff.tif'"),
        ({"mask": "a\0b"}, "--mask: expected a value without null characters"),
        ({"mask": "/dev/zero"}, "--mask: expected a file or a folder, got /dev/zero, a device or a pipe"),
        ({"mask": f"a/{'é' * 128}"}, "--mask: expected names of at most 255 bytes, got one of 256"),
        ({"output": f"{'a' * 260}.tif"}, "--output: expected names of at most 255 bytes, got one of 264"),
        ({"folder": "a" * 260}, "--folder: expected a name that the system takes .File name too long., got aaa"),
        ({"output": "https://a.org/b.tif"}, "--output: expected a name on this machine, got the address https://a.org"),
        ({"output": ""}, "--output: expected a .tif file, got ''"),
        ({"cover": float("nan")}, "--cover: expected a finite number, got nan"),
        ({"cover": float("inf")}, "--cover: expected a finite number, got inf"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(values, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Odd(**values)


def test_former_spellings_that_are_still_taken_warn(capsys):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Named(BaseOptions):
        names: tuple[str, ...] | None = option(None, "names", read=band_names, also=("--bands",))

    found = []
    for words in (["--bands", "B02,B03"], ["--names", "B02,B03"], []):
        parser = argparse.ArgumentParser("program", allow_abbrev=False)
        assert run_program(parser, Named, lambda options, progress: found.append(options.names), words) == 0
    assert found == [("B02", "B03"), ("B02", "B03"), None]
    assert capsys.readouterr().err == "warning: --bands is now called --names\n"


@pytest.mark.parametrize("how", ["the same", "hard link", "link", "another way"])
def test_a_file_that_is_written_is_none_that_is_read(tmp_path, how):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Some(BaseOptions):
        images: tuple[str, ...] = option((), "images", many=True, reads=True, metavar="PNG")
        figure: str | None = option(None, "figure", writes=(".png",), replaces=True, metavar="PNG")
        other: str | None = option(None, "figure", writes=(".png",), replaces=True, metavar="PNG")

    image, named = tmp_path / "a.png", tmp_path / "b.png"
    image.touch()
    if how == "hard link":
        named.hardlink_to(image)
    elif how == "link":
        named.symlink_to(image)
    else:
        named = image if how == "the same" else tmp_path / ".." / tmp_path.name / "a.png"
    with pytest.raises(ValueError, match="^--figure: expected a file that is not read as input, got "):
        Some(images=[str(image)], figure=str(named))
    with pytest.raises(ValueError, match="^--other: expected another file than that of --figure, got "):
        Some(figure=str(image), other=str(named))
    assert Some(images=[str(image)], figure=str(tmp_path / "c.png")).figure


def test_names_of_written_files_leave_room_for_those_that_go_with_them(tmp_path):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Some(BaseOptions):
        output: str | None = option(None, "product", writes=(".tif",), metavar="TIF")

    assert Some(output=str(tmp_path / f"{'x' * 235}.tif")).output
    with pytest.raises(ValueError, match="^--output: expected a name of at most 239 bytes, to which others are added"):
        Some(output=str(tmp_path / f"{'x' * 236}.tif"))


def test_a_text_is_empty_nowhere():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Some(BaseOptions):
        item: str | None = option(None, "an item")

    for text in ("", "  "):
        with pytest.raises(ValueError, match="^--item: expected a value, got an empty one$"):
            Some(item=text)
