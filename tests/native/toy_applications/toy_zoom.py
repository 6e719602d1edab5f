# SPDX-License-Identifier: Apache-2.0
"""ToyZoom: nearest-neighbour enlargement by an integer factor, which remembers the regions it was asked for."""

import numpy as np
import otbApplication as otb

REQUESTED = []


class Zoom:
    def __init__(self, image, factor):
        self.image = image
        self.factor = factor

    def output_information(self):
        (width, height), (x, y), (dx, dy) = self.image.size, self.image.origin, self.image.spacing
        fx, fy = dx / self.factor, dy / self.factor
        return {
            "size": (width * self.factor, height * self.factor),
            "bands": self.image.bands,
            "origin": (x - dx / 2 + fx / 2, y - dy / 2 + fy / 2),
            "spacing": (fx, fy),
            "projection": self.image.projection,
        }

    def input_regions(self, region):
        x, y, width, height = region
        left, top = x // self.factor, y // self.factor
        right, bottom = -(-(x + width) // self.factor), -(-(y + height) // self.factor)
        return [(left, top, right - left, bottom - top)]

    def compute(self, region, arrays, regions):
        REQUESTED.append((region, regions[0]))
        x, y, width, height = region
        enlarged = np.repeat(np.repeat(arrays[0], self.factor, axis=0), self.factor, axis=1)
        top, left = y - regions[0][1] * self.factor, x - regions[0][0] * self.factor
        return enlarged[top : top + height, left : left + width]


class ToyZoom:
    def init(self, app):
        app.SetDescription("Enlarges an image")
        app.SetDocLongDescription("Each pixel becomes factor x factor pixels.")
        app.AddDocTag("Toy")
        app.AddParameter(otb.ParameterType_InputImage, "in", "Input image")
        app.AddParameter(otb.ParameterType_OutputImage, "out", "Output image")
        app.AddParameter(otb.ParameterType_Int, "factor", "Enlargement")
        app.SetDefaultParameterInt("factor", 2)
        app.SetMinimumParameterIntValue("factor", 1)
        app.AddParameter(otb.ParameterType_Int, "twice", "Twice the factor, kept up to date by the application")
        app.MandatoryOff("twice")
        app.AddRAMParameter()
        app.SetDocExampleParameterValue("in", "in.tif")

    def update_parameters(self, app):
        if not app.HasUserValue("twice"):
            app.SetParameterInt("twice", 2 * app.GetParameterInt("factor"))

    def execute(self, app):
        (image,) = app.GetParameterImages("in")
        app.LogInfo(f"Enlarging {image.size[0]} x {image.size[1]} pixels")
        app.SetOutputImageFromFilter("out", [image], Zoom(image, app.GetParameterInt("factor")))
