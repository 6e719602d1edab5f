# SPDX-License-Identifier: Apache-2.0
"""Whether one offset holds for all bands: files of one scene may have been harmonised in part.

Bands about which nothing is stated are held against the offset that others state. And B07 and B8A, of 20 m, see in the
near infrared what B08, of 10 m, sees: a line through their numbers passes near (0, 0), whatever the ground, and far off
where one of the two carries an offset of 1000 and the other does not.
"""

from collections.abc import Collection, Mapping

import numpy as np

from chain.sentinel2.bands import OFFSET
from chain.sentinel2.decision import Decision
from chain.sentinel2.pixel_evidence import evidence_of
from chain.sentinel2.sampling import sampled_together

FINE, COARSE = "B08", ("B07", "B8A")
"""Bands of 10 m and 20 m that see alike."""
ALIKE, LEAST = 0.95, 200
"""Correlation of two such bands, and pixels, from which they are compared."""
INTERCEPTS = (-400.0, 650.0)
"""Where the line through them passes the axis, in digital numbers: from -210 to 475 in chips of 600 m and more of 33
real scenes; above 750, or below -400 in nearly all, if one of them carries an offset of 1000."""
WAY_OUT = "take the offset off all files alike, or pass --offset, which holds for all"


def other_offsets(bands: Mapping[str, str], stated: Mapping[str, Collection[int]]) -> str:
    """Return what shows that some bands of an image carry an offset and others do not; nothing where they agree.

    Args:
        bands: for each band, a raster of one band, of digital numbers.
        stated: the offsets that are stated of bands; none of those that are not listed.
    """
    silent = [band for band in bands if not stated.get(band)]
    others = [band for band in bands if OFFSET in stated.get(band, ())]
    if silent and others:
        found = evidence_of({band: bands[band] for band in silent})
        if found.offset == 0:
            return f"{OFFSET} stated of {', '.join(others)}, and nothing of {', '.join(silent)}, with {found.text}"
    beyond = _intercept(bands)
    if beyond is not None and not INTERCEPTS[0] <= beyond <= INTERCEPTS[1]:
        coarse = " and ".join(band for band in COARSE if band in bands)
        side = "above" if beyond > 0 else "below"
        return f"numbers of {coarse} about {-OFFSET} {side} those of {FINE} on the same ground"
    return ""


def check_one_offset(
    name: str, bands: Mapping[str, str], stated: Mapping[str, Collection[int]], asked: int | None
) -> list[Decision]:
    """Refuse an image of which some bands carry an offset and others do not, or tell it where the user states one.

    Args:
        name: of the image, for errors.
        bands: as for `other_offsets`.
        stated: the same.
        asked: the offset that the user states.

    Raises:
        ValueError: the pixels show that there are such bands, and the user states nothing.
    """
    found = other_offsets(bands, stated)
    if found and asked is None:
        raise ValueError(f"{name}: expected one offset for all bands, got {found}: {WAY_OUT}")
    return [Decision("pixels", f"{found}, as if one offset did not hold for all", f"--offset {asked}")] if found else []


def _intercept(bands: Mapping[str, str]) -> float | None:
    """Return how far the numbers of 20 m lie above those of 10 m where these are 0; None where that is not known."""
    coarse = [band for band in COARSE if band in bands]
    if not coarse or FINE not in bands:
        return None
    values = sampled_together([bands[band] for band in (*coarse, FINE)])
    *others, fine = values[:, ~np.isnan(values).any(axis=0)]
    if fine.size < LEAST or not all(values.std() > 0 for values in (fine, *others)):
        return None
    if min(np.corrcoef(fine, values)[0, 1] for values in others) < ALIKE:
        return None
    return float(np.mean([values.mean() - values.std() / fine.std() * fine.mean() for values in others]))
