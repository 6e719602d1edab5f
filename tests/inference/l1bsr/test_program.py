# SPDX-License-Identifier: Apache-2.0
"""L1BSR's command line and its functions: options, models, many images, what is told without computing."""

import json
import subprocess
import sys

import numpy as np
import pytest

from chain.runtime.progress import Cancelled
from inference import l1bsr
from inference.l1bsr import model as l1bsr_model
from models.l1bsr import BANDS
from tests.inference.l1bsr.networks import FLOW, counts, failure, infer, plain, read, register, twice
from tests.products import product_files

pytestmark = pytest.mark.keras


def test_a_model_of_another_class_is_refused(tmp_path, image, models, capsys):
    source, output = image(counts(40, 40)), tmp_path / "sr.tif"
    assert infer(source, output, models["moving"]) == 1
    assert "--model-dir: expected one model l1bsr REC, got" in failure(capsys)
    assert register(source, output, models["REC"]) == 1
    assert "--model-dir: expected one model l1bsr CSR, got" in failure(capsys)
    assert infer(source, output, str(l1bsr_model.PROJECT_WEIGHTS.parent / "dsen2")) == 1
    assert "of dsen2 FAST, dsen2 FAST" in failure(capsys)
    assert infer(source, output, str(tmp_path)) == 1
    assert "--model-dir: expected a folder with model.json" in failure(capsys)
    assert not output.exists()


def test_weights_of_the_project_are_the_default(tmp_path, image, models, monkeypatch, capsys):
    source = image(counts(20, 20))
    monkeypatch.setattr(l1bsr_model, "PROJECT_WEIGHTS", tmp_path / "weights")
    arguments = ["--input", source, "--output", str(tmp_path / "sr.tif")]
    assert l1bsr.main(arguments) == 1
    assert "weights.convert_l1bsr" in failure(capsys)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "REC").symlink_to(models["nearest"])
    assert l1bsr.main(arguments) == 0
    np.testing.assert_array_equal(read(tmp_path / "sr.tif")[0], twice(counts(20, 20)))


@pytest.mark.parametrize(
    "more, message",
    [
        (["--output", "sr.png"], "--output: expected a .tif file, got 'sr.png'"),
        (["--flow", "f.tif"], "--flow requires --task registration"),
        (["--metrics", "m.json"], "--metrics requires --task registration"),
        (["--task", "registration", "--csr", "d"], "--csr requires --task superresolution"),
        (["--count-scale", "0"], "--count-scale: expected more than 0, got 0.0"),
        (["--band-names", "B02,B02"], "--band-names: expected each only once, got B02,B02"),
        (["--scale", "2"], "--scale is now called --count-scale"),
        (["--offset", "-1000"], "--offset is now called --count-offset"),
        (["--output-dir", "d"], "--output and --output-dir are mutually exclusive"),
        (["--json"], "--json requires --info"),
        (["--memory", "much"], "--memory: expected a size such as 3GB"),
    ],
)
def test_wrong_usage(tmp_path, capsys, more, message):
    with pytest.raises(SystemExit, match="2"):
        l1bsr.main(["--input", "a.tif", "--output", str(tmp_path / "sr.tif"), *more])
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_what_exists_is_kept_unless_it_is_to_be_replaced(tmp_path, image, models, capsys):
    source = image(counts(80, 80))
    for option, name in (("--output", "r.tif"), ("--flow", "flow.tif"), ("--quicklook", "r.png")):
        (tmp_path / name).write_text("older")
        files = {"--output": "r.tif", "--flow": "flow.tif", "--quicklook": "r.png", "--metrics": "m.json"}
        names = [word for key, value in files.items() for word in (key, str(tmp_path / value))]
        arguments = ["--task", "registration", "--input", source, "--model-dir", models["moving"], *names]
        with pytest.raises(SystemExit, match="2"):
            l1bsr.main(arguments)
        assert f"{option}: {tmp_path / name} exists; --overwrite replaces it" in capsys.readouterr().err
        assert (tmp_path / name).read_text() == "older"
        if option == "--quicklook":
            assert l1bsr.main([*arguments, "--overwrite"]) == 0
        (tmp_path / name).unlink()
    assert (tmp_path / "m.json").exists()
    capsys.readouterr()
    assert infer(source, source, models["nearest"], "--overwrite") == 1
    assert "--output: expected a file that is not read as input" in failure(capsys)


def test_help_loads_nothing_heavy():
    code = "import sys, inference.l1bsr; print({'tensorflow', 'osgeo'} & set(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "set()"


def test_functions_make_what_the_program_does(tmp_path, image, models):
    source, told = image(counts(82, 80)), []
    options = l1bsr.Options(model_dir=models["nearest"])
    product = l1bsr.super_resolve(source, tmp_path / "sr.tif", options, progress=lambda *done: told.append(done))
    assert (product.path, product.bands, product.nodata) == (tmp_path / "sr.tif", BANDS, 0)
    assert (product.grid.rows, product.grid.columns, product.grid.dx, product.scores) == (164, 160, 5.0, None)
    np.testing.assert_array_equal(read(product.path)[0], twice(counts(82, 80)))
    assert json.loads(product.record.read_text())["arguments"]["count_offset"] == 0
    assert told[-1] == (1.0, "sr.tif")
    flow = tmp_path / "flow.tif"
    options = l1bsr.Options(model_dir=models["moving"], flow=str(flow))
    registered = l1bsr.register([source], tmp_path / "r.tif", options)
    assert registered.grid.dx == 10.0 and flow.exists()
    assert (registered.scores["B04"]["dx"], registered.scores["B04"]["dy"]) == pytest.approx(FLOW, rel=1e-5)


def test_functions_say_nothing_themselves(tmp_path, image, models, capsys):
    """What OTB logs, which programs keep quiet, is another matter."""
    l1bsr.super_resolve(image(counts(20, 20)), tmp_path / "sr.tif", l1bsr.Options(model_dir=models["nearest"]))
    printed = capsys.readouterr()
    assert "sr.tif" not in printed.out and printed.err == ""


@pytest.mark.parametrize(
    "call, options, message",
    [
        (l1bsr.super_resolve, {"flow": "flow.tif"}, "--flow requires --task registration"),
        (l1bsr.super_resolve, {"metrics": "m.json"}, "--metrics requires --task registration"),
        (l1bsr.register, {"csr": "folder"}, "--csr requires --task superresolution"),
    ],
)
def test_functions_refuse_options_of_the_other_task(tmp_path, image, call, options, message):
    with pytest.raises(ValueError, match=message):
        call(image(counts(80, 80)), tmp_path / "product.tif", l1bsr.Options(**options))


def test_cancelled_work_goes_on(tmp_path, image, models, monkeypatch):
    monkeypatch.setattr("inference.l1bsr.registration.TILE", 64)  # several regions, so that not all is done at once
    source, output, options = image(counts(80, 80)), tmp_path / "r.tif", l1bsr.Options(model_dir=models["moving"])
    flow = tmp_path / ".r.flow.tif"
    with pytest.raises(Cancelled):
        l1bsr.register(source, output, options, cancelled=flow.exists)
    assert not output.exists() and flow.exists()
    assert l1bsr.register(source, output, options).path.exists()
    assert {file.name for file in tmp_path.iterdir()} == {"l1b.tif"} | product_files("r")


def test_each_image_of_a_folder_becomes_a_product(tmp_path, models, capsys):
    folder, products = tmp_path / "images", tmp_path / "products"
    folder.mkdir()
    plain(folder / "00.tif", counts(20, 22))
    plain(folder / "01.tif", counts(3, 22))
    for index, band in enumerate(BANDS):
        plain(folder / f"scene_{band}.tif", counts(24, 18)[..., index : index + 1])
    command = ["--input", str(folder), "--output-dir", str(products), "--model-dir", models["nearest"]]
    assert l1bsr.main(command) == 1
    out, err = capsys.readouterr()
    assert "1 of 3 scenes failed: 01" in err and "expected at least 16 x 16 pixels" in err
    assert {file.name for file in products.glob("*.tif")} == {"00_SR.tif", "scene_SR.tif"}
    np.testing.assert_array_equal(read(products / "00_SR.tif")[0], twice(counts(20, 22)))
    np.testing.assert_array_equal(read(products / "scene_SR.tif")[0], twice(counts(24, 18)))
    (folder / "01.tif").unlink()
    made = {name: (products / name).stat().st_mtime_ns for name in ("00_SR.tif", "scene_SR.tif")}
    assert l1bsr.main(command) == 0
    assert capsys.readouterr().out.count("done before") == 2
    assert made == {name: (products / name).stat().st_mtime_ns for name in made}
    changed = [*command[:-1], models["REC"]]
    assert l1bsr.main(changed) == 1
    assert "00_SR.tif exists, made of other models; --overwrite replaces it" in capsys.readouterr().err
    assert l1bsr.main([*changed, "--overwrite"]) == 0


def test_images_of_a_folder_are_registered(tmp_path, image, models):
    source, folder = image(counts(80, 83)), tmp_path / "products"
    outcomes = l1bsr.register_scenes([source], folder, l1bsr.Options(model_dir=models["moving"]))
    assert list(outcomes) == ["l1b"] and outcomes["l1b"].path == folder / "l1b_registered.tif"


def test_info_tells_what_an_image_is_taken_for(tmp_path, image, models, capsys):
    pixels = counts(84, 90)
    source, output = image(pixels, nodata=0), tmp_path / "sr.tif"
    command = ["--input", source, "--output", str(output), "--model-dir", models["for registered"]]
    command += ["--csr", models["moving"], "--info"]
    assert l1bsr.main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    green = told["input"]["bands"][1]
    assert (green["band"], green["file"], green["number"], green["dtype"]) == ("B03", source, 2, "uint16")
    assert (green["known by"], green["nodata"]) == ("its description", 0)
    assert green["counts"] == [pixels[..., 1].min(), pixels[..., 1].max()]
    assert told["input"]["grid"]["crs"] == "EPSG:32631" and told["input"]["level"] == "L1B"
    assert told["product"]["path"] == str(output) and told["product"]["grid"]["left"] == 300002.5
    assert [network["model"] for network in told["product"]["networks"]] == ["REC", "CSR"]
    assert l1bsr.main(command) == 0
    assert "  grid:\n    spacing: 5.0" in capsys.readouterr().out
    assert {file.name for file in tmp_path.iterdir()} == {"l1b.tif"}
    assert told == json.loads(json.dumps(described(source, models, output)))


def described(source, models, output):
    """Return what the library tells of an image, with the product's name."""
    told = l1bsr.describe(source, l1bsr.Options(model_dir=models["for registered"], csr=models["moving"]))
    return {**told, "product": {**told["product"], "path": str(output)}}


def test_info_of_an_image_without_place_or_output(tmp_path, models, capsys):
    source = plain(tmp_path / "00.tif", counts(20, 18))
    assert l1bsr.main(["--input", source, "--model-dir", models["nearest"], "--info", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["product"]["grid"] == {"columns": 36, "rows": 40} and told["product"]["path"] is None
    assert told["input"]["footprint"] is None and told["input"]["bands"][3]["known by"] == "the usual order"


def test_items_of_stac_are_refused(tmp_path):
    with pytest.raises(ValueError, match="--input: expected rasters, got the STAC item S2A"):
        l1bsr.super_resolve([{"id": "S2A", "assets": {}}], tmp_path / "sr.tif")
    with pytest.raises(ValueError, match="--input: expected rasters, got the STAC item S2A"):
        l1bsr.describe({"id": "S2A", "assets": {}})
