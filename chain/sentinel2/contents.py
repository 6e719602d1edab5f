# SPDX-License-Identifier: Apache-2.0
"""What an input holds, before its pixels are looked at: the same for a SAFE product, an item, rasters, a folder."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chain.sentinel2.bands import BANDS, scene_in_name
from chain.sentinel2.decision import Decision
from chain.sentinel2.integrity import Listed
from chain.sentinel2.layers import Layer
from chain.sentinel2.offset import Statement


@dataclass
class Contents:
    """What an input holds."""

    name: str
    """Of the input, for errors."""
    identity: dict[str, Any]
    """Where the pixels come from: what a run records."""
    layers: dict[str, Layer]
    """Each band."""
    level: str = "unknown"
    """`L1C`, `L2A`, or `unknown`."""
    statements: Sequence[Statement] = ()
    """What says something of the offset."""
    classes: Layer | None = None
    """The scene classification (SCL)."""
    decisions: list[Decision] = field(default_factory=list)
    """What was decided so far."""
    are_numbers_known: bool = True
    """Whether it was looked at what the numbers are, beside what a format prescribes."""
    document: str = ""
    """Where the document comes from that names the files, if it is one."""
    listed: dict[str, Listed] = field(default_factory=dict)
    """What a manifest says of files, by their names for GDAL."""
    stated: dict[str, frozenset[int]] = field(default_factory=dict)
    """The offsets that are stated of each band, where files differ in that."""


class UnknownBands(ValueError):
    """A raster does not tell which bands it holds."""


def merge(contents: Sequence[Contents], name: str) -> Contents:
    """Return what several inputs hold together.

    Raises:
        ValueError: a band is in two of them, they are of two levels, or there are none.
    """
    if not contents:
        raise ValueError(f"{name}: expected rasters of Sentinel-2's bands, got none")
    layers: dict[str, Layer] = {}
    for each in contents:
        for band, layer in each.layers.items():
            if band in layers:
                raise ValueError(
                    f"{name}: expected one file for each band, got {band} in {layers[band].name} and {each.name}"
                )
            layers[band] = layer
    levels = sorted({each.level for each in contents} - {"unknown"})
    if len(levels) > 1:
        raise ValueError(f"{name}: expected one level, got {' and '.join(levels)}")
    return Contents(
        name,
        {"kind": "files", "paths": [each.name for each in contents], "id": scene_in_name(Path(contents[0].name))},
        {band: layers[band] for band in sorted(layers, key=list(BANDS).index)},
        levels[0] if levels else "unknown",
        [statement for each in contents for statement in each.statements],
        next((each.classes for each in contents if each.classes), None),
        list(dict.fromkeys(decision for each in contents for decision in each.decisions)),
        stated={band: frozenset(said.offset for said in each.statements) for each in contents for band in each.layers},
    )
