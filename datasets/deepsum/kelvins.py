# SPDX-License-Identifier: Apache-2.0
"""Files of ESA's Kelvins PROBA-V super-resolution challenge.

    probav_data/norm.csv
    probav_data/train/NIR/imgset0594/LR000.png … QM000.png … HR.png SM.png
    probav_data/test/NIR/imgset1306/LR000.png … QM000.png …

LR are the images at 300 m, QM their masks, HR the truth at 100 m, and SM its mask (non-zero = clear). Digital numbers
have 14 bits, in 16-bit PNG files. Test scenes have no truth. (kelvins.esa.int/proba-v-super-resolution/data)

Opening a scene checks file names only; pixels are read scene by scene.

    for scene in map(open_scene, sorted(Path("probav_data/train/NIR").iterdir())):
        lr, qm, hr, clear = scene.read()
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from osgeo import gdal

from chain.raster.vsi import refuse_devices
from chain.runtime.files import read_document

gdal.UseExceptions()

SCALE = 3
FEWEST = 9
"""Smallest number of images per scene in the challenge."""
MOST_BRIGHTER = 3.0
"""Ratio of the medians of the truth and of the images of a place that no two dates have, but 8 bits beside 14 do."""


class TooFewImagesError(ValueError):
    """A scene has fewer images than are needed."""


class MissingMaskError(ValueError):
    """An image of a scene has no mask."""


@dataclass(frozen=True)
class KelvinsScene:
    """A scene's folder."""

    folder: Path
    """`imgsetNNNN`."""
    images: tuple[Path, ...]
    """LR files, in the order of their names."""
    masks: tuple[Path, ...]
    """The QM file of each; none where all pixels count as clear."""
    has_truth: bool
    """Whether there is HR."""

    @property
    def name(self) -> str:
        """Name as in `norm.csv`."""
        return self.folder.name

    def read_images(self) -> tuple[np.ndarray, np.ndarray]:
        """Read the images and their masks.

        Returns:
            Digital numbers, uint16 (images, rows, columns), and whether a pixel is clear, of the same shape.

        Raises:
            ValueError: a file cannot be read, differs in size or type from the first image, has several bands, or is a
                mask of several numbers.
        """
        lr = [read_png(path) for path in self.images]
        qm = [_read_mask(path) for path in self.masks]
        for path, pixels in zip(self.images + self.masks, lr + qm):
            _check_size(path, pixels, lr[0].shape, self.images[0].name)
        for path, pixels in zip(self.images, lr):
            if pixels.dtype != lr[0].dtype:
                raise ValueError(f"{path}: expected {lr[0].dtype}, like {self.images[0].name}, got {pixels.dtype}")
        return np.stack(lr), np.stack(qm) if qm else np.ones((len(lr), *lr[0].shape), bool)

    def read_truth(self) -> tuple[np.ndarray, np.ndarray]:
        """Read the truth and its mask.

        Returns:
            Digital numbers, uint16 (rows, columns), and whether a pixel is clear, of the same shape.

        Raises:
            ValueError: a file is missing, cannot be read or has several bands, the sizes differ, or the mask holds
                several numbers.
        """
        if not self.has_truth:
            raise ValueError(f"{self.folder}: expected a scene with HR.png, found none")
        if not (self.folder / "SM.png").exists():
            raise ValueError(f"{self.folder}: expected SM.png beside HR.png, found none")
        hr, clear = read_png(self.folder / "HR.png"), _read_mask(self.folder / "SM.png")
        _check_size(self.folder / "SM.png", clear, hr.shape, "HR.png")
        return hr, clear

    def read(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Read the images, their masks, the truth and its mask, like `read_images` and `read_truth`.

        Raises:
            ValueError: as for these, or the truth is not three times as large as the images, or in another unit.
        """
        lr, qm = self.read_images()
        hr, clear = self.read_truth()
        rows, columns = lr.shape[1:]
        _check_size(self.folder / "HR.png", hr, (SCALE * rows, SCALE * columns), f"3 x {self.images[0].name}")
        check_unit(self.folder, lr[qm], hr[clear])
        return lr, qm, hr, clear


def open_scene(folder: str | Path, fewest: int = FEWEST, unmasked: bool = False) -> KelvinsScene:
    """Open a scene.

    Args:
        folder: `imgsetNNNN`.
        fewest: smallest number of images.
        unmasked: treat all pixels as clear and ignore the masks.

    Raises:
        TooFewImagesError: there are fewer images.
        MissingMaskError: an image has no mask.
        ValueError: a mask has no image.
    """
    folder = Path(folder)
    names = {path.name for path in folder.glob("*.png")}
    numbers, mask_numbers = (
        {match[1] for name in names if (match := re.fullmatch(rf"{prefix}(\d+)\.png", name))} for prefix in ("LR", "QM")
    )
    if len(numbers) < fewest:
        raise TooFewImagesError(f"{folder}: expected at least {fewest} files LRnnn.png, got {len(numbers)}")
    if not unmasked:
        _check_masks(folder, numbers, mask_numbers)
    images, masks = (tuple(folder / f"{prefix}{number}.png" for number in sorted(numbers)) for prefix in ("LR", "QM"))
    return KelvinsScene(folder, images, () if unmasked else masks, "HR.png" in names)


def truth_files(folder: Path) -> tuple[Path, ...]:
    """Return the files of a scene's truth, which are there or not."""
    return folder / "HR.png", folder / "SM.png"


def _check_masks(folder: Path, numbers: set[str], mask_numbers: set[str]) -> None:
    """Raise ValueError if an image has no mask or a mask has no image."""
    for kind, other, lonely, failure in (
        ("QM", "LR", numbers - mask_numbers, MissingMaskError),
        ("LR", "QM", mask_numbers - numbers, ValueError),
    ):
        if lonely:
            number = min(lonely)
            raise failure(f"{folder}: expected {kind}{number}.png beside {other}{number}.png, found none")


def read_norm(path: str | Path) -> dict[str, float]:
    """Read the cPSNR of ESA's baseline, in dB, by scene.

    Args:
        path: `norm.csv`, with a name and a number per line, without a header.

    Raises:
        ValueError: the file cannot be read, or a line is malformed or repeats a scene.
    """
    try:
        lines = read_document(path, "ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected a readable text file ({error})") from error
    result: dict[str, float] = {}
    for number, line in enumerate(lines, start=1):
        match = re.fullmatch(r"(imgset\d+) (\d+(?:\.\d+)?)", line.strip())
        if not match or match[1] in result:
            raise ValueError(f"{path}, line {number}: expected a new scene and its cPSNR, got {line.strip()!r}")
        result[match[1]] = float(match[2])
    return result


def read_png(path: Path) -> np.ndarray:
    """Read a PNG file of one band, uint8 or uint16 (rows, columns), or raise ValueError."""
    refuse_devices(str(path))
    try:
        pixels = gdal.OpenEx(str(path), gdal.OF_RASTER, allowed_drivers=["PNG"]).ReadAsArray()
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path}: expected a readable PNG ({reason})") from error
    if pixels.ndim != 2:
        raise ValueError(f"{path}: expected one band, got {len(pixels)}")
    return pixels


def _read_mask(path: Path) -> np.ndarray:
    """Read where a mask is not 0, bool (rows, columns); raise ValueError if it holds several other numbers."""
    pixels = read_png(path)
    numbers = np.unique(pixels[pixels != 0])
    if numbers.size > 1:
        raise ValueError(
            f"{path}: expected 0 where concealed and one other number where clear, got {numbers[0]} to {numbers[-1]}"
        )
    return pixels != 0


def check_unit(folder: Path, images: np.ndarray, truth: np.ndarray) -> None:
    """Raise ValueError if the clear pixels of images and truth cannot be of one place in one unit."""
    if not images.size or not truth.size:
        return
    medians = float(np.median(images)), float(np.median(truth))
    if max(medians) > MOST_BRIGHTER * min(medians):
        raise ValueError(
            f"{folder}: expected images and truth in one unit, got clear pixels of {medians[0]:g} mostly, and of "
            f"{medians[1]:g} in HR.png"
        )


def _check_size(path: Path, pixels: np.ndarray, expected: tuple[int, ...], of: str) -> None:
    """Raise ValueError if an image does not have the expected size."""
    if pixels.shape != expected:
        size, other = (" x ".join(map(str, shape)) for shape in (pixels.shape, expected))
        raise ValueError(f"{path}: expected {other} pixels, like {of}, got {size}")
