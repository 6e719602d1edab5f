// SPDX-License-Identifier: Apache-2.0
// Application: parameters by key. Enumerations travel as integers.
#include "bindings.h"

#include <pybind11/stl.h>

namespace otbpy
{

namespace
{

using Key = const std::string&;

void BindState(ApplicationClass& application)
{
  application.def("GetParametersKeys", &Application::GetParametersKeys, py::arg("recursive") = true)
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
      .def("GetChoiceKeys", &Application::GetChoiceKeys)
      .def("GetChoiceNames", &Application::GetChoiceNames)
      .def("GetListViewSingleSelectionMode", &Application::GetListViewSingleSelectionMode)
      .def("GetOutputParametersSumUp", &Application::GetOutputParametersSumUp);
}

void BindSetters(ApplicationClass& application)
{
  const auto user = py::arg("hasUserValueFlag") = true;
  application
      .def("SetParameterInt", &Application::SetParameterInt, py::arg("parameter"), py::arg("value"), user, ReleaseGil())
      .def("SetParameterFloat", &Application::SetParameterFloat, py::arg("parameter"), py::arg("value"), user,
           ReleaseGil())
      .def("SetParameterDouble", &Application::SetParameterDouble, py::arg("parameter"), py::arg("value"), user,
           ReleaseGil())
      .def("SetParameterString", &Application::SetParameterString, py::arg("parameter"), py::arg("value"), user,
           ReleaseGil())
      .def("SetParameterStringList", &Application::SetParameterStringList, py::arg("parameter"), py::arg("values"),
           user, ReleaseGil())
      .def("AddParameterStringList", &Application::AddParameterStringList, ReleaseGil())
      .def("SetNthParameterStringList", &Application::SetNthParameterStringList, ReleaseGil());
}

void BindGetters(ApplicationClass& application)
{
  application.def("GetParameterInt", &Application::GetParameterInt)
      .def("GetParameterFloat", &Application::GetParameterFloat)
      .def("GetParameterDouble", &Application::GetParameterDouble)
      .def("GetParameterString", &Application::GetParameterString)
      .def("GetParameterStringList", &Application::GetParameterStringList)
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
