# SPDX-License-Identifier: Apache-2.0
"""Scores of multi-image super-resolution on scenes with known truth, beside those of simple methods.

The simple methods are the upsampled clearest image, the mean of the registered images, and ESA's baseline, which is
recomputed here. The metrics are described in `evaluation.cpsnr`.

    scenes = {"imgset0594": score_scene(hr, clear, {"sr": sr, **baselines(frames, lr, qm)})}
    print(table(report(scenes, norm)))
"""

from collections.abc import Mapping

import numpy as np

from datasets.deepsum.preparation import Frames, mean_of_registered
from evaluation.cpsnr import cpsnr, cssim, score
from evaluation.multi_frame import clearest, esa_baseline

METRICS = ("cpsnr", "cssim", "score")
METHODS = {
    "sr": "super-resolved",
    "clearest": "clearest, bicubic",
    "mean_of_registered": "mean of registered",
    "esa_baseline": "ESA's baseline",
}
"""Scored images, with their titles in tables."""


def baselines(frames: Frames, lr: np.ndarray, qm: np.ndarray) -> dict[str, np.ndarray]:
    """Return the images of the simple methods, by the names in `METHODS`.

    Args:
        frames: the usable frames.
        lr: digital numbers (images, rows, columns) of all images of the scene, on the coarse grid.
        qm: whether a pixel is clear, of the same shape.
    """
    return {
        "clearest": clearest(frames),
        "mean_of_registered": mean_of_registered(frames),
        "esa_baseline": esa_baseline(lr, qm),
    }


def score_scene(hr: np.ndarray, clear: np.ndarray, images: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Score images of a scene.

    Args:
        hr: truth (rows, columns), digital numbers.
        clear: whether a pixel of the truth is clear, of the same shape.
        images: images of the same shape and unit, by name.

    Returns:
        By name, `cpsnr` in dB and `cssim`.

    Raises:
        ValueError: as for `datasets.deepsum.cmse.cmse_matrix` and `cssim`.
    """
    return {
        name: {"cpsnr": cpsnr(hr, image, clear), "cssim": cssim(hr, image, clear)} for name, image in images.items()
    }


def report(scenes: Mapping[str, Mapping], norm: Mapping[str, float] | None) -> dict:
    """Add the challenge's score, and means.

    Args:
        scenes: results of `score_scene`, by scene.
        norm: ESA's baseline of all scenes, in dB; without it, there are no scores.

    Returns:
        `scenes`, with the `score` of each image added, and their `mean`.

    Raises:
        ValueError: there is no scene, or a scene has no baseline.
    """
    if not scenes:
        raise ValueError("scenes: expected at least one with HR.png, got none")
    full = {name: {method: dict(scores) for method, scores in scene.items()} for name, scene in scenes.items()}
    if norm is not None:
        for name, scene in full.items():
            for scores in scene.values():
                scores["score"] = score({name: scores["cpsnr"]}, norm)
    first = next(iter(full.values()))
    mean = {
        method: {metric: float(np.mean([scene[method][metric] for scene in full.values()])) for metric in scores}
        for method, scores in first.items()
    }
    return {"scenes": full, "mean": mean}


def table(scored: Mapping) -> str:
    """Format a report for a terminal: the cPSNR of each scene, then the means of all metrics.

    Args:
        scored: the result of `report`.
    """
    mean = scored["mean"]
    width = max(len("scene"), *map(len, scored["scenes"]))
    titles = [METHODS.get(method, method) for method in mean]
    lines = ["cPSNR (dB)", "  ".join([f"{'scene':{width}}", *titles])]
    for name, scene in scored["scenes"].items():
        cells = (f"{scene[method]['cpsnr']:{len(title)}.3f}" for method, title in zip(mean, titles))
        lines.append("  ".join([f"{name:{width}}", *cells]))
    lines += ["", f"mean of {len(scored['scenes'])} scenes"]
    longest = max(map(len, titles))
    metrics = [metric for metric in METRICS if metric in next(iter(mean.values()))]
    for method, title in zip(mean, titles):
        values = (f"{metric} {mean[method][metric]:.{3 if metric == 'cpsnr' else 5}f}" for metric in metrics)
        lines.append("  ".join([f"{title:{longest}}", *values]))
    return "\n".join(lines)
