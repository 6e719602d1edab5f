# SPDX-License-Identifier: Apache-2.0
"""What whoever uses a product should look at: warnings, each a sentence with its number."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from chain.serving.provenance import WARNINGS_KEY
from chain.serving.report.numbers import NEIGHBOURS, OVERSHOOT, Numbers
from chain.serving.report.places import class_shares
from chain.serving.report.subject import Subject

CLOUDS, MISSING, ENDS = 0.01, 0.001, 0.001
"""Shares of clouds, of missing pixels, and of pixels at the ends of 16 bits, from which on there is a warning."""
BEYOND = 0.001
"""Share of pixels beyond the input's range from which on there is one."""
INCONSISTENT, SHIFTED = 0.10, 0.01
"""Differences from the input, and shifts of the level, as shares of the input's mean, from which on there is one."""
USUAL = (0.8, 1.3)
"""Ratios of neighbouring bands (`chain.serving.report.numbers.NEIGHBOURS`) that are usual."""
LOST = 0.9
"""Sharpness, as a ratio to the bicubic interpolation, below which a band has become softer."""
VOLATILE = ("mtime_ns", "modified")
"""What of the state of a file changes when it is copied."""


def doubts(subject: Subject, numbers: Numbers) -> list[str]:
    """Return warnings, in sentences."""
    found = [*_recorded(subject), *_about_ground(subject), *_about_bands(numbers), *_about_ratios(numbers)]
    if subject.given and is_other(subject.record, subject.given.stamps):
        found.insert(0, "The input is not in the state in which the product was made of it: its files have changed.")
    return found


def _recorded(subject: Subject) -> Iterator[str]:
    """Yield what the program has warned of when it made the product."""
    for warning in subject.record.get(WARNINGS_KEY, ()):
        yield f"{warning[:1].upper()}{warning[1:]}."


def _about_ground(subject: Subject) -> Iterator[str]:
    """Yield warnings about clouds and missing pixels."""
    shares = class_shares(subject, subject.whole)
    if shares and shares[1] > CLOUDS:
        yield f"{shares[1]:.1%} of the ground is under clouds, their shadows or snow, by the scene classification."
    missing = {name: float(np.isnan(subject.preview(name)).mean()) for name in subject.bands}
    most = max(missing, key=lambda name: missing[name])
    if missing[most] > MISSING:
        same = max(missing.values()) - min(missing.values()) < MISSING
        where = "" if same else f" of {most}, more than of other bands,"
        yield f"{missing[most]:.1%} of the pixels{where} are missing."


def _about_bands(numbers: Numbers) -> Iterator[str]:
    """Yield warnings about single bands."""
    for name, band in numbers.bands.items():
        if band.pixels and band.at_ends / band.pixels > ENDS:
            yield f"{name}: {band.at_ends / band.pixels:.1%} of the pixels are at the ends of what 16 bits hold."
        if band.pixels and band.beyond / band.pixels > BEYOND:
            yield (
                f"{name}: {band.beyond / band.pixels:.2%} of the pixels are beyond the input's range by more than "
                f"{OVERSHOOT:.0%} of it."
            )
        if band.relative > INCONSISTENT:
            yield f"{name}: made as coarse as the input, the product is off by {band.relative:.1%} of the mean."
        if band.mean and abs(band.shift) > SHIFTED * abs(band.mean):
            yield f"{name}: the level is shifted by {band.shift / band.mean:+.1%} of the mean."
        if band.sharpness < LOST:
            yield f"{name}: softer than the interpolated input, {band.sharpness:.2f} of its sharpness."


def _about_ratios(numbers: Numbers) -> Iterator[str]:
    """Yield warnings about ratios of bands that see nearly the same."""
    for pair in NEIGHBOURS:
        ratio = numbers.ratios.get(pair)
        if ratio is not None and not USUAL[0] <= ratio <= USUAL[1]:
            yield (
                f"{' / '.join(pair)} is {ratio:.2f} in the middle, where {USUAL[0]} to {USUAL[1]} is usual: bands may "
                "be mixed up, or have another unit or offset."
            )


def is_other(record: Mapping[str, Any], stamps: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether files are not those that a record tells of; their places and times do not count.

    Args:
        record: that of a product.
        stamps: in which state files are, as `chain.serving.input_files.stamps`.
    """
    recorded = record.get("input", {}).get("files")
    if not recorded or not stamps:
        return False
    states = recorded.values() if isinstance(recorded, Mapping) else recorded
    return not _lasting(stamps.values()) <= _lasting(states)


def _lasting(states: Any) -> set[str]:
    """Return states of files without what copying changes."""
    return {str(sorted((key, str(value)) for key, value in state.items() if key not in VOLATILE)) for state in states}
