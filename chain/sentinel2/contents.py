# SPDX-License-Identifier: Apache-2.0
"""What an input holds, before its pixels are looked at: the same for a SAFE product, an item, rasters, a folder."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

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
