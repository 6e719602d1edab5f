// SPDX-License-Identifier: Apache-2.0
// The parts of the module, each bound in a file of its own.
#ifndef otb_python_bindings_h
#define otb_python_bindings_h

#include "gil.h"
#include "holder.h"

#include <otbWrapperApplication.h>
#include <pybind11/pybind11.h>

#include <vector>

namespace otbpy
{

using otb::Wrapper::Application;
using ApplicationClass = py::class_<Application, itk::Object, itk::SmartPointer<Application>>;

// Lists come out as tuples, as from the official wrapper.
template <typename T>
py::tuple Tuple(const std::vector<T>& values)
{
  py::tuple tuple(values.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    tuple[i] = py::cast(T(values[i]));
  return tuple;
}

// What follows each change of a parameter from Python: choices and defaults that depend on it.
void UpdateParameters(Application&);

void BindConstants(py::module_&);
void BindItkValues(py::module_&);
void BindItkObjects(py::module_&);
void BindMetadata(py::module_&);
void BindLogging(py::module_&);
ApplicationClass BindApplication(py::module_&);
void BindParameters(ApplicationClass&);
void BindDocumentation(ApplicationClass&);
void BindImages(ApplicationClass&);
void BindNumpy(ApplicationClass&);
void BindRegistry(py::module_&);
void BindPythonApplication(py::module_&);

}  // namespace otbpy

#endif
