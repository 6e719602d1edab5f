// SPDX-License-Identifier: Apache-2.0
// Registry: applications by name. An unknown name gives None.
#include "bindings.h"

#include <otbWrapperApplicationRegistry.h>
#include <pybind11/stl.h>

namespace otbpy
{

void BindRegistry(py::module_& module)
{
  using Registry = otb::Wrapper::ApplicationRegistry;
  py::class_<Registry, itk::Object, Registry::Pointer>(module, "Registry")
      .def_static("CreateApplicationWithoutLogger", [](const std::string& name) { return Registry::CreateApplication(name); }, py::arg("name"), ReleaseGil())
      .def_static("GetAvailableApplications", [](bool useFactory) { return Registry::GetAvailableApplications(useFactory); }, py::arg("useFactory") = true, ReleaseGil())
      .def_static("SetApplicationPath", &Registry::SetApplicationPath, py::arg("newpath"), ReleaseGil())
      .def_static("AddApplicationPath", &Registry::AddApplicationPath, py::arg("newpath"), ReleaseGil())
      .def_static("CleanRegistry", &Registry::CleanRegistry, ReleaseGil());
}

} // namespace otbpy
