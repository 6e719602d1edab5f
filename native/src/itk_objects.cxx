// SPDX-License-Identifier: Apache-2.0
// itkObject and its observers, events, process objects (for their progress) and images.
#include "bindings.h"
#include "errors.h"
#include "python_command.h"

#include <itkImageBase.h>
#include <itkProcessObject.h>
#include <otbWrapperAddProcessToWatchEvent.h>
#include <pybind11/stl.h>

#include <iostream>
#include <sstream>

namespace otbpy
{

void PyCommand::SetCommandCallable(py::object callable)
{
  if (!PyCallable_Check(callable.ptr()))
    throw py::type_error("SetCommandCallable: expected a callable, got " + std::string(py::repr(callable)));
  m_Callable.Set(std::move(callable));
}

void PyCommand::Execute(itk::Object* caller, const itk::EventObject& event)
{
  Execute(static_cast<const itk::Object*>(caller), event);
}

void PyCommand::Execute(const itk::Object*, const itk::EventObject&)
{
  if (m_Callable && Py_IsInitialized())
    CallPython([this]() { m_Callable.Get()(); });
}

namespace
{

std::string Text(const itk::LightObject& object)
{
  std::ostringstream text;
  object.Print(text);
  return text.str();
}

template <typename Event, typename Base>
void BindEvent(py::module_& module, const char* name)
{
  py::class_<Event, Base>(module, name).def(py::init<>());
}

void BindEvents(py::module_& module)
{
  py::class_<itk::EventObject>(module, "itkEventObject")
      .def("GetEventName", &itk::EventObject::GetEventName)
      .def("CheckEvent",
           [](const itk::EventObject& self, const itk::EventObject& other) { return self.CheckEvent(&other); });
  BindEvent<itk::NoEvent, itk::EventObject>(module, "itkNoEvent");
  BindEvent<itk::AnyEvent, itk::EventObject>(module, "itkAnyEvent");
  BindEvent<itk::DeleteEvent, itk::AnyEvent>(module, "itkDeleteEvent");
  BindEvent<itk::StartEvent, itk::AnyEvent>(module, "itkStartEvent");
  BindEvent<itk::EndEvent, itk::AnyEvent>(module, "itkEndEvent");
  BindEvent<itk::ProgressEvent, itk::AnyEvent>(module, "itkProgressEvent");
  BindEvent<itk::ExitEvent, itk::AnyEvent>(module, "itkExitEvent");
  BindEvent<itk::ModifiedEvent, itk::AnyEvent>(module, "itkModifiedEvent");
  BindEvent<itk::IterationEvent, itk::AnyEvent>(module, "itkIterationEvent");
  BindEvent<itk::PickEvent, itk::AnyEvent>(module, "itkPickEvent");
  BindEvent<itk::StartPickEvent, itk::PickEvent>(module, "itkStartPickEvent");
  BindEvent<itk::EndPickEvent, itk::PickEvent>(module, "itkEndPickEvent");
  BindEvent<itk::AbortCheckEvent, itk::PickEvent>(module, "itkAbortCheckEvent");
  BindEvent<itk::UserEvent, itk::AnyEvent>(module, "itkUserEvent");

  using otb::Wrapper::AddProcessToWatchEvent;
  py::class_<AddProcessToWatchEvent, itk::EventObject>(module, "AddProcessToWatchEvent")
      .def(py::init<>())
      .def("GetProcess",
           [](const AddProcessToWatchEvent& self) { return itk::ProcessObject::Pointer(self.GetProcess()); })
      .def("SetProcess", [](AddProcessToWatchEvent& self, itk::ProcessObject* process) { self.SetProcess(process); })
      .def("GetProcessDescription", &AddProcessToWatchEvent::GetProcessDescription)
      .def("SetProcessDescription", &AddProcessToWatchEvent::SetProcessDescription);
}

void BindObject(py::module_& module)
{
  py::class_<itk::LightObject, itk::LightObject::Pointer>(module, "itkLightObject")
      .def("GetNameOfClass", &itk::LightObject::GetNameOfClass)
      .def("ToString", &Text)
      .def("Print", [](const itk::LightObject& self) { py::print(Text(self), py::arg("end") = ""); })
      .def("__str__", &Text)
      .def_static("BreakOnError", &itk::LightObject::BreakOnError);

  py::class_<itk::Object, itk::LightObject, itk::Object::Pointer>(module, "itkObject")
      .def_static("New", []() { return itk::Object::New(); })
      .def("AddObserver", [](itk::Object& self, const itk::EventObject& event, itk::Command* command)
           { return self.AddObserver(event, command); })
      .def("GetCommand",
           [](itk::Object& self, unsigned long tag) { return itk::Command::Pointer(self.GetCommand(tag)); })
      .def(
          "InvokeEvent", [](itk::Object& self, const itk::EventObject& event) { self.InvokeEvent(event); },
          ReleaseGil())
      .def("HasObserver",
           [](const itk::Object& self, const itk::EventObject& event) { return self.HasObserver(event); })
      .def("RemoveObserver", &itk::Object::RemoveObserver)
      .def("RemoveAllObservers", &itk::Object::RemoveAllObservers)
      .def("GetMetaDataDictionary", [](itk::Object& self) { return self.GetMetaDataDictionary(); })
      .def("SetMetaDataDictionary", [](itk::Object& self, const itk::MetaDataDictionary& dictionary)
           { self.SetMetaDataDictionary(dictionary); });

  py::class_<itk::Command, itk::Object, itk::Command::Pointer>(module, "itkCommand");
  py::class_<PyCommand, itk::Command, PyCommand::Pointer>(module, "itkPyCommand")
      .def(py::init([]() { return PyCommand::New(); }))
      .def_static("New", []() { return PyCommand::New(); })
      .def("SetCommandCallable", &PyCommand::SetCommandCallable);

  py::class_<itk::ProcessObject, itk::Object, itk::ProcessObject::Pointer>(module, "itkProcessObject")
      .def("GetProgress", [](const itk::ProcessObject& self) { return self.GetProgress(); });
  py::class_<itk::DataObject, itk::Object, itk::DataObject::Pointer>(module, "itkDataObject");
  using Image = otb::Wrapper::ImageBaseType;
  py::class_<Image, itk::DataObject, Image::Pointer>(module, "itkImageBase")
      .def("UpdateOutputInformation", &Image::UpdateOutputInformation, ReleaseGil())
      .def("Update", &Image::Update, ReleaseGil());
}

}  // namespace

void BindItkObjects(py::module_& module)
{
  BindEvents(module);
  BindObject(module);
}

}  // namespace otbpy
