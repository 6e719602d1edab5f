# SPDX-License-Identifier: Apache-2.0
"""ToyMean: the mean of images by a filter, each shifted against the last, or of their centres read at once."""

import numpy as np
import otbApplication as otb


class Mean:
    def __init__(self, images, shift):
        self.images = images
        self.shift = shift

    def output_information(self):
        image = self.images[0]
        width, height = image.size
        return {
            "size": (width - self.shift * (len(self.images) - 1), height),
            "bands": image.bands,
            "origin": image.origin,
            "spacing": image.spacing,
            "projection": image.projection,
        }

    def input_regions(self, region):
        x, y, width, height = region
        return [(x + i * self.shift, y, width, height) for i in range(len(self.images))]

    def compute(self, region, arrays, regions):
        return np.mean(arrays, axis=0)


class ToyMean:
    def init(self, app):
        app.AddParameter(otb.ParameterType_InputImageList, "il", "Input images")
        app.AddParameter(otb.ParameterType_OutputImage, "out", "Output image")
        app.AddParameter(otb.ParameterType_Int, "shift", "Columns between an image and the next")
        app.SetDefaultParameterInt("shift", 0)
        app.AddParameter(otb.ParameterType_String, "type", "Type of an array made at once; none: a streaming filter")
        app.MandatoryOff("type")

    def update_parameters(self, app):
        pass

    def execute(self, app):
        images = app.GetParameterImages("il")
        if not app.HasValue("type"):
            app.SetOutputImageFromFilter("out", images, Mean(images, app.GetParameterInt("shift")))
            return
        width, height = images[0].size
        (x, y), (dx, dy) = images[0].origin, images[0].spacing
        centre = np.mean([image.read(1, 1, width - 2, height - 2) for image in images], axis=0)
        array = centre.astype(app.GetParameterString("type"))
        app.SetOutputImageFromArray("out", array, (x + dx, y + dy), (dx, dy), images[0].projection)
