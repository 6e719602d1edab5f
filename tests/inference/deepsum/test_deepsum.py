# SPDX-License-Identifier: Apache-2.0
"""`inference.deepsum` on scenes of the PROBA-V challenge: pixels, resuming, submissions, scores, bad input."""

import json
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from osgeo import gdal

from datasets.deepsum.kelvins import open_scene
from datasets.deepsum.preparation import prepare
from evaluation.cpsnr import cpsnr, cssim
from inference import report
from inference.deepsum import main
from inference.deepsum.challenge import SceneProcessor
from inference.deepsum.png import write_submission
from inference.deepsum.scenes import scene_folders
from inference.deepsum.windows import mean_of_windows, windows
from models.description import sealed_description
from simulate.challenge_norm import baseline_cpsnr
from tests.examples import slow
from tests.inference.deepsum.scenes import SIDE, draw_scene, export_model, run, write_png, write_scene
from tests.pages import checked

pytestmark = pytest.mark.keras

NAMES = ("imgset0001", "imgset0002")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder as that of the challenge, with two scenes to train and one to test."""
    root = tmp_path_factory.mktemp("probav")
    lines = []
    for number, name in enumerate(NAMES):
        lr, qm, hr = draw_scene(seed=number)
        folder = write_scene(root / "train" / "NIR" / name, lr, qm, hr)
        sm = gdal.Open(str(folder / "SM.png")).ReadAsArray() != 0
        lines.append(f"{name} {baseline_cpsnr(lr, qm, hr, sm)}\n")
    write_scene(root / "test" / "NIR" / "imgset0003", *draw_scene(seed=2)[:2])
    (root / "norm.csv").write_text("".join(lines))
    return root


@pytest.fixture
def train(root, tmp_path):
    """A copy of the scenes to train, to be spoilt."""
    return shutil.copytree(root / "train", tmp_path / "train")


def read(path):
    return gdal.Open(str(path)).ReadAsArray()


def infer(model_dir, *words):
    return main([*map(str, words), "--model-dir", str(model_dir)])


@pytest.mark.parametrize("variant", ["P", slow("C")])
def test_images_are_the_networks(root, exported, tmp_path, variant):
    """The mean of two windows; masks are registered for the variant P alone."""
    model, folder = exported
    if variant == "C":
        folder = tmp_path / "model"
        model = export_model(folder, variant)
    scene = root / "test" / "NIR" / "imgset0003"
    assert infer(folder, "--input", scene, "--output", tmp_path / "sr.png") == 0
    nines = windows(prepare(*open_scene(scene).read_images()), 2)
    made = [run(model, nine.images, nine.registered_masks() if variant == "P" else nine.masks) for nine in nines]
    arguments = model.arguments
    wanted, used = mean_of_windows(made, arguments["mean"], arguments["target_deviation"])
    assert used == 2
    found = read(tmp_path / "sr.png")
    assert found.dtype == np.uint16 and found.shape == (3 * SIDE, 3 * SIDE)
    np.testing.assert_allclose(found, wanted, atol=0.6)
    assert found.std() > 100


@pytest.mark.slow
def test_engines_and_files_do_not_matter(root, model_dir, tmp_path):
    scene = root / "test" / "NIR" / "imgset0003"
    assert infer(model_dir, "--input", scene, "--output", tmp_path / "a.png") == 0
    assert infer(model_dir, "--input", scene, "--output", tmp_path / "b.tif", "--engine", "otbtf") == 0
    np.testing.assert_allclose(read(tmp_path / "b.tif"), read(tmp_path / "a.png"), atol=1)
    assert json.loads((tmp_path / "b.tif.json").read_text())["models"][0]["engine"] == "otbtf"


@pytest.mark.slow
def test_the_image_of_a_scene_has_a_page(root, model_dir, tmp_path, capsys):
    scene, output, page = root / "test" / "NIR" / "imgset0003", tmp_path / "sr.png", tmp_path / "page.html"
    assert infer(model_dir, "--input", scene, "--output", output, "--report", page) == 0
    text = checked(page)
    assert "Before and after" in text and "Band by band" in text and "3 × finer than the input" in text
    assert report.main([str(output)]) == 0
    assert "Before and after" in checked(tmp_path / "sr.html")
    assert "files have changed" not in text


def test_trees_are_resumed(root, model_dir, tmp_path, capsys):
    words = ["--input", root, "--split", "train", "--output-dir", tmp_path / "out"]
    assert infer(model_dir, *words) == 0
    files = [tmp_path / "out" / f"{name}.png" for name in NAMES]
    before = [(file.read_bytes(), file.stat().st_mtime_ns) for file in files]
    files[1].unlink()
    assert infer(model_dir, *words) == 0
    assert "2 of 2 scenes, 1 done before" in capsys.readouterr().out
    assert files[0].stat().st_mtime_ns == before[0][1]
    assert files[1].read_bytes() == before[1][0]

    assert infer(model_dir, *words, "--windows", 1) == 1
    assert "expected images made by the same command, got 2 others" in capsys.readouterr().err
    assert [file.read_bytes() for file in files] == [content for content, _ in before]
    assert infer(model_dir, *words, "--windows", 1, "--overwrite") == 0
    assert files[0].read_bytes() != before[0][0]


@pytest.mark.parametrize("where", ["--output", "--output-dir"])
def test_a_scene_that_is_overwritten_meanwhile_fails_by_name(train, model_dir, tmp_path, capsys, monkeypatch, where):
    folder, made = train / "NIR" / NAMES[0], SceneProcessor.make

    def make(way, prepared, progress):
        image = made(way, prepared, progress)
        shutil.copyfile(folder / "LR001.png", folder / "LR000.png")
        return image

    monkeypatch.setattr(SceneProcessor, "make", make)
    output = tmp_path / ("sr.png" if where == "--output" else "images")
    assert infer(model_dir, "--input", folder, where, output) == 1
    assert "LR000.png, which has changed" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*sr.png*")) and not list(tmp_path.rglob("images/imgset*"))


def test_scores_are_those_of_the_images(root, model_dir, tmp_path, capsys):
    words = ["--input", root, "--split", "train", "--band", "NIR", "--output-dir", tmp_path / "out"]
    assert infer(model_dir, *words, "--metrics", tmp_path / "m.json") == 0
    found = json.loads((tmp_path / "m.json").read_text())
    for name in NAMES:
        folder = root / "train" / "NIR" / name
        lr, qm, hr, clear = open_scene(folder).read()
        image = read(tmp_path / "out" / f"{name}.png")
        scores = found["scenes"][name]
        norm = baseline_cpsnr(lr, qm, hr, clear)
        assert scores["sr"]["cpsnr"] == cpsnr(hr, image, clear)
        assert scores["sr"]["cssim"] == cssim(hr, image, clear)
        assert scores["sr"]["score"] == pytest.approx(norm / scores["sr"]["cpsnr"], rel=1e-6)
        assert scores["esa_baseline"]["score"] == pytest.approx(1, rel=1e-6)
        assert scores["clearest"]["cpsnr"] == cpsnr(hr, prepare(lr, qm).images[0], clear)
    for method, metric in (("sr", "cpsnr"), ("mean_of_registered", "cssim"), ("clearest", "score")):
        values = [found["scenes"][name][method][metric] for name in NAMES]
        assert found["mean"][method][metric] == pytest.approx(np.mean(values))
    printed = capsys.readouterr().out
    assert f"{found['scenes'][NAMES[0]]['sr']['cpsnr']:.3f}" in printed and "mean of 2 scenes" in printed

    # once more: images are kept, scores are the same, also without norm.csv but for the challenge's
    assert infer(model_dir, *words, "--metrics", tmp_path / "again.json") == 0
    assert json.loads((tmp_path / "again.json").read_text()) == found
    tree = shutil.copytree(root / "train" / "NIR", tmp_path / "alone" / "a" / "b" / "c" / "NIR")
    assert infer(model_dir, "--input", tree, "--metrics", tmp_path / "bare.json") == 0
    assert json.loads((tmp_path / "bare.json").read_text())["mean"]["sr"].keys() == {"cpsnr", "cssim"}


def test_scenes_for_validation_are_the_authors(tmp_path, shared_data):
    """Each band is split by itself."""
    with np.load(shared_data("deepsum_vectors") / "v5_data_pipeline.npz") as arrays:
        wanted = {f"imgset{number:04d}" for band in ("NIR", "RED") for number in arrays[f"valid_imgsets_{band}"]}
    for band, numbers in (("RED", range(594)), ("NIR", range(594, 1160))):
        for number in numbers:
            (tmp_path / "train" / band / f"imgset{number:04d}").mkdir(parents=True)
    found = scene_folders(tmp_path, "validation", None)
    assert {folder.name for folder in found} == wanted and len(found) == 170 + 179
    assert len(scene_folders(tmp_path / "train" / "NIR", "validation", None)) == 170
    assert len(scene_folders(tmp_path, "train", "RED")) == 594 and not scene_folders(tmp_path / "none", "test", None)


def test_scores_want_baselines_of_all_scenes(root, model_dir, tmp_path, capsys):
    (tmp_path / "norm.csv").write_text(f"{NAMES[0]} 45.0\n")
    words = ["--metrics", tmp_path / "m.json", "--norm", tmp_path / "norm.csv"]
    assert infer(model_dir, "--input", root / "train", *words) == 1
    assert f"--norm: expected a baseline for every scene, got none for {NAMES[1]}" in capsys.readouterr().err
    assert infer(model_dir, "--input", root / "test" / "NIR" / "imgset0003", "--metrics", tmp_path / "m.json") == 1
    assert not (tmp_path / "m.json").exists()


def corrupt(scene):
    content = (scene / "LR003.png").read_bytes()
    (scene / "LR003.png").write_bytes(content[: len(content) // 2])


def remove_images(scene):
    for number in range(8, 11):
        (scene / f"LR{number:03d}.png").unlink()
        (scene / f"QM{number:03d}.png").unlink()


def saturate(scene):
    for number in range(3):
        write_png(scene / f"LR{number:03d}.png", np.full((SIDE, SIDE), 65535, np.uint16))


def conceal(scene):
    for path in scene.glob("QM*.png"):
        write_png(path, np.zeros((SIDE, SIDE), np.uint8))


SPOILT = {
    "corrupt": (corrupt, "LR003.png: expected a readable PNG"),
    "few": (
        remove_images,
        "imgset0001: expected at least 9 files LRnnn.png, got 8; --repeat repeats them until there are nine",
    ),
    "saturated": (saturate, "got 8 of 11 (LR000: numbers above 60000, LR001"),
    "cloudy": (conceal, "imgset0001: frames: expected clear pixels, got none, all is concealed"),
    "mask": (
        lambda scene: (scene / "QM005.png").unlink(),
        "expected QM005.png beside LR005.png, found none; --unmasked treats",
    ),
    "size": (
        lambda scene: write_png(scene / "LR002.png", np.full((SIDE, SIDE - 1), 7000, np.uint16)),
        f"LR002.png: expected {SIDE} x {SIDE} pixels, like LR000.png, got {SIDE} x {SIDE - 1}",
    ),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_bad_scenes_are_refused_or_skipped(kind, train, model_dir, tmp_path, capsys):
    spoil, message = SPOILT[kind]
    spoil(train / "NIR" / NAMES[0])
    out = tmp_path / "out"
    assert infer(model_dir, "--input", train / "NIR" / NAMES[0], "--output", tmp_path / "sr.png") == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not list(tmp_path.glob("sr.png*"))
    words = ["--input", train, "--output-dir", out]
    assert infer(model_dir, *words) == 1
    assert message in capsys.readouterr().err
    assert not list(out.glob("*.png"))
    assert infer(model_dir, *words, "--on-error", "skip") == 0
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.startswith("warning: skipped: ")
    assert "1 of 2 scenes, 1 skipped" in printed.out
    assert sorted(path.name for path in out.iterdir()) == [f"{NAMES[1]}.png", "run.json"]


def test_nothing_but_bad_scenes_is_an_error(train, model_dir, tmp_path, capsys):
    for name in NAMES:
        corrupt(train / "NIR" / name)
    assert infer(model_dir, "--input", train, "--output-dir", tmp_path / "out", "--on-error", "skip") == 1
    assert "--input: expected scenes that can be used, got none among 2" in capsys.readouterr().err


def test_submissions_are_packed_when_they_are_right(tmp_path, capsys):
    folder, out = tmp_path / "images", tmp_path / "submission.zip"
    folder.mkdir()
    words = ["--output-dir", str(folder), "--submission", str(out)]
    image = folder / "imgset1160.png"
    write_png(image, (np.arange(384 * 384) % 65536).astype(np.uint16).reshape(384, 384))
    assert main(words) == 1
    assert "got 1 of 290, without imgset1161.png, imgset1162.png" in capsys.readouterr().err
    for number in range(1161, 1450):
        (folder / f"imgset{number}.png").symlink_to(image)

    broken = folder / "imgset1300.png"
    faults = {
        "384 x 383": np.zeros((384, 383), np.uint16),
        "1 of Byte": np.zeros((384, 384), np.uint8),
    }
    for fault, pixels in faults.items():
        broken.unlink()
        write_png(broken, pixels)
        assert main(words) == 1
        assert f"got 1 others: imgset1300.png ({fault}" in capsys.readouterr().err
    broken.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
    assert main(words) == 1
    assert "imgset1300.png (" in capsys.readouterr().err
    broken.write_bytes(image.read_bytes())
    (folder / "imgset0003.png").write_bytes(image.read_bytes())
    assert main(words) == 1
    assert "beside 1 of other names: imgset0003.png" in capsys.readouterr().err
    assert not out.exists()

    (folder / "imgset0003.png").unlink()
    assert main(words) == 0
    with zipfile.ZipFile(out) as archive:
        assert archive.namelist() == [f"imgset{number}.png" for number in range(1160, 1450)]
        assert archive.read("imgset1449.png") == image.read_bytes()
    with pytest.raises(SystemExit):
        main(words)
    assert f"--submission: {out} exists; --overwrite replaces it" in capsys.readouterr().err
    write_submission(out, folder)


def test_outputs_that_exist_stay(root, model_dir, tmp_path, capsys):
    (tmp_path / "sr.png").write_bytes(b"mine")
    words = ["--input", root / "test" / "NIR" / "imgset0003", "--output", tmp_path / "sr.png"]
    with pytest.raises(SystemExit) as ended:
        infer(model_dir, *words)
    assert ended.value.code == 2 and "--overwrite replaces it" in capsys.readouterr().err
    assert infer(model_dir, *words, "--overwrite") == 0
    assert read(tmp_path / "sr.png").shape == (3 * SIDE, 3 * SIDE)
    words = ["--input", root, "--output-dir", tmp_path]
    write_png(tmp_path / "imgset0003.png", np.zeros((4, 4), np.uint16))
    assert infer(model_dir, *words) == 1
    assert read(tmp_path / "imgset0003.png").shape == (4, 4)


@pytest.mark.parametrize(
    "words,message",
    [
        ([], "--input or --submission is required"),
        (["--input", "a"], "--output or --output-dir is required"),
        (["--input", "a", "--output", "a.jpg"], "--output: expected a .png file, got 'a.jpg'"),
        (
            ["--input", "a", "--output", "a.png", "--output-dir", "b"],
            "--output and --output-dir are mutually exclusive",
        ),
        (["--submission", "a.zip"], "--submission requires --output-dir"),
        (["--input", "a", "--output", "a.png", "--windows", "0"], "--windows: expected at least 1, got 0"),
    ],
)
def test_wrong_usage_is_told(words, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_models_of_other_systems_are_refused(root, tmp_path, capsys):
    words = ["--input", root, "--output-dir", tmp_path / "out"]
    assert infer(tmp_path / "none", *words) == 1
    assert "a folder with model.json" in capsys.readouterr().err
    assert infer(tmp_path, "--input", tmp_path, "--output-dir", tmp_path / "out") == 1
    assert "--input: expected a scene" in capsys.readouterr().err


@pytest.mark.slow
def test_scenes_are_made_by_the_model_of_their_band(root, tmp_path, capsys):
    """Of two models, of other networks, each is used for its band; one that is made for another band is warned of."""
    data, models, out = tmp_path / "data", tmp_path / "models", tmp_path / "out"
    for band, name, variant in (("NIR", "imgset0001", "P"), ("RED", "imgset0002", "C")):
        shutil.copytree(root / "test" / "NIR" / "imgset0003", data / "test" / band / name)
        export_model(models / band, variant)
        assert infer(models / band, "--input", data / "test" / band, "--output-dir", tmp_path / band) == 0
    assert infer(models, "--input", data, "--output-dir", out) == 0
    images = {name: read(out / f"{name}.png") for name in NAMES}
    np.testing.assert_array_equal(images["imgset0001"], read(tmp_path / "NIR" / "imgset0001.png"))
    np.testing.assert_array_equal(images["imgset0002"], read(tmp_path / "RED" / "imgset0002.png"))
    assert (images["imgset0001"] != images["imgset0002"]).any()
    assert len(json.loads((out / "run.json").read_text())["models"]) == 2

    description = json.loads((models / "NIR" / "model.json").read_text())
    other = sealed_description({**description, "origin": {"band": "NIR"}})
    (models / "NIR" / "model.json").write_text(json.dumps(other))
    capsys.readouterr()
    words = ["--input", data / "test" / "RED", "--output-dir", tmp_path / "other"]
    assert infer(models / "NIR", *words) == 0
    assert "is made for NIR, the images are of RED" in capsys.readouterr().err
    (models / "RED").rename(models / "C")
    assert infer(models, *words) == 1
    assert "--model-dir: expected the folder of one model, or one named RED, got" in capsys.readouterr().err


def test_help_imports_nothing_heavy():
    code = "import sys, inference.deepsum as p\ntry: p.main(['--help'])\nexcept SystemExit: pass\n"
    code += "print({'numpy', 'osgeo', 'tensorflow', 'otbApplication'} & set(sys.modules), file=sys.stderr)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "--original-windows" in result.stdout and result.stderr.strip() == "set()"
