# SPDX-License-Identifier: Apache-2.0
"""What makes the regions of products, or whole scenes, instead of this process."""

from collections.abc import Callable, Iterator, Mapping, Sequence
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
            Exception: What a worker raised.
        """

    def make_scene(
        self, name: str, module: str, function: str, arguments: tuple, cancelled: Callable[[], bool] | None = None
    ) -> Any:
        """Let a worker make a scene: call a function of a program with the options and further arguments.

        Args:
            name: What is made, in words.
            module: Module of the function.
            function: The function; it takes the options, for a worker, and the arguments.
            arguments: Names of files among them are made absolute.
            cancelled: Called now and then; the scene is given up when it returns True.

        Returns:
            What the function returns.

        Raises:
            RuntimeError: There are no workers, they run another version, or the scene has cost several of them.
            chain.runtime.progress.Cancelled: `cancelled` said so.
            Exception: What the function raised.
        """
