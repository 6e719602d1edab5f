# SPDX-License-Identifier: Apache-2.0
"""What a product file is, apart from its pixels: grid, bands, type, nodata, metadata."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np

from chain.raster.grids import Grid
from chain.serving.encoding import DEFAULTS


@dataclass(frozen=True)
class Layout:
    """What a product file is, apart from its pixels."""

    grid: Grid
    """Its pixels' places."""
    bands: tuple[str, ...]
    """Names of the bands."""
    dtype: str = "uint16"
    """`uint16` (missing pixels: 0, unless stated) or `float32` (NaN)."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """GDAL metadata of the file."""
    placed: bool = True
    """Whether the file states where its grid lies; otherwise it has no georeference."""
    scale: float | None = None
    """What a difference of one number means, such as 0.0001 of reflectance; None where it is not known."""
    missing: float | None = None
    """Value of missing pixels, where it is another one than that of the type."""

    @property
    def nodata(self) -> float:
        """Value of missing pixels."""
        return DEFAULTS[self.dtype] if self.missing is None else float(np.dtype(self.dtype).type(self.missing))

    def to_json(self) -> dict:
        """Return the layout as JSON holds it."""
        return {**asdict(self), "metadata": dict(self.metadata)}

    @classmethod
    def from_json(cls, content: Mapping) -> "Layout":
        """Return the layout that `to_json` told of."""
        return cls(**{**content, "grid": Grid(**content["grid"]), "bands": tuple(content["bands"])})
