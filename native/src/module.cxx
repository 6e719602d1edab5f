// SPDX-License-Identifier: Apache-2.0
#include "bindings.h"
#include "errors.h"

PYBIND11_MODULE(_engine, module)
{
  module.doc() = "OTB's application engine (see the otbApplication package).";
  otbpy::RegisterErrors();
  otbpy::BindConstants(module);
  otbpy::BindItkValues(module);
  otbpy::BindItkObjects(module);
  otbpy::BindMetadata(module);
  otbpy::BindLogging(module);
  auto application = otbpy::BindApplication(module);
  otbpy::BindParameters(application);
  otbpy::BindDocumentation(application);
  otbpy::BindImages(application);
  otbpy::BindNumpy(application);
  otbpy::BindRegistry(module);
  otbpy::BindPythonApplication(module);
}
