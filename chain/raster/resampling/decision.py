# SPDX-License-Identifier: Apache-2.0
"""Which of the interpolations that explain an image it was made by; bands of one image tell it for one another.

In this order: the one that explains pixels beside missing ones too; the one whose native pixels are whole numbers; the
one whose border rules explain the sides better; the one by which other bands were made; the one whose border rules are
usual. Where their native pixels are nearly the same, the likelier one is taken. Else the image is refused: only the
user can know.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from chain.raster.resampling.integers import SURE
from chain.raster.resampling.interpolation import METHODS, OPEN, SIDES, SPLINE, Resampling
from chain.raster.resampling.recognition import FREEDOM, Candidate

EXPLAINED_COUNTED, EXPLAINED = 1.25, 10.0
"""Misfit of the sides, relative to the least one, up to which border rules explain them: of digital numbers, rounding
hides most of the difference."""
ALIKE, ALIKE_RELATIVE = 2.0, 1e-4
"""Difference of native pixels up to which it does not matter by which interpolation they are found: digital numbers,
or relative to the largest floating point one."""


class Ambiguous(ValueError):
    """Pixels that several interpolations give, of native pixels that differ."""

    def __init__(self, methods: Sequence[str]):
        super().__init__(f"pixels that {' and '.join(methods)} both give")
        self.methods = tuple(methods)


@dataclass(frozen=True)
class Decision:
    """What an image was made by."""

    found: Resampling
    """Method, phase and border rules."""
    others: tuple[str, ...] = ()
    """Methods that explain its pixels as well, and give nearly the same native pixels."""


def decide(
    candidates: Mapping[str, Sequence[Candidate]], likely: Sequence[str] = ()
) -> dict[str, Decision | Ambiguous]:
    """Decide how each of some bands of one resolution was made.

    Args:
        candidates: for each band, the interpolations that explain it.
        likely: methods of other bands of the same image.
    """
    candidates = {band: _without_chance(_whole(each)) for band, each in candidates.items()}
    alone = {band: found for band, each in candidates.items() if (found := _alone(each)) is not None}
    made_by = sorted({found.method for found in alone.values()})
    decided: dict[str, Decision | Ambiguous] = {band: Decision(found) for band, found in alone.items()}
    decided.update({band: Ambiguous(made_by) for band in _doubtful(candidates, alone)})
    open_ = {band: each for band, each in candidates.items() if band not in decided}
    together = _together(open_)
    sure = {each.found.method for each in decided.values() if isinstance(each, Decision)} - {"nearest"}
    methods = sure or {*likely} - {"nearest"}
    for band, each in open_.items():
        decided[band] = _by_others(each, methods, together)
    return decided


def _whole(candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """Return candidates without those that explain nothing beside missing pixels, where another explains many there."""
    most = max((each.freedom for each in candidates if not each.in_part), default=0.0)
    return [each for each in candidates if not each.in_part or each.freedom > most - FREEDOM]


def _without_chance(candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """Return candidates without those that explain an image by chance, where another one surely made it."""
    sure = [
        each.integers.score
        for each in candidates
        if not each.rival and (each.found.method == SPLINE or each.integers.score > SURE)
    ]
    least = max(sure, default=-np.inf) - SURE
    return [each for each in candidates if not each.rival or each.integers.score > least]


def _by_others(candidates: Sequence[Candidate], methods: Collection[str], together: str | None) -> Decision | Ambiguous:
    """Decide how a band that does not tell it itself was made.

    Args:
        candidates: the interpolations that explain it.
        methods: those by which other bands were made.
        together: the one by which all such bands together are whole numbers, if one is.
    """
    expected = [one for one in candidates if one.found.method in (methods if together is None else {together})]
    if len(expected) == 1 and (expected[0].found.method in methods or not expected[0].rival):
        return Decision(expected[0].found)
    doubtful = next((one for one in candidates if one.rival and one.found.method not in methods), None)
    if doubtful is not None:
        return Ambiguous([doubtful.found.method, doubtful.rival])
    usual = _usual(_explaining(candidates))
    if usual is not None:
        return Decision(usual)
    if _alike(candidates):
        best = max(candidates, key=lambda one: one.integers.score)
        return Decision(best.found, tuple(one.found.method for one in candidates if one is not best))
    return Ambiguous([one.found.method for one in candidates])


def _doubtful(candidates: Mapping[str, Sequence[Candidate]], alone: Mapping[str, Resampling]) -> list[str]:
    """Return the bands whose native pixels are surely no whole numbers, where another band's are, by another method."""
    scores = {
        band: next(one.integers.score for one in candidates[band] if one.found == found)
        for band, found in alone.items()
    }
    whole = {alone[band].method for band, score in scores.items() if score > SURE}
    return [band for band, score in scores.items() if score < -SURE and whole - {alone[band].method}]


def _alone(candidates: Sequence[Candidate]) -> Resampling | None:
    """Return what a band itself tells, None where that leaves more than one possibility."""
    if any(each.rival for each in candidates):
        return None
    if len(candidates) == 1:
        return candidates[0].found
    first, second = sorted(candidates, key=lambda each: -each.integers.score)[:2]
    if first.integers.score > max(0.0, second.integers.score) + SURE:
        return first.found
    explaining = _explaining(candidates)
    return explaining[0].found if len(explaining) == 1 else None


def _together(open_: Mapping[str, Sequence[Candidate]]) -> str | None:
    """Return the method by which native pixels are whole numbers in some bands together, None if that is unsure."""
    if not open_:
        return None
    shared = set.intersection(*({one.found.method for one in each} for each in open_.values()))
    scores = sorted(
        (sum(one.integers.score for each in open_.values() for one in each if one.found.method == method), method)
        for method in shared
    )
    if len(scores) < 2 or scores[-1][0] <= max(0.0, scores[-2][0]) + SURE:
        return None
    return scores[-1][1]


def _explaining(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return those that explain the most sides, or these better; none where there is no side to explain."""
    most = max(len(each.misfits) for each in candidates)
    if not most:
        return []
    best = sorted((each for each in candidates if len(each.misfits) == most), key=lambda each: sum(each.misfits))
    factor = EXPLAINED_COUNTED if best[0].found.counted else EXPLAINED
    return [each for each in best if sum(each.misfits) <= factor * sum(best[0].misfits)]


def _usual(candidates: Sequence[Candidate]) -> Resampling | None:
    """Return the one of usual border rules; None where that is not one, as sides of even ground suit any rule."""
    rarities = [_rarity(each.found) for each in candidates]
    usual = [each.found for each, rarity in zip(candidates, rarities) if rarity == min(rarities)]
    return usual[0] if len(usual) == 1 else None


def _rarity(found: Resampling) -> int:
    """Return how unlikely the border rules are for the method; symmetric is to cubic what edge is to bilinear, by 2."""
    rules = METHODS[found.method].borders
    return sum(rules.index(rule) for rule in (getattr(found, side) for side in SIDES) if rule != OPEN)


def _alike(candidates: Sequence[Candidate]) -> bool:
    """Return whether the native pixels of all are nearly the same wherever they are known, as in smooth images."""
    first, *others = candidates
    if any(other.found.phase != first.found.phase or other.native.shape != first.native.shape for other in others):
        return False
    peak = float(np.nanmax(np.abs(first.native), initial=0.0)) if np.isfinite(first.native).any() else 0.0
    limit = ALIKE if first.found.counted else ALIKE_RELATIVE * peak
    differences = [np.abs(other.native - first.native) for other in others]
    return all(float(np.nanmax(each, initial=0.0)) <= limit for each in differences)
