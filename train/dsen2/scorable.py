# SPDX-License-Identifier: Apache-2.0
"""Which test scenes of DSen2 can be scored, found out before a training rather than behind it.

The protocol is run with bicubic interpolation as the system: two seconds for a window of 14.4 km.

    scorable(read_scenes(open_product("S2A_MSIL1C_….SAFE"), "2x"), "2x")
"""

from collections.abc import Sequence

import numpy as np

from chain.runtime.progress import LOG
from datasets.dsen2 import Scene, scale_of
from evaluation import wald
from evaluation.bicubic import bicubic
from models.dsen2 import ROLES, SOURCES


def scorable(windows: Sequence[Scene], role: str) -> list[Scene]:
    """Return the windows of a scene that can be scored; warn of the others.

    Args:
        windows: the windows, at least one.
        role: `2x` or `6x`.

    Raises:
        ValueError: there is none.
    """
    reasons = {window.name: _reason(window, role) for window in windows}
    if all(reasons.values()):
        name, reason = next(iter(reasons.items()))
        raise ValueError(f"--test: {reason} in {name}")
    for name, reason in reasons.items():
        if reason:
            LOG.warning("--test: %s is left out: %s", name, reason)
    return [window for window in windows if not reasons[window.name]]


def _reason(window: Scene, role: str) -> str:
    """Say why a window cannot be scored; nothing when it can."""

    def interpolate(bands: dict[str, np.ndarray], names: tuple[str, ...]) -> dict[str, np.ndarray]:
        image = bicubic(np.stack([bands[name] for name in names], axis=-1), scale_of(role))
        return {name: image[..., index] for index, name in enumerate(names)}

    try:
        wald.evaluate(window.bands, interpolate, SOURCES[ROLES[role][-1]].bands)
    except ValueError as error:
        return str(error).removeprefix("bands: ")
    return ""
