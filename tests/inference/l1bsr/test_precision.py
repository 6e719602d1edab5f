# SPDX-License-Identifier: Apache-2.0
"""`--precision` and `--engine` of L1BSR: near float32, whole or piece by piece, and refused where there is none."""

import importlib.util
import json

import numpy as np
import pytest

from inference.l1bsr import Options, register, super_resolve
from inference.l1bsr.rec_by_strips import RecByStrips
from models.base import policy
from models.l1bsr import REC
from tests.inference.l1bsr.networks import counts, drawn, infer, read, varied

pytestmark = pytest.mark.keras


def record(output):
    return json.loads(output.with_name(f"{output.name}.json").read_text())


def difference(one, other):
    """Return the root mean square of the differences."""
    return np.sqrt(np.mean(np.square(one - other)))


def test_strips_compute_in_the_precision_of_the_network():
    image = varied(40, 23)
    models = []
    for name in ("float32", "mixed_bfloat16"):
        with policy(name):
            models.append(drawn(REC.from_bands(num_groups=1, num_blocks=2, depth=6, reduction=2), 1.5))
    exact, rounded = (np.concatenate(list(RecByStrips(model, np.empty, 11).super_resolve(image))) for model in models)
    whole = models[1].training_model()({"x10": image[np.newaxis].astype(np.float32)}).numpy()[0]
    assert difference(whole, exact) > 0.05
    assert difference(rounded, whole) < 0.5 * difference(whole, exact)


@pytest.mark.slow
def test_bfloat16_is_near_float32_whole_or_piece_by_piece(tmp_path, image, models):
    source, found = image(varied(45, 41)), {}
    for name, *words in (("float32",), ("whole", "--precision", "bfloat16"),
                         ("strips", "--precision", "bfloat16", "--mode", "strips")):  # fmt: skip
        output = tmp_path / f"{name}.tif"
        assert infer(source, output, models["REC"], *words) == 0
        found[name] = read(output)[0].astype(int)
        assert record(output)["models"][0]["precision"] == ("bfloat16" if words else "float32")
    spread = found["float32"].std()
    for name in ("whole", "strips"):  # CPUs with and without bfloat16 round at different places
        assert 0 < difference(found[name], found["float32"]) < 0.04 * spread


@pytest.mark.slow
def test_engines_do_not_matter(tmp_path, image, models):
    source = image(varied(45, 41))
    assert infer(source, tmp_path / "a.tif", models["REC"]) == 0
    assert infer(source, tmp_path / "b.tif", models["REC"], "--engine", "tensorflow") == 0
    assert np.abs(read(tmp_path / "a.tif")[0].astype(int) - read(tmp_path / "b.tif")[0]).max() <= 1
    assert record(tmp_path / "b.tif")["models"][0]["engine"] == "tensorflow"


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed")
@pytest.mark.slow
def test_auto_takes_what_is_near_enough_and_goes_on_with_it(tmp_path, image, models, capsys):
    source = image(varied(170, 90))
    assert infer(source, tmp_path / "exact.tif", models["REC"]) == 0
    assert infer(source, tmp_path / "sr.tif", models["REC"], "--precision", "auto", "--max-error", 1e-3) == 0
    told = capsys.readouterr().err
    assert "bfloat16 on tensorflow: " in told and "int8" not in told
    assert record(tmp_path / "sr.tif")["precision"]["networks"][0]["precision"] == "float32"
    assert np.abs(read(tmp_path / "sr.tif")[0].astype(int) - read(tmp_path / "exact.tif")[0]).max() <= 1


@pytest.mark.parametrize(
    "words, message",
    [
        ({"mode": "strips"}, "--engine: expected otbtf or tensorflow with --mode strips, got openvino"),
        ({"memory": "400MB"}, "--memory: expected about 0.9 GB, as OpenVINO takes the whole image at once, got 0.4"),
    ],
)
def test_openvino_wants_the_whole_image(tmp_path, image, models, words, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        super_resolve(
            image(counts(30, 30)), tmp_path / "sr.tif", Options(model_dir=models["REC"], engine="openvino", **words)
        )
    assert not (tmp_path / "sr.tif").exists()


def test_registration_is_of_float32(tmp_path, image, models):
    with pytest.raises(ValueError, match="^--precision requires --task superresolution"):
        register(image(counts(90, 90)), tmp_path / "r.tif", Options(model_dir=models["moving"], precision="bfloat16"))
