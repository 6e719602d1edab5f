# SPDX-License-Identifier: Apache-2.0
"""The options of DSen2, for the library and for the command line."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chain.runtime.options import band_names, distinct, integers, option, within
from chain.runtime.progress import LOG
from chain.sentinel2.bands import BANDS, CLASSES, SURFACE_BANDS
from chain.sentinel2.options import NamingOptions
from chain.serving.options import ClassesOptions, ServingOptions
from chain.serving.scene_command import SceneCommand

_COARSE = {band for band in SURFACE_BANDS if BANDS[band] > 10}
SETTINGS = {
    "IMAGES_PATH": "input",
    "SR_IMAGES_PATH": "output_dir",
    "SR_20M_PATH": "weights",
    "SR_60M_PATH": "weights",
}
"""Names in `.env` or the environment, and the options that they stand for when --input is not given."""
METHODS = ("nearest", "bilinear", "cubic", "cubicspline", "lanczos")
"""Interpolations by which bands may have been resampled, by GDAL's words."""
PROJECT_WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "dsen2"
WEIGHTS = "weights (default: those of the project)"
MASKS = "ground to leave out (default: where a band has no data)"
SEARCH = "search in a STAC catalogue, instead of --input"
QUALITY = "measured quality"


def _check_bands(names: tuple[str, ...]) -> None:
    """Refuse bands that Sentinel-2 does not have, or that are given twice."""
    distinct(names)
    for band in names:
        if band not in BANDS:
            raise ValueError(f"expected names among {', '.join(BANDS)}, got {band}")


def _check_classes(numbers: tuple[int, ...]) -> None:
    """Refuse numbers that no class of the scene classification has."""
    for number in numbers:
        if not 0 <= number < len(CLASSES):
            raise ValueError(f"expected classes of the scene classification, 0 to {len(CLASSES) - 1}, got {number}")


def _check_search(text: str) -> None:
    """Refuse what is no interval of days."""
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}/\d{4}-\d{2}-\d{2}", text):
        raise ValueError(f"expected YYYY-MM-DD/YYYY-MM-DD, got {text!r}")


@dataclass(frozen=True, kw_only=True)
class Options(NamingOptions, ClassesOptions, ServingOptions):
    """How the product of a scene is made."""

    model_dir: tuple[str, ...] | None = option(
        None,
        "folders of exported models, or folders of such folders, from which role and level choose",
        many=True,
        metavar="DIR",
        reads=True,
        group=WEIGHTS,
    )
    weights: tuple[str, ...] | None = option(
        None,
        "published files of weights, Keras HDF5 or PyTorch, which are converted (weights/convert_dsen2.py)",
        many=True,
        metavar="FILE",
        reads=True,
        group=WEIGHTS,
    )
    level: str | None = option(
        None,
        "level whose weights are used, where the product does not say its own, or all the same",
        choices=("L1C", "L2A"),
        group=WEIGHTS,
    )
    bands: tuple[str, ...] | None = option(
        None,
        f"bands of the product (default: {','.join(SURFACE_BANDS)}, those of 60 m if the input has any)",
        read=band_names,
        metavar="NAMES",
        check=_check_bands,
        group="bands",
    )
    drop_bands: tuple[str, ...] | None = option(
        None,
        "bands to leave out of the product, and of what is read where no other band is made from them",
        read=band_names,
        metavar="NAMES",
        check=_check_bands,
        group="bands",
    )
    resampled: str | None = option(
        None,
        "how bands were brought to 10 m whose pixels do not tell it",
        choices=METHODS,
        group="bands",
    )
    with_b10: bool = option(False, "add B10 of L1C, interpolated to 10 m", group="bands")
    separate: bool = option(
        False, "write each band as a file of its own too: OUTPUT_B05.tif", pixels=False, group="bands"
    )
    error: bool = option(
        False,
        "write the expected absolute error of each pixel that a network makes too: OUTPUT_error.tif",
        pixels=False,
        group="bands",
    )
    exclude_mask: str | None = option(
        None,
        "raster on the same map: missing where it is not 0",
        metavar="IMG",
        reads=True,
        formerly=("--mask",),
        group=MASKS,
    )
    mask_classes: tuple[int, ...] | None = option(
        None,
        "classes of the scene classification (SCL) of L2A to leave out: 3,8,9,10 are clouds and their shadows",
        read=integers,
        metavar="N,...",
        check=_check_classes,
        group=MASKS,
    )
    evaluate: str | None = option(
        None,
        "wald: score the networks on the input made coarser, where the input is the truth (no --output is needed); "
        "full: consistency of the product with the input, and an index without reference",
        choices=("wald", "full"),
        pixels=False,
        group=QUALITY,
    )
    metrics: str | None = option(
        None,
        "file of the scores",
        metavar="JSON",
        writes=(".json",),
        replaces=True,
        pixels=False,
        group=QUALITY,
    )
    figure: str | None = option(
        None,
        "figure: scores (wald), or the input and the product (full)",
        metavar="PNG",
        writes=(".png",),
        replaces=True,
        pixels=False,
        group=QUALITY,
    )
    tiling: str = option(
        "seamless",
        "original: patches as the authors cut them, the whole image in memory",
        choices=("seamless", "original"),
    )

    def check(self) -> None:
        """Refuse options that do not go together."""
        super().check()
        self.exclude("weights", "model_dir")
        self.exclude("bands", "drop_bands")
        self.require("metrics", "evaluate")
        self.require("figure", "evaluate")
        for name in ("evaluate", "separate", "error"):
            for other in ("block_range", "assemble"):
                self.exclude(name, other)
        if self.tiling == "original":
            if self.precision != "float32" or self.engine:
                raise ValueError("--tiling original: expected --precision float32 and no --engine")
            if self.scheduler:
                raise ValueError("--tiling original and --scheduler are mutually exclusive")
            if self.evaluate == "wald":
                raise ValueError("--evaluate wald: expected --tiling seamless, got original")
        if self.evaluate == "wald" and self.scheduler:
            raise ValueError("--evaluate wald and --scheduler are mutually exclusive")
        if self.evaluate == "full" and self.bands and not _COARSE & set(self.bands):
            raise ValueError("--evaluate full: expected a band of 20 or 60 m in --bands, got none")


@dataclass(frozen=True, kw_only=True)
class Command(Options, SceneCommand):
    """The command line."""

    input: tuple[str, ...] | None = option(
        None,
        "a scene of Sentinel-2: SAFE folder or zip, STAC item (JSON file or URL), a raster with all bands, rasters "
        "with bands of 10, 20 and 60 m, or a folder of these; with --output-dir, scenes and folders of scenes",
        many=True,
        metavar="IMG",
        pixels=False,
    )
    env: str = option(".env", "file of settings, if it exists (default: .env)", metavar="FILE", pixels=False)
    search: str | None = option(
        None,
        "days YYYY-MM-DD/YYYY-MM-DD: the clearest item over --bbox is taken; where no single one contains it, those of "
        "one UTM zone that do so together, which become one mosaic",
        metavar="START/END",
        check=_check_search,
        pixels=False,
        group=SEARCH,
    )
    stac_url: str = option(
        "https://planetarycomputer.microsoft.com/api/stac/v1",
        "root of the STAC API",
        metavar="URL",
        pixels=False,
        group=SEARCH,
    )
    collection: str = option("sentinel-2-l2a", "STAC collection", pixels=False, group=SEARCH)
    max_cloud_cover: float = option(
        20.0,
        "most clouds and missing data over --bbox, in %",
        metavar="PERCENT",
        check=within(0, 100),
        pixels=False,
        group=SEARCH,
    )

    def check(self) -> None:
        """Refuse options that do not go together."""
        super().check()
        self.exclude("search", "input")
        self.require("search", "bbox")
        self.exclude("output_dir", "evaluate")
        if not self.search and not self.input:
            raise ValueError("--input, --search, or IMAGES_PATH in the environment is required")

    def completes(self) -> bool:
        """Return whether the product is there, but perhaps not all that goes with it."""
        if super().completes() or not ((self.separate or self.error) and self.output):
            return super().completes()
        from chain.serving.up_to_date import identity_in

        return identity_in(Path(self.output)) is not None

    @property
    def needs_output(self) -> bool:
        """Whether a product has to be named."""
        return self.evaluate != "wald"


def _unknown(found: Mapping[str, object]) -> list[str]:
    """Return the names in `.env` that look like settings of this program, and are none."""
    return [name for name in found if name.endswith("_PATH") and name not in SETTINGS]


def _doubled(path: str) -> list[str]:
    """Return the settings that stand in a file more than once."""
    from dotenv.parser import parse_stream

    if not Path(path).is_file():
        return []
    with open(path, encoding="utf-8") as stream:
        names = [binding.key for binding in parse_stream(stream)]
    return [name for name in SETTINGS if names.count(name) > 1]


def with_settings(values: dict) -> dict:
    """Return values of the command line with those that `.env` and the environment give; the latter goes first.

    Raises:
        ValueError: the file of --env does not exist.
    """
    if values["env"] != ".env" and not os.path.isfile(values["env"]):
        raise ValueError(f"--env: no such file: {values['env']}")
    if values["input"] or values["search"]:
        return values
    from dotenv import dotenv_values

    of_file = dotenv_values(values["env"])
    for name in _unknown(of_file):
        LOG.warning("--env: %s: no setting is called %s; %s are", values["env"], name, ", ".join(SETTINGS))
    for name in _doubled(values["env"]):
        LOG.warning("--env: %s: %s is there twice; the last one counts", values["env"], name)
    known = {**of_file, **os.environ}
    found = {name: known[name] for name in SETTINGS if known.get(name)}
    more: dict[str, object] = {}
    if "IMAGES_PATH" in found:
        more["input"] = (found["IMAGES_PATH"],)
    if "SR_IMAGES_PATH" in found and not (values["output"] or values["output_dir"] or values["evaluate"]):
        more["output_dir"] = found["SR_IMAGES_PATH"]
    files = tuple(found[name] for name in ("SR_20M_PATH", "SR_60M_PATH") if name in found)
    if files and not (values["weights"] or values["model_dir"]):
        more["weights"] = files
    return {**values, **more}
