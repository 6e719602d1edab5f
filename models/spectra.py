# SPDX-License-Identifier: Apache-2.0
"""Which ground a network was trained on: spectra, of which each that it saw is like one, kept beside its weights.

A network learns by how much a band changes where others do. On ground whose bands stand in other ratios than any it was
trained on, the detail that it makes has another strength than the ground's. What counts is the shape of a spectrum:
each band as a share of the mean of all, plus `FLOOR`, in logarithms. Spectra are alike if no band differs by more than
a factor of `TOLERANCE`.

    spectra = covering(bands, pixels)           # of the training
    spectra.unlike(others)                      # where the network has seen nothing like it
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from chain.runtime.files import read_document
from models.description import SPECTRA_NAME

FLOOR = 0.1
"""Added to shares, so that noise of bands that are nearly dark counts little."""
TOLERANCE = 1.5
DIGITS = 3
"""Decimals of shares that are kept."""
MOST = 1000
"""Spectra at most: noise has no end of them."""
LEAST = 5
"""Pixels that are like a spectrum, of those drawn, from which on a training has learnt it."""


@dataclass(frozen=True)
class Spectra:
    """The spectra of a training."""

    bands: tuple[str, ...]
    """Bands, in the order of the network's sources."""
    shares: np.ndarray
    """Each band as a share of the mean of all, (spectra, bands)."""

    def unlike(self, pixels: np.ndarray) -> np.ndarray:
        """Return whether pixels are like none of the spectra, (pixels,).

        Args:
            pixels: (pixels, bands), of any unit, finite.
        """
        distances, _ = cKDTree(_shapes(self.shares)).query(_shapes(shares_of(pixels)), p=np.inf)
        return distances > np.log(TOLERANCE)

    def joined(self, others: "Spectra") -> "Spectra":
        """Return those of two trainings, one of which has gone on with the other.

        Raises:
            ValueError: they are of other bands.
        """
        if others.bands != self.bands:
            raise ValueError(f"spectra: expected bands {', '.join(self.bands)}, got {', '.join(others.bands)}")
        return covering(self.bands, np.concatenate([self.shares, others.shares]), least=1)

    def write(self, folder: str | Path) -> None:
        """Write them into the folder of a model."""
        rows = ",\n".join(json.dumps([round(float(share), DIGITS) for share in row]) for row in self.shares)
        text = f'{{"bands": {json.dumps(self.bands)},\n"shares": [\n{rows}\n]}}\n'
        (Path(folder) / SPECTRA_NAME).write_text(text, encoding="utf-8")


def shares_of(pixels: np.ndarray) -> np.ndarray:
    """Return each band of pixels (pixels, bands) as a share of the mean of all; negative numbers count as 0."""
    positive = np.maximum(pixels.astype(np.float64), 0)
    return positive / np.maximum(positive.mean(axis=1, keepdims=True), np.finfo(np.float32).tiny)


def _shapes(shares: np.ndarray) -> np.ndarray:
    return np.log(shares + FLOOR)


def covering(bands: Sequence[str], pixels: np.ndarray, least: int = LEAST) -> Spectra:
    """Choose spectra among those of pixels, so that each is like one of them: always the one farthest from all so far.

    Those are left out that only a few pixels are like.

    T. F. Gonzalez, "Clustering to minimize the maximum intercluster distance", Theoretical Computer Science 38, 1985.

    Args:
        bands: names of the bands.
        pixels: (pixels, bands), of any unit, finite.
        least: number of pixels that are like a spectrum; where none has as many, the most that one has.
    """
    shares = np.round(shares_of(pixels), DIGITS)
    shapes = _shapes(shares)
    chosen, distances = [0], np.full(len(shapes), np.inf)
    while True:
        distances = np.minimum(distances, np.abs(shapes - shapes[chosen[-1]]).max(axis=1))
        if distances.max() <= np.log(TOLERANCE) or len(chosen) == MOST:
            break
        chosen.append(int(distances.argmax()))
    found = cKDTree(shapes).query_ball_point(shapes[chosen], np.log(TOLERANCE), p=np.inf, return_length=True)
    return Spectra(tuple(bands), shares[chosen][found >= min(least, found.max())])


def read_spectra(folder: str | Path) -> Spectra | None:
    """Read the spectra of the training of a model; None where its folder has none.

    Raises:
        ValueError: the file is none that `Spectra.write` writes.
    """
    path = Path(folder) / SPECTRA_NAME
    try:
        content: Mapping = json.loads(read_document(path))
        shares = np.array(content["shares"], np.float64)
        spectra = Spectra(tuple(content["bands"]), shares)
        if shares.ndim != 2 or shares.shape[1] != len(spectra.bands) or not np.isfinite(shares).all():
            raise ValueError(f"shares of shape {shares.shape}")
        return spectra
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"--model-dir: expected spectra in {path}, got {type(error).__name__}: {error}") from error
