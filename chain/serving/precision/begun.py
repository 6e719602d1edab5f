# SPDX-License-Identifier: Apache-2.0
"""The precision of a product that was begun: what `auto` chose is kept, as timings would choose otherwise next time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from chain.serving.journal import plain, read_journal
from chain.serving.network import Network
from chain.serving.precision.options import PrecisionOptions
from chain.serving.precision.precision import Tile, prepared
from chain.serving.recipe import REFLECTANCE


def prepared_for(
    output: Path,
    options: PrecisionOptions,
    networks: Sequence[Network],
    tiles: Callable[[], Sequence[Tile]],
    identity: Callable[[Sequence[Network]], Mapping],
    digital_number: float = REFLECTANCE,
) -> tuple[tuple[Network, ...], dict]:
    """Return networks in the precision, and for the engine, of a product.

    Args:
        output: the product.
        options: which precision, engine and error are allowed.
        networks: networks in float32.
        tiles: as `prepared` takes them.
        identity: returns all that the product's pixels depend on, given its networks.
        digital_number: what one digital number is in the unit of the networks' outputs.

    Returns:
        What `prepared` returns.

    Raises:
        ValueError, RuntimeError, OSError: as `prepared`.
    """
    begun = read_journal(output) if options.precision == "auto" else None
    if begun and len(begun.notes["models"]) == len(networks):
        chosen = tuple(
            replace(
                network,
                description=replace(network.description, precision=model["precision"]),
                model_dir=model["folder"],
                engine=model["engine"],
            )
            for network, model in zip(networks, begun.notes["models"])
        )
        if plain(identity(chosen)) == begun.identity:
            return chosen, begun.notes["precision"]
    return prepared(options, networks, tiles, digital_number)
