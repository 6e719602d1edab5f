# SPDX-License-Identifier: Apache-2.0
"""Training samples of DSen2: native scenes, made coarser by 2 or 6, are the input; the scenes themselves the truth.

As Lanaras et al. 2018 (doi:10.1016/j.isprsjprs.2018.09.018), section 3.3: 10 and 20 m bands become 20 and 40 m ones for
the `2x` network, whose target are the true 20 m bands; 10, 20 and 60 m bands become 60, 120 and 360 m ones for `6x`.
Patches are cut at random places, of each scene in proportion to its side: by its area, one large scene would be most
of what is seen. Unlike in the paper, validation patches come from other ground than training patches, and patches with
missing pixels, or with clouds by the scene classification, are left out; where there is none all is kept, so that
snow, ice, salt and sand are seen. Three things, all optional, make more of few scenes: flips and rotations, blocks that
begin at any pixel rather than at every 2nd or 6th, and random gains and offsets of the bands.

    scenes = read_scenes(open_product("S2A_MSIL1C_….SAFE"), "2x")
    WaldPatches(scenes, "2x", patch_size=32, size=8000).dataset(128)
"""

import hashlib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from chain.raster.grids import TOLERANCE, Grid, Region, common_origin, image_grid, spread
from chain.raster.mask import read_mask
from chain.raster.otb import read
from datasets.radiometry import balanced, other_radiometry
from datasets.wald import block_means, blur, blur_sigmas
from models.base import REFLECTANCE
from models.dsen2 import ROLES, SOURCES

WINDOW = 1440
"""Side of the windows of large scenes that are held in memory, in 10 m pixels."""
CLOUD_CLASSES = (3, 8, 9, 10)
"""Classes of the scene classification (SCL) that are not ground: shadows, clouds, cirrus."""
MOST_CLOUDS = 0.1
"""Share of a patch that may be clouds."""
TRIES = 100


@dataclass(frozen=True)
class Scene:
    """A window of a scene, at native resolution."""

    name: str
    """Where it comes from."""
    images: dict[str, np.ndarray]
    """For each source, digital numbers, float32 (rows, columns, bands); missing pixels are NaN."""
    clouds: np.ndarray
    """Whether a pixel is cloudy, on the 20 m grid."""
    level: str = "unknown"
    """Its processing level."""

    def part(self, start: int, stop: int) -> "Scene":
        """Return the part between two rows, counted in 60 m."""
        cut = {name: image[start * _per_60m(name) : stop * _per_60m(name)] for name, image in self.images.items()}
        return replace(self, images=cut, clouds=self.clouds[3 * start : 3 * stop])

    @property
    def bands(self) -> dict[str, np.ndarray]:
        """The bands by their names, (rows, columns)."""
        return {
            band: image[..., index]
            for name, image in self.images.items()
            for index, band in enumerate(SOURCES[name].bands)
        }

    @property
    def rows(self) -> int:
        """Number of whole rows of 60 m."""
        return min(image.shape[0] // _per_60m(name) for name, image in self.images.items())


def _per_60m(name: str) -> int:
    """Return the number of a source's pixels along 60 m."""
    return round(60 / SOURCES[name].gsd)


def scale_of(role: str) -> int:
    """Return by how much a role's coarsest source is made finer."""
    return round(SOURCES[ROLES[role][-1]].gsd / SOURCES["x10"].gsd)


def rows_of(patch_size: int, role: str) -> int:
    """Return how many rows of 60 m hold a patch, whose side is given in pixels of the target."""
    return math.ceil(patch_size * scale_of(role) / 6)


def read_scenes(product, role: str, windows: int = 4, scl: str | None = None) -> list[Scene]:
    """Read a scene, or some windows of a large one.

    Args:
        product: a `chain.sentinel2.image.Sentinel2Image` with bands at their native resolution; what not all of them
            cover is left out.
        role: `2x` or `6x`.
        windows: number of windows of 14.4 km to read of a scene that is larger.
        scl: scene classification, at any resolution: a URL, or a name for GDAL.

    Raises:
        ValueError: a band is missing, bands are not of one place, or the classification cannot be read.
        RuntimeError: a band cannot be read.
    """
    images = {name: product.image(SOURCES[name].bands) for name in ROLES[role]}
    grids = {name: image_grid(image) for name, image in images.items()}
    firsts, size = _common_ground(grids)
    mask = None if scl is None else read_mask(scl, grids["x20"].projection, "input", CLOUD_CLASSES)
    scenes = []
    for region in spread(size, WINDOW // 6, windows):
        places = {name: _place(region, name, firsts[name]) for name in images}
        pixels = {name: read(image, places[name]) for name, image in images.items()}
        for values in pixels.values():
            values[values == product.nodata] = np.nan
        part = _part(grids["x20"], places["x20"])
        clouds = np.zeros((part.rows, part.columns), bool) if mask is None else mask.at(part)
        scenes.append(Scene(f"{product.identity['id']}@{region.x},{region.y}", pixels, clouds, product.level))
    return scenes


def _common_ground(grids: Mapping[str, Grid]) -> tuple[dict[str, tuple[int, int]], tuple[int, int]]:
    """Find the ground that all images cover.

    Returns:
        Its first column and row in each image, and its number of columns and rows of 60 m.

    Raises:
        ValueError: there is none, or pixels begin nowhere together.
    """
    common_origin(grids)  # or an error that says why
    coarsest = max(grids.values(), key=lambda grid: grid.dx)
    right, down = (
        math.ceil(max(shift, 0) / coarsest.dx - TOLERANCE) * coarsest.dx
        for shift in (
            max(grid.left for grid in grids.values()) - coarsest.left,
            coarsest.top - min(grid.top for grid in grids.values()),
        )
    )
    firsts = {
        name: (round((coarsest.left + right - grid.left) / grid.dx), round((grid.top - coarsest.top + down) / grid.dy))
        for name, grid in grids.items()
    }
    columns, rows = (
        min(length // _per_60m(name) for name, length in lengths.items())
        for lengths in (
            {name: grid.columns - firsts[name][0] for name, grid in grids.items()},
            {name: grid.rows - firsts[name][1] for name, grid in grids.items()},
        )
    )
    if columns < 1 or rows < 1:
        raise ValueError("input: expected bands that share at least 60 x 60 m, got less")
    return firsts, (columns, rows)


def _place(region: Region, name: str, first: tuple[int, int]) -> Region:
    """Return a region, given in 60 m from the common corner, in an image's pixels."""
    place = region.scaled(_per_60m(name))
    return replace(place, x=place.x + first[0], y=place.y + first[1])


def _part(grid: Grid, place: Region) -> Grid:
    """Return the grid of a part of an image."""
    left, top = grid.left + place.x * grid.dx, grid.top - place.y * grid.dy
    return replace(grid, left=left, top=top, columns=place.columns, rows=place.rows)


def split(scenes: Sequence[Scene], share: float, patch_size: int, role: str) -> tuple[list[Scene], list[Scene]]:
    """Split scenes into ground for training and for validation: the last rows of each, behind a gap of a patch.

    Args:
        scenes: the scenes.
        share: part of the rows for validation.
        patch_size: side of the patches, in pixels of the target.
        role: `2x` or `6x`.

    Returns:
        Both lists; a scene that is too small to be split is for training.
    """
    patch = rows_of(patch_size, role)
    training, validation = [], []
    for scene in scenes:
        border = scene.rows - max(round(share * scene.rows), patch)
        if border - patch >= patch:
            training.append(scene.part(0, border - patch))
            validation.append(scene.part(border, scene.rows))
        else:
            training.append(scene)
    return training, validation


class WaldPatches:
    """Patches of scenes made coarser, drawn at random as long as they are asked for.

    Args:
        scenes: the scenes; those smaller than a patch are mirrored at their lower and right edges.
        role: `2x` or `6x`.
        patch_size: side of the patches, in pixels of the target.
        size: number of patches of an epoch.
        seed: seed of places and augmentation.
        fixed: draw the same places in each epoch, as for validation.
        any_phase: begin blocks at any pixel.
        radiometry: apply random gains and offsets.
        balance: give all bands of all patches the same deviation within coarse pixels, so that dark and bright
            ones weigh alike.
        sigma: deviation of the blur, in pixels of each source, by the source's name; as in the paper by default.

    Raises:
        ValueError: the patch size does not suit the role, or there is no scene.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        role: str,
        patch_size: int,
        size: int,
        seed: int = 0,
        fixed: bool = False,
        any_phase: bool = False,
        radiometry: bool = False,
        balance: bool = False,
        sigma: dict[str, float | Sequence[float]] | None = None,
    ):
        self.role, self.scale, self.patch_size, self.size = role, scale_of(role), patch_size, size
        self.seed, self.fixed, self.any_phase, self.radiometry = seed, fixed, any_phase, radiometry
        self.balanced, self.sigma = balance, sigma or {}
        if patch_size < self.scale or patch_size % self.scale:
            raise ValueError(f"patch_size: expected a multiple of {self.scale}, got {patch_size}")
        if not scenes:
            raise ValueError("scenes: expected at least one, got none")
        least = rows_of(patch_size + (self.scale if any_phase else 0), role)  # room for blocks to begin at any pixel
        self.scenes = [_extended(scene, least) for scene in scenes]
        sides = np.sqrt([np.prod(self._target(scene).shape[:2]) for scene in scenes])
        self._shares = sides / sides.sum()
        self._lacking = {
            id(scene): [name for name, image in scene.images.items() if np.isnan(image).any()] for scene in self.scenes
        }
        self._made: dict[tuple, np.ndarray] = {}
        self._blurred = {
            id(scene): {name: blur(scene.images[name], self.scale, self._deviations(name)) for name in ROLES[role]}
            for scene in self.scenes
        }

    def _target(self, scene: Scene) -> np.ndarray:
        return scene.images[ROLES[self.role][-1]]

    def identity(self) -> dict[str, str]:
        """Return the SHA-256 of each scene's pixels, by its number and name."""
        return {
            f"{number} {scene.name}": hashlib.sha256(
                b"".join(image.tobytes() for image in scene.images.values())
            ).hexdigest()
            for number, scene in enumerate(self.scenes, start=1)
        }

    def dataset(self, batch_size: int, augmentation: bool = False, first_epoch: int = 0) -> tf.data.Dataset:
        """Make a dataset of (inputs, {"sr": target}), one pass being one epoch.

        Args:
            batch_size: number of patches of a batch; the last batch may be smaller.
            augmentation: flip and rotate at random.
            first_epoch: number of the epoch that is the first pass; those before were other patches.

        Returns:
            Batches (batch, height, width, bands), float32: digital numbers, and reflectance for the target.
        """
        names, side, epochs = ROLES[self.role], self.patch_size, itertools.count(first_epoch)
        sides = {name: round(side * SOURCES["x10"].gsd / SOURCES[name].gsd) for name in names}
        inputs = {
            name: tf.TensorSpec((None, sides[name], sides[name], len(SOURCES[name].bands)), tf.float32)
            for name in names
        }
        target = tf.TensorSpec((None, side, side, len(SOURCES[names[-1]].bands)), tf.float32)
        batches = tf.data.Dataset.from_generator(
            lambda: self._batches(batch_size, augmentation, next(epochs)), output_signature=(inputs, {"sr": target})
        )
        count = tf.data.experimental.assert_cardinality(math.ceil(self.size / batch_size))
        return batches.apply(count).prefetch(4)

    def _batches(self, batch_size: int, augmentation: bool, epoch: int) -> Iterator[tuple[dict, dict]]:
        """Give the batches of one epoch."""
        generator = np.random.default_rng((self.seed, 0 if self.fixed else epoch))
        for start in range(0, self.size, batch_size):
            samples = [self.sample(generator, augmentation) for _ in range(min(batch_size, self.size - start))]
            inputs = {name: np.stack([images[name] for images, _ in samples]) for name in ROLES[self.role]}
            yield inputs, {"sr": np.stack([target for _, target in samples]) * np.float32(REFLECTANCE)}

    def sample(self, generator: np.random.Generator, augmentation: bool) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Draw one patch.

        Returns:
            The sources made coarser, and the target, float32 (rows, columns, bands), digital numbers.

        Raises:
            ValueError: no patch without missing pixels and clouds is found.
        """
        for _ in range(TRIES):
            scene = self.scenes[generator.choice(len(self.scenes), p=self._shares)]
            pair = self._pair(generator, scene)
            if pair:
                break
        else:
            raise ValueError(f"scenes: expected ground without clouds, got {TRIES} cloudy or missing patches")
        images, target = pair
        if self.radiometry:
            images, target = other_radiometry(generator, images, target, ROLES[self.role][-1])
        if self.balanced:
            images, target = balanced(images, target, ROLES[self.role][-1], self.scale)
        if augmentation:
            turns, mirrored = generator.integers(4), generator.integers(2)
            images = {name: _turned(image, turns, mirrored) for name, image in images.items()}
            target = _turned(target, turns, mirrored)
        return images, target

    def _pair(self, generator: np.random.Generator, scene: Scene) -> tuple[dict[str, np.ndarray], np.ndarray] | None:
        """Cut the sources made coarser, and the target, at a random place; None where they are no use."""
        row, column = (self._draw(generator, length) for length in self._target(scene).shape[:2])
        if not self._is_clear(scene, row, column):
            return None
        images = {name: self._degraded(scene, name, row, column) for name in ROLES[self.role]}
        return images, self._target(scene)[row : row + self.patch_size, column : column + self.patch_size]

    def first(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Draw the first patch, as `sample` does."""
        return self.sample(np.random.default_rng((self.seed, 0)), augmentation=False)

    def _draw(self, generator: np.random.Generator, length: int) -> int:
        """Draw the first row or column of a patch, in pixels of the target."""
        step = 1 if self.any_phase else self.scale
        return step * int(generator.integers((length - self.patch_size) // step + 1))

    def _is_clear(self, scene: Scene, row: int, column: int) -> bool:
        """Return whether a patch has few clouds, and no missing pixel in what the blur sees."""
        for name, image in scene.images.items():
            if name in self._lacking[id(scene)] and np.isnan(image[self._window(name, row, column)]).any():
                return False
        return self._has_few_clouds(scene, *(number * self.scale for number in (row, column, self.patch_size)))

    def _has_few_clouds(self, scene: Scene, row: int, column: int, side: int) -> bool:
        """Return whether a square, in 10 m pixels, has few clouds."""
        row, column, side = (number // 2 for number in (row, column, side))
        return scene.clouds[row : row + side, column : column + side].mean() <= MOST_CLOUDS

    def _fineness(self, name: str) -> int:
        """Return the number of native pixels of a source along a pixel of the target."""
        return round(self.scale * SOURCES["x10"].gsd / SOURCES[name].gsd)

    def _degraded(self, scene: Scene, name: str, row: int, column: int) -> np.ndarray:
        """Make the part of a source under a patch coarser; the blur has seen what lies around it."""
        fineness = self._fineness(name)
        coarse = self._coarse(scene, name, (row % self.scale * fineness, column % self.scale * fineness))
        top, left = (start // self.scale * fineness for start in (row, column))
        side = self.patch_size * fineness // self.scale
        return coarse[top : top + side, left : left + side]

    def _coarse(self, scene: Scene, name: str, first: tuple[int, int]) -> np.ndarray:
        """Return a whole source, from a first row and column on, made coarser; each is made once."""
        key = (id(scene), name, first)
        if key not in self._made:
            blurred = self._blurred[id(scene)][name][first[0] :, first[1] :]
            rows, columns = (length // self.scale * self.scale for length in blurred.shape[:2])
            self._made[key] = block_means(blurred[:rows, :columns], self.scale)
        return self._made[key]

    def _deviations(self, name: str) -> np.ndarray:
        """Return the deviation of the blur of each band of a source, in its pixels."""
        return blur_sigmas(self.scale, len(SOURCES[name].bands), self.sigma.get(name))

    def _margin(self, name: str) -> int:
        """Return how far the blur sees beyond a patch, in a source's pixels: whole blocks."""
        return self.scale * math.ceil((4 * self._deviations(name).max() + 0.5) // 1 / self.scale)

    def _window(self, name: str, row: int, column: int) -> tuple[slice, slice]:
        """Return the part of a source that the blur sees."""
        margin, side = self._margin(name), self.patch_size * self._fineness(name)
        starts = (start * self._fineness(name) - margin for start in (row, column))
        return tuple(slice(max(start, 0), start + side + 2 * margin) for start in starts)


def _extended(scene: Scene, least: int) -> Scene:
    """Mirror a scene at its lower and right edges until it has at least so many rows and columns of 60 m."""

    def pad(image: np.ndarray, per_60m: int) -> np.ndarray:
        missing = [(0, max(least * per_60m - length, 0)) for length in image.shape[:2]]
        return np.pad(image, missing + [(0, 0)] * (image.ndim - 2), mode="symmetric")

    images = {name: pad(image, _per_60m(name)) for name, image in scene.images.items()}
    return replace(scene, images=images, clouds=pad(scene.clouds, _per_60m("x20")))


def _turned(image: np.ndarray, turns: int, mirrored: int) -> np.ndarray:
    """Return one of the eight symmetries of a square image."""
    image = np.rot90(image, turns)
    return np.ascontiguousarray(image[:, ::-1] if mirrored else image)
