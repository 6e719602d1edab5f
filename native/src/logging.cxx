// SPDX-License-Identifier: Apache-2.0
// Log lines and progress to a Python callback (by default sys.stdout, see otbApplication/logs.py).
#include "bindings.h"
#include "errors.h"

#include <itkCommand.h>
#include <itkProcessObject.h>
#include <otbLogger.h>
#include <otbWrapperAddProcessToWatchEvent.h>

#include <cmath>
#include <sstream>

namespace otbpy
{

namespace
{

// A log output that hands each line to callback.Call(text).
class PythonLogOutput : public itk::LogOutput
{
public:
  using Self = PythonLogOutput;
  using Pointer = itk::SmartPointer<Self>;
  itkNewMacro(Self);
  itkTypeMacro(PythonLogOutput, itk::LogOutput);

  void SetCallback(py::object callback) { m_Callback.Set(std::move(callback)); }
  void Write(double) override {}
  void Write(const std::string& content) override { Call(content); }
  void Write(const std::string& content, double) override { Call(content); }
  void Flush() override {}

protected:
  PythonLogOutput() = default;

private:
  void Call(const std::string& content)
  {
    if (m_Callback && Py_IsInitialized())
      CallPython([&]() { m_Callback.Get().attr("Call")(content); });
  }

  PythonRef m_Callback;
};

// Writes "<description>: 42%" lines for one process, at most one per percent.
class ProgressCommand : public itk::Command
{
public:
  using Self = ProgressCommand;
  using Pointer = itk::SmartPointer<Self>;
  itkNewMacro(Self);
  itkTypeMacro(ProgressCommand, itk::Command);

  void Set(py::object callback, const std::string& description)
  {
    m_Callback.Set(std::move(callback));
    m_Description = description;
  }

  void Execute(itk::Object* caller, const itk::EventObject& event) override
  {
    Execute(static_cast<const itk::Object*>(caller), event);
  }

  void Execute(const itk::Object* caller, const itk::EventObject& event) override
  {
    const auto* process = dynamic_cast<const itk::ProcessObject*>(caller);
    if (process == nullptr || !Py_IsInitialized())
      return;
    const bool end = itk::EndEvent().CheckEvent(&event);
    const int percent = end ? 100 : static_cast<int>(std::floor(process->GetProgress() * 100));
    if (percent == m_Percent && !end)
      return;
    m_Percent = percent;
    CallPython(
        [&]()
        {
          py::object callback = m_Callback.Get();
          const bool terminal = callback.attr("IsInteractive")().cast<bool>();
          if (!terminal && !end)
            return;
          const std::string stars(percent / 2, '*');
          const std::string blanks(50 - percent / 2, ' ');
          callback.attr("Call")((terminal ? "\r" : "") + m_Description + ": " + std::to_string(percent) + "% [" +
                                stars + blanks + "]" + (end ? "\n" : ""));
          callback.attr("Flush")();
        });
  }

protected:
  ProgressCommand() = default;

private:
  PythonRef m_Callback;
  std::string m_Description;
  int m_Percent = -1;
};

class ProgressReporterManager;

class AddProcessCommand : public itk::Command
{
public:
  using Self = AddProcessCommand;
  using Pointer = itk::SmartPointer<Self>;
  itkNewMacro(Self);
  itkTypeMacro(AddProcessCommand, itk::Command);

  void SetCallback(py::object callback) { m_Callback.Set(std::move(callback)); }

  void Execute(itk::Object*, const itk::EventObject& event) override
  {
    const auto* added = dynamic_cast<const otb::Wrapper::AddProcessToWatchEvent*>(&event);
    if (added == nullptr || !m_Callback || !Py_IsInitialized())
      return;
    auto command = ProgressCommand::New();
    CallPython([&]() { command->Set(m_Callback.Get(), added->GetProcessDescription()); });
    added->GetProcess()->AddObserver(itk::ProgressEvent(), command);
    added->GetProcess()->AddObserver(itk::EndEvent(), command);
  }

  void Execute(const itk::Object*, const itk::EventObject&) override {}

protected:
  AddProcessCommand() = default;

private:
  PythonRef m_Callback;
};

// Watches the processes that an application announces, and reports their progress.
class ProgressReporterManager : public itk::Object
{
public:
  using Self = ProgressReporterManager;
  using Pointer = itk::SmartPointer<Self>;
  itkNewMacro(Self);
  itkTypeMacro(ProgressReporterManager, itk::Object);

  void SetLogOutputCallback(py::object callback) { m_Command->SetCallback(std::move(callback)); }
  itk::Command::Pointer GetAddProcessCommand() const { return m_Command.GetPointer(); }

protected:
  ProgressReporterManager() : m_Command(AddProcessCommand::New()) {}

private:
  AddProcessCommand::Pointer m_Command;
};

}  // namespace

void BindLogging(py::module_& module)
{
  py::class_<itk::LogOutput, itk::Object, itk::LogOutput::Pointer>(module, "itkLogOutput");
  py::class_<PythonLogOutput, itk::LogOutput, PythonLogOutput::Pointer>(module, "PythonLogOutput")
      .def(py::init([]() { return PythonLogOutput::New(); }))
      .def_static("New", []() { return PythonLogOutput::New(); })
      .def("SetCallback", &PythonLogOutput::SetCallback)
      .def("Write", [](PythonLogOutput& self, const std::string& content) { self.Write(content); });
  py::class_<ProgressReporterManager, itk::Object, ProgressReporterManager::Pointer>(module, "ProgressReporterManager")
      .def(py::init([]() { return ProgressReporterManager::New(); }))
      .def_static("New", []() { return ProgressReporterManager::New(); })
      .def("SetLogOutputCallback", &ProgressReporterManager::SetLogOutputCallback)
      .def("GetAddProcessCommand", &ProgressReporterManager::GetAddProcessCommand);

  using otb::Logger;
  py::class_<Logger, itk::Object, itk::SmartPointer<Logger>>(module, "Logger")
      .def_static("Instance", []() { return itk::SmartPointer<Logger>(Logger::Instance()); })
      .def("ResetOutputs", &Logger::ResetOutputs)
      .def("AddLogOutput", [](Logger& self, itk::LogOutput* output) { self.AddLogOutput(output); })
      .def(
          "Debug", [](Logger& self, const std::string& text) { self.Debug(text + "\n"); }, ReleaseGil())
      .def(
          "Info", [](Logger& self, const std::string& text) { self.Info(text + "\n"); }, ReleaseGil())
      .def(
          "Warning", [](Logger& self, const std::string& text) { self.Warning(text + "\n"); }, ReleaseGil())
      .def(
          "Error", [](Logger& self, const std::string& text) { self.Critical(text + "\n"); }, ReleaseGil())
      .def(
          "Critical", [](Logger& self, const std::string& text) { self.Critical(text + "\n"); }, ReleaseGil())
      .def("Fatal", [](Logger& self, const std::string& text) { self.Fatal(text + "\n"); }, ReleaseGil());
}

}  // namespace otbpy
