# SPDX-License-Identifier: Apache-2.0
"""Options of the project's programs as parameters of Processing: a parameter, and the words that it becomes.

A parameter is named after the option: `--tile-size` is TILE_SIZE. Tests hold flags, choices and defaults against those
of the programs.
"""

from qgis.core import (
    QgsProcessing,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
)


class Option:
    """An option of a program: its parameter, and how its value is read."""

    def __init__(self, flag, parameter, read, advanced=False):
        self.flag, self.parameter, self._read = flag, parameter, read
        if advanced:
            parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.FlagAdvanced)

    def words(self, algorithm, parameters, context):
        """Return the words of the command line, none where the value is the default."""
        return self._read(algorithm, parameters, self.parameter.name(), context)


def name_of(flag):
    """Return the name of the parameter of a flag."""
    return flag.lstrip("-").replace("-", "_").upper()


def choice(flag, text, choices, default=None, required=False, advanced=False):
    """Return an option that is one of some words; without a default it may be left open.

    Args:
        flag: how the command line spells it.
        text: label of the parameter.
        choices: the words.
        default: the program's default, which is not passed.
        required: the program has no default: it is always passed.
        advanced: whether it is among the advanced parameters.
    """

    def read(algorithm, parameters, name, context):
        value = algorithm.parameterAsEnumString(parameters, name, context)
        return [f"{flag}={value}"] if value and (required or value != default) else []

    parameter = QgsProcessingParameterEnum(
        name_of(flag), text, list(choices), defaultValue=default, optional=default is None, usesStaticStrings=True
    )
    return Option(flag, parameter, read, advanced)


def choices(flag, text, names):
    """Return an option that is some of some words, in one word with commas; all where it is left open."""

    def read(algorithm, parameters, name, context):
        values = algorithm.parameterAsEnumStrings(parameters, name, context)
        return [f"{flag}={','.join(values)}"] if values else []

    parameter = QgsProcessingParameterEnum(
        name_of(flag), text, list(names), allowMultiple=True, optional=True, usesStaticStrings=True
    )
    return Option(flag, parameter, read)


def text(flag, label, default=None, optional=True, advanced=False):
    """Return an option that is a word."""

    def read(algorithm, parameters, name, context):
        value = algorithm.parameterAsString(parameters, name, context).strip()
        return [f"{flag}={value}"] if value and value != default else []

    parameter = QgsProcessingParameterString(name_of(flag), label, defaultValue=default, optional=optional)
    return Option(flag, parameter, read, advanced)


def number(flag, label, default=None, integer=True, minimum=None, advanced=False):
    """Return an option that is a number; without a default it may be left open."""

    def read(algorithm, parameters, name, context):
        if parameters.get(name) is None:
            return []
        value = (algorithm.parameterAsInt if integer else algorithm.parameterAsDouble)(parameters, name, context)
        return [f"{flag}={value:g}" if not integer else f"{flag}={value}"] if value != default else []

    kind = QgsProcessingParameterNumber.Integer if integer else QgsProcessingParameterNumber.Double
    bounds = {} if minimum is None else {"minValue": minimum}
    parameter = QgsProcessingParameterNumber(
        name_of(flag), label, kind, defaultValue=default, optional=default is None, **bounds
    )
    return Option(flag, parameter, read, advanced)


def switch(flag, label, advanced=False):
    """Return an option that is there or not."""

    def read(algorithm, parameters, name, context):
        return [flag] if algorithm.parameterAsBoolean(parameters, name, context) else []

    return Option(flag, QgsProcessingParameterBoolean(name_of(flag), label, defaultValue=False), read, advanced)


def page(flag, label):
    """Return an option that is a web page to be written; none unless it is asked for."""

    def read(algorithm, parameters, name, context):
        value = algorithm.parameterAsFileOutput(parameters, name, context)
        return [f"{flag}={value}"] if value else []

    parameter = QgsProcessingParameterFileDestination(
        name_of(flag), label, "HTML (*.html)", optional=True, createByDefault=False
    )
    return Option(flag, parameter, read)


def raster(flag, label, optional=True):
    """Return an option that is a raster layer."""

    def read(algorithm, parameters, name, context):
        layer = algorithm.parameterAsRasterLayer(parameters, name, context)
        return [f"{flag}={layer.source()}"] if layer else []

    return Option(flag, QgsProcessingParameterRasterLayer(name_of(flag), label, optional=optional), read)


def rasters(flag, label, optional=True):
    """Return an option that is one or several raster layers."""

    def read(algorithm, parameters, name, context):
        layers = algorithm.parameterAsLayerList(parameters, name, context) or []
        return [flag, *(layer.source() for layer in layers)] if layers else []

    parameter = QgsProcessingParameterMultipleLayers(name_of(flag), label, QgsProcessing.TypeRaster, optional=optional)
    return Option(flag, parameter, read)


def file(flag, label, folder=False, optional=True, name=None, separate=False):
    """Return an option that is a file or a folder; `separate` for a flag that takes several words."""

    def read(algorithm, parameters, name, context):
        value = algorithm.parameterAsFile(parameters, name, context)
        return ([flag, value] if separate else [f"{flag}={value}"]) if value else []

    kind = QgsProcessingParameterFile.Folder if folder else QgsProcessingParameterFile.File
    return Option(flag, QgsProcessingParameterFile(name or name_of(flag), label, kind, optional=optional), read)
