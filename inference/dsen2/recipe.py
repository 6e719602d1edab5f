# SPDX-License-Identifier: Apache-2.0
"""What the product of a scene is made of: which bands, which networks, which weights, what is left out."""

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path

from osgeo import gdal

from chain.raster.grids import common_origin, raster_grid
from chain.raster.mask import Mask, reached, read_mask
from chain.runtime.files import default_cache
from chain.runtime.progress import LOG
from chain.sentinel2.bands import BANDS, SURFACE_BANDS, wanted
from chain.sentinel2.decision import Decision
from chain.sentinel2.opened_image import OpenedImage
from chain.sentinel2.scene import Scene
from chain.serving.exported_models import exported, find_models, served_folder
from chain.serving.network import Network
from chain.serving.recipe import Recipe
from inference.dsen2.options import PROJECT_WEIGHTS, Options
from inference.dsen2.original_tiling import OriginalTiling
from inference.dsen2.seen_bands import check_seen_bands
from models.description import ModelDescription, Source, read_description

SYSTEM = "dsen2"
LEVELS = ("L1C", "L2A")
ALIGNMENT = 6
"""Number of 10 m pixels along 60 m: parts of scenes are whole multiples of it, whichever bands are made seamlessly."""
FINE, MEDIUM, COARSE = ({band for band, gsd in BANDS.items() if gsd == size} for size in (10.0, 20.0, 60.0))
WHOLE = 0.999
"""Share of an image that a mask lies on, below which it is told."""
ROLES = {"2x": MEDIUM, "6x": COARSE - {"B10"}}
"""Bands that each role's network makes."""


def recipe_of(options: Options, scene: Scene) -> Recipe:
    """Return what the product of a scene is made of.

    Args:
        options: those of the program.
        scene: the input.

    Raises:
        ValueError: a band is missing, or there are no weights for the product.
        OSError: the cache of exported models cannot be written.
    """
    product = scene.product
    bands = _bands(options, product.bands)
    factor = scene.spacing / 10.0
    roles = [role for role, made in ROLES.items() if made & set(bands)]
    level = options.level or product.level
    networks = tuple(network.scaled(factor) for network in _networks(options, roles, level))
    needed = {band for network in networks for source in network.description.sources for band in source.bands}
    name = str(product.identity.get("id", "input"))
    wanted(product.bands, sorted(needed | set(bands), key=list(BANDS).index), name)
    for doubt in check_seen_bands(product, bands, networks, name):
        LOG.warning("%s: %s", name, doubt)
        product.decisions.append(doubt)
    taken = [_fine(bands, networks, scene.spacing), Source("B10", ("B10",), 60.0 * factor)]
    kind = OriginalTiling if options.tiling == "original" else Recipe
    if kind is OriginalTiling and any(network.description.model for network in networks):
        raise ValueError(
            "--tiling original: expected --model-dir or --weights with networks of the paper's class DSen2"
        )
    return kind(
        bands=bands,
        gsd=scene.spacing,
        networks=networks,
        passed_through=tuple(source for source in taken if set(source.bands) & set(bands)),
        shared_nodata=False,
        masks=_masks(options, scene),
        alignment=ALIGNMENT if kind is Recipe else 1,
        notes=tuple(_notes(name, product, networks, scene)),
    )


def _fine(bands: Sequence[str], networks: Sequence[Network], spacing: float) -> Source:
    """Return the source of the 10 m bands of a product: one that networks see too, so that it is read once."""
    fine = tuple(band for band in bands if band in FINE)
    seen = [source for network in networks for source in network.description.sources if source.gsd == spacing]
    return next((source for source in seen if fine and set(fine) <= set(source.bands)), Source("fine", fine, spacing))


def _bands(options: Options, found: Collection[str]) -> tuple[str, ...]:
    """Return the bands of the product: those asked for, else all that the input allows."""
    possible = (band for band in SURFACE_BANDS if band not in COARSE or COARSE & set(found))
    bands = options.bands or tuple(band for band in possible if band not in (options.drop_bands or ()))
    return (*bands, "B10") if options.with_b10 and "B10" not in bands else tuple(bands)


def bands_to_open(options: Options) -> set[str] | None:
    """Return the bands that the product needs, those that its networks see included; None for all that there are."""
    if not options.bands and not options.drop_bands:
        return None
    bands = set(options.bands or SURFACE_BANDS) - set(options.drop_bands or ())
    seen = {"2x": FINE | MEDIUM, "6x": FINE | MEDIUM | ROLES["6x"]}
    needed = bands.union(*(seen[role] for role, made in ROLES.items() if made & bands))
    return needed | {"B10"} if options.with_b10 else needed


def _networks(options: Options, roles: Sequence[str], level: str) -> list[Network]:
    """Return the network of each role, with weights for a level."""
    if not roles:
        return []
    folders = (
        _converted(options.weights, options.level)
        if options.weights
        else [model for folder in options.model_dir or [PROJECT_WEIGHTS] for model in find_models(folder)]
    )
    descriptions = {folder: read_description(folder) for folder in folders}
    for folder, description in descriptions.items():
        if description.system != SYSTEM:
            raise ValueError(f"--model-dir: expected a model of {SYSTEM!r}, got {folder}, of {description.system!r}")
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
        raise ValueError(f"--model-dir: expected one {role} network for {level}, got {received}")
    if not of_role:
        raise ValueError(
            f"--model-dir or --weights: expected a {role} network, or --bands without "
            f"{' and '.join(sorted(ROLES[role]))}, got none of that role"
        )
    advice = "what the product is" if level == "unknown" else "to use others all the same"
    raise ValueError(
        f"--model-dir: expected weights of the {role} network for a product of level {level}, got {received}; "
        f"--level says {advice}"
    )


def _converted(files: Sequence[str], level: str | None) -> list[Path]:
    """Return the folders of models that files of published weights become."""
    from weights.convert_dsen2 import read_model

    levels = (level,) if level else None
    for file in files:
        if not Path(file).is_file():
            raise ValueError(f"--weights: no such file: {file}")
    key = f"{SYSTEM}-{level or 'any'}"
    return [exported(partial(read_model, file, levels), [Path(file)], key, default_cache()) for file in files]


def _masks(options: Options, scene: Scene) -> tuple[Mask, ...]:
    """Return the masks of the options.

    Raises:
        ValueError: the product has no scene classification, or a mask cannot be used.
    """
    first = gdal.Open(next(iter(scene.product.bands.values())))
    projection = first.GetProjection()
    masks = []
    if options.exclude_mask:
        masks.append(read_mask(options.exclude_mask, projection, "--exclude-mask"))
        common_origin({"--exclude-mask": masks[0].grid, "the scene": raster_grid(first)}, aligned=False)
        share = reached(masks[0], raster_grid(first))
        if share < WHOLE:
            beyond = f"{options.exclude_mask} lies on {share:.1%} of the image"
            doubt = Decision("pixels", beyond, "--exclude-mask leaves nothing out of the rest")
            LOG.warning("%s", doubt)
            scene.product.decisions.append(doubt)
    if options.mask_classes:
        if scene.scl is None:
            raise ValueError("--mask-classes: expected a product with a scene classification (SCL), got none")
        masks.append(read_mask(scene.scl, projection, "--mask-classes", options.mask_classes))
    return tuple(masks)


def _notes(name: str, product: OpenedImage, networks: Sequence[Network], scene: Scene) -> Iterator[str]:
    """Yield what was recognised and chosen, in sentences."""
    weights = ", ".join(
        f"{network.description.arguments['role']} {network.description.weights[:8]} "
        f"(for {' and '.join(network.description.levels) or 'any level'})"
        for network in networks
    )
    yield f"{name}: level {product.level}, offset {product.offset}; weights: {weights or 'none'}"
    alike: dict[tuple[str, float], list[str]] = {}
    for band, method in scene.resampled.items():
        spacing = gdal.Open(scene.product.originals[band]).GetGeoTransform()[1]
        alike.setdefault((method, spacing), []).append(band)
    for (method, spacing), bands in sorted(alike.items()):
        yield f"{name}: {' '.join(bands)} had been resampled to {spacing:g} m ({method}): brought back"
    if abs(scene.spacing - 10.0) > 1e-3:
        yield f"{name}: pixels of {scene.spacing:g} m, not 10 m: the networks have not been trained on such"
