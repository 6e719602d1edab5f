# SPDX-License-Identifier: Apache-2.0
"""Whether pairs are what a training can learn from: counts of L1B, of two detectors, and other ones to validate on."""

import numpy as np

from chain.runtime.progress import LOG
from datasets.l1bsr.counts import OTHERS, Statistics
from datasets.l1bsr.pairs import Pairs

DARK_OR_BRIGHT = OTHERS[2], OTHERS[4]
"""Those of them that counts of dark, or bright, ground look like."""


def check_pairs(pairs: Pairs, argument: str) -> None:
    """Refuse pairs of one image twice, and sets whose numbers cannot be counts; warn of those that hardly can be.

    Args:
        pairs: the pairs.
        argument: what names them, for errors.

    Raises:
        ValueError: there is such a pair, or set.
    """
    for pair in pairs.pairs:
        if np.array_equal(*pair.images):
            raise ValueError(
                f"{argument}: expected what two detectors saw, got the same pixels from both in {pair.name}"
            )
    for group, statistics in _statistics(pairs).items():
        if not statistics.valid or not statistics.other:
            continue
        told = f"{argument}: {statistics.expected} ({statistics.other}) in {group}"
        if statistics.other not in DARK_OR_BRIGHT:
            raise ValueError(told)
        LOG.warning("%s", told)


def _statistics(pairs: Pairs) -> dict[str, Statistics]:
    """Return what is to be known of the numbers of each set."""
    found: dict[str, Statistics] = {}
    for pair in pairs.pairs:
        for image in pair.images:
            found.setdefault(pair.group, Statistics()).add(image, (image != 0).all(axis=-1))
    return found


def check_other_pairs(pairs: Pairs, training: Pairs, argument: str) -> None:
    """Refuse pairs that are among those that are trained on.

    Args:
        pairs: the pairs.
        training: those that are trained on.
        argument: what names the former, for errors.

    Raises:
        ValueError: one is.
    """
    names = {pair.digest: pair.name for pair in training.pairs}
    same = next((pair for pair in pairs.pairs if pair.digest in names), None)
    if same:
        raise ValueError(
            f"{argument}: expected other pairs than those that are trained on, got {same.name}, which is "
            f"{names[same.digest]}"
        )
