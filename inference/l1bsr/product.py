# SPDX-License-Identifier: Apache-2.0
"""What a product of L1BSR is: its grid, its metadata, how numbers become its pixels, and what these depend on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from chain.raster.grids import Grid, Region
from chain.runtime.progress import SILENT, Progress
from chain.sentinel2.bands import time_in_name
from chain.sentinel2.integrity import verify
from chain.serving.companions import link
from chain.serving.input_files import InputWatch, names_behind, place, unplaced
from chain.serving.layout import Layout
from chain.serving.network import Network
from chain.serving.product_file import write_product
from chain.serving.provenance import dated, file_metadata, weights_of
from chain.serving.report.native import input_names
from chain.serving.super_resolution import Bands
from inference.l1bsr.image import TASK_KEY, L1BImage
from models.description import ModelDescription

STATISTICS_SUFFIX = ".aux.xml"
"""End of the names of files in which programs that look at an image leave its statistics."""


@dataclass(frozen=True)
class ProductInputs:
    """What a product is made of, and what its file is."""

    task: str
    """`superresolution` or `registration`."""
    output: Path
    """The product's file."""
    image: L1BImage
    """The input."""
    network: Network
    """The network."""
    registrar: Network | None = None
    """The network that registers the pixels before, if any."""
    scale: float = 1.0
    """Counts of one digital number."""
    offset: float = 0.0
    """Added to digital numbers before."""
    original_cast: bool = False
    """Whether fractions are cut off and numbers wrapped, as by the authors' program."""
    overwrite: bool = False
    """Whether the file may be replaced."""
    restart: bool = False
    """Whether an interrupted product that was made otherwise is begun anew."""
    names: tuple[str, ...] = ()
    """How the image was named."""
    nodata: float | None = None
    """Number of missing pixels of the product of counts; None for 0."""
    creation: tuple[str, ...] = ()
    """Options of GDAL's COG driver."""
    part: Region | None = None
    """Pixels of the files that the image is, where it is not all of them."""
    precision: Mapping[str, Any] = field(default_factory=lambda: {"precision": "float32"})
    """In which precision the network computes, as a record holds it."""

    @property
    def networks(self) -> list[Network]:
        """All networks."""
        return [self.network, *([self.registrar] if self.registrar else [])]

    @cached_property
    def watch(self) -> InputWatch:
        """Notices that the input is replaced from now on."""
        return InputWatch(name for name in names_behind(self.image.files) if not name.endswith(STATISTICS_SUFFIX))

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """All that the network's output depends on."""
        return {
            "input": {
                "files": unplaced(self.watch.stamps),
                "bands": {
                    band: [self.watch.stamps[place(name)], number] for band, (name, number) in self.image.bands.items()
                },
                "level": self.image.level,
                "scale": self.scale,
                "offset": self.offset,
                **({"part": astuple(self.part)} if self.part else {}),
            },
            "models": [weights_of(network) for network in self.networks],
        }

    @property
    def identity(self) -> dict[str, Any]:
        """All that the product's pixels depend on."""
        found = {**self.inputs, "original_cast": self.original_cast}
        return found if self.nodata is None else {**found, "nodata": self.nodata}

    @property
    def notes(self) -> dict[str, Any]:
        """What is to be known of the network, as `chain.serving.provenance.write_record` takes it."""
        models = [
            {**network.description.to_json(), "folder": network.model_dir, "engine": network.engine}
            for network in self.networks
        ]
        named_by = [f"{band}: known by {reason}" for band, reason in self.image.named_by.items()]
        return {
            "models": models,
            "precision": self.precision,
            "decisions": [*named_by, *self.image.warnings, *map(str, verify({n: n for n in self.watch.names}))],
            "input": {
                "files": self.watch.stamps,
                "bands": self.image.bands,
                "names": input_names(self.names),
            },
            "derived_from": [link(name) for name in self.image.files],
        }

    @property
    def grid(self) -> Grid:
        """Where the product's pixels lie."""
        return output_grid(self.image.grid, self.network.description)

    def layout(self, bands: tuple[str, ...], dtype: str, identity: dict[str, Any]) -> Layout:
        """Return what a file of this product's grid is."""
        source = ", ".join(Path(name).name for name in self.image.files)
        stated = {TASK_KEY: self.task, "SR_LEVEL": self.image.level}
        stated |= dated([time_in_name(Path(name).name) for name in self.image.files])
        metadata = file_metadata(self.networks, source, identity, **stated)
        missing = self.nodata if dtype == "uint16" else None
        return Layout(self.grid, bands, dtype, metadata, self.image.placed, missing=missing)

    def write(
        self,
        layout: Layout,
        regions: Sequence[Region],
        maker: Any,
        make: Callable,
        progress: Progress = SILENT,
    ) -> int:
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
            self.overwrite,
            self.restart,
            advance=progress_of(progress, layout.grid, self.output.name),
            make=make,
            check=lambda folder: self.watch.check_all(),
            creation=self.creation,
        )


def progress_of(progress: Progress, grid: Grid, text: str) -> Callable[[Region], None]:
    """Return what reports the part of a grid that is made, given each region that is."""
    made, total = 0, grid.rows * grid.columns

    def advance(region: Region) -> None:
        nonlocal made
        made += region.rows * region.columns
        progress(made / total, text)

    return advance


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
        raise RuntimeError(f"model: expected finite values, got {wrong} pixels that are not")
    if not original_cast:
        return {name: (values[..., index], present) for index, name in enumerate(names)}
    values = np.mod(np.trunc(np.where(present[..., np.newaxis], values, 0)), np.float32(65536))
    return {name: (values[..., index], values[..., index] > 0) for index, name in enumerate(names)}
