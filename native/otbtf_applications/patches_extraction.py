# SPDX-License-Identifier: Apache-2.0
"""PatchesExtraction: patches of one or several sources around points, stacked in one image for each source.

Behaves as OTBTF 4.3.1's application of the same name. It deviates in how the sources are read: OTBTF asks the
chain behind a source for each patch; here, neighbouring patches are read together (see ``read_plan``), and
patches that another source has already rejected are not read at all. The patches come out in the order of the
points.

    OTB_TF_NSOURCES=2 native/bin/otbcli PatchesExtraction -source1.il xs.tif -source1.patchsizex 32
    -source1.patchsizey 32 -source1.out xs_patches.tif uint16 -source2.il pan.tif -source2.patchsizex 128
    -source2.patchsizey 128 -source2.out pan_patches.tif uint16 -vec points.geojson -field id
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import otbApplication as otb

from otbtf_applications.number_of_sources import number_of_sources
from otbtf_applications.point_layer import read_points
from otbtf_applications.read_plan import plan_reads

_LONG_DESCRIPTION = (
    "Extracts patches of one or several sources (environment variable OTB_TF_NSOURCES) around points. The "
    "images of one source are stacked by bands. A point whose patch does not lie wholly inside every source, "
    "or holds a nodata value, is left out of all outputs, so that the outputs stay paired. The points must be "
    "in the coordinate system of the images. Patches are stacked vertically, in the order of the points."
)

_INT32 = (np.iinfo(np.int32).min, np.iinfo(np.int32).max)


@dataclass(frozen=True)
class _Source:
    """One source of patches."""

    images: list[otb.Image]
    patch_size: tuple[int, int]
    """Width and height of the patches, in pixels."""
    nodata: np.float32 | None

    @property
    def bands(self) -> int:
        """Number of bands of the stacked images."""
        return sum(image.bands for image in self.images)

    def starts(self, points: np.ndarray) -> np.ndarray:
        """Return the (points, 2) int64 first column and row of the patches in the image."""
        image = self.images[0]
        continuous = (points - np.array(image.origin)) * (1.0 / np.array(image.spacing))
        index = np.floor(continuous + 0.5).astype(np.int64)
        return index - np.array(image.index) - np.array(self.patch_size) // 2

    def contains(self, starts: np.ndarray) -> np.ndarray:
        """Tell which patches lie wholly inside the image."""
        last = np.array(self.images[0].size) - np.array(self.patch_size)
        return np.all((starts >= 0) & (starts <= last), axis=1)

    def extract(self, starts: np.ndarray) -> np.ndarray:
        """Read patches, and return them as (patches, height, width, bands) float32."""
        width, height = self.patch_size
        patches = np.empty((len(starts), height, width, self.bands), dtype=np.float32)
        for read in plan_reads(starts, self.patch_size, self.bands):
            left, top, *extent = read.region
            first_band = 0
            for image in self.images:
                pixels = image.read(image.index[0] + left, image.index[1] + top, *extent)
                for patch in read.patches:
                    column, row = starts[patch] - (left, top)
                    patches[patch, :, :, first_band : first_band + image.bands] = pixels[
                        row : row + height, column : column + width
                    ]
                first_band += image.bands
        return patches

    def without_nodata(self, patches: np.ndarray) -> np.ndarray:
        """Tell which patches have no nodata value in any band of any pixel."""
        if self.nodata is None:
            return np.ones(len(patches), dtype=bool)
        return np.array([not np.any(patch == self.nodata) for patch in patches], dtype=bool)


class PatchesExtraction:
    """Body of the application."""

    def init(self, app: otb.Application) -> None:
        """Declare the parameters, for as many sources as the environment says."""
        app.SetName("PatchesExtraction")
        app.SetDescription("Extracts patches from images, around points")
        app.SetDocLongDescription(_LONG_DESCRIPTION)
        app.SetDocLimitations("All patches are held in memory. The points are not reprojected.")
        app.SetDocSeeAlso("PatchesSelection")
        app.AddDocTag("Learning")
        self._number_of_sources = number_of_sources()
        for number in range(1, self._number_of_sources + 1):
            self._init_source(app, f"source{number}", number)
        app.AddParameter(otb.ParameterType_InputVectorData, "vec", "Points")
        app.SetParameterDescription("vec", "Vector data of points, in the coordinate system of the images")
        app.AddParameter(otb.ParameterType_OutputImage, "outlabels", "Labels")
        app.SetDefaultOutputPixelType("outlabels", otb.ImagePixelType_uint8)
        app.SetParameterDescription("outlabels", "Image one pixel wide: the field of each patch")
        app.MandatoryOff("outlabels")
        app.AddParameter(otb.ParameterType_String, "field", "Field of the labels")
        app.SetParameterDescription("field", "Name of the field that gives the label of a point")
        app.SetDocExampleParameterValue("vec", "points.geojson")
        app.SetDocExampleParameterValue("field", "id")
        app.SetDocExampleParameterValue("source1.il", "spot6pms.tif")
        app.SetDocExampleParameterValue("source1.patchsizex", "16")
        app.SetDocExampleParameterValue("source1.patchsizey", "16")
        app.SetDocExampleParameterValue("source1.out", "patches.tif")

    @staticmethod
    def _init_source(app: otb.Application, key: str, number: int) -> None:
        app.AddParameter(otb.ParameterType_Group, key, f"Source {number}")
        app.AddParameter(
            otb.ParameterType_InputImageList, f"{key}.il", f"Images of source {number}, stacked by bands"
        )
        app.AddParameter(otb.ParameterType_OutputImage, f"{key}.out", f"Patches of source {number}")
        for axis in "xy":
            app.AddParameter(
                otb.ParameterType_Int, f"{key}.patchsize{axis}", f"Size of the patches in {axis}, in pixels"
            )
            app.SetMinimumParameterIntValue(f"{key}.patchsize{axis}", 1)
        app.AddParameter(otb.ParameterType_Float, f"{key}.nodata", "No-data value")
        app.SetParameterDescription(
            f"{key}.nodata", "Patches with this value in any band of any pixel are rejected"
        )
        app.MandatoryOff(f"{key}.nodata")

    def update_parameters(self, app: otb.Application) -> None:
        """Do nothing: no parameter depends on another one."""

    def execute(self, app: otb.Application) -> None:
        """Extract the patches of all sources, and hand them over to the outputs."""
        keys = [f"source{number}" for number in range(1, self._number_of_sources + 1)]
        sources = [_source(app, key) for key in keys]
        points, labels = read_points(app.GetParameterString("vec"), app.GetParameterString("field"))
        if not len(points):
            raise RuntimeError("There is no geometry to sample. Geometries must be points.")
        kept, patches = _extract_paired(sources, points)
        app.LogInfo(f"Number of samples collected: {len(kept)}")
        app.LogInfo(f"Number of samples rejected: {len(points) - len(kept)}")
        if not len(kept):
            raise RuntimeError(
                "No patch to sample. Please check that your vector data falls inside your images, "
                "and no-data values."
            )
        for key, source, stack in zip(keys, sources, patches, strict=True):
            column = stack.reshape(-1, *stack.shape[2:])
            app.SetOutputImageFromArray(
                f"{key}.out", column, origin=(0.0, 0.0), spacing=source.images[0].spacing
            )
        if app.HasValue("outlabels"):
            column = np.clip(labels[kept], *_INT32).astype(np.int32).reshape(-1, 1, 1)
            app.SetOutputImageFromArray("outlabels", column, origin=(0.0, 0.0), spacing=(1.0, 1.0))


def _source(app: otb.Application, key: str) -> _Source:
    """Return a source as its parameters describe it."""
    images = app.GetParameterImages(f"{key}.il")
    for number, image in enumerate(images):
        if tuple(image.size) != tuple(images[0].size):
            raise RuntimeError(f"Input image size number {number} mismatch")
    patch_size = (app.GetParameterInt(f"{key}.patchsizex"), app.GetParameterInt(f"{key}.patchsizey"))
    nodata = np.float32(app.GetParameterFloat(f"{key}.nodata")) if app.HasValue(f"{key}.nodata") else None
    return _Source(images, patch_size, nodata)


def _extract_paired(sources: list[_Source], points: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Extract the patches of the points that no source rejects.

    Args:
        sources: Where to extract from. Those with a nodata value are read first, as they may spare other
            reads.
        points: (points, 2) map coordinates.

    Returns:
        Ranks of the points kept, and for each source its (kept, height, width, bands) float32 patches.
    """
    starts = [source.starts(points) for source in sources]
    kept = np.flatnonzero(
        np.all([source.contains(s) for source, s in zip(sources, starts, strict=True)], axis=0)
    )
    patches: dict[int, np.ndarray] = {}
    for rank in sorted(range(len(sources)), key=lambda rank: sources[rank].nodata is None):
        patches[rank] = sources[rank].extract(starts[rank][kept])
        clean = sources[rank].without_nodata(patches[rank])
        kept = kept[clean]
        if not clean.all():
            patches = {read: _moved_to_front(stack, clean) for read, stack in patches.items()}
    return kept, [patches[rank] for rank in range(len(sources))]


def _moved_to_front(stack: np.ndarray, selected: np.ndarray) -> np.ndarray:
    """Return the selected patches, moved within the memory of the stack."""
    ranks = np.flatnonzero(selected)
    for target, rank in enumerate(ranks):
        if target != rank:
            stack[target] = stack[rank]
    return stack[: len(ranks)]
