// SPDX-License-Identifier: Apache-2.0
// The parts of the module, each bound in a file of its own.
#ifndef otb_python_bindings_h
#define otb_python_bindings_h

#include "gil.h"
#include "holder.h"

#include <otbWrapperApplication.h>
#include <pybind11/pybind11.h>

namespace otbpy
{

using otb::Wrapper::Application;
using ApplicationClass = py::class_<Application, itk::Object, itk::SmartPointer<Application>>;

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
