# SPDX-License-Identifier: Apache-2.0
"""Folders of detector pairs, laid out like the authors' set (Zenodo 7826696) and those of `simulate.detector_pairs`.

    FOLDER/<set>_left/<pair>.tif    uint16, 4 bands: B02, B03, B04, B08 as counts of L1B; 0 is a missing pixel, and so
                                    is the nodata that it declares
    FOLDER/<set>_right/<pair>.tif   the same ground from the other detector, of the same size
    FOLDER/<set>_truth/<pair>.npz   for simulated pairs only: true flows and images (see there)

Files pair by name; `left` and `right` in a name are ignored.
"""

import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from osgeo import gdal

from chain.raster.opening import open_raster
from chain.sentinel2.bands import COMMON_NAMES, band_in_name
from chain.sentinel2.digital_numbers import MOST_ALIKE, SATURATED
from datasets.l1bsr.pairs import DETECTORS, HR, SCALE, TRUTH, Pair, Pairs
from models.l1bsr import BANDS

SUFFIXES = (".tif", ".tiff")


def read_pairs(folders: str | Path | Sequence[str | Path]) -> Pairs:
    """Read all pairs of folders, set by set, in the order of their names (2 before 10).

    Args:
        folders: one or more, each with folders `<set>_left` and `<set>_right`.

    Raises:
        ValueError: there is no set, a set lacks its counterpart, files do not pair, a file cannot be read or is not an
            image of four uint16 bands in their order, the images of a pair differ in size, or truth arrays
            are missing or of another size.
    """
    if isinstance(folders, str | Path):
        folders = [folders]
    pairs = []
    for folder in map(Path, folders):
        pairs += [pair for name in _find_sets(folder) for pair in _read_set(folder, name)]
    return Pairs(pairs)


def _find_sets(folder: Path) -> list[str]:
    """Return the names of the sets of a folder."""
    found = {
        detector: {path.name[: -len(detector) - 1] for path in folder.glob(f"*_{detector}") if path.is_dir()}
        for detector in DETECTORS
    }
    for detector, other in (DETECTORS, DETECTORS[::-1]):
        lonely = found[detector] - found[other]
        if lonely:
            raise ValueError(f"{folder}: expected {min(lonely)}_{other} beside {min(lonely)}_{detector}, found none")
    if not found["left"]:
        raise ValueError(f"{folder}: expected folders NAME_left and NAME_right, found none")
    return sorted(found["left"], key=_natural)


def _natural(name: str) -> list:
    """Return a sort key that compares numbers in names as numbers."""
    return [(part.isdecimal(), int(part) if part.isdecimal() else part) for part in re.split(r"(\d+)", name) if part]


def _read_set(folder: Path, name: str) -> Iterator[Pair]:
    """Read the pairs of a set."""
    files = {detector: _find_files(folder / f"{name}_{detector}") for detector in DETECTORS}
    for detector, other in (DETECTORS, DETECTORS[::-1]):
        lonely = files[detector].keys() - files[other].keys()
        if lonely:
            path = files[detector][min(lonely)]
            raise ValueError(f"{folder / f'{name}_{other}'}: expected the counterpart of {path}, found none")
    if not files["left"]:
        raise ValueError(f"{folder / f'{name}_left'}: expected .tif images, found none")
    for key in sorted(files["left"], key=_natural):
        left, right = (_read_image(files[detector][key]) for detector in DETECTORS)
        if left.shape != right.shape:
            sizes = [f"{image.shape[0]} x {image.shape[1]}" for image in (left, right)]
            raise ValueError(
                f"{files['right'][key]}: expected {sizes[0]} pixels, like {files['left'][key]}, got {sizes[1]}"
            )
        truth = folder / f"{name}_truth" / f"{files['left'][key].stem}.npz"
        if truth.exists():
            _check_truth(truth, left.shape)
        yield Pair(f"{folder.name}/{name}/{key}", (left, right), truth if truth.exists() else None)


def _find_files(folder: Path) -> dict[str, Path]:
    """Return the images of a folder by name without the detector."""
    paths = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES]
    found = {re.sub(r"[_-]?(left|right)[_-]?", "", path.stem): path for path in paths}
    if len(found) < len(paths):
        raise ValueError(f"{folder}: expected one image per name, got {len(paths)} with {len(found)} names")
    return found


def _read_image(path: Path) -> np.ndarray:
    """Read counts, uint16 (rows, columns, bands), or raise ValueError."""
    try:
        dataset = open_raster(str(path))
        pixels = dataset.ReadAsArray()
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path}: expected a readable image ({reason})") from error
    if dataset.RasterCount != len(BANDS) or pixels.dtype != np.uint16:
        raise ValueError(
            f"{path}: expected 4 bands ({', '.join(BANDS)}) of uint16, got {dataset.RasterCount} of {pixels.dtype}"
        )
    check_bands(dataset, path)
    declared = [dataset.GetRasterBand(number).GetNoDataValue() for number in range(1, len(BANDS) + 1)]
    for band, nodata in zip(pixels, declared):
        if nodata:
            band[band == nodata] = 0
    if (saturated := float(np.mean((pixels == SATURATED).all(axis=0)))) > MOST_ALIKE:
        raise ValueError(
            f"{path}: expected counts, and nodata that the raster declares, got {SATURATED} in all bands of "
            f"{saturated:.0%} of the pixels, undeclared (gdal_edit.py -a_nodata {SATURATED} declares it)"
        )
    return np.ascontiguousarray(np.moveaxis(pixels, 0, -1))


def check_bands(dataset: gdal.Dataset, path: Path) -> None:
    """Raise ValueError if an image describes its bands as others."""
    for number, band in enumerate(BANDS, start=1):
        source = dataset.GetRasterBand(number)
        description = source.GetDescription().strip()
        stated = band_in_name(description)
        described = stated[0] if stated else COMMON_NAMES.get(description.lower())
        if described and described != band:
            raise ValueError(f"{path}: expected {band} as band {number}, got one that it describes as {described}")


def _check_truth(path: Path, shape: tuple[int, ...]) -> None:
    """Raise ValueError if a truth file cannot be opened, lacks arrays, or is of images of another shape."""
    try:
        with np.load(path) as arrays:
            lacking = set(TRUTH) - set(arrays.files)
            fine = None if lacking else arrays[HR[0]].shape
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: expected an archive of arrays ({error})") from error
    if lacking:
        raise ValueError(f"{path}: expected arrays {', '.join(TRUTH)}, found no {', '.join(sorted(lacking))}")
    if fine != (SCALE * shape[0], SCALE * shape[1], shape[2]):
        raise ValueError(f"{path}: expected the truth of images of {shape[0]} x {shape[1]} pixels, got that of others")
