# SPDX-License-Identifier: Apache-2.0
"""What makes the regions of products instead of this process."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from chain.raster.grids import Region
from chain.serving.journal import Journal
from chain.serving.network import Network


class Workers(Protocol):
    """Processes that make regions: those of `chain.serving.dask.scheduler`."""

    def job(self, names: Sequence, output: Path, networks: Sequence[Network], identity: Mapping) -> Any:
        """Return what workers have to know of a product.

        Args:
            names: Files of the scene, or its item.
            output: The product.
            networks: The networks that are to be used.
            identity: All that its pixels depend on.
        """

    def make_regions(self, journal: Journal, regions: Sequence[Region], job: Any) -> Iterator[Region]:
        """Let workers make regions of a product.

        Args:
            journal: That of the product, held by this process.
            regions: The regions.
            job: What `job` returned.

        Yields:
            Each region that is written.

        Raises:
            RuntimeError: There are no workers, they cannot work on the product, or a region has cost several of them.
        """
