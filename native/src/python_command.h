// SPDX-License-Identifier: Apache-2.0
// An observer that calls a Python callable, without arguments.
#ifndef otb_python_command_h
#define otb_python_command_h

#include "gil.h"

#include <itkCommand.h>

namespace otbpy
{

class PyCommand : public itk::Command
{
public:
  using Self = PyCommand;
  using Pointer = itk::SmartPointer<Self>;
  itkNewMacro(Self);
  itkTypeMacro(PyCommand, itk::Command);

  void SetCommandCallable(py::object callable);
  void Execute(itk::Object* caller, const itk::EventObject& event) override;
  void Execute(const itk::Object* caller, const itk::EventObject& event) override;

protected:
  PyCommand() = default;

private:
  PythonRef m_Callable;
};

}  // namespace otbpy

#endif
