# SPDX-License-Identifier: Apache-2.0
"""What the algorithms share: from parameters to the command line of a program, and from there to a layer."""

from pathlib import Path

from processing.core.ProcessingConfig import ProcessingConfig
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingOutputRasterLayer,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterRasterDestination,
)

from . import process
from .options import Option, file, rasters, text

PROVIDER = "superresolution"
PYTHON_SETTING = "SR_PYTHON"
PROJECT = Path(__file__).resolve().parents[2]
"""The project's folder: the plugin in QGIS's profile is a link into it."""


def default_python():
    """Return the project's Python, as `make setup` makes it."""
    return str(PROJECT / ".venv" / "bin" / "python")


class ProgramAlgorithm(QgsProcessingAlgorithm):
    """An algorithm that is a program of the project; a subclass says which, and which of its options it offers."""

    NAME = TITLE = HELP = ""
    MODULE = ""
    """The program, as `python -m` starts it."""
    FIXED = ()
    """Words that are always given."""
    OUTPUT_FLAG = "--output"
    OUTPUT_FOLDER = False
    """Whether the output is a folder."""
    OUTPUT_LABEL = "Product"
    BESIDE = ()
    """Rasters that the program writes beside its product when it is asked to: the option, the end of the file's name,
    the name of the output, its label."""

    def options(self):
        """Return the options that it offers."""
        raise NotImplementedError

    def check(self, given):
        """Return what is wrong with the parameters that are given together, or nothing.

        Args:
            given: names of the parameters that are given.
        """
        return ""

    def name(self):
        """Return the last part of its name."""
        return self.NAME

    def displayName(self):  # noqa: N802 (QGIS calls it by this name)
        """Return its title in the toolbox."""
        return self.TITLE

    def shortHelpString(self):  # noqa: N802 (QGIS calls it by this name)
        """Return its help."""
        return f"{self.HELP}\n\nProgram: python -m {self.MODULE}"

    def createInstance(self):  # noqa: N802 (QGIS calls it by this name)
        """Return another one of its class."""
        return type(self)()

    def initAlgorithm(self, configuration=None):  # noqa: N802 (QGIS calls it by this name)
        """Add its parameters."""
        self._options = self.options()
        for option in self._options:
            self.addParameter(option.parameter)
        destination = (
            QgsProcessingParameterFolderDestination if self.OUTPUT_FOLDER else QgsProcessingParameterRasterDestination
        )
        self.addParameter(destination("OUTPUT", self.OUTPUT_LABEL))
        for _, _, name, label in self.BESIDE:
            self.addOutput(QgsProcessingOutputRasterLayer(name, label))

    def checkParameterValues(self, parameters, context):  # noqa: N802 (QGIS calls it by this name)
        """Refuse parameters that do not go together."""
        right, message = super().checkParameterValues(parameters, context)
        wrong = self.check({name for name, value in parameters.items() if value not in (None, "", [])}) if right else ""
        return (False, wrong) if wrong else (right, message)

    def prepareAlgorithm(self, parameters, context, feedback):  # noqa: N802 (QGIS calls it by this name)
        """Turn the parameters, some of which are layers that belong to QGIS's main thread, into a command line."""
        python = ProcessingConfig.getSetting(PYTHON_SETTING) or default_python()
        if not Path(python).is_file():
            raise QgsProcessingException(
                f"{PYTHON_SETTING}: expected the project's Python, which `make setup` makes, got {python}"
            )
        read = self.parameterAsString if self.OUTPUT_FOLDER else self.parameterAsOutputLayer
        self._output = read(parameters, "OUTPUT", context)
        words = [word for option in self._options for word in option.words(self, parameters, context)]
        pages = [option.parameter.name() for option in self._options if option.parameter.isDestination()]
        self._pages = {name: self.parameterAsFileOutput(parameters, name, context) for name in pages}
        output = f"{self.OUTPUT_FLAG}={self._output}"
        self._words = [python, "-m", self.MODULE, "--progress=json", "--overwrite", *self.FIXED, output, *words]
        return True

    def processAlgorithm(self, parameters, context, feedback):  # noqa: N802 (QGIS calls it by this name)
        """Run the program."""
        if not process.run(self._words, str(PROJECT), feedback):
            return {}
        if not Path(self._output).exists():
            raise QgsProcessingException(f"OUTPUT: expected {self._output}, which the program has not written")
        made = {"OUTPUT": self._output, **{name: path for name, path in self._pages.items() if path}}
        for flag, end, name, label in self.BESIDE:
            if flag in self._words:
                made[name] = str(Path(self._output).with_suffix("")) + end
                if context.willLoadLayerOnCompletion(self._output):
                    details = QgsProcessingContext.LayerDetails(label, context.project(), name)
                    context.addLayerToLoadOnCompletion(made[name], details)
        return made


def extent():
    """Return the option of the area: an extent in any reference system, as a box of degrees."""

    def read(algorithm, parameters, name, context):
        if not parameters.get(name):
            return []
        box = algorithm.parameterAsExtent(parameters, name, context, QgsCoordinateReferenceSystem("EPSG:4326"))
        bounds = (box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum())
        return [f"--bbox={','.join(f'{value:.8f}' for value in bounds)}"]

    return Option("--bbox", QgsProcessingParameterExtent("EXTENT", "Area (default: all)", optional=True), read)


def scene(search=False):
    """Return the options of a scene of Sentinel-2: layers, or a file or folder, or days to search."""
    found = [
        rasters("--input", "Scene of Sentinel-2: raster layers of its bands, or one of all bands"),
        file("--input", "… or its file: MTD_MSI….xml of a SAFE folder, zip, STAC item", name="SCENE", separate=True),
    ]
    if search:
        found.append(text("--search", "… or days YYYY-MM-DD/YYYY-MM-DD, of which the clearest over the area is taken"))
    return found


def one_scene(given, search=False):
    """Return what is wrong with the parameters that name a scene."""
    names = ("INPUT", "SCENE", "SEARCH") if search else ("INPUT", "SCENE")
    stated = [name for name in names if name in given]
    if len(stated) != 1:
        return f"expected one of {', '.join(names)}, got {' and '.join(stated) or 'none'}"
    return "SEARCH requires EXTENT" if "SEARCH" in stated and "EXTENT" not in given else ""
