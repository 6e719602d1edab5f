# SPDX-License-Identifier: Apache-2.0
"""The offset of Sentinel-2's digital numbers: what states it, whether the pixels agree, and what is decided.

Since processing baseline 04.00, DN = 10 000 x reflectance + 1000. Archives are reprocessed, catalogues and tools take
the offset off without saying so, or keep saying it when it is off. So what is stated is held against the pixels
(`chain.sentinel2.pixel_evidence`) and against each other; what contradicts is refused, not weighed.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from osgeo import gdal

from chain.sentinel2.bands import (
    OFFSET,
    OFFSET_HELP,
    REFLECTANCE,
    baseline_in_name,
    offset_of_baseline,
    time_in_name,
)
from chain.sentinel2.decision import Decision
from chain.sentinel2.pixel_evidence import Evidence

KEYS = ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET")
"""Items of a raster's metadata, and elements of those of a SAFE product, that state the offset."""
START_KEY = "PRODUCT_START_TIME"
"""Item of a raster's metadata that tells when the image was taken, as GDAL's driver of SAFE products writes it."""
FIRST_DAY = date(2022, 1, 26)
"""Day from which on no image has a baseline without an offset: ESA changed over on the day before."""
LOWEST_OFFSET = -2000
MOST_BANDS = 0.5
"""Share of the dark bands whose pixels have to speak for an offset, to contradict metadata that state none."""


@dataclass(frozen=True)
class Statement:
    """What something says of the offset."""

    offset: int
    """The offset, in digital numbers."""
    source: str
    """What says it: the beginning of a sentence."""
    firm: bool = True
    """Whether it speaks of the offset, or only implies it, as a scale without offset does, or cannot be true."""


def stated_number(text: str, source: str) -> int:
    """Return the offset that a text states.

    Raises:
        ValueError: it is no number, several ones, or none that an offset can be.
    """
    try:
        numbers = {round(float(word)) for word in str(text).replace(",", " ").split()}
    except (ValueError, OverflowError):
        numbers = set()
    if len(numbers) != 1 or not LOWEST_OFFSET < min(numbers) <= 0:
        raise ValueError(f"{source}: expected an offset such as -1000 or 0, got {text!r}: {OFFSET_HELP}")
    return numbers.pop()


def statement_of_tags(scale: float | None, offset: float | None, path: str) -> Statement | None:
    """Return what GDAL's scale and offset of a band state: physical value = DN x scale + offset.

    Raises:
        ValueError: they give neither reflectance nor 10 000 x reflectance.
    """
    scale, offset = 1.0 if scale is None else scale, offset or 0.0
    source = f"its scale of {scale:g} and offset of {offset:g}"
    if abs(scale - 1.0) < 1e-9:
        if offset == 0.0:
            return None
        if abs(offset - OFFSET) < 0.5:
            return Statement(OFFSET, source)
    if abs(scale - REFLECTANCE) < 1e-3 * REFLECTANCE:
        if offset == 0.0:
            return Statement(0, source, firm=False)
        if abs(offset - OFFSET * REFLECTANCE) < 0.5 * REFLECTANCE:
            return Statement(OFFSET, source)
    raise ValueError(
        f"{path}: expected a scale and offset by which DN x scale + offset is reflectance (0.0001 and 0 or -0.1) or "
        f"10000 x reflectance (1 and 0 or -1000), got {scale:g} and {offset:g}: {OFFSET_HELP}"
    )


def statements_of_raster(
    dataset: gdal.Dataset, numbers: Iterable[int], path: str, by_tags: bool = True
) -> list[Statement]:
    """Return what a raster says of its offset: by scale and offset of its bands, its metadata, its name.

    Args:
        dataset: the raster.
        numbers: the bands that it has to hold for, counted from 1.
        path: its name.
        by_tags: whether scale and offset of its bands count.

    Raises:
        ValueError: what it says is no offset, or differs between bands.
    """
    bands = [dataset.GetRasterBand(number) for number in numbers]
    tagged = {statement_of_tags(band.GetScale(), band.GetOffset(), path) for band in bands} if by_tags else set()
    if len(tagged) > 1:
        said = " and ".join(sorted(each.source if each else "none" for each in tagged))
        raise ValueError(f"{path}: expected one offset, got bands with {said}: {OFFSET_HELP}")
    found = [each for each in tagged if each]
    metadata = dataset.GetMetadata()
    found += [Statement(stated_number(metadata[key], f"{path}: {key}"), key) for key in KEYS if key in metadata]
    if "PROCESSING_BASELINE" in metadata:
        taken = day_of(metadata.get(START_KEY)) or day_in_path(path)
        found += statements_of_baseline(metadata["PROCESSING_BASELINE"], "its PROCESSING_BASELINE", taken)
    return found + statements_of_name(path)


def statements_of_baseline(baseline: str, source: str, taken: date | None = None) -> list[Statement]:
    """Return what a baseline says: one statement, or none where it is reserved or no baseline.

    Args:
        baseline: the baseline, such as `04.00`.
        source: what says it.
        taken: when the image was taken, if that is known. A baseline older than that is not to be believed alone.
    """
    offset = offset_of_baseline(baseline)
    if offset is None:
        return []
    if offset == 0 and taken is not None and taken >= FIRST_DAY:
        return [Statement(offset, f"{source} {baseline}, which no image of {taken} has,", firm=False)]
    return [Statement(offset, f"{source} {baseline}")]


def statements_of_name(path: str) -> list[Statement]:
    """Return what the baseline in a path says: that of the file, else of the nearest folder."""
    for part in reversed(Path(path.split("?")[0]).parts):
        baseline = baseline_in_name(part)
        if baseline:
            return statements_of_baseline(baseline, "the baseline in its name,", day_in_path(path))
    return []


def day_in_path(path: str) -> date | None:
    """Return when an image was taken by a name of ESA's: that of its file, else of the nearest folder."""
    moments = (time_in_name(part) for part in reversed(Path(path.split("?")[0]).parts))
    return next((moment.date() for moment in moments if moment), None)


def day_of(moment: str | None) -> date | None:
    """Return the day of a moment in ISO's form; None where it is none."""
    try:
        return date.fromisoformat(str(moment)[:10])
    except ValueError:
        return None


def decided_offset(
    name: str, statements: Iterable[Statement], evidence: Callable[[], Evidence], asked: int | None
) -> tuple[int, Decision]:
    """Decide on the offset of an image.

    Args:
        name: of the image, for errors.
        statements: what is said of it.
        evidence: looks at the pixels.
        asked: what the user says, which overrides all; `check_asked_offset` tells where the pixels deny it.

    Raises:
        ValueError: nothing tells the offset, or what does contradicts itself or the pixels.
    """
    if asked is not None:
        return asked, Decision("offset", str(asked), "--offset")
    statements = list(dict.fromkeys(statements))
    stated: Mapping[int, Statement] = {each.offset: each for each in sorted(statements, key=lambda each: each.firm)}
    found = evidence()
    if len(stated) > 1 and not all(each.firm for each in stated.values()) and found.certain:
        stated = {}
    if len(stated) > 1:
        said = ", but ".join(f"{each.source} states an offset of {offset}" for offset, each in stated.items())
        raise ValueError(f"{name}: {said}: {OFFSET_HELP}")
    if not stated:
        if found.certain:
            return 0, Decision("offset", "0", found.text)
        doubt = ", but near missing ones or borders only" if found.offset == 0 else ""
        hint = f" ({found.text}{doubt})" if found.text else ""
        raise ValueError(f"{name}: the offset of its digital numbers is not stated{hint}: {OFFSET_HELP}")
    ((offset, statement),) = stated.items()
    if not statement.firm and found.offset != OFFSET and not found.certain:
        raise ValueError(
            f"{name}: {statement.source} states an offset of {offset}, as is said of images that carry 1000 too, and "
            f"the pixels do not tell ({found.text}): {OFFSET_HELP}"
        )
    if _is_denied(offset, found) or (offset == 0 and found.offset == OFFSET and not statement.firm):
        raise ValueError(f"{name}: {statement.source} states an offset of {offset}, but {found.text}: {OFFSET_HELP}")
    return offset, Decision("offset", str(offset), f"{statement.source}; {_checked(offset, found)}")


def check_asked_offset(asked: int, found: Evidence) -> list[Decision]:
    """Return a doubt where the pixels deny the offset that the user states."""
    return [Decision("pixels", found.text, f"--offset {asked}")] if _is_denied(asked, found) else []


def _is_denied(offset: int, found: Evidence) -> bool:
    """Return whether pixels are darker than an offset allows, or as bright as those of images with one."""
    return found.offset == 0 if offset else found.offset == OFFSET and found.shown >= MOST_BANDS


def _checked(offset: int, found: Evidence) -> str:
    """Return whether pixels, which do not deny a stated offset, confirm it: where none is dark, they suit any."""
    if offset == 0 and found.offset == 0:
        return f"the pixels agree ({found.text})"
    if offset == OFFSET and found.offset == OFFSET and found.shown >= MOST_BANDS:
        return "the pixels agree"
    return f"not checked: {'no dark pixels' if found.offset else found.text}"
