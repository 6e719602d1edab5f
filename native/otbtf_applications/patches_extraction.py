# SPDX-License-Identifier: Apache-2.0
"""PatchesExtraction: patches of one or several sources around points, stacked in one image for each source.

It behaves like OTBTF 4.3.1's application of the same name, except for the reading of the sources: OTBTF requests each
patch from the chain behind a source; here, neighbouring patches are read together (see ``read_plan``), and patches that
another source has already rejected are not read at all. Patches are in the order of the points.

    OTB_TF_NSOURCES=2 native/bin/otbcli PatchesExtraction -source1.il xs.tif -source1.patchsizex 32
    -source1.patchsizey 32 -source1.out xs_patches.tif uint16 -source2.il pan.tif -source2.patchsizex 128
    -source2.patchsizey 128 -source2.out pan_patches.tif uint16 -vec points.geojson -field id
"""

from __future__ import annotations

import numpy as np
import otbApplication as otb

from otbtf_applications.number_of_sources import number_of_sources
from otbtf_applications.patch_source import PatchSource, extract_paired
from otbtf_applications.point_layer import read_points

_LONG_DESCRIPTION = (
    "Extracts patches of one or several sources (environment variable OTB_TF_NSOURCES) around points. The "
    "images of one source are stacked by bands. A point whose patch does not lie wholly inside every source, "
    "or holds a nodata value, is left out of all outputs, so that the outputs stay paired. The points must be "
    "in the coordinate system of the images. Patches are stacked vertically, in the order of the points."
)

_INT32 = (np.iinfo(np.int32).min, np.iinfo(np.int32).max)


class PatchesExtraction:
    """Body of the application."""

    def init(self, app: otb.PythonApplication) -> None:
        """Declare the parameters, for the number of sources in the environment."""
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
    def _init_source(app: otb.PythonApplication, key: str, number: int) -> None:
        app.AddParameter(otb.ParameterType_Group, key, f"Source {number}")
        app.AddParameter(otb.ParameterType_InputImageList, f"{key}.il", f"Images of source {number}, stacked by bands")
        app.AddParameter(otb.ParameterType_OutputImage, f"{key}.out", f"Patches of source {number}")
        for axis in "xy":
            app.AddParameter(
                otb.ParameterType_Int, f"{key}.patchsize{axis}", f"Size of the patches in {axis}, in pixels"
            )
            app.SetMinimumParameterIntValue(f"{key}.patchsize{axis}", 1)
        app.AddParameter(otb.ParameterType_Float, f"{key}.nodata", "No-data value")
        app.SetParameterDescription(f"{key}.nodata", "Patches with this value in any band of any pixel are rejected")
        app.MandatoryOff(f"{key}.nodata")

    def update_parameters(self, app: otb.PythonApplication) -> None:
        """Do nothing: no parameter depends on another one."""

    def execute(self, app: otb.PythonApplication) -> None:
        """Extract the patches of all sources, and pass them to the outputs."""
        keys = [f"source{number}" for number in range(1, self._number_of_sources + 1)]
        sources = [_source(app, key) for key in keys]
        points, labels = read_points(app.GetParameterString("vec"), app.GetParameterString("field"))
        if not len(points):
            raise RuntimeError("There is no geometry to sample. Geometries must be points.")
        kept, patches = extract_paired(sources, points)
        app.LogInfo(f"Number of samples collected: {len(kept)}")
        app.LogInfo(f"Number of samples rejected: {len(points) - len(kept)}")
        if not len(kept):
            raise RuntimeError(
                "No patch to sample. Please check that your vector data falls inside your images, and no-data values."
            )
        for key, source, stack in zip(keys, sources, patches, strict=True):
            column = stack.reshape(-1, *stack.shape[2:])
            app.SetOutputImageFromArray(f"{key}.out", column, origin=(0.0, 0.0), spacing=source.images[0].spacing)
        if app.HasValue("outlabels"):
            column = np.clip(labels[kept], *_INT32).astype(np.int32).reshape(-1, 1, 1)
            app.SetOutputImageFromArray("outlabels", column, origin=(0.0, 0.0), spacing=(1.0, 1.0))


def _source(app: otb.PythonApplication, key: str) -> PatchSource:
    """Return the source described by its parameters."""
    images = app.GetParameterImages(f"{key}.il")
    for number, image in enumerate(images):
        if tuple(image.size) != tuple(images[0].size):
            raise RuntimeError(f"Input image size number {number} mismatch")
    patch_size = (app.GetParameterInt(f"{key}.patchsizex"), app.GetParameterInt(f"{key}.patchsizey"))
    nodata = np.float32(app.GetParameterFloat(f"{key}.nodata")) if app.HasValue(f"{key}.nodata") else None
    return PatchSource(images, patch_size, nodata)
