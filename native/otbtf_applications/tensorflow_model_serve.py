# SPDX-License-Identifier: Apache-2.0
"""TensorflowModelServe: run a SavedModel on images, as a streaming OTB application.

Every source is a list of images stacked band-wise, with the receptive field that the network needs of it. In patch
mode the network is run on one patch per output pixel; in fully convolutional mode on windows, of which it writes whole
expression fields. Names, defaults, geometry and messages are those of OTBTF's application
(https://otbtf.readthedocs.io); ``docs/otbtf_compatibility.md`` says where they are not.

    otbcli_TensorflowModelServe -source1.il lr.tif -source1.rfieldx 40 -source1.rfieldy 40 -model.dir model \
        -model.fullyconv on -output.names sr_crop16 -output.efieldx 128 -output.efieldy 128 \
        -output.spcscale 0.25 -optim.tilesizex 128 -optim.tilesizey 128 -out sr.tif
"""

from __future__ import annotations

import otbApplication as otb

from otbtf_applications import saved_model_session
from otbtf_applications.number_of_sources import number_of_sources
from otbtf_applications.serve_filter import ServeFilter, Source


class TensorflowModelServe:
    """Parameters of the application, and their reading."""

    def init(self, app: otb.PythonApplication) -> None:
        """Declare the documentation and the parameters."""
        app.SetName("TensorflowModelServe")
        app.SetDescription("Multisource deep learning classifier using TensorFlow. Run a SavedModel on images.")
        app.SetDocLongDescription(
            "The application runs a SavedModel on one or several sources. A source is a list of images of one size, "
            "stacked band-wise. The number of sources is that of the environment variable OTB_TF_NSOURCES when the "
            "application is created (default: 1). The output covers the places where the receptive fields lie wholly "
            "inside all sources, cut to whole expression fields."
        )
        app.SetDocLimitations("The output is computed in 32-bit floating point numbers.")
        app.SetDocSeeAlso("PatchesSelection, PatchesExtraction")
        app.SetDocAuthors("The authors of this project")
        app.AddDocTag("Learning")
        self.number_of_sources = number_of_sources()
        for number in range(1, self.number_of_sources + 1):
            self._declare_source(app, f"source{number}", number)
        self._declare_model(app)
        self._declare_output(app)
        app.SetDocExampleParameterValue("source1.il", "spot6pms.tif")
        app.SetDocExampleParameterValue("source1.placeholder", "x1")
        app.SetDocExampleParameterValue("source1.rfieldx", "16")
        app.SetDocExampleParameterValue("source1.rfieldy", "16")
        app.SetDocExampleParameterValue("model.dir", "/tmp/my_saved_model/")
        app.SetDocExampleParameterValue("model.userplaceholders", "is_training=false dropout=0.0")
        app.SetDocExampleParameterValue("output.names", "out_predict1 out_proba1")
        app.SetDocExampleParameterValue("out", "classif.tif")

    def _declare_source(self, app: otb.PythonApplication, key: str, number: int) -> None:
        app.AddParameter(otb.ParameterType_Group, key, f"Parameters for source #{number}")
        app.AddParameter(
            otb.ParameterType_InputImageList, f"{key}.il", f"Input image (or list to stack) for source #{number}"
        )
        _integer(app, f"{key}.rfieldx", f"Input receptive field (width) for source #{number}, in its pixels", 1)
        _integer(app, f"{key}.rfieldy", f"Input receptive field (height) for source #{number}, in its pixels", 1)
        _optional(
            app, otb.ParameterType_String, f"{key}.placeholder", f"Name of the input placeholder for source #{number}"
        )
        _optional(app, otb.ParameterType_Float, f"{key}.nodata", f"No-data value for source #{number}")

    def _declare_model(self, app: otb.PythonApplication) -> None:
        app.AddParameter(otb.ParameterType_Group, "model", "Model parameters")
        app.AddParameter(otb.ParameterType_Directory, "model.dir", "TensorFlow SavedModel directory")
        _optional(
            app,
            otb.ParameterType_StringList,
            "model.userplaceholders",
            "Additional single-valued placeholders, name=value",
        )
        app.AddParameter(otb.ParameterType_Bool, "model.fullyconv", "Fully convolutional")
        app.MandatoryOff("model.fullyconv")
        _optional(
            app,
            otb.ParameterType_StringList,
            "model.tagsets",
            "Which tags (i.e. v1.MetaGraphDefs) to load from the SavedModel",
        )

    def _declare_output(self, app: otb.PythonApplication) -> None:
        app.AddParameter(otb.ParameterType_Group, "output", "Output tensors parameters")
        app.AddParameter(
            otb.ParameterType_Float, "output.spcscale", "The output spacing scale, related to the first source"
        )
        app.SetDefaultParameterFloat("output.spcscale", 1.0)
        _optional(app, otb.ParameterType_StringList, "output.names", "Names of the output tensors")
        app.AddParameter(otb.ParameterType_Float, "output.bv", "Value of the output where a source is no-data")
        app.SetDefaultParameterFloat("output.bv", 0.0)
        _integer(app, "output.efieldx", "The output expression field (width), in output pixels", 1)
        _integer(app, "output.efieldy", "The output expression field (height), in output pixels", 1)
        app.AddParameter(
            otb.ParameterType_Group, "optim", "This group of parameters allows optimization of processing time"
        )
        app.AddParameter(otb.ParameterType_Bool, "optim.disabletiling", "Disable tiling")
        app.MandatoryOff("optim.disabletiling")
        _integer(app, "optim.tilesizex", "Tile width used to stream the filter output, in output pixels", 16)
        _integer(app, "optim.tilesizey", "Tile height used to stream the filter output, in output pixels", 16)
        app.AddParameter(otb.ParameterType_OutputImage, "out", "Output image")

    def update_parameters(self, app: otb.PythonApplication) -> None:
        """Do nothing: no parameter depends on another."""

    def execute(self, app: otb.PythonApplication) -> None:
        """Load the model, place the output and connect the filter that computes it.

        Raises:
            RuntimeError: When the model, the names or the sizes do not go together.
        """
        session = saved_model_session.load(app.GetParameterString("model.dir"), _texts(app, "model.tagsets"))
        constants = dict(saved_model_session.parse_placeholder(text) for text in _texts(app, "model.userplaceholders"))
        free_inputs = [name for name in session.input_names if name.split(":")[0] not in constants]
        sources, images = [], []
        for rank in range(self.number_of_sources):
            source = self._source(app, rank, session, free_inputs)
            sources.append(source)
            images.extend(source.images)
        outputs = self._outputs(app, session)
        tile = None
        if not app.GetParameterInt("optim.disabletiling"):
            tile = (app.GetParameterInt("optim.tilesizex"), app.GetParameterInt("optim.tilesizey"))
        body = ServeFilter(
            session=session,
            sources=sources,
            constants={session.input_name(name): value for name, value in constants.items()},
            outputs=outputs,
            scale=app.GetParameterFloat("output.spcscale"),
            fields=(app.GetParameterInt("output.efieldx"), app.GetParameterInt("output.efieldy")),
            fully_convolutional=bool(app.GetParameterInt("model.fullyconv")),
            blank=app.GetParameterFloat("output.bv"),
            tile=tile,
        )
        for warning in body.warnings():
            app.LogWarning(warning)
        app.SetOutputImageFromFilter("out", images, body)

    def _source(
        self,
        app: otb.PythonApplication,
        rank: int,
        session: saved_model_session.SavedModelSession,
        free_inputs: list[str],
    ) -> Source:
        key = f"source{rank + 1}"
        images = app.GetParameterImages(f"{key}.il")
        for number, image in enumerate(images):
            if tuple(image.size) != tuple(images[0].size):
                raise RuntimeError(
                    f"Input image size number {number} mismatch ({key}.il: all images of a source must have the size "
                    f"of its first one, {images[0].size}, got {image.size})"
                )
        name = app.GetParameterString(f"{key}.placeholder") if app.HasValue(f"{key}.placeholder") else ""
        if name:
            name = session.input_name(name)
        elif rank < len(free_inputs):
            name = free_inputs[rank]
            if len(free_inputs) > 1:
                app.LogWarning(f"No placeholder was given for source #{rank + 1}, among {free_inputs}: it is {name}")
        else:
            raise RuntimeError(
                f"{key}.placeholder: the model has {len(free_inputs)} inputs, {free_inputs}, got source #{rank + 1}"
            )
        return Source(
            images=images,
            fields=(app.GetParameterInt(f"{key}.rfieldx"), app.GetParameterInt(f"{key}.rfieldy")),
            placeholder=name,
            nodata=app.GetParameterFloat(f"{key}.nodata") if app.HasValue(f"{key}.nodata") else None,
        )

    def _outputs(self, app: otb.PythonApplication, session: saved_model_session.SavedModelSession) -> dict[str, int]:
        names = [session.output_name(name) for name in _texts(app, "output.names")]
        if not names:
            names = session.output_names[:1]
            if len(session.output_names) > 1:
                app.LogWarning(f"No output name was given, among {session.output_names}: it is {names[0]}")
        return {name: session.bands(name) for name in names}


def _integer(app: otb.PythonApplication, key: str, name: str, default: int) -> None:
    app.AddParameter(otb.ParameterType_Int, key, name)
    app.SetMinimumParameterIntValue(key, 1)
    app.SetDefaultParameterInt(key, default)


def _optional(app: otb.PythonApplication, kind: int, key: str, name: str) -> None:
    app.AddParameter(kind, key, name)
    app.MandatoryOff(key)


def _texts(app: otb.PythonApplication, key: str) -> list[str]:
    return [text for text in app.GetParameterStringList(key) if text] if app.HasValue(key) else []
