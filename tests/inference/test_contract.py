# SPDX-License-Identifier: Apache-2.0
"""What every program in `inference/` has to be: these tests find them, whatever they are.

Each is run, as a library, with small models of its system, on an image of odd size with missing pixels: the product
covers the whole image, lies exactly on its ground, and misses what the image misses; a run that was stopped goes on to
the same pixels; a product that exists is kept.
"""

import importlib
import inspect
import json
import math
import pkgutil

import numpy as np
import pytest
from osgeo import gdal

import inference
from chain.runtime.options import BaseOptions, kinds
from chain.runtime.progress import Cancelled
from chain.sentinel2.bands import BANDS
from inference.report import report
from models import base
from models.description import read_description
from tests.examples import slow
from tests.models.cases import CASES, small_model
from tests.pages import checked
from tests.products import product_files

pytestmark = pytest.mark.keras

LEFT, TOP = 300000.0, 5000040.0
PROGRAMS = [importlib.import_module(f"inference.{module.name}") for module in pkgutil.iter_modules(inference.__path__)]
SYSTEMS = sorted(program.__name__.rsplit(".", 1)[1] for program in PROGRAMS if hasattr(program, "super_resolve"))
NAME = "S2A_MSIL2A_20200101T000000_N0213_R000_T31UDQ_20200101T000000"
FINE, COARSE = (37, 25), (7, 9)
"""Rows and columns of an image whose bands all have one spacing, and of the coarsest bands of another."""


def everyday(*systems):
    """Leave the programs of other systems to `make test-all`."""
    return [each if each in systems else slow(each) for each in SYSTEMS]


@pytest.fixture(scope="module", params=SYSTEMS)
def program(request):
    return importlib.import_module(f"inference.{request.param}")


@pytest.fixture(scope="module")
def exported(program, tmp_path_factory):
    """The folders of small models of a program's system: one for each set of bands, or that of the largest scale."""
    system, found = program.__name__.rsplit(".", 1)[1], {}
    for model in (small_model(case) for case in CASES if case[0].system == system):
        found.setdefault((tuple(model.bands), model.scale), model)
    models = list(found.values())
    if not kinds(program.Options)["model_dir"].many:
        models = [max(models, key=lambda model: model.scale)]
    folders = [tmp_path_factory.mktemp("models") / "model" for _ in models]
    for model, folder in zip(models, folders):
        base.export(model, folder)
    return folders


@pytest.fixture
def options(program, exported):
    """Return a function that makes the program's options."""

    def make(**more):
        folders = tuple(map(str, exported))
        level = {"level": "L2A"} if "level" in kinds(program.Options) else {}
        many = kinds(program.Options)["model_dir"].many
        return program.Options(model_dir=folders if many else folders[0], **level, **more)

    return make


def groups_of(exported):
    """Return the bands that models see, by their spacing in images of Sentinel-2; frames of dates for other bands."""
    bands = {band for folder in exported for source in read_description(folder).sources for band in source.bands}
    if not bands <= set(BANDS):
        return {}
    found = {}
    for band in (band for band in BANDS if band in bands):
        found.setdefault(BANDS[band], []).append(band)
    return found


@pytest.fixture
def image(exported, write_raster):
    """The files of an image, whether its finest pixels are missing, and their spacing."""
    groups, rng = groups_of(exported), np.random.default_rng(0)
    coarsest = max(groups, default=10.0)
    rows, columns = FINE if len(groups) < 2 else (round(side * coarsest / min(groups)) for side in COARSE)
    missing = np.zeros((rows, columns), bool)
    step = round(coarsest / min(groups, default=10.0))
    missing[: 2 * step, -3 * step :] = True
    files = []
    for gsd, bands in groups.items():
        ratio = round(gsd / min(groups))
        pixels = rng.integers(900, 5000, (rows // ratio, columns // ratio, len(bands))).astype(np.uint16)
        pixels[missing[::ratio, ::ratio]] = 0
        files.append(str(write_raster(f"{NAME}_{gsd:g}m.tif", pixels, gsd=gsd, bands=bands)))
    ground = rng.integers(1000, 5000, (rows, columns))
    for number in range(0 if groups else 9):
        pixels = (ground + rng.integers(0, 9, ground.shape)).astype(np.uint16)
        pixels[missing] = 0
        files.append(str(write_raster(f"date{number}.tif", pixels, gsd=10.0)))
    return files, missing, min(groups, default=10.0)


def make(program, image, output, options, **more):
    return program.super_resolve(image[0], output, options, **more)


def unmasked(program):
    """Return the option that takes images without masks, where a program asks for masks."""
    return {"unmasked": True} if "unmasked" in kinds(program.Options) else {}


def pixels_of(path):
    pixels = gdal.Open(str(path)).ReadAsArray()
    return pixels if pixels.ndim == 3 else pixels[np.newaxis]


def test_it_is_a_library_and_a_command(program):
    assert issubclass(program.Options, BaseOptions) and issubclass(program.Command, program.Options)
    parameters = inspect.signature(program.super_resolve).parameters
    assert list(parameters)[:3] == ["input", "output", "options"]
    assert {"progress", "cancelled"} <= {
        name for name, each in parameters.items() if each.kind is each.KEYWORD_ONLY and each.default is None
    }
    assert {"info", "json", "output", "output_dir"} <= set(kinds(program.Command))
    assert {"threads", "overwrite", "quicklook"} <= set(kinds(program.Options)) | {"quicklook"}
    with pytest.raises(SystemExit) as ended:
        program.main(["--help"])
    assert ended.value.code == 0


def test_its_product_lies_on_the_whole_ground_and_misses_what_is_missing(program, image, exported, options, tmp_path):
    files, missing, spacing = image
    seen = []
    product = make(
        program,
        image,
        tmp_path / "sr.tif",
        options(**unmasked(program)),
        progress=lambda fraction, text: seen.append(fraction),
    )
    main = max((read_description(folder) for folder in exported), key=lambda each: each.scale)
    grid = product.grid
    scale = spacing / main.gsd if groups_of(exported) else round(spacing / grid.dx)
    step = spacing / scale
    assert scale > 1 or len(groups_of(exported)) > 1
    dataset = gdal.Open(str(product.path))
    assert dataset.GetGeoTransform() == grid.geotransform
    assert (dataset.RasterXSize, dataset.RasterYSize) == (grid.columns, grid.rows)
    shift = main.shift * step
    assert grid.geotransform == pytest.approx((LEFT + shift, step, 0, TOP - shift, 0, -step), abs=1e-6)
    rows, columns = missing.shape
    assert grid.columns == math.ceil(columns * scale - 1e-6) and grid.rows == math.ceil(rows * scale - 1e-6)
    under = [
        np.clip(np.floor((main.shift + np.arange(count) + 0.5) / scale - 1e-9).astype(int), 0, size - 1)
        for count, size in ((grid.rows, rows), (grid.columns, columns))
    ]
    expected = missing[np.ix_(*under)]
    found = np.stack([pixels == product.nodata for pixels in pixels_of(product.path)])
    assert (found == expected).all()
    assert seen[-1] == 1 and seen == sorted(seen)
    record = json.loads(product.record.read_text())
    assert record["arguments"]["model_dir"] and record["versions"]
    assert set(record["input"]["names"]) == set(map(str, files))


@pytest.mark.parametrize("program", everyday("deepsum", "l1bsr"), indirect=True)
def test_its_report_shows_product_and_input(program, image, options, tmp_path):
    page = tmp_path / "sr.html"
    product = make(program, image, tmp_path / "sr.tif", options(**unmasked(program), report=str(page)))
    for text in (checked(page), checked(report(product.path, tmp_path / "again.html"))):
        assert "Band by band" in text and "Before and after" in text
        assert set(text.split()) >= set(product.bands)
        assert "files have changed" not in text


@pytest.mark.parametrize("program", everyday("deepsum", "dsen2", "l1bsr"), indirect=True)
def test_a_run_that_was_stopped_goes_on_to_the_same_pixels(program, image, options, tmp_path):
    small = {"tile_size": 16} if "tile_size" in kinds(program.Options) else {}
    given, calls = options(**unmasked(program), **small), []
    whole = make(program, image, tmp_path / "whole.tif", given, cancelled=lambda: calls.append(1))

    def cancelled():
        calls.pop()
        return len(calls) < 1

    del calls[: len(calls) // 2]
    with pytest.raises(Cancelled):
        make(program, image, tmp_path / "sr.tif", given, cancelled=cancelled)
    assert not (tmp_path / "sr.tif").exists()
    product = make(program, image, tmp_path / "sr.tif", given)
    np.testing.assert_array_equal(pixels_of(product.path), pixels_of(whole.path))
    left = {path.name for path in tmp_path.iterdir()} - {name.rsplit("/", 1)[1] for name in image[0]}
    assert left <= product_files("sr", item=True) | product_files("whole", item=True)
    assert {"sr.tif", "sr.tif.json", "sr.qml", "whole.tif", "whole.tif.json", "whole.qml"} <= left


def test_a_product_that_exists_is_kept_unless_it_is_to_be_replaced(program, image, options, tmp_path):
    output = tmp_path / "sr.tif"
    output.write_bytes(b"older")
    with pytest.raises(FileExistsError, match=r"^--output: .*sr\.tif exists; --overwrite replaces it$"):
        make(program, image, output, options(**unmasked(program)))
    assert output.read_bytes() == b"older"
    assert make(program, image, output, options(**unmasked(program), overwrite=True)).path == output
    assert pixels_of(output).any()
