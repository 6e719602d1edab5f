# SPDX-License-Identifier: Apache-2.0
"""Folders of published models: what OTBTF's application makes of them, checksums, STAC items, cards."""

import json
import os
import re
import subprocess
import venv

import numpy as np
import pystac
import pytest
from osgeo import gdal
from pystac.extensions.mlm import MLMExtension

from chain.serving.network import fields
from models.description import read_description
from tests.conftest import REPOSITORY
from tests.models.cases import CASES, export_small
from weights.publish import Options, info, main, name_of, publish

WEIGHTS = sorted(path.parent for path in (REPOSITORY / "weights").rglob("model.json"))


def case_name(case):
    return " ".join(map(str, (case[0].system, case[0].class_name, *case[1].values())))


def run_script(folder, *words):
    """Run a published script by the native application."""
    path = f"{REPOSITORY / 'native' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    words = ["sh", folder / "otbcli.sh", *words]
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, env={**os.environ, "PATH": path})


def images_of(description, write_raster):
    """Write an image for each source, finest first, of one ground, and return the files and the pixels by name."""
    field = fields(description)
    side = 5 * field.expression + 2 * description.crop + field.surplus
    side += -side % np.lcm.reduce(field.ratios)
    rng, files, arrays = np.random.default_rng(0), {}, {}
    for source, ratio in zip(description.sources, field.ratios):
        shape = (side // ratio, side // ratio + 2 * max(field.ratios) // ratio, len(source.bands))
        arrays[source.name] = rng.integers(500, 4000, shape).astype(np.uint16)
        files[source.name] = write_raster(f"{source.name}.tif", arrays[source.name], gsd=source.gsd)
    ordered = sorted(description.sources, key=lambda source: source.gsd)
    return [files[source.name] for source in ordered], arrays


@pytest.mark.slow
@pytest.mark.keras
@pytest.mark.parametrize("case", CASES, ids=case_name)
def test_the_script_gives_the_pixels_of_the_network(case, tmp_path, write_raster):
    """TensorFlow, called directly on the whole image, is the reference."""
    import tensorflow as tf

    export_small(case, tmp_path / "model")
    description = read_description(tmp_path / "model")
    folder = publish(tmp_path / "model", tmp_path / "published")
    names, arrays = images_of(description, write_raster)
    done = run_script(folder, tmp_path / "sr.tif", *names)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    made = gdal.Open(str(tmp_path / "sr.tif")).ReadAsArray()
    made = made.reshape(len(description.bands), *made.shape[-2:])
    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    tensors = {name: tf.constant(array[None], tf.float32) for name, array in arrays.items()}
    expected = serve(**tensors)[description.outputs["integer"]][0].numpy().transpose(2, 0, 1)
    rows, columns = made.shape[1:]
    assert rows >= expected.shape[1] // 2 and columns >= expected.shape[2] // 2
    np.testing.assert_allclose(made, expected[:, :rows, :columns], atol=1)
    assert (made == expected[:, :rows, :columns]).mean() > 0.99


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A published model of the project, with scores beside those of its training."""
    folder = tmp_path_factory.mktemp("published") / "deepsum"
    return publish(REPOSITORY / "weights" / "deepsum" / "NIR", folder, Options(license="Apache-2.0"))


@pytest.mark.keras
def test_sha256sum_agrees(published):
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=published, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    listed = {line.split("  ")[1] for line in (published / "SHA256SUMS").read_text().splitlines()}
    there = {path.relative_to(published).as_posix() for path in published.rglob("*") if path.is_file()}
    assert listed == there - {"SHA256SUMS"} and "variables/variables.index" in listed


@pytest.mark.keras
def test_the_item_is_valid(published):
    """Core by pystac's own schemas; of the extension, all that it requires can be read."""
    item = pystac.Item.from_file(str(published / "item.json"))
    item.validate(validator=CoreValidator())
    model, description = MLMExtension.ext(item), read_description(published)
    assert [each.name for each in model.input] == [source.name for source in description.sources]
    assert [[band.name for band in each.bands] for each in model.input] == [list(s.bands) for s in description.sources]
    assert model.output[0].name == description.outputs["integer"] and model.total_parameters > 10_000
    assert item.assets["model"].roles == ["mlm:model"]
    assert all((published / asset.href).is_file() for asset in item.assets.values())


class CoreValidator(pystac.validation.JsonSchemaSTACValidator):
    """Leaves out the schemas of extensions, which lie on the web."""

    def validate_extension(self, *_, **__):
        return None


@pytest.mark.slow
@pytest.mark.keras
def test_the_item_is_valid_for_the_authors_of_the_extension(published, tmp_path):
    """`stac-model` is their package."""
    venv.create(tmp_path, with_pip=True)
    python = tmp_path / "bin" / "python"
    done = subprocess.run([python, "-m", "pip", "install", "-q", "stac-model==0.7.0"], capture_output=True, text=True)
    if done.returncode and re.search("connection|resolve", done.stderr, re.IGNORECASE):
        pytest.skip("there is no package registry to be reached")
    assert done.returncode == 0, done.stderr[-2000:]
    code = "import json, sys; from stac_model.schema import MLModelProperties as P; i = json.load(open(sys.argv[1]))\n"
    code += "print(P(**{k: v for k, v in i['properties'].items() if k.startswith('mlm:')}).name)"
    done = subprocess.run([python, "-c", code, published / "item.json"], capture_output=True, text=True)
    assert done.stdout == "deepsum-p\n", done.stderr[-3000:]


@pytest.mark.keras
def test_the_card_tells_training_and_scores(published):
    card = (published / "README.md").read_text()
    scores = json.loads((published / "scores.json").read_text())
    assert "Apache-2.0" in card and "python -m inference.deepsum --model-dir" in card and "--source1" not in card
    number = scores["scenes"]["imgset0006"]["sr"]["cpsnr"]
    assert f"| scenes imgset0006 sr | {number:.4g} |" in card
    run = json.loads((published / "run.json").read_text())
    assert f"| stage | {run['arguments']['stage']} |" in card and "/" not in _training_of(card)


def _training_of(card):
    return re.search("## Training\n(.*?)\n\n", card, re.DOTALL)[1]


@pytest.mark.parametrize("folder", WEIGHTS, ids=lambda folder: folder.name)
def test_info_tells_the_fields(folder):
    description, told = read_description(folder), info(folder)
    assert name_of(description) in told and f"-output.names {description.outputs['integer']}" in told
    for source in description.sources:
        assert f".placeholder {source.name}" in told and f".placeholder={source.name}" in told
    if description.whole_image:
        assert "-source1.rfieldx COLUMNS" in told and "$" not in told
    else:
        assert f"-source1.rfieldx {max(fields(description).receptive)}" in told


def test_info_is_printed(capsys):
    assert main(["--info", str(WEIGHTS[0])]) == 0
    assert capsys.readouterr().out.strip() == info(WEIGHTS[0])


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "the following arguments are required: MODEL"),
        (["model"], "--output or --info is required"),
        (["model", "--info", "--output", "x"], "--output and --info are mutually exclusive"),
    ],
)
def test_usage(words, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2 and message in capsys.readouterr().err


def test_failures_leave_nothing(tmp_path, capsys):
    assert main([str(tmp_path), "--output", str(tmp_path / "x")]) == 1
    assert "expected a model folder, with model.json" in capsys.readouterr().err and not (tmp_path / "x").exists()
    (tmp_path / "bad.json").write_text("[]")
    words = [str(WEIGHTS[0]), "--output", str(tmp_path / "x"), "--scores", str(tmp_path / "bad.json")]
    assert main(words) == 1
    assert "--scores: expected an object in JSON" in capsys.readouterr().err and not (tmp_path / "x").exists()
