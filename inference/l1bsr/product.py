# SPDX-License-Identifier: Apache-2.0
"""What a product of L1BSR is: its grid, its metadata, how numbers become its pixels, and what these depend on."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from chain.raster.grids import Grid, Region
from chain.runtime.provenance import software
from chain.serving.network import Network
from chain.serving.product_file import Layout, write_product
from chain.serving.provenance import IDENTITY_KEY, digest, files_behind, stamps, weights_of
from chain.serving.super_resolution import Bands
from inference.l1bsr.image import Counts, L1BImage
from inference.l1bsr.model import SYSTEM, Mode
from inference.l1bsr.scratch import Scratch
from models.description import ModelDescription

STATISTICS_SUFFIX = ".aux.xml"
"""End of the names of files in which programs that look at an image leave its statistics."""


@dataclass(frozen=True)
class ProductInputs:
    """What a product is made of."""

    arguments: argparse.Namespace
    """Those of `inference.l1bsr`."""
    image: L1BImage
    """The input."""
    counts: Counts
    """Its pixels."""
    network: Network
    """The network."""
    mode: Mode
    """How the network is run."""
    scratch: Scratch
    """Makes the arrays that memory cannot hold."""
    registrar: Network | None = None
    """The network that registers the pixels before, if any."""

    @property
    def output(self) -> Path:
        """The product's file."""
        return Path(self.arguments.output)

    @property
    def inputs(self) -> dict:
        """All that the network's output depends on."""
        image, arguments = self.image, self.arguments
        files = (Path(name) for name in files_behind(image.files) if not name.endswith(STATISTICS_SUFFIX))
        return {
            "input": {
                "files": stamps(files),
                "bands": image.bands,
                "level": image.level,
                "scale": arguments.scale,
                "offset": arguments.offset,
            },
            "models": [weights_of(network) for network in self._networks],
        }

    @property
    def _networks(self) -> list[Network]:
        return [self.network, *([self.registrar] if self.registrar else [])]

    @property
    def identity(self) -> dict:
        """All that the product's pixels depend on."""
        return {**self.inputs, "original_cast": self.arguments.original_cast}

    @property
    def notes(self) -> dict:
        """What is to be known of the network, as `chain.serving.provenance.write_record` takes it."""
        models = [
            {**network.description.to_json(), "folder": network.model_dir, "engine": network.engine}
            for network in self._networks
        ]
        return {"models": models, "precision": {"precision": self.network.description.precision}}

    def layout(self, bands: tuple[str, ...], dtype: str, identity: dict) -> Layout:
        """Return what a file of this product's grid is."""
        description = self.network.description
        metadata = {
            "TIFFTAG_SOFTWARE": software(),
            "SR_SYSTEM": SYSTEM,
            "SR_TASK": self.arguments.task,
            "SR_WEIGHTS": description.weights or "unknown",
            "SR_INPUT": ", ".join(Path(name).name for name in self.image.files),
            "SR_LEVEL": self.image.level,
            IDENTITY_KEY: digest(identity),
        }
        return Layout(output_grid(self.image.grid, description), bands, dtype, metadata, self.image.placed)

    def write(self, layout: Layout, regions: Sequence[Region], maker: object, make: Callable) -> int:
        """Write the product of counts, as `chain.serving.product_file.write_product` does.

        Returns:
            Number of regions that were there.

        Raises:
            FileExistsError: a product that would be made otherwise is there, or was begun.
            ValueError: the folder of the network does not have what the mode needs.
            RuntimeError: OTB or TensorFlow refuses.
            OSError: the disk refuses.
        """
        return write_product(
            self.output,
            layout,
            regions,
            maker,
            self.identity,
            self.notes,
            self.arguments.overwrite,
            self.arguments.restart,
            make=make,
        )


def output_grid(grid: Grid, description: ModelDescription) -> Grid:
    """Return where the pixels that a network makes of an image lie.

    Args:
        grid: that of the image, of any pixel size.
        description: what the network is.
    """
    scale = round(description.scale)
    dx, dy = grid.dx / scale, grid.dy / scale
    return replace(
        grid,
        left=grid.left + description.shift * dx,
        top=grid.top - description.shift * dy,
        dx=dx,
        dy=dy,
        columns=grid.columns * scale,
        rows=grid.rows * scale,
    )


def bands_of(names: tuple[str, ...], values: np.ndarray, present: np.ndarray, original_cast: bool = False) -> Bands:
    """Return values as the bands of a product.

    Args:
        names: names of the bands.
        values: (rows, columns, bands).
        present: where they are not missing, (rows, columns).
        original_cast: cut their fractions off and take them modulo 65536, as the authors' program does: 0 is then no
            more than 0.

    Raises:
        RuntimeError: a value that is not missing is not finite.
    """
    wrong = np.count_nonzero(~np.isfinite(values).all(axis=-1) & present)
    if wrong:
        raise RuntimeError(f"model: finite values are wanted. Received: {wrong} pixels that are not")
    if not original_cast:
        return {name: (values[..., index], present) for index, name in enumerate(names)}
    values = np.mod(np.trunc(np.where(present[..., np.newaxis], values, 0)), np.float32(65536))
    return {name: (values[..., index], values[..., index] > 0) for index, name in enumerate(names)}
