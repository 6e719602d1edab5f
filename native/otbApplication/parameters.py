# SPDX-License-Identifier: Apache-2.0
"""Parameters by value, whatever their type, and as attributes: ``app.IN = "in.tif"``.

Same rules as the official wrapper: a choice or a group reads as an `ApplicationProxy`, whose text is its value.
"""

from otbApplication import _engine

_TYPE_NAMES = {value: name for name, value in vars(_engine).items() if name.startswith("ParameterType_")}

_TEXTS = {
    _engine.ParameterType_String,
    _engine.ParameterType_InputFilename,
    _engine.ParameterType_OutputImage,
    _engine.ParameterType_OutputVectorData,
    _engine.ParameterType_OutputFilename,
    _engine.ParameterType_Directory,
    _engine.ParameterType_InputImage,
    _engine.ParameterType_InputVectorData,
}
_LISTS = {
    _engine.ParameterType_InputImageList,
    _engine.ParameterType_InputVectorDataList,
    _engine.ParameterType_InputFilenameList,
    _engine.ParameterType_StringList,
    _engine.ParameterType_ListView,
    _engine.ParameterType_Field,
    _engine.ParameterType_Band,
}
_INTEGERS = {_engine.ParameterType_Int, _engine.ParameterType_Radius}
_ACCEPTED = (
    (_TEXTS, str, "a text"),
    (_LISTS, list, "a list of texts"),
    (_INTEGERS, int, "an integer"),
    ({_engine.ParameterType_Bool}, bool, "True or False"),
    ({_engine.ParameterType_Float, _engine.ParameterType_Double}, (float, int), "a number"),
)
"""What the official wrapper takes for parameters of each type."""


class ApplicationProxy:
    """A group or choice of an application, with its parameters as attributes.

    Args:
        application: the application.
        groupkey: key of the group or choice.
        value: the choice to make, if any.
    """

    def __init__(self, application, groupkey, value=None):
        """Make the choice, if one is given."""
        self.__dict__["application"] = application
        self.__dict__["groupkey"] = groupkey
        if value is not None:
            application.SetParameterString(groupkey, value)

    def __str__(self):
        """Return the value of the choice."""
        return self.application.GetParameterAsString(self.groupkey)

    def __eq__(self, other):
        """Compare with another proxy, or the value with a text."""
        if isinstance(other, ApplicationProxy):
            return self.__dict__ == other.__dict__
        return str(self) == other

    __hash__ = None

    def __getattr__(self, name):
        """Return the value of parameter ``<group>.<name>``."""
        try:
            return self.application.GetParameterValue(f"{self.groupkey}.{name.lower()}")
        except RuntimeError as error:
            raise AttributeError(str(error)) from error

    def __setattr__(self, name, value):
        """Set the value of parameter ``<group>.<name>``."""
        self.application.SetParameterValue(f"{self.groupkey}.{name.lower()}", value)


def get_type_as_string(app, parameter_type: int) -> str:
    """Return the name of a ParameterType_ value."""
    return _TYPE_NAMES.get(parameter_type, "ParameterType_UNKNOWN")


def set_value(app, key: str, value):
    """Set a parameter from a Python value of the parameter's type.

    Raises:
        TypeError: the value has another type: a tuple for a list, a text for a field, numpy's numbers, 0 or 1 for a
            Boolean.
        RuntimeError: OTB refuses the value.
    """
    kind = app.GetParameterType(key)
    if kind == _engine.ParameterType_RAM:
        return app.SetParameterString(key, str(value))
    for kinds, accepted, name in _ACCEPTED:
        if kind in kinds and not isinstance(value, accepted):
            raise TypeError(f"parameter {key}: expected {name}, got {value!r}")
    if kind in _TEXTS:
        return app.SetParameterString(key, value)
    if kind in _LISTS:
        return app.SetParameterStringList(key, value)
    if kind in _INTEGERS or kind == _engine.ParameterType_Bool:
        return app.SetParameterInt(key, value)
    if kind == _engine.ParameterType_Float:
        return app.SetParameterFloat(key, value)
    if kind == _engine.ParameterType_Double:
        return app.SetParameterDouble(key, value)
    if kind == _engine.ParameterType_Choice:
        return ApplicationProxy(app, key, value)
    return ApplicationProxy(app, key)


def get_value(app, key: str):
    """Return the value of a parameter as a Python value of its type."""
    kind = app.GetParameterType(key)
    if kind in _TEXTS:
        return app.GetParameterString(key)
    if kind in _LISTS:
        return app.GetParameterStringList(key)
    if kind in _INTEGERS or kind == _engine.ParameterType_RAM:
        return app.GetParameterInt(key)
    if kind == _engine.ParameterType_Float:
        return app.GetParameterFloat(key)
    if kind == _engine.ParameterType_Double:
        return app.GetParameterDouble(key)
    if kind == _engine.ParameterType_Bool:
        return bool(app.GetParameterInt(key))
    return ApplicationProxy(app, key)


def set_values(app, values: dict) -> None:
    """Set several parameters, by key."""
    for key, value in values.items():
        app.SetParameterValue(key, value)


def get_values(app) -> dict:
    """Return the input parameters that are enabled and have a value, by key."""
    return {
        key: app.GetParameterValue(key)
        for key in app.GetParametersKeys()
        if app.HasValue(key) and app.IsParameterEnabled(key) and app.GetParameterRole(key) == _engine.Role_Input
    }


def get_attribute(app, name: str):
    """Return the value of the parameter whose key in capitals is `name`."""
    if name.isupper() and name in (key.upper() for key in app.GetParametersKeys()):
        return app.GetParameterValue(name.lower())
    raise AttributeError(f"'Application' object has no attribute '{name}'")


def set_attribute(app, name: str, value) -> None:
    """Set the parameter whose key in capitals is `name`."""
    if name not in (key.upper() for key in app.GetParametersKeys()):
        raise AttributeError(f"cannot add an attribute to {app.GetName()}, got '{name}'")
    app.SetParameterValue(name.lower(), value)


def describe(app) -> str:
    """Return the application's name and long description."""
    return f"{app.GetName()}\n{app.GetDocLongDescription()}"


def extend(application) -> None:
    """Give the class `application` these methods."""
    application.GetParameterTypeAsString = get_type_as_string
    application.SetParameterValue = set_value
    application.GetParameterValue = get_value
    application.SetParameters = set_values
    application.GetParameters = get_values
    application.__getattr__ = get_attribute
    application.__setattr__ = set_attribute
    application.__str__ = describe
