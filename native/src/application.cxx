// SPDX-License-Identifier: Apache-2.0
// Application: life cycle, connections, progress. Every call that may run OTB releases the GIL.
#include "bindings.h"

#include <otbLogger.h>
#include <pybind11/stl.h>

namespace otbpy
{

ApplicationClass BindApplication(py::module_& module)
{
  ApplicationClass application(module, "Application");
  application.def("Init", &Application::Init)
      .def("IsInitialized", &Application::IsInitialized)
      .def("UpdateParameters", &Application::UpdateParameters, ReleaseGil())
      .def("Execute", &Application::Execute, ReleaseGil())
      .def("WriteOutput", &Application::WriteOutput, ReleaseGil())
      .def("ExecuteAndWriteOutput", &Application::ExecuteAndWriteOutput, ReleaseGil())
      .def("Stop", &Application::Stop, ReleaseGil())
      .def("IsExecuteDone", &Application::IsExecuteDone)
      .def("IsApplicationReady", &Application::IsApplicationReady, ReleaseGil())
      .def("IsMultiWritingEnabled", &Application::IsMultiWritingEnabled)
      .def("FreeRessources", &Application::FreeRessources, ReleaseGil())
      .def("LoadParametersFromXML", &Application::LoadParametersFromXML, ReleaseGil())
      .def("SaveParametersToXML", &Application::SaveParametersToXML, ReleaseGil())
      .def("ConnectImage", &Application::ConnectImage, py::arg("in"), py::arg("app"), py::arg("out"), ReleaseGil())
      .def("PropagateConnectMode", &Application::PropagateConnectMode, ReleaseGil())
      .def("GetProgressSource",
           [](const Application& self) { return itk::ProcessObject::Pointer(self.GetProgressSource()); })
      .def("GetProgressDescription", &Application::GetProgressDescription)
      .def("GetLastExecutionTiming", &Application::GetLastExecutionTiming)
      .def("GetLogger", [](const Application& self) { return itk::SmartPointer<otb::Logger>(self.GetLogger()); });
  return application;
}

}  // namespace otbpy
