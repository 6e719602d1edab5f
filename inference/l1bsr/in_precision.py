# SPDX-License-Identifier: Apache-2.0
"""The precision in which REC computes, and the engine that runs it.

CSR always computes in float32: flows need a precision of a hundredth of a pixel. Piece by piece, REC is computed by
TensorFlow, in float32 or bfloat16.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from chain.raster.grids import spread
from chain.serving.network import Network
from chain.serving.precision.begun import prepared_for
from chain.serving.production import SAMPLE_SIDE, SAMPLES
from inference.l1bsr.counts import read_counts, statistics_of
from inference.l1bsr.model import Execution
from inference.l1bsr.options import Options
from inference.l1bsr.product import ProductInputs


def in_precision(inputs: ProductInputs, options: Options, execution: Execution) -> ProductInputs:
    """Return what a product is made of, with REC in the precision, and for the engine, that are asked for.

    Args:
        inputs: what it is made of, in float32.
        options: how it is made.
        execution: what the network may be run with.

    Raises:
        ValueError: the network cannot be had so, or memory does not hold the image of an engine that takes it whole.
        RuntimeError: OpenVINO is not installed, or an engine refuses.
        OSError: the cache cannot be written.
    """
    engine = options.engine or "otbtf"
    if options.precision == "float32" and engine == "otbtf":
        return inputs
    grid = inputs.image.grid
    mode = execution.chosen(inputs.network.description, grid.rows * grid.columns)
    if not mode.whole and engine == "openvino":
        raise ValueError(
            f"--memory: expected about {mode.needed / 1e9:.1f} GB, as OpenVINO takes the whole image at once, got "
            f"{mode.memory / 1e9:.1f} GB; other engines go piece by piece"
        )
    if options.precision != "auto" or not mode.whole:
        options = replace(options, engine=engine)
    if options.precision != "auto" and not mode.whole:
        description = replace(inputs.network.description, precision=options.precision)
        network = replace(inputs.network, description=description, engine=engine)
        return replace(inputs, network=network, precision={"precision": options.precision})

    def tiles() -> list[dict[str, np.ndarray]]:
        return _samples(inputs, options, execution)

    def identity(networks: Sequence[Network]) -> dict:
        return replace(inputs, network=networks[0]).identity

    (network,), chosen = prepared_for(inputs.output, options, [inputs.network], tiles, identity, digital_number=1.0)
    return replace(inputs, network=network, precision=chosen)


def _samples(inputs: ProductInputs, options: Options, execution: Execution) -> list[dict[str, np.ndarray]]:
    """Return counts of parts spread over the image, by source, without those that have no valid pixel."""
    image, source = inputs.image, inputs.network.description.sources[0]
    found = []
    for region in spread((image.grid.columns, image.grid.rows), SAMPLE_SIDE, SAMPLES):
        part, numbers = image.part(region), (options.count_scale, options.count_offset)
        if statistics_of(part, *numbers).valid:
            found.append({source.name: read_counts(part, execution.scratch, *numbers).pixels})
    return found
