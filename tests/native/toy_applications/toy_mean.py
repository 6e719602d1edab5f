# SPDX-License-Identifier: Apache-2.0
"""ToyMean: the mean of a list of images by a filter ("filter"), or of their centres read at once ("array")."""

import numpy as np
import otbApplication as otb

TYPES = {"float32": np.float32, "float64": np.float64, "uint8": np.uint8, "uint16": np.uint16, "int16": np.int16,
         "int32": np.int32}


class Mean:
    def __init__(self, images):
        self.images = images

    def output_information(self):
        image = self.images[0]
        return {
            "size": image.size,
            "bands": image.bands,
            "origin": image.origin,
            "spacing": image.spacing,
            "projection": image.projection,
        }

    def input_regions(self, region):
        return [region] * len(self.images)

    def compute(self, region, arrays, regions):
        return np.mean(arrays, axis=0)


class ToyMean:
    def init(self, app):
        app.AddParameter(otb.ParameterType_InputImageList, "il", "Input images")
        app.AddParameter(otb.ParameterType_OutputImage, "out", "Output image")
        app.AddParameter(otb.ParameterType_String, "type", "Type of an array made at once; empty: a streaming filter")
        app.MandatoryOff("type")

    def update_parameters(self, app):
        pass

    def execute(self, app):
        images = app.GetParameterImages("il")
        if not app.HasValue("type"):
            app.SetOutputImageFromFilter("out", images, Mean(images))
            return
        width, height = images[0].size
        (x, y), (dx, dy) = images[0].origin, images[0].spacing
        centre = np.mean([image.read(1, 1, width - 2, height - 2) for image in images], axis=0)
        array = centre.astype(TYPES[app.GetParameterString("type")])
        app.SetOutputImageFromArray("out", array, (x + dx, y + dy), (dx, dy), images[0].projection)
