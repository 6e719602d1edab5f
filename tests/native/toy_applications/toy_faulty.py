# SPDX-License-Identifier: Apache-2.0
"""ToyFaulty: fails where it is told to."""

import numpy as np
import otbApplication as otb

PLACES = [
    "none",
    "execute",
    "information",
    "missing",
    "nothing",
    "regions",
    "number",
    "outside",
    "compute",
    "shape",
] + ["type", "class", "interrupt"]


class Faulty:
    def __init__(self, image, place):
        self.image = image
        self.place = place

    def output_information(self):
        if self.place == "information":
            raise ValueError("no information, as asked")
        if self.place == "nothing":
            return None
        image = self.image
        if self.place == "missing":
            return {"size": image.size}
        return {
            "size": image.size,
            "bands": image.bands,
            "origin": image.origin,
            "spacing": image.spacing,
            "projection": image.projection,
        }

    def input_regions(self, region):
        if self.place == "regions":
            raise RuntimeError("no regions, as asked")
        if self.place == "number":
            return []
        if self.place == "outside":
            return [(-1, *region[1:])]
        return [region]

    def compute(self, region, arrays, regions):
        if self.place == "compute":
            raise OSError("no pixels, as asked")
        if self.place == "type":
            return "pixels"
        if self.place == "class":
            raise KeyError("place")
        if self.place == "interrupt":
            raise KeyboardInterrupt
        return arrays[0][:-1] if self.place == "shape" else np.asarray(arrays[0])


class ToyFaulty:
    def init(self, app):
        app.AddParameter(otb.ParameterType_InputImage, "in", "Input image")
        app.AddParameter(otb.ParameterType_OutputImage, "out", "Output image")
        app.AddParameter(otb.ParameterType_Choice, "place", "Where to fail")
        for place in PLACES:
            app.AddChoice(f"place.{place}", place)

    def update_parameters(self, app):
        pass

    def execute(self, app):
        place = app.GetParameterString("place")
        if place == "execute":
            raise RuntimeError("no execution, as asked")
        (image,) = app.GetParameterImages("in")
        app.SetOutputImageFromFilter("out", [image], Faulty(image, place))
