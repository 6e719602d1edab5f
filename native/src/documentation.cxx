// SPDX-License-Identifier: Apache-2.0
// Application: name, documentation and examples.
#include "bindings.h"

#include <pybind11/stl.h>

namespace otbpy
{

void BindDocumentation(ApplicationClass& application)
{
  application.def("GetName", &Application::GetName)
      .def("SetName", &Application::SetName)
      .def("GetDescription", &Application::GetDescription)
      .def("SetDescription", &Application::SetDescription)
      .def("GetDocLongDescription", &Application::GetDocLongDescription)
      .def("SetDocLongDescription", &Application::SetDocLongDescription)
      .def("GetDocAuthors", &Application::GetDocAuthors)
      .def("SetDocAuthors", &Application::SetDocAuthors)
      .def("GetDocLimitations", &Application::GetDocLimitations)
      .def("SetDocLimitations", &Application::SetDocLimitations)
      .def("GetDocSeeAlso", &Application::GetDocSeeAlso)
      .def("SetDocSeeAlso", &Application::SetDocSeeAlso)
      .def("GetDocLink", &Application::GetDocLink)
      .def("SetDocLink", &Application::SetDocLink)
      .def("GetDocTags", [](Application& self) { return Tuple(self.GetDocTags()); })
      .def("SetDocTags", &Application::SetDocTags)
      .def("AddDocTag", &Application::AddDocTag)
      .def("IsDeprecated", &Application::IsDeprecated)
      .def("AddExample", &Application::AddExample, py::arg("comm") = "")
      .def("SetExampleComment", &Application::SetExampleComment)
      .def("GetExampleComment", &Application::GetExampleComment)
      .def("GetNumberOfExamples", &Application::GetNumberOfExamples)
      .def("GetExampleNumberOfParameters", &Application::GetExampleNumberOfParameters)
      .def("GetExampleParameterKey", &Application::GetExampleParameterKey)
      .def("GetExampleParameterValue", &Application::GetExampleParameterValue)
      .def("SetDocExampleParameterValue", &Application::SetDocExampleParameterValue, py::arg("key"), py::arg("value"),
           py::arg("exId") = 0)
      .def("GetCLExample", &Application::GetCLExample)
      .def("GetHtmlExample", &Application::GetHtmlExample);
}

}  // namespace otbpy
