# SPDX-License-Identifier: Apache-2.0
"""How an image was interpolated to a finer grid, recognised from its pixels.

Native pixels are fitted to parts of the image, along its rows and along its columns, for each method and each phase.
Only the true ones leave as little as rounding does. Then each side is fitted with each border rule.

    found = recognise_image(read, shape, 2)                     # Resampling(method='bilinear', phase=(0, 0), ...)
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from chain.raster.resampling.interpolation import METHODS, OPEN, Axis, Resampling, axis
from chain.raster.resampling.restoration import RELATIVE, Mismatch, fit, is_counted, limits_of

PARTS = 8
"""Most parts of an image, and of each of its sides, to recognise it by."""
AWAY = 3
"""Native pixels beside missing ones, or the border, to leave out where neither is to count."""
Read = Callable[[int, int, int, int], tuple[np.ndarray, np.ndarray]]
"""Gives fine pixels of an image, and where they are missing, from first row, first column, rows, columns."""
_ALL_OPEN = dict.fromkeys(("top", "bottom", "left", "right"), OPEN)


def _residual(lines: Axis, pixels: np.ndarray) -> np.ndarray:
    """Return what a fit along the first axis leaves of pixels (fine pixels, any number)."""
    seen = lines.shown(pixels) / np.bincount(lines.footprint)[:, None]
    after = lines.matrix.shape[1] - lines.before - lines.count
    start = np.pad(seen, ((lines.before, after), (0, 0)), mode="edge")
    left = pixels - lines.matrix @ start
    return left - lines.matrix @ lines.solve(lines.transposed @ left)


@dataclass
class _Misfit:
    """What fits along one axis leave."""

    largest: float = 0.0
    squares: float = 0.0
    freedom: int = 0

    def add(self, lines: Axis, pixels: np.ndarray) -> None:
        freedom = (lines.matrix.shape[0] - lines.matrix.shape[1]) * pixels.shape[1]
        if freedom > 0:
            residual = _residual(lines, pixels)
            self.largest = max(self.largest, float(np.abs(residual).max()))
            self.squares += float(np.sum(residual**2))
            self.freedom += freedom

    @property
    def rms(self) -> float:
        return (self.squares / self.freedom) ** 0.5 if self.freedom else np.inf

    def within(self, limits: tuple[float, float]) -> bool:
        slack = 1e-9 * (1 + limits[0])
        return self.freedom > 0 and self.largest <= limits[0] + slack and self.rms <= limits[1] + slack


def _best_phase(windows: Sequence[np.ndarray], ratio: int, method: str) -> tuple[int, _Misfit]:
    """Return the phase that fits best along the first axis of windows, and how well it does."""
    best = 0, _Misfit()
    for phase in range(ratio):
        misfit = _Misfit()
        for window in windows:
            misfit.add(axis(method, ratio, phase, len(window), OPEN, OPEN), window)
        if misfit.rms < best[1].rms:
            best = phase, misfit
    return best


def recognise_method(windows: Sequence[np.ndarray], ratio: int, counted: bool = True) -> list[Resampling]:
    """Recognise method and phase in parts of an image; border rules are left open.

    More than one can fit. By a ratio of 2, each image that cubic (a = -0.5) gives is also what bilinear gives of
    another one: third differences around each native pixel are 0 in both.

    Args:
        windows: fine pixels, (rows, columns), without missing ones. The first row and column of each are a multiple of
            `ratio` from the image's.
        ratio: fine pixels along a native one.
        counted: whether the image's pixels are integers.

    Returns:
        Those that fit as tightly as any, simple ones first.

    Raises:
        Mismatch: no method gives these pixels.
        ValueError: the windows are too small to tell.
    """
    windows = [np.asarray(window, float) for window in windows]
    peak = np.array([np.abs(window).max() for window in windows])
    found = []
    for name in METHODS:
        down = _best_phase(windows, ratio, name)
        across = _best_phase([window.T for window in windows], ratio, name)
        if min(down[1].freedom, across[1].freedom):
            limits = limits_of(peak, name, counted)
            fits = down[1].within(limits) and across[1].within(limits)
            rms, largest = max(down[1].rms, across[1].rms), max(down[1].largest, across[1].largest)
            found.append((name, (down[0], across[0]), fits, rms, largest))
    if not found:
        raise ValueError(f"an image of more pixels is wanted. Received: {' x '.join(map(str, windows[0].shape))}")
    fitting = [entry for entry in found if entry[2]]
    if not fitting:
        closest = min(found, key=lambda entry: entry[3])
        raise Mismatch(closest[0], closest[4])
    tightest = min(entry[3] for entry in fitting)
    return [
        Resampling(name, phase, counted=counted)
        for name, phase, _, rms, _ in fitting
        if name == "nearest" or rms <= 1.05 * tightest + 1e-9 * peak.max()
    ]


def stated_image(read: Read, shape: tuple[int, int], ratio: int, method: str) -> Resampling:
    """Return the phase of an image whose method is stated, by which its pixels are explained best.

    Args:
        read: gives parts of the image.
        shape: rows and columns of the image.
        ratio: fine pixels along a native one.
        method: name in `METHODS`.
    """
    windows = _inner_windows(read, shape, ratio)
    counted = all(is_counted(window) for window in windows)
    down, _ = _best_phase(windows, ratio, method)
    across, _ = _best_phase([window.T for window in windows], ratio, method)
    return Resampling(method, (down, across), counted=counted, stated=True)


def lattice(windows: Sequence[np.ndarray], ratio: int, found: Resampling) -> tuple[complex, int]:
    """Tell how near to whole numbers, plus something, the native pixels are that fit parts of an image.

    Returns:
        The mean of exp(2 pi i x), whose modulus is 1 if all are and near 0 if none is, and over how many it is.
    """
    total, number = 0j, 0
    for window in windows:
        native = fit(np.asarray(window, float), ratio, replace(found, **_ALL_OPEN)).native
        uneven = np.abs(np.diff(native, axis=0, prepend=native[:1])) > 1
        inner = (native[2:-2, 2:-2])[uneven[2:-2, 2:-2]]
        total, number = total + np.exp(2j * np.pi * inner).sum(), number + inner.size
    return (total / number if number else 0j), number


def _more_whole(windows: Sequence[np.ndarray], ratio: int, found: Sequence[Resampling]) -> Resampling | None:
    """Return the one whose native pixels are whole numbers, None when that does not tell."""
    scores = [lattice(windows, ratio, each) for each in found]
    order = sorted(range(len(found)), key=lambda index: -abs(scores[index][0]))
    (first, number), (second, _) = scores[order[0]], scores[order[1]]
    return found[order[0]] if number and abs(first) > max(1.5 * abs(second), 4 / number**0.5) else None


def recognise_border(windows: Sequence[np.ndarray], ratio: int, found: Resampling) -> tuple[str, float]:
    """Recognise the border rule of a side whose native pixels are whole.

    Args:
        windows: fine pixels, (from the border inwards, along it), without missing ones and away from corners.
        ratio: fine pixels along a native one.
        found: how they were made; the phase is that from the border, which is 0, and along it.

    Returns:
        The rule, `open` where none explains the pixels; and the root mean square that its fit leaves.
    """
    fitting = []
    for rule in METHODS[found.method].borders if windows else ():
        try:
            fits = [fit(window, ratio, replace(found, top=rule)) for window in windows]
        except Mismatch:
            continue
        fitting.append((sum(each.rms for each in fits) / len(fits), rule))
    tightest = min(fitting)[0] if fitting else 0.0
    return next(((rule, rms) for rms, rule in fitting if rms <= 1.05 * tightest + 1e-9), (OPEN, 0.0))


def recognise_image(
    read: Read,
    shape: tuple[int, int],
    ratio: int,
    likely: Sequence[str] = (),
    besides: Sequence[tuple[int, int, int, int]] = (),
) -> Resampling:
    """Recognise how an image was made finer, from parts of it.

    Where several methods fit, the one is right whose native pixels are whole numbers; else the one whose border rules
    explain the sides; else the one that is likely.

    Args:
        read: gives parts of the image.
        shape: rows and columns of the image.
        ratio: fine pixels along a native one.
        likely: methods of other bands of the same image.
        besides: parts to take besides those that are chosen: first row, first column, rows, columns.

    Raises:
        Mismatch: no method gives these pixels.
        ValueError: the image is too small to tell, has too little data, or two methods fit.
    """
    windows = _inner_windows(read, shape, ratio) + _complete(read, shape, ratio, besides)
    if not windows:
        raise ValueError("larger parts with data are wanted. Received: hardly any pixels without nodata around them")
    counted = all(is_counted(window) for window in windows)
    fitting = recognise_method(windows, ratio, counted)
    if len(fitting) > 1 and fitting[0].method != "nearest":
        whole = _more_whole(windows, ratio, fitting)
        fitting = fitting if whole is None else [whole]
    bordered = [_with_borders(read, shape, ratio, found) for found in fitting]
    found = bordered[0][0]
    if len(bordered) > 1 and found.method != "nearest":
        told = _explaining(bordered, likely)
        if told is None and not _alike(windows, ratio, fitting):
            names = " and ".join(each.method for each in fitting)
            raise ValueError(f"an interpolation that can be told is wanted. Received: pixels that {names} both give")
        found = told or found
    if not counted or found.method == "nearest":
        return found
    mean, number = lattice(windows, ratio, found)
    return replace(found, truncated=bool(number) and mean.real < -max(0.05, 4 / number**0.5))


def _explaining(bordered: list[tuple[Resampling, list[float]]], likely: Sequence[str]) -> Resampling | None:
    """Return the one that explains the most sides, or those better; else the one that is likely, or None."""
    most = max(len(misfits) for _, misfits in bordered)
    best = sorted((sum(misfits), index) for index, (_, misfits) in enumerate(bordered) if len(misfits) == most)
    factor = 1.25 if bordered[0][0].counted else 10
    best = [bordered[index][0] for misfit, index in best if misfit <= factor * best[0][0]]
    expected = [found for found in best if found.method in likely]
    if len(best) == 1 or (most == 0 and len(expected) != 1):
        return best[0] if len(best) == 1 else None
    return min(expected or best, key=_rarity)


def _rarity(found: Resampling) -> int:
    """Return how unlikely the border rules are for the method; symmetric is to cubic what edge is to bilinear, by 2."""
    rules = METHODS[found.method].borders
    return sum(rules.index(rule) for rule in (getattr(found, side) for side in _ALL_OPEN) if rule != OPEN)


def _alike(windows: Sequence[np.ndarray], ratio: int, fitting: list[Resampling]) -> bool:
    """Return whether it matters little which of several is right, as in smooth images."""
    for window in windows:
        first, *others = (fit(window, ratio, replace(found, **_ALL_OPEN)).native[2:-2, 2:-2] for found in fitting)
        unit = 1.0 if fitting[0].counted else RELATIVE * float(np.abs(window).max())
        if any(np.abs(first - other).max(initial=0.0) > 2 * unit for other in others):
            return False
    return True


def _with_borders(read: Read, shape: tuple[int, int], ratio: int, found: Resampling) -> tuple[Resampling, list[float]]:
    """Add the border rules of the sides where native pixels are whole; return what their fits leave, too.

    A side that has no part with data gets the rule that most others have.
    """
    sides, misfits = {}, []
    for side, along in (("top", 1), ("bottom", 1), ("left", 0), ("right", 0)):
        phase = found.phase[1 - along]
        whole = phase == 0 if side in ("top", "left") else (shape[1 - along] + phase) % ratio == 0
        if whole and METHODS[found.method].reach:
            turned = replace(found, phase=(0, found.phase[along]), **_ALL_OPEN)
            windows = _side_windows(read, shape, ratio, side)
            rule, misfit = recognise_border(windows, ratio, turned)
            sides[side] = rule if windows else ""
            misfits += [misfit] if rule != OPEN else []
    known = [rule for rule in sides.values() if rule] or [OPEN]
    likeliest = max(known, key=known.count)
    return replace(found, **{side: rule or likeliest for side, rule in sides.items()}), misfits


def _spread(low: int, high: int, number: int, ratio: int) -> list[int]:
    """Return at most `number` multiples of `ratio` spread from `low` to `high`."""
    places = np.linspace(low, max(low, high), number) // ratio * ratio
    return sorted({int(place) for place in places})


def _complete(
    read: Read, shape: tuple[int, int], ratio: int, parts: Iterable[tuple[int, int, int, int]]
) -> list[np.ndarray]:
    """Read parts of an image; return those without missing pixels, and away from them: those change interpolation."""
    windows = []
    for row, column, rows, columns in parts:
        top, left = max(0, row - AWAY * ratio), max(0, column - AWAY * ratio)
        bottom, right = (min(size, last + AWAY * ratio) for size, last in zip(shape, (row + rows, column + columns)))
        pixels, missing = read(top, left, bottom - top, right - left)
        if not missing.any():
            windows.append(pixels[row - top :, column - left :][:rows, :columns])
    return windows


def _varied(windows: list[np.ndarray]) -> list[np.ndarray]:
    """Return the most varied parts of an image."""
    return sorted(windows, key=lambda window: -float(np.std(window, dtype=float)))[:PARTS]


def _insets(shape: tuple[int, int], ratio: int) -> list[int]:
    """Return fine pixels along each side that border rules may concern, if the image is large enough to do without."""
    return [AWAY * ratio if size >= 4 * AWAY * ratio else 0 for size in shape]


def _inner_windows(read: Read, shape: tuple[int, int], ratio: int) -> list[np.ndarray]:
    """Read parts of an image away from its borders: of those without missing pixels, the most varied ones."""
    insets = _insets(shape, ratio)
    for natives, number in ((32, 6), (16, 12), (8, 12)):
        sizes = [min(max(natives * ratio, 3 * natives), length - 2 * inset) for length, inset in zip(shape, insets)]
        rows, columns = (
            _spread(inset, length - inset - size, number, ratio) for length, inset, size in zip(shape, insets, sizes)
        )
        windows = _complete(read, shape, ratio, [(row, column, *sizes) for row in rows for column in columns])
        if windows:
            return _varied(windows)
    return _searched_windows(read, shape, ratio)


def _searched_windows(read: Read, shape: tuple[int, int], ratio: int) -> list[np.ndarray]:
    """Read small parts of an image which has few without missing pixels."""
    size, away, windows = 8 * ratio, AWAY * ratio, []
    for row in range(away, shape[0] - size - away, size):
        pixels, missing = read(row - away, 0, size + 2 * away, shape[1])
        holes = np.pad(np.cumsum(missing.any(axis=0)), (1, 0))
        for column in range(away, shape[1] - size - away, size):
            if holes[column - away] == holes[column + size + away]:
                windows.append(pixels[away : away + size, column : column + size])
        if len(windows) > 8 * PARTS:
            break
    return _varied(windows)


def _side_windows(read: Read, shape: tuple[int, int], ratio: int, side: str) -> list[np.ndarray]:
    """Read parts of an image along a side, each turned so that its first row is the border."""
    along = 1 if side in ("top", "bottom") else 0
    across, inset = shape[1 - along], _insets(shape, ratio)[along]
    depth = min(12 * ratio, max(across - 2 * ratio, across // 2))
    first = 0 if side in ("top", "left") else across - depth
    windows: list[np.ndarray] = []
    for natives in (32, 16, 8):
        size = min(natives * ratio, shape[along] - 2 * inset)
        places = _spread(inset, shape[along] - inset - size, 12, ratio)
        parts = [(first, place, depth, size) if along else (place, first, size, depth) for place in places]
        windows = windows or _complete(read, shape, ratio, parts)
    windows = [window if along else window.T for window in windows]
    return _varied([window if side in ("top", "left") else window[::-1] for window in windows])
