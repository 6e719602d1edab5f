// SPDX-License-Identifier: Apache-2.0
#include "errors.h"

#include <itkExceptionObject.h>

#include <cstdlib>
#include <cstring>

namespace otbpy
{

void RegisterErrors()
{
  py::register_local_exception_translator(
      [](std::exception_ptr pointer)
      {
        try
        {
          if (pointer)
            std::rethrow_exception(pointer);
        }
        catch (const itk::ExceptionObject& error)
        {
          PyErr_SetString(PyExc_RuntimeError, error.GetDescription());
        }
      });
}

std::string Message(py::error_already_set& error)
{
  const std::string text = py::str(error.value());
  if (!text.empty() &&
      (error.matches(PyExc_RuntimeError) || error.matches(PyExc_ValueError) || error.matches(PyExc_OSError)))
    return text;
  const std::string name = py::str(error.type().attr("__name__"));
  return text.empty() ? name : name + ": " + text;
}

void ThrowItk(const std::string& text)
{
  throw itk::ExceptionObject(__FILE__, __LINE__, text);
}

void ThrowItk(py::error_already_set& error)
{
  if (error.matches(PyExc_KeyboardInterrupt))
    PyErr_SetInterrupt();  // the caller's own code raises it again, once OTB has unwound
  const std::string message = Message(error);
  const char* const wanted = std::getenv("OTB_PYTHON_TRACEBACK");
  if (wanted != nullptr && std::strcmp(wanted, "1") == 0)
    py::module_::import("traceback").attr("print_exception")(error.type(), error.value(), error.trace());
  ThrowItk(message);
}

}  // namespace otbpy
