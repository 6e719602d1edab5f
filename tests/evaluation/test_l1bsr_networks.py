# SPDX-License-Identifier: Apache-2.0
"""The program that scores L1BSR's networks on simulated pairs."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from datasets.l1bsr.folders import read_pairs
from datasets.l1bsr.pairs import Pairs
from evaluation.l1bsr import band_flows, read_example, register, registration, score_rec
from evaluation.l1bsr_networks import Options, main, score_networks
from models.description import write_description
from models.l1bsr import CSR, REC
from models.weights_file import save_weights
from simulate.detector_pairs import write_pairs

pytestmark = pytest.mark.keras


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """Folders of two pairs, of a network that registers, and of one that super-resolves."""
    folder = tmp_path_factory.mktemp("l1bsr")
    write_pairs(folder / "pairs", 2, rows=48, columns=40)
    rec = REC.from_bands(num_groups=1, num_blocks=1, depth=4, reduction=2)
    for name, model in (("csr", CSR.from_bands(depth=1)), ("rec", rec)):
        (folder / name).mkdir()
        save_weights(model.model, folder / name / "weights.h5")
        write_description(folder / name, model.description())
    return {name: str(folder / name) for name in ("pairs", "csr", "rec")}


@pytest.mark.slow
def test_scores_are_printed_written_and_returned(material, tmp_path, capsys):
    words = [word for name in ("pairs", "csr", "rec") for word in (f"--{name}", material[name])]
    files = ["--scores", str(tmp_path / "s.json"), "--figure", str(tmp_path / "f.png"), "--valid-share", "0.5"]
    assert main([*words, *files]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "s.json").read_text())
    assert printed.keys() == {"csr", "rec"} and (tmp_path / "f.png").stat().st_size > 1000
    told = []
    options = Options(rec=material["rec"], valid_share=0.5)
    made = score_networks(
        material["pairs"], material["csr"], options, progress=lambda fraction, text: told.append(fraction)
    )
    for kind, value in made["rec"]["truth"].items():
        assert value["mean"] == pytest.approx(printed["rec"]["truth"][kind]["mean"], rel=1e-3)
    assert made.keys() == printed.keys() and told == sorted(told) and told[-1] == 1
    assert capsys.readouterr().out == ""


class Oracle:
    """A network that makes the sharp truth of each detector in turn, by a count too bright."""

    arguments = {"registered": False, "sharp": True}

    def __init__(self, pairs):
        truths = [truth[f"sharp_{side}"] for truth in pairs.truth for side in ("left", "right")]
        self._truths = iter(truths)

    def training_model(self):
        return lambda inputs, training: tf.constant(next(self._truths)[np.newaxis] + 1)


class Still:
    """A network that finds no displacement."""

    def pair_model(self):
        return lambda pair, training: tf.zeros((*pair.shape[:3], 2))


def test_sharp_images_are_blurred_to_be_compared_with_others(tmp_path):
    """Of pairs whose green images are the sharp ones, of an MTF of 0.25 at 5 m, are seen through 0.6 of it at 10 m."""
    write_pairs(tmp_path, 1, rows=48, columns=40, mtf_range=(0.6 * 0.25**0.25, 0.6 * 0.25**0.25))
    pairs, csr = read_pairs(tmp_path), Still()
    scores = score_rec(Oracle(pairs), csr, pairs)
    assert scores["sharp_truth"]["rec"]["mean"] == pytest.approx(20 * np.log10(4095), abs=0.01)
    assert scores["truth"]["rec"]["B03"] > scores["truth"]["bicubic"]["B03"] + 3
    assert scores["sharp_truth"]["bicubic"]["B03"] < scores["truth"]["bicubic"]["B03"] - 3
    sharp = Oracle(pairs)
    sharp.arguments = {"registered": False, "sharp": False}
    unblurred = score_rec(sharp, csr, pairs)
    assert unblurred["truth"]["rec"]["B03"] < scores["truth"]["rec"]["B03"] - 3
    assert unblurred["sharp_truth"]["bicubic"] == scores["sharp_truth"]["bicubic"]


def with_hole(pairs, number):
    """Return the pairs with a number in a part of the left image."""
    left, right = pairs.pairs[0].images
    left = left.copy()
    left[:12, :12] = number
    return Pairs([replace(pairs.pairs[0], images=(left, right))])


@pytest.mark.slow
def test_missing_pixels_are_not_scored(tmp_path):
    """A 1 is no missing pixel."""
    write_pairs(tmp_path, 1, rows=56, columns=52)
    pairs = read_pairs(tmp_path)
    whole, missing, dark = (
        score_rec(Oracle(pairs), Still(), each)["other_detector"]["bicubic"]["mean"]
        for each in (pairs, with_hole(pairs, 0), with_hole(pairs, 1))
    )
    assert abs(missing - whole) < 1 and dark < whole - 2


def test_missing_pixels_stay_missing_and_are_none_that_a_training_takes(tmp_path):
    write_pairs(tmp_path, 1, rows=56, columns=52)
    pairs = read_pairs(tmp_path)
    image = with_hole(pairs, 0).left[0]
    registered = register(image, band_flows(Still().pair_model(), image))
    assert not registered[:28, :28].any() and registered[28:].all() and registered[:, 28:].all()
    flows = band_flows(Still().pair_model(), image)
    found, wanted = (registration(each, flows)["B08"]["correlation_before"] for each in (image, pairs.left[0]))
    assert found == pytest.approx(wanted, abs=0.1)


@pytest.mark.parametrize(
    "spoil, message", [("hole", "without missing pixels, got 9 of them in"), ("scale", "10 000 x")]
)
def test_examples_are_whole_images_of_counts(write_raster, spoil, message):
    pixels = np.random.default_rng(0).integers(200, 900, (30, 30, 4)).astype(np.uint16)
    if spoil == "hole":
        pixels[:3, :3] = 0
    else:
        pixels *= 12
    with pytest.raises(ValueError, match=f"^examples: .*{message}"):
        read_example(write_raster("example.tif", pixels))


@pytest.mark.parametrize(
    "words, message",
    [
        (["--scores", "s.txt"], "--scores: expected a .json file, got 's.txt'"),
        (["--valid-share", "1"], "--valid-share: expected a number between 0 and 1, got 1.0"),
    ],
)
def test_usage_errors(capsys, words, message):
    with pytest.raises(SystemExit) as ended:
        main(["--pairs", "a", "--csr", "b", *words])
    assert ended.value.code == 2 and message in capsys.readouterr().err


def test_models_that_are_exchanged_are_refused(material, capsys):
    assert main(["--pairs", material["pairs"], "--csr", material["rec"]]) == 1
    assert "--csr: expected the folder of an l1bsr CSR, got " in capsys.readouterr().err
