# SPDX-License-Identifier: Apache-2.0
"""Scores of an exported model over the test set, beside bicubic interpolation: JSON, table, figure.

What is scored is the SavedModel, loaded as whoever serves it loads it. Whole patches are scored, their
borders too.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from evaluation.metrics import HIGHER_IS_BETTER, METRICS, UNITS, Scores
from models.base import REFLECTANCE, ModelDescription
from models.layers import bicubic
from train.data import Patches

EXAMPLES = 4
DISPLAY_PERCENTILES = (2, 98)

Images = dict[str, np.ndarray]


def predict(
    model_dir: str | Path, description: ModelDescription, patches: Patches, batch_size: int
) -> Iterator[Images]:
    """Run an exported model over patches.

    Args:
        model_dir: folder of the exported model.
        description: what the model is.
        patches: the patches.
        batch_size: number of patches run at once.

    Yields:
        For each patch: `lr`, `bicubic`, `sr` and `hr`, (height, width, bands), reflectance.
    """
    loaded = tf.saved_model.load(str(model_dir))
    signature = loaded.signatures["serving_default"]
    source = description.sources[0].name
    for inputs, targets in patches.dataset(batch_size):
        outputs = signature(**{key.name: inputs[key.name] for key in description.sources})
        reflectance = inputs[source] * REFLECTANCE
        interpolated = bicubic(reflectance, round(description.scale))
        batch = {"lr": reflectance, "bicubic": interpolated, "sr": outputs["sr"], "hr": targets["sr"]}
        arrays = {name: tensor.numpy() for name, tensor in batch.items()}
        for index in range(len(arrays["hr"])):
            yield {name: array[index] for name, array in arrays.items()}


def evaluate(model_dir: str | Path, description: ModelDescription, patches: Patches, batch_size: int) -> dict:
    """Score an exported model.

    Args:
        model_dir: folder of the exported model.
        description: what the model is.
        patches: the test set.
        batch_size: number of patches run at once.

    Returns:
        `sr` and `bicubic`: the metrics of `evaluation.metrics`, over all bands and per band; `patches`: their
        number; `units`; `peak`: the largest value of the truth per band.
    """
    peak = np.max([targets["sr"].numpy().max(axis=(0, 1, 2)) for _, targets in patches.dataset(batch_size)], axis=0)
    scores = {name: Scores(peak, description.scale) for name in ("sr", "bicubic")}
    count = 0
    for images in predict(model_dir, description, patches, batch_size):
        count += 1
        for name, accumulated in scores.items():
            accumulated.update(images["hr"], images[name])
    report = {name: accumulated.result(description.bands) for name, accumulated in scores.items()}
    return {**report, "patches": count, "units": UNITS, "peak": [float(value) for value in peak]}


def table(report: dict) -> str:
    """Lay scores out as a Markdown table: one row per metric and band, the better value in bold."""
    rows = []
    for metric in METRICS:
        label = f"{metric.upper()} ({UNITS[metric]})" if UNITS[metric] else metric.upper()
        values = {"all bands": (report["sr"][metric], report["bicubic"][metric])}
        for band, scores in report["sr"]["bands"].items():
            if metric in scores:
                values[band] = (scores[metric], report["bicubic"]["bands"][band][metric])
        for band, (ours, theirs) in values.items():
            better = ours > theirs if metric in HIGHER_IS_BETTER else ours < theirs
            texts = [f"{ours:.4g}", f"{theirs:.4g}"]
            texts[0 if better else 1] = f"**{texts[0 if better else 1]}**"
            rows.append(f"| {label} | {band} | {texts[0]} | {texts[1]} |")
    header = f"Test set: {report['patches']} patches.\n\n| metric | band | SR | bicubic |\n|---|---|---|---|\n"
    return header + "\n".join(rows) + "\n"


def draw(path: str | Path, examples: list[Images], history: list[dict], report: dict) -> None:
    """Draw LR, bicubic, SR and HR of some patches, and the losses of the training.

    Args:
        path: the figure.
        examples: what `predict` yields; the first three bands are shown, or the first alone where there are fewer.
        history: losses per epoch.
        report: what `evaluate` returns.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    titles = {"lr": "input", "bicubic": "bicubic", "sr": "super-resolved", "hr": "truth"}
    figure = Figure(figsize=(12, 3 * len(examples) + 3), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(len(examples) + 1, len(titles))
    for row, images in enumerate(examples):
        shown = np.s_[..., :3] if images["hr"].shape[-1] >= 3 else np.s_[..., 0]
        low, high = np.percentile(images["hr"][shown], DISPLAY_PERCENTILES)
        for column, (name, title) in enumerate(titles.items()):
            axes = figure.add_subplot(grid[row, column])
            pixels = np.clip((images[name][shown] - low) / max(high - low, 1e-6), 0, 1)
            axes.imshow(pixels, interpolation="nearest", cmap="gray")
            axes.set_axis_off()
            if row == 0:
                score = f"\nPSNR {report[name]['psnr']:.2f} dB" if name in report else ""
                axes.set_title(title + score)
    axes = figure.add_subplot(grid[len(examples), :])
    epochs = range(1, len(history) + 1)
    axes.plot(epochs, [epoch["loss"] for epoch in history], label="training")
    axes.plot(epochs, [epoch["val_loss"] for epoch in history], label="validation")
    axes.set(xlabel="epoch", ylabel="loss", yscale="log")
    axes.legend()
    figure.savefig(path, dpi=100)


def write_report(
    model_dir: Path, description: ModelDescription, patches: Patches, batch_size: int, history: list[dict]
) -> dict:
    """Write `scores.json`, `scores.md` and `scores.png` into the folder of an exported model.

    Args:
        model_dir: the folder.
        description: what the model is.
        patches: the test set.
        batch_size: number of patches run at once.
        history: losses per epoch.

    Returns:
        What `evaluate` returns.
    """
    report = evaluate(model_dir, description, patches, batch_size)
    (model_dir / "scores.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (model_dir / "scores.md").write_text(table(report), encoding="utf-8")
    examples = []
    for images in predict(model_dir, description, patches, batch_size):
        examples.append(images)
        if len(examples) == EXAMPLES:
            break
    draw(model_dir / "scores.png", examples, history, report)
    return report
