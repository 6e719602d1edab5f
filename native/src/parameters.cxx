// SPDX-License-Identifier: Apache-2.0
// Application: parameters by key. Enumerations travel as integers.
#include "bindings.h"
#include "python_application.h"

#include <pybind11/stl.h>

namespace otbpy
{

void UpdateParameters(Application& application)
{
  const auto* const python = dynamic_cast<PythonApplication*>(&application);
  if (python == nullptr || !python->IsInBody())
    application.UpdateParameters();
}

namespace
{

using Key = const std::string&;

void BindState(ApplicationClass& application)
{
  application
      .def(
          "GetParametersKeys",
          [](Application& self, bool recursive) { return Tuple(self.GetParametersKeys(recursive)); },
          py::arg("recursive") = true)
      .def("GetParameterType",
           [](const Application& self, Key key) { return static_cast<int>(self.GetParameterType(key)); })
      .def("GetParameterRole",
           [](const Application& self, Key key) { return static_cast<int>(self.GetParameterRole(key)); })
      .def("GetParameterUserLevel",
           [](const Application& self, Key key) { return static_cast<int>(self.GetParameterUserLevel(key)); })
      .def("GetParameterName", &Application::GetParameterName)
      .def("GetParameterDescription", &Application::GetParameterDescription)
      .def("SetParameterDescription", &Application::SetParameterDescription)
      .def("EnableParameter", &Application::EnableParameter)
      .def("DisableParameter", &Application::DisableParameter)
      .def("IsParameterEnabled", &Application::IsParameterEnabled, py::arg("paramKey"),
           py::arg("recurseParents") = false)
      .def("IsParameterMissing", &Application::IsParameterMissing)
      .def("IsMandatory", &Application::IsMandatory)
      .def("HasAutomaticValue", &Application::HasAutomaticValue)
      .def("HasUserValue", &Application::HasUserValue)
      .def("SetParameterUserValue", &Application::SetParameterUserValue)
      .def("HasValue", &Application::HasValue)
      .def("ClearValue", &Application::ClearValue, ReleaseGil())
      .def("GetChoiceKeys", [](Application& self, Key key) { return Tuple(self.GetChoiceKeys(key)); })
      .def("GetChoiceNames", [](Application& self, Key key) { return Tuple(self.GetChoiceNames(key)); })
      .def("GetListViewSingleSelectionMode", &Application::GetListViewSingleSelectionMode)
      .def("GetOutputParametersSumUp", &Application::GetOutputParametersSumUp);
}

// Binds a method that sets a parameter.
template <typename Value>
void BindSetter(ApplicationClass& application, const char* name, void (Application::*set)(Key, Value, bool),
                const char* value)
{
  application.def(
      name,
      [set](Application& self, Key key, std::decay_t<Value> given, bool user)
      {
        (self.*set)(key, given, user);
        UpdateParameters(self);
      },
      py::arg("parameter"), py::arg(value), py::arg("hasUserValueFlag") = true, ReleaseGil());
}

void BindSetters(ApplicationClass& application)
{
  BindSetter(application, "SetParameterInt", &Application::SetParameterInt, "value");
  BindSetter(application, "SetParameterFloat", &Application::SetParameterFloat, "value");
  BindSetter(application, "SetParameterDouble", &Application::SetParameterDouble, "value");
  BindSetter(application, "SetParameterString", &Application::SetParameterString, "value");
  BindSetter(application, "SetParameterStringList", &Application::SetParameterStringList, "values");
  application.def("AddParameterStringList", &Application::AddParameterStringList, ReleaseGil())
      .def("SetNthParameterStringList", &Application::SetNthParameterStringList, ReleaseGil());
}

void BindGetters(ApplicationClass& application)
{
  application.def("GetParameterInt", &Application::GetParameterInt)
      .def("GetParameterFloat", &Application::GetParameterFloat)
      .def("GetParameterDouble", &Application::GetParameterDouble)
      .def("GetParameterString", &Application::GetParameterString)
      .def("GetParameterStringList", [](Application& self, Key key) { return Tuple(self.GetParameterStringList(key)); })
      .def("GetParameterAsString", &Application::GetParameterAsString);
}

}  // namespace

void BindParameters(ApplicationClass& application)
{
  BindState(application);
  BindSetters(application);
  BindGetters(application);
}

}  // namespace otbpy
