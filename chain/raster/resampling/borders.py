# SPDX-License-Identifier: Apache-2.0
"""Border rules of an image that was made finer, recognised along its sides.

A side is where the resampler's own border was, or the image was cut there afterwards: then native pixels beyond it are
unknown, and most rules are a case of this. Where native pixels beyond the border were left out, or gdalwarp's cubic
turned to bilinear, it is not, and what was cut off can be less than what the rule concerns.

A rule is taken when it explains the pixels as well as unknown native pixels do that could be anything.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from chain.raster.resampling.integers import SURE, integers
from chain.raster.resampling.interpolation import EXACT, FRAME, METHODS, OPEN, SIDES, SPLINE, Method, Resampling
from chain.raster.resampling.parts import Absent, Part, Read, side_parts, whole_side
from chain.raster.resampling.restoration import Gaps, Mismatch, fit
from chain.raster.resampling.treatments import ROUNDED, Fitted, largest_spread

NO_CASE_OF_UNKNOWN = ("renormalised", FRAME)
"""Rules that no native pixels beyond the border stand for."""
SMOOTH_OR_WIDE = (SPLINE, "lanczos")
"""Methods whose border rules are told too badly, where few pixels tell, to take a border for a cut."""
CHANCE, MORE = 4.0, 0.25
"""Standard deviations, and share, by which what a rule leaves may be more than expected."""
TOLD = 24.0
"""Number of pixels from which it is certain that a rule could have been contradicted by them, but was not."""
CLOSE = 1.05
"""Squares of residuals, relative to the least ones, up to which a rule explains pixels as well."""
NEAR = 6
"""Native pixels from a side that are compared by different rules, and tell by which they are whole numbers."""
MOSTLY = 0.5
"""Share of the log-likelihood that native pixels of floating point numbers have at least, if a rule is right."""
DIFFERENCE, NOTICED = 1.5, 4.0
"""Difference of native pixels by two rules, in standard deviations that count as known, from which one is wrong, and
from which this matters where nothing tells which."""


@dataclass(frozen=True)
class Border:
    """What a resampler did beyond a side of an image."""

    rule: str = OPEN
    """Border rule."""
    hidden: int = 0
    """Native pixels between the image and the border."""
    trimmed: int = 0
    """Native pixels along the side that are not known, as more than one rule explains them."""
    rms: float = 0.0
    """Root mean square that the rule leaves."""


def with_borders(
    read: Read,
    shape: tuple[int, int],
    ratio: int,
    found: Resampling,
    absent: Absent,
) -> tuple[Resampling, list[float]]:
    """Add border rules to what is known of an image.

    Args:
        read: gives parts of the image.
        shape: rows and columns of the image.
        ratio: fine pixels along a native one.
        found: how the image was made, but for its borders.
        absent: gives the number of missing pixels from a part and where they are missing in it.

    Returns:
        How it was made; and the root mean squares that the fits leave of sides where a whole native pixel begins.
    """
    borders: dict[str, Border] = {}
    misfits = []
    for number, side in enumerate(SIDES):
        across, along = (0, 1) if number < 2 else (1, 0)
        cut = -(shape[across] + found.phase[across]) % ratio if number % 2 else found.phase[across]
        parts = side_parts(read, shape, ratio, side, absent) if METHODS[found.method].reach else []
        if parts:
            borders[side] = recognise_border(
                parts,
                ratio,
                replace(found, phase=(cut, found.phase[along])),
                functools.partial(whole_side, read, shape, ratio, side, absent),
            )
            if not cut and borders[side].rule != OPEN and not borders[side].hidden:
                misfits.append(borders[side].rms)
        else:
            borders[side] = _untested(METHODS[found.method])
    top, bottom, left, right = (borders[side] for side in SIDES)
    bordered = replace(
        found,
        top=top.rule,
        bottom=bottom.rule,
        left=left.rule,
        right=right.rule,
        hidden=(top.hidden, bottom.hidden, left.hidden, right.hidden),
        trimmed=(top.trimmed, bottom.trimmed, left.trimmed, right.trimmed),
    )
    return bordered, misfits


def _untested(method: Method) -> Border:
    """Return a border of which no pixels tell: what depends on its rule is not known."""
    told = not set(method.borders) & set(NO_CASE_OF_UNKNOWN)
    return Border(trimmed=0 if told else method.reach + 1)


def recognise_border(parts: Sequence[Part], ratio: int, found: Resampling, read_side: Callable[[], Part]) -> Border:
    """Recognise the border rule of a side.

    Args:
        parts: parts of the image, (from the border inwards, along it), away from corners.
        ratio: fine pixels along a native one.
        found: how they were made, with all borders open; the phase is that from the border and that along it.
        read_side: reads the side from corner to corner.
    """
    tried: list[_Explanation] = []
    for treatment in ("masked", "avoided"):
        tried = tried or list(_explanations(parts, ratio, found, treatment))
    explaining = _as_good(tried, _noise(tried, found, parts))
    unknown = next((each for each in explaining if each.border.rule == OPEN), None)
    rules = [replace(each, support=_support(each, unknown, found, ratio)) for each in explaining if each is not unknown]
    rules = [each for each in rules if each.support > -SURE]
    supported = [each for each in rules if each.support > SURE]
    whole = [
        each
        for each in rules
        if not (each.border.hidden or found.phase[0]) and (unknown is None or each.freedom - unknown.freedom > TOLD)
    ]
    chosen = _tightest([each for each in whole if each in supported]) or _tightest(supported or whole) or unknown
    chosen = chosen or _tightest(rules)
    if chosen is None:
        return Border()
    others = [each for each in rules if each.support > chosen.support - SURE]
    depth = max((_depth(chosen, each, found, ratio, parts) for each in others), default=0)
    doubted = [each for each in others if _is_no_unknown(each)]
    if found.method in SMOOTH_OR_WIDE and chosen is unknown and doubted:
        side = read_side()
        holed = any(part.missing is not None for part in (*parts, side))
        untested = _untested(METHODS[found.method]).trimmed
        depth = max(depth, untested if holed else _depth_beside_unknown(side, doubted, found, ratio))
    return replace(chosen.border, trimmed=depth, rms=chosen.rms)


def _is_no_unknown(each: "_Explanation") -> bool:
    """Return whether it is a rule that no native pixels beyond the border stand for."""
    return each.border.rule in NO_CASE_OF_UNKNOWN


def _noise(tried: Sequence["_Explanation"], found: Resampling, parts: Sequence[Part]) -> float:
    """Return the standard deviation of what was added to each fine pixel, by the explanation that leaves the least."""
    peak = max(float(np.abs(part.valid).max(initial=0.0)) for part in parts)
    least = [(each.squares / max(each.freedom, 1.0)) ** 0.5 for each in tried]
    return max(EXACT * peak, min([*least, ROUNDED] if found.counted else least, default=0.0))


def _as_good(tried: Sequence["_Explanation"], noise: float) -> list["_Explanation"]:
    """Return those that leave no more than is expected by how many native pixels they leave unknown."""
    excess = [max(each.squares / noise**2 - each.freedom, 0.0) for each in tried]
    least = min(excess, default=0.0)
    freedom = next((each.freedom for each, more in zip(tried, excess) if more == least), 0.0)
    return [
        each
        for each, more in zip(tried, excess)
        if more - least
        <= 2 * SURE + 0.25 * abs(each.freedom - freedom) + CHANCE * (2 * abs(each.freedom - freedom)) ** 0.5
    ]


def _chance(told: float) -> float:
    """Return by how much squares may be more than expected, in variances, for a number of native pixels told."""
    return MORE * told + CHANCE * (2 * told) ** 0.5


def _tightest(explaining: Sequence["_Explanation"]) -> "_Explanation | None":
    """Return the first of those that leave the least; None where there is none."""
    least = min((each.squares for each in explaining), default=0.0)
    return next((each for each in explaining if each.squares <= CLOSE * least + 1e-9), None)


def _explanations(parts: Sequence[Part], ratio: int, found: Resampling, treatment: str) -> Iterator["_Explanation"]:
    """Give the rules that explain a side, by one treatment of missing pixels: others would compare other pixels."""
    unknown = _explanation(parts, ratio, found, Border(), treatment)
    if unknown is not None:
        yield unknown
    for border in _hypotheses(ratio, found):
        if border.rule != FRAME or unknown is None or not (border.hidden or found.phase[0]):  # which is never hidden
            bordered = replace(found, top=border.rule, hidden=(border.hidden, 0, 0, 0))
            each = _explanation(parts, ratio, bordered, border, treatment)
            if each is not None:
                yield each


def _hypotheses(ratio: int, found: Resampling) -> Iterator[Border]:
    """Give the rules to try, and how many native pixels the border may be away."""
    method, cut = METHODS[found.method], found.phase[0]
    if not cut:
        yield from (Border(rule) for rule in method.borders)
    for hidden in range(method.reach):
        if (hidden or cut) and cut + hidden * ratio < (method.reach - 0.5) * ratio:
            yield from (Border(rule, hidden) for rule in method.borders if rule in NO_CASE_OF_UNKNOWN)


@dataclass(frozen=True)
class _Explanation:
    """A border rule that explains a side."""

    border: Border
    squares: float
    """Sum of the squares that the fits leave."""
    freedom: float
    """How many more fine pixels there are than native ones that they determine."""
    rms: float
    """Root mean square that the fits leave."""
    near: list[Fitted]
    """Native pixels of each part near the side, from the border inwards."""
    support: float = 0.0
    """Log-likelihood of whole numbers for native pixels that are only known by this rule."""


def _explanation(
    parts: Sequence[Part], ratio: int, found: Resampling, border: Border, treatment: str
) -> _Explanation | None:
    """Fit parts of a side by a border rule; None where this does not explain the pixels."""
    try:
        fits = [fit(part.pixels, ratio, found, part.missing, part.absent, gaps=Gaps(only=treatment)) for part in parts]
    except Mismatch:
        return None
    near = [
        replace(each, native=each.native[:NEAR], spread=each.spread[:NEAR], valid=each.valid[:NEAR]) for each in fits
    ]
    return _Explanation(
        border,
        sum(each.rms**2 * each.used for each in fits),
        sum(each.freedom for each in fits),
        sum(each.rms for each in fits) / len(fits),
        near,
    )


def _support(each: _Explanation, unknown: _Explanation | None, found: Resampling, ratio: int) -> float:
    """Return the log-likelihood of whole numbers for native pixels near the side that are only known by a rule.

    It is 0 where other native pixels are no whole numbers, and less as far as these are such without the rule, too.
    """
    if unknown is None:
        return integers(each.near, ratio, found).score
    if integers(unknown.near, ratio, found).score <= SURE:
        return 0.0
    only = [replace(one, valid=one.valid & ~other.valid) for one, other in zip(each.near, unknown.near)]
    without = [replace(one, native=other.native) for one, other in zip(only, unknown.near)]
    score = integers(only, ratio, found).score
    if not found.counted:  # pixels are nearly exact, and so are native ones, if the rule is right
        whole = integers([replace(one, native=np.rint(one.native)) for one in only], ratio, found).score
        if score < MOSTLY * whole:
            return score - whole
    return score - max(integers(without, ratio, found).score, 0.0) if score > 0 else score


def _depth_beside_unknown(side: Part, others: Sequence[_Explanation], found: Resampling, ratio: int) -> int:
    """Return to how many native pixels from a side, also near its corners, rules differ from unknown pixels."""
    unknown = _explanation([side], ratio, found, Border(), "masked")
    depths = []
    for border in (other.border for other in others):
        bordered = replace(found, top=border.rule, hidden=(border.hidden, 0, 0, 0))
        explained = _explanation([side], ratio, bordered, border, "masked")
        if unknown and explained:
            depths.append(_depth(unknown, explained, found, ratio, [side], NOTICED))
        else:  # corners have rules of their own
            depths.append(_untested(METHODS[found.method]).trimmed)
    return max(depths)


def _depth(
    first: _Explanation,
    second: _Explanation,
    found: Resampling,
    ratio: int,
    parts: Sequence[Part],
    least: float = DIFFERENCE,
) -> int:
    """Return to how many native pixels from the side two explanations differ."""
    peak = max(float(np.abs(part.valid).max(initial=0.0)) for part in parts)
    tolerance = least * largest_spread(found, ratio, peak)
    depth = 0
    for one, other in zip(first.near, second.near):
        limit = np.maximum(tolerance, CHANCE * np.maximum(one.spread, other.spread))
        differing = one.valid & other.valid & (np.abs(one.native - other.native) > limit)
        depth = max(depth, int(np.flatnonzero(differing.any(axis=1)).max(initial=-1)) + 1)
    return depth
