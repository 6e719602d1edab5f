// SPDX-License-Identifier: Apache-2.0
// PythonApplication and Image for bodies, and the door through which the plug-ins come in.
#include "bindings.h"
#include "python_application.h"

#include <otbLogger.h>
#include <pybind11/stl.h>

namespace otbpy
{

namespace
{

using otb::Wrapper::ImagePixelType;
using otb::Wrapper::ParameterType;

void BindSourceImage(py::module_& module)
{
  py::class_<SourceImage>(module, "Image", "An input image of an application's body. Positions are ITK indices (x, y).")
      .def_property_readonly(
          "size", [](const SourceImage& self) { return py::tuple(py::cast(self.GetSize())); },
          "(width, height) in pixels")
      .def_property_readonly(
          "index", [](const SourceImage& self) { return py::tuple(py::cast(self.GetIndex())); },
          "(x, y) of the first pixel")
      .def_property_readonly(
          "origin", [](const SourceImage& self) { return py::tuple(py::cast(self.GetOrigin())); },
          "(x, y) of the centre of pixel (0, 0)")
      .def_property_readonly(
          "spacing", [](const SourceImage& self) { return py::tuple(py::cast(self.GetSpacing())); },
          "(dx, dy), dy negative for north-up")
      .def_property_readonly("bands", &SourceImage::GetBands)
      .def_property_readonly("projection", &SourceImage::GetProjection, "WKT, or an empty string")
      .def("read", &SourceImage::Read, py::arg("x"), py::arg("y"), py::arg("w"), py::arg("h"),
           "The pixels of a region, float32 (h, w, bands).");
}

void Log(PythonApplication& application, void (otb::Logger::*level)(const std::string&), const std::string& text)
{
  (application.GetLogger()->*level)(text + "\n");
}

}  // namespace

void BindPythonApplication(py::module_& module)
{
  BindSourceImage(module);
  using App = PythonApplication;
  using Key = const std::string&;
  py::class_<App, Application, App::Pointer>(module, "PythonApplication")
      .def("AddParameter", [](App& self, int type, Key key, Key name)
           { self.AddParameter(static_cast<ParameterType>(type), key, name); })
      .def("AddChoice", [](App& self, Key key, Key name) { self.AddChoice(key, name); })
      .def("ClearChoices", [](App& self, Key key) { self.ClearChoices(key); })
      .def("GetSelectedItems", [](App& self, Key key) { return self.GetSelectedItems(key); })
      .def(
          "AddRAMParameter", [](App& self, Key key) { self.AddRAMParameter(key); }, py::arg("key") = "ram")
      .def(
          "AddRANDParameter", [](App& self, Key key) { self.AddRANDParameter(key); }, py::arg("key") = "rand")
      .def("MandatoryOn", [](App& self, Key key) { self.MandatoryOn(key); })
      .def("MandatoryOff", [](App& self, Key key) { self.MandatoryOff(key); })
      .def("AutomaticValueOn", [](App& self, Key key) { self.AutomaticValueOn(key); })
      .def("AutomaticValueOff", [](App& self, Key key) { self.AutomaticValueOff(key); })
      .def("SetMultiWriting", [](App& self, bool on) { self.SetMultiWriting(on); })
      .def("SetParameterRole",
           [](App& self, Key key, int role) { self.SetParameterRole(key, static_cast<otb::Wrapper::Role>(role)); })
      .def("SetDefaultParameterInt", &App::SetDefaultParameterInt)
      .def("SetDefaultParameterFloat", &App::SetDefaultParameterFloat)
      .def("SetDefaultParameterDouble", &App::SetDefaultParameterDouble)
      .def("SetDefaultOutputPixelType",
           [](App& self, Key key, int type) { self.SetDefaultOutputPixelType(key, static_cast<ImagePixelType>(type)); })
      .def("SetMinimumParameterIntValue", &App::SetMinimumParameterIntValue)
      .def("SetMaximumParameterIntValue", &App::SetMaximumParameterIntValue)
      .def("SetMinimumParameterFloatValue", &App::SetMinimumParameterFloatValue)
      .def("SetMaximumParameterFloatValue", &App::SetMaximumParameterFloatValue)
      .def("SetMinimumParameterDoubleValue", &App::SetMinimumParameterDoubleValue)
      .def("SetMaximumParameterDoubleValue", &App::SetMaximumParameterDoubleValue)
      .def("GetParameterImages", &App::GetParameterImages, ReleaseGil())
      .def("SetOutputImageFromFilter", &App::SetOutputImageFromFilter, py::arg("key"), py::arg("inputs"),
           py::arg("body"))
      .def("SetOutputImageFromArray", &App::SetOutputImageFromArray, py::arg("key"), py::arg("array"),
           py::arg("origin"), py::arg("spacing"), py::arg("projection") = "")
      .def("SetOutputVectorDataFromPoints", &App::SetOutputVectorDataFromPoints, py::arg("key"), py::arg("x"),
           py::arg("y"), py::arg("ids"), py::arg("projection") = "")
      .def(
          "LogDebug", [](App& self, Key text) { Log(self, &otb::Logger::Debug, text); }, ReleaseGil())
      .def(
          "LogInfo", [](App& self, Key text) { Log(self, &otb::Logger::Info, text); }, ReleaseGil())
      .def(
          "LogWarning", [](App& self, Key text) { Log(self, &otb::Logger::Warning, text); }, ReleaseGil())
      .def("LogCritical", [](App& self, Key text) { Log(self, &otb::Logger::Critical, text); }, ReleaseGil());
  module.attr("make_factory") =
      py::capsule(reinterpret_cast<void*>(&PythonApplicationFactory::Load), "otbApplication.make_factory");
}

}  // namespace otbpy
