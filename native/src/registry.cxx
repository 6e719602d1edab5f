// SPDX-License-Identifier: Apache-2.0
// Registry: applications by name. An unknown name gives None.
//
// Creation keeps the GIL, since OTB declares parameters with code that two threads must not run at once.
#include "bindings.h"
#include "python_application.h"

#include <otbWrapperApplicationRegistry.h>
#include <pybind11/stl.h>

namespace otbpy
{

namespace
{

Application::Pointer Create(const std::string& name)
{
  auto application = otb::Wrapper::ApplicationRegistry::CreateApplication(name);
  if (application.IsNull() && !PythonApplicationFactory::GetLoadError(name).empty())
    throw std::runtime_error(PythonApplicationFactory::GetLoadError(name));
  return application;
}

}  // namespace

void BindRegistry(py::module_& module)
{
  using Registry = otb::Wrapper::ApplicationRegistry;
  py::class_<Registry, itk::Object, Registry::Pointer>(module, "Registry")
      .def_static("CreateApplicationWithoutLogger", &Create, py::arg("name"))
      .def_static(
          "GetAvailableApplications",
          [](bool useFactory) { return Tuple(Registry::GetAvailableApplications(useFactory)); },
          py::arg("useFactory") = true)
      .def_static("SetApplicationPath", &Registry::SetApplicationPath, py::arg("newpath"))
      .def_static("AddApplicationPath", &Registry::AddApplicationPath, py::arg("newpath"))
      .def_static("CleanRegistry", &Registry::CleanRegistry);
}

}  // namespace otbpy
