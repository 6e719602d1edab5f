# SPDX-License-Identifier: Apache-2.0
"""By which interpolations an image can have been brought to a finer grid, recognised from its pixels.

Native pixels are fitted to parts of the image, along its rows and along its columns, for each method and each phase.
Only the true ones leave as little as rounding does. Parts with missing pixels are fitted as a whole. Then each side is
fitted with each border rule. More than one method can be left: by a ratio of 2, each image that cubic (a = -0.5) gives
is also what bilinear gives of another one. `chain.raster.resampling.decision` chooses.

    candidates = candidates_of(read, shape, 2)                  # [Candidate(Resampling('bilinear', (0, 0), ...))]
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from chain.raster.resampling.borders import with_borders
from chain.raster.resampling.integers import Integers, integers
from chain.raster.resampling.interpolation import METHODS, OPEN, SIDES, SPLINE, Axis, Resampling, axis
from chain.raster.resampling.parts import (
    NEAR,
    Absent,
    Part,
    Read,
    complete_parts,
    fewer_sides,
    holed_parts,
    inner_parts,
    read_part,
)
from chain.raster.resampling.restoration import Gaps, Mismatch, fit, is_counted, limits_of, solve_axis
from chain.raster.resampling.splines import is_smoothing
from chain.raster.resampling.treatments import TREATMENTS, Fitted, Problem

FREEDOM = 60.0
"""Least number of pixels more than native ones by which a method is recognised where pixels are missing."""
CLOSE = 1.05
"""Root mean square of residuals, relative to the least one, up to which a method explains pixels as well."""
EXPECTED = 1.25
"""The same for the phase that is expected: that of the grid of Sentinel-2's tiles."""
SMOOTH = "other smooth interpolations"
HOPELESS = 8.0
"""Residual of a part of an image, relative to the largest one allowed, from which others need not be looked at."""
WHOLE = 128
"""Native pixels along an image up to which all of it tells how near its native pixels are to whole numbers."""


class TooLittle(ValueError):
    """An image whose pixels do not tell by which method it was made, as they are too few."""


@dataclass(frozen=True)
class Candidate:
    """An interpolation that explains an image."""

    found: Resampling
    """Method, phase and border rules."""
    misfits: tuple[float, ...]
    """Root mean squares that the fits of the sides leave which are borders with a known rule."""
    integers: Integers
    """How near to whole numbers its native pixels are."""
    native: np.ndarray
    """Its native pixels in parts of the image, for comparison; not a number where they are not known."""
    rival: str = ""
    """Another interpolation, not among `METHODS`, that may have given the image as well."""
    freedom: float = 0.0
    """How many more fine pixels it explains than there are native ones that these determine."""
    in_part: bool = False
    """Whether it explains the pixels only that missing ones have no part in."""


@dataclass
class _Misfit:
    """What fits leave."""

    largest: float = 0.0
    squares: float = 0.0
    freedom: float = 0.0

    def add(self, largest: float, squares: float, freedom: float) -> None:
        if freedom > 0:
            self.largest = max(self.largest, largest)
            self.squares += squares
            self.freedom += freedom

    def add_lines(self, lines: Axis, pixels: np.ndarray) -> None:
        residual = solve_axis(lines, pixels)[1]
        freedom = (lines.matrix.shape[0] - lines.determined) * pixels.shape[1]
        self.add(float(np.abs(residual).max()), float(np.sum(residual**2)), freedom)

    @property
    def rms(self) -> float:
        return (self.squares / self.freedom) ** 0.5 if self.freedom > 0 else np.inf

    def within(self, limits: tuple[float, float]) -> bool:
        slack = 1e-9 * (1 + limits[0])
        return self.freedom > 0 and self.largest <= limits[0] + slack and self.rms <= limits[1] + slack

    def close(self, least: "_Misfit", peak: float) -> bool:
        """Return whether it is as small as the one of least root mean square, given how many pixels tell either."""
        factor = max(CLOSE, 1 + 2 / max(min(self.freedom, least.freedom), 1.0) ** 0.5)
        return self.rms <= factor * least.rms + 1e-9 * peak


def _best_phase(windows: Sequence[np.ndarray], ratio: int, method: str, expected: int) -> tuple[int, _Misfit]:
    """Return the phase that fits best along the first axis of windows, and how well it does."""
    misfits = []
    for phase in range(ratio):
        misfits.append(_Misfit())
        for window in windows:
            misfits[-1].add_lines(axis(method, ratio, phase, len(window), OPEN, OPEN), window)
    best = min(range(ratio), key=lambda phase: misfits[phase].rms)
    best = expected if misfits[expected].rms <= misfits[best].rms * EXPECTED + 1e-9 else best
    return best, misfits[best]


def stated_image(
    read: Read, shape: tuple[int, int], ratio: int, method: str, expected: tuple[int, int] = (0, 0)
) -> Resampling:
    """Return the phase of an image whose method is stated, by which its pixels are explained best.

    Args:
        read: gives parts of the image.
        shape: rows and columns of the image.
        ratio: fine pixels along a native one.
        method: name in `METHODS`.
        expected: the phase to take where no other one is better.
    """
    windows = [np.asarray(part.pixels, float) for part in inner_parts(read, shape, ratio)]
    counted = all(is_counted(window) for window in windows)
    down, _ = _best_phase(windows, ratio, method, expected[0])
    across, _ = _best_phase([window.T for window in windows], ratio, method, expected[1])
    return Resampling(method, (down, across), counted=counted, stated=True)


def alike_image(
    read: Read, shape: tuple[int, int], ratio: int, method: str, phase: tuple[int, int], absent: Absent
) -> Resampling:
    """Return how an image was made of which other images tell method and phase: its borders, as far as it tells them.

    The arguments are those of `candidates_of`, with the method's name in `METHODS` and the phase.
    """
    parts = inner_parts(read, shape, ratio) or holed_parts(read, shape, ratio, absent)
    counted = all(is_counted(part.valid) for part in parts)
    return with_borders(read, shape, ratio, Resampling(method, phase, counted=counted), absent)[0]


def recognise_complete(
    windows: Sequence[np.ndarray], ratio: int, counted: bool, expected: tuple[int, int] = (0, 0)
) -> list[Resampling]:
    """Recognise method and phase in parts of an image; border rules are left open.

    Args:
        windows: fine pixels, (rows, columns), without missing ones. The first row and column of each are a multiple of
            `ratio` from the image's.
        ratio: fine pixels along a native one.
        counted: whether the image's pixels are integers.
        expected: the phase to take where no other one is better.

    Returns:
        Those that fit as tightly as any, simple ones first.

    Raises:
        Mismatch: no method gives these pixels.
        TooLittle: the windows are too small to tell.
    """
    windows = [np.asarray(window, float) for window in windows]
    peak = max(float(np.abs(window).max()) for window in windows)
    found = []
    for name in METHODS:
        down, vertical = _best_phase(windows, ratio, name, expected[0])
        across, horizontal = _best_phase([window.T for window in windows], ratio, name, expected[1])
        if min(vertical.freedom, horizontal.freedom) > 0.5:
            each = Resampling(name, (down, across), counted=counted)
            limits = limits_of(peak, each)
            fits = vertical.within(limits) and horizontal.within(limits)
            if fits and name == "nearest":
                return [each]
            found.append((each, fits, max(vertical, horizontal, key=lambda misfit: misfit.rms)))
    return _tightest(found, peak)


_Entry = tuple[Resampling, bool, _Misfit]
"""An interpolation, whether it explains the pixels, and what it leaves."""


def _tightest(found: list[_Entry], peak: float) -> list[Resampling]:
    """Return those of some interpolations that fit, and as tightly as any; nearest needs no comparison."""
    if not found:
        raise TooLittle("too few pixels to tell how they were resampled")
    fitting = [(each, misfit) for each, fits, misfit in found if fits]
    if not fitting:
        closest, _, misfit = min(found, key=lambda entry: entry[2].rms)
        raise Mismatch(closest.method, misfit.largest)
    least = min((misfit for _, misfit in fitting), key=lambda misfit: misfit.rms)
    return [each for each, misfit in fitting if each.method == "nearest" or misfit.close(least, peak)]


def recognise_holed(
    parts: Sequence[Part], ratio: int, counted: bool, expected: tuple[int, int] = (0, 0)
) -> list[Resampling]:
    """Recognise method and phase in parts of an image some of whose pixels are missing; border rules are left open.

    First, what depends on missing native pixels is left out of account; where that leaves too little, each treatment of
    missing pixels is tried.

    Args:
        parts: parts of the image. The first row and column of each are a multiple of `ratio` from the image's.
        ratio: fine pixels along a native one.
        counted: whether the image's pixels are integers.
        expected: the phase to take where no other one is better.

    Returns:
        Those that fit as tightly as any, simple ones first; of each method, the phase that fits best.

    Raises:
        Mismatch: no method gives these pixels.
        TooLittle: the pixels are too few to tell.
    """
    peak = max((float(np.abs(part.valid).max(initial=0.0)) for part in parts), default=0.0)
    found: list[_Entry] = []
    for names in (("avoided", "masked"), tuple(TREATMENTS)[:-2]):
        for method in METHODS:
            entries = _enough(parts, ratio, Resampling(method, counted=counted), names, peak)
            found += [_best(entries, expected)] if entries else []
            if method == "nearest" and entries and found[-1][1]:
                return [found[-1][0]]
        if any(fits for _, fits, _ in found):
            break
    return _tightest(found, peak)


def _enough(
    parts: Sequence[Part], ratio: int, method: Resampling, treatments: Sequence[str], peak: float
) -> list[_Entry]:
    """Fit each phase of a method by the first treatment that leaves enough pixels to tell, or by any that explains."""
    for treatment in treatments:
        entries = [entry for entry in _phases(parts, ratio, method, treatment, peak) if entry[2].freedom >= FREEDOM]
        fitting = [entry for entry in entries if entry[1]]
        if fitting or (len(entries) == ratio**2 and treatment == "avoided"):
            return fitting or entries
    return entries


def _best(entries: list[_Entry], expected: tuple[int, int]) -> _Entry:
    """Return the entry that fits best, or that of the expected phase where it fits as well."""
    best = min(entries, key=lambda entry: entry[2].rms)
    as_well = [e for e in entries if e[0].phase == expected and e[2].rms <= best[2].rms * EXPECTED + 1e-9]
    return min(as_well, key=lambda entry: entry[2].rms) if as_well else best


def _phases(parts: Sequence[Part], ratio: int, method: Resampling, treatment: str, peak: float) -> Iterator[_Entry]:
    """Fit each phase of a method; give whether it explains the pixels, and what it leaves."""
    limits = limits_of(peak, method)
    for down, across in np.ndindex(ratio, ratio):
        found, misfit = replace(method, phase=(down, across)), _Misfit()
        possible = all(
            _add_part(misfit, part, ratio, found, treatment) and misfit.largest <= HOPELESS * limits[0] + 1e-9
            for part in parts
        )
        yield found, possible and misfit.within(limits), misfit


def _add_part(misfit: _Misfit, part: Part, ratio: int, found: Resampling, treatment: str) -> bool:
    """Add what a fit of a part leaves; return whether the treatment can be that of the part."""
    whole = (slice(None), slice(None))
    missing = np.zeros(part.pixels.shape, bool) if part.missing is None else part.missing
    fitted: Fitted | None
    if found.method == "nearest":
        fitted = fit(part.pixels, ratio, replace(found, stated=True), missing)
    else:
        pixels = np.where(missing, 0, part.pixels).astype(float)
        fitted = TREATMENTS[treatment](Problem(pixels, ratio, found, missing, part.absent, whole))
    if fitted is None:
        return False
    misfit.add(fitted.largest, fitted.rms**2 * fitted.used, fitted.freedom)
    return True


def candidates_of(
    read: Read,
    shape: tuple[int, int],
    ratio: int,
    expected: tuple[int, int] = (0, 0),
    besides: Sequence[tuple[int, int, int, int]] = (),
    absent: Absent = lambda pixels, missing: None,
) -> list[Candidate]:
    """Return the interpolations that explain an image, from parts of it.

    Args:
        read: gives parts of the image.
        shape: rows and columns of the image.
        ratio: fine pixels along a native one.
        expected: the phase to take where no other one is better.
        besides: parts to take besides those that are chosen: first row, first column, rows, columns.
        absent: gives the number of missing pixels from a part and where they are missing in it.

    Raises:
        Mismatch: no method gives these pixels.
        TooLittle: the image is too small to tell, or has too little data.
    """
    parts = inner_parts(read, shape, ratio) + complete_parts(read, shape, ratio, besides)
    insets = (NEAR, 0) if min(shape) >= 4 * NEAR * ratio else (0, NEAR)  # border rules may spoil what is beside a side
    holed = [] if parts else [holed_parts(read, shape, ratio, absent, inset) for inset in insets]
    if not parts and not holed[0]:
        raise TooLittle("too few pixels with data to tell how they were resampled")
    counted = all(is_counted(part.valid) for part in (parts or holed[0]))
    if parts:
        found = _recognise_inside(read, shape, ratio, parts, counted, expected)
    else:
        found = _recognise_around(holed, ratio, counted, expected)
    if found[0].method == "nearest":
        return [Candidate(found[0], (), Integers(), np.empty(0))]
    whole = [read_part(read, (0, 0, *shape), absent)] if max(shape) <= WHOLE * ratio else []
    return [_candidate(read, shape, ratio, each, whole, parts or holed[0], absent) for each in found]


def _recognise_inside(
    read: Read, shape: tuple[int, int], ratio: int, parts: list[Part], counted: bool, expected: tuple[int, int]
) -> list[Resampling]:
    """Recognise an image by parts of it; of a small one, border rules may spoil those."""
    try:
        return recognise_complete([part.pixels for part in parts], ratio, counted, expected)
    except Mismatch as error:
        for insets in fewer_sides(shape, ratio):
            others = inner_parts(read, shape, ratio, insets)
            try:
                return recognise_complete([part.pixels for part in others], ratio, counted, expected)
            except (Mismatch, TooLittle):
                continue
        raise error


def _recognise_around(
    choices: Sequence[list[Part]], ratio: int, counted: bool, expected: tuple[int, int]
) -> list[Resampling]:
    """Recognise an image that has missing pixels everywhere, by the first of some choices of parts that tells."""
    errors = []
    for parts in choices:
        try:
            return recognise_holed(parts, ratio, counted, expected)
        except (Mismatch, TooLittle) as error:
            errors.append(error)
    raise next((error for error in errors if isinstance(error, Mismatch)), errors[0])


def _candidate(
    read: Read,
    shape: tuple[int, int],
    ratio: int,
    found: Resampling,
    whole_image: list[Part],
    parts: list[Part],
    absent: Absent,
) -> Candidate:
    """Return an interpolation that explains an image with what tells it from others."""
    bordered, misfits = with_borders(read, shape, ratio, found, absent)
    gaps = Gaps()
    fits = _fits(whole_image, ratio, bordered, gaps) or _fits(parts, ratio, found, gaps)
    whole = integers(fits, ratio, found)
    native = [np.where(each.valid, each.native, np.nan).ravel() for each in fits]
    is_sure = not _is_chance(bordered, whole)
    if found.method == SPLINE:  # what other splines do beyond a border is a case of unknown native pixels
        if any(bordered.trimmed):
            fits = _fits(whole_image, ratio, replace(bordered, trimmed=(0, 0, 0, 0)), gaps) or fits
        is_sure = is_smoothing(fits, ratio, bordered, integers(fits, ratio, found))
    rival = "" if is_sure else SMOOTH
    bordered = replace(bordered, truncated=found.counted and whole.truncated)
    return Candidate(
        bordered,
        tuple(misfits),
        whole,
        np.concatenate(native or [np.empty(0)]),
        rival,
        sum(each.freedom for each in fits),
        gaps.explained["avoided"] > 0,
    )


def _is_chance(found: Resampling, whole: Integers) -> bool:
    """Return whether an interpolation explains an image of whole numbers by chance.

    Its native pixels are rather none, and it is Lanczos, whose wide kernel fits a spline's images with holes, or the
    image ends by several rules, though one program has one.
    """
    rules = {getattr(found, side) for side in SIDES} - {OPEN}
    return found.counted and whole.score < 0 and (len(rules) > 1 or found.method == "lanczos")


def _fits(parts: Sequence[Part], ratio: int, found: Resampling, gaps: Gaps) -> list[Fitted]:
    """Return the fits of those parts of an image that an interpolation explains; add to what is known of gaps."""
    fits = []
    for part in parts:
        try:
            fits.append(fit(part.pixels, ratio, found, part.missing, part.absent, gaps=gaps))
        except Mismatch:
            continue
    return fits
