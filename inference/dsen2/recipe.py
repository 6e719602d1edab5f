# SPDX-License-Identifier: Apache-2.0
"""What the product of a scene is made of: which bands, which networks, which weights, what is left out."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from osgeo import gdal

from chain.raster.grids import common_origin, raster_grid
from chain.raster.mask import Mask, read_mask
from chain.runtime.files import default_cache
from chain.sentinel2.bands import BANDS, SURFACE_BANDS, wanted
from chain.serving.exported_models import exported, find_models, served_folder
from chain.serving.network import Network
from chain.serving.recipe import Recipe
from inference.dsen2.original_tiling import OriginalTiling
from models.description import ModelDescription, Source, read_description

SYSTEM = "dsen2"
PROJECT_WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / SYSTEM
LEVELS = ("L1C", "L2A")
ALIGNMENT = 6
"""Number of 10 m pixels along 60 m: parts of scenes are whole multiples of it, whichever bands are made seamlessly."""
FINE, MEDIUM, COARSE = ({band for band, gsd in BANDS.items() if gsd == size} for size in (10.0, 20.0, 60.0))
ROLES = {"2x": MEDIUM, "6x": COARSE - {"B10"}}
"""Bands that each role's network makes."""


def recipe_of(arguments: argparse.Namespace, scene) -> Recipe:
    """Return what the product of a scene is made of, after the command line.

    Args:
        arguments: those of `inference.dsen2`.
        scene: the `chain.sentinel2.scene.Scene`.

    Raises:
        ValueError: a band is missing, or there are no weights for the product.
        OSError: the cache of exported models cannot be written.
    """
    product = scene.product
    bands = _bands(arguments, product.bands)
    factor = scene.spacing / 10.0
    roles = [role for role, made in ROLES.items() if made & set(bands)]
    level = arguments.level or product.level
    networks = tuple(network.scaled(factor) for network in _networks(arguments, roles, level))
    needed = {band for network in networks for source in network.description.sources for band in source.bands}
    name = str(product.identity.get("id", "input"))
    wanted(product.bands, sorted(needed | set(bands), key=list(BANDS).index), name)
    _say(name, product, networks, scene)
    taken = [_fine(bands, networks, scene.spacing), Source("B10", ("B10",), 60.0 * factor)]
    kind = OriginalTiling if arguments.tiling == "original" else Recipe
    return kind(
        bands=bands,
        gsd=scene.spacing,
        networks=networks,
        passed_through=tuple(source for source in taken if set(source.bands) & set(bands)),
        shared_nodata=False,
        masks=_masks(arguments, scene),
        alignment=ALIGNMENT if kind is Recipe else 1,
    )


def _fine(bands: Sequence[str], networks: Sequence[Network], spacing: float) -> Source:
    """Return the source of the 10 m bands of a product: one that networks see too, so that it is read once."""
    fine = tuple(band for band in bands if band in FINE)
    seen = [source for network in networks for source in network.description.sources if source.gsd == spacing]
    return next((source for source in seen if fine and set(fine) <= set(source.bands)), Source("fine", fine, spacing))


def _bands(arguments: argparse.Namespace, found: Sequence[str]) -> tuple[str, ...]:
    """Return the bands of the product: those asked for, else all that the input allows."""
    bands = arguments.bands or tuple(band for band in SURFACE_BANDS if band not in COARSE or COARSE & set(found))
    return (*bands, "B10") if arguments.with_b10 and "B10" not in bands else tuple(bands)


def _networks(arguments: argparse.Namespace, roles: Sequence[str], level: str) -> list[Network]:
    """Return the network of each role, with weights for a level."""
    if not roles:
        return []
    folders = (
        _converted(arguments.weights, arguments.level)
        if arguments.weights
        else [model for folder in arguments.model_dir or [PROJECT_WEIGHTS] for model in find_models(folder)]
    )
    descriptions = {folder: read_description(folder) for folder in folders}
    for folder, description in descriptions.items():
        if description.system != SYSTEM:
            raise ValueError(
                f"--model-dir: a model of '{SYSTEM}' is wanted. Received: {folder}, of {description.system!r}"
            )
    networks = []
    for role in roles:
        folder = _chosen(descriptions, role, level)
        served = served_folder(folder, default_cache())
        networks.append(Network(read_description(served), str(served)))
    return networks


def _chosen(descriptions: dict[Path, ModelDescription], role: str, level: str) -> Path:
    """Return the folder of the model of a role whose weights are for a level; `unknown` goes with those for all."""
    of_role = {folder: each for folder, each in descriptions.items() if each.arguments.get("role") == role}
    needed = set(LEVELS) if level == "unknown" else {level}
    right = [folder for folder, each in of_role.items() if not each.levels or needed <= set(each.levels)]
    if len(right) == 1:
        return right[0]
    received = ", ".join(f"{folder} for {' and '.join(each.levels) or 'any'}" for folder, each in of_role.items())
    if len(right) > 1:
        raise ValueError(f"--model-dir: one {role} network for {level} is wanted. Received: {received}")
    if not of_role:
        raise ValueError(
            f"--model-dir or --weights: a {role} network, or --bands without {' and '.join(sorted(ROLES[role]))}, is "
            f"wanted. Received: none of that role"
        )
    advice = "what the product is" if level == "unknown" else "to use others all the same"
    raise ValueError(
        f"--model-dir: weights of the {role} network for a product of level {level} are wanted, or --level, {advice}. "
        f"Received: {received}"
    )


def _converted(files: Sequence[str], level: str | None) -> list[Path]:
    """Return the folders of models that files of published weights become."""
    from weights.convert_dsen2 import read_model

    levels = (level,) if level else None
    for file in files:
        if not Path(file).is_file():
            raise ValueError(f"--weights: files that exist are wanted. Received: {file}")
    return [
        exported(
            lambda file=file: read_model(file, levels), [Path(file)], f"{SYSTEM}-{level or 'any'}", default_cache()
        )
        for file in files
    ]


def _masks(arguments: argparse.Namespace, scene) -> tuple[Mask, ...]:
    """Return the masks of the command line.

    Raises:
        ValueError: the product has no scene classification, or a mask cannot be used.
    """
    first = gdal.Open(next(iter(scene.product.bands.values())))
    projection = first.GetProjection()
    masks = []
    if arguments.mask:
        masks.append(read_mask(arguments.mask, projection, "--mask"))
        common_origin({"--mask": masks[0].grid, "the scene": raster_grid(first)}, aligned=False)
    if arguments.mask_classes:
        if scene.scl is None:
            raise ValueError("--mask-classes: a product with a scene classification (SCL) is wanted. Received: none")
        masks.append(read_mask(scene.scl, projection, "--mask-classes", arguments.mask_classes))
    return tuple(masks)


def _say(name: str, product, networks: Sequence[Network], scene) -> None:
    """Tell what was recognised and chosen."""
    weights = ", ".join(
        f"{network.description.arguments['role']} {network.description.weights[:8]} "
        f"(for {' and '.join(network.description.levels) or 'any level'})"
        for network in networks
    )
    print(f"{name}: level {product.level}, offset {product.offset}; weights: {weights or 'none'}", file=sys.stderr)
    for method in sorted(set(scene.resampled.values())):
        bands = " ".join(band for band, found in scene.resampled.items() if found == method)
        print(f"{name}: {bands} had been resampled to {scene.spacing:g} m ({method}): brought back", file=sys.stderr)
    if abs(scene.spacing - 10.0) > 1e-3:
        print(
            f"{name}: pixels of {scene.spacing:g} m, not 10 m: the networks have not been trained on such",
            file=sys.stderr,
        )
