# SPDX-License-Identifier: Apache-2.0
"""DSen2's networks in the form that the protocols need: arrays of native bands in, arrays of 10 m bands out.

They are served as in any inference: with TensorflowModelServe, mirrored borders, and filled missing pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from chain.raster.gdal_memory import memory_image
from chain.raster.grids import Grid, Region
from chain.runtime import provenance
from chain.serving.network import Network
from chain.serving.recipe import Recipe
from evaluation import report, wald
from models.description import read_description

Bands = Mapping[str, np.ndarray]


def sharpener(networks: Sequence[Network]) -> Callable[[Bands, tuple[str, ...]], dict[str, np.ndarray]]:
    """Return the function that `evaluation.wald.evaluate` calls.

    It takes bands (rows, columns), float32 digital numbers with missing pixels NaN, at their native resolutions, and
    the names of the bands to sharpen. It returns these on the grid of the 10 m bands, not rounded.
    """

    def sharpen(bands: Bands, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        import pyotb

        used = tuple(network for network in networks if set(names) & set(network.description.bands))
        gsd = used[0].description.gsd
        recipe = Recipe(tuple(names), gsd, used, shared_nodata=False)
        with ExitStack() as stack:
            images, rows, columns = {}, 0, 0
            for name, source in recipe.sources.items():
                pixels = np.stack([bands[band] for band in source.bands], axis=2).astype(np.float32)
                grid = Grid(0.0, 0.0, source.gsd, source.gsd, pixels.shape[1], pixels.shape[0], "")
                images[name] = pyotb.Input(stack.enter_context(memory_image(pixels, grid)))
                if source.gsd == gsd:
                    rows, columns = pixels.shape[:2]
            region = Region(0, 0, columns, rows)
            blocks = recipe.read(images, region, (0.0, 0.0), nodata=float("nan"))
            made = recipe.compute(blocks, region, (0.0, 0.0), floating=True)
        return {
            band: np.where(valid, values * np.float32(1e4), np.float32(np.nan))
            for band, (values, valid) in made.items()
        }

    return sharpen


def score_scenes(model_dir: Path, scenes: Sequence) -> dict:
    """Score an exported network on scenes by Wald's protocol; write `scores.json`, `.md` and `.png` beside it.

    Args:
        model_dir: folder of the exported model.
        scenes: `datasets.dsen2.Scene`s with the sources of the network's role.

    Returns:
        `scenes`: what `evaluation.wald.evaluate` returns, for each scene's name; `mean`: the mean of these.
    """
    description = read_description(model_dir)
    sharpen = sharpener([Network(description, str(model_dir))])
    reports = {}
    for scene in scenes:
        reports[scene.name] = wald.evaluate(scene.bands, sharpen, description.bands)
    scores = {"scenes": reports, "mean": mean_of(list(reports.values()))}
    provenance.write(model_dir / "scores.json", scores)
    sections = {**reports, "mean of the scenes": scores["mean"]} if reports else {}
    text = "\n".join(f"### {name}\n\n{report.table(found)}" for name, found in sections.items())
    (model_dir / "scores.md").write_text(text, encoding="utf-8")
    if reports:
        report.draw_scores(model_dir / "scores.png", scores["mean"])
    return scores


def mean_of(reports: Sequence):
    """Return the mean of reports, or of parts of them, number by number; None where one of them has none."""
    if not reports:
        return {}
    first = reports[0]
    if isinstance(first, dict):
        return {key: mean_of([found[key] for found in reports]) for key in first}
    if isinstance(first, str):
        return first
    return None if None in reports else float(np.mean(reports))
