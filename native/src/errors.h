// SPDX-License-Identifier: Apache-2.0
// Errors across the border: ITK exceptions become RuntimeError, Python exceptions become ITK exceptions.
#ifndef otb_python_errors_h
#define otb_python_errors_h

#include <itkMacro.h>
#include <pybind11/pybind11.h>

#include <string>

namespace otbpy
{

namespace py = pybind11;

// Registers the translation ITK -> Python. The message is OTB's own, without file and line.
void RegisterErrors();

// The message of a Python exception: its text, after its class's name unless that is a common way to
// report a bad value or state.
std::string Message(py::error_already_set& error);

// Throws an ITK exception whose description is this text and nothing else.
[[noreturn]] void ThrowItk(const std::string& text);

// Turns a Python exception raised by an application's body into an ITK one. The GIL must be held.
[[noreturn]] void ThrowItk(py::error_already_set& error);

// Calls Python code for OTB: takes the GIL, and turns any error into an ITK exception.
template <typename Function>
auto CallPython(Function function) -> decltype(function())
{
  py::gil_scoped_acquire gil;
  try
  {
    return function();
  }
  catch (py::error_already_set& error)
  {
    ThrowItk(error);
  }
  catch (const py::builtin_exception& error)
  {
    ThrowItk(error.what());
  }
}

}  // namespace otbpy

#endif
