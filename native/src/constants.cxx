// SPDX-License-Identifier: Apache-2.0
// Enumerations are plain integers at module level, as in the official wrapper.
#include "bindings.h"

namespace otbpy
{

void BindConstants(py::module_& module)
{
  using namespace otb::Wrapper;
#define CONSTANT(name) module.attr(#name) = static_cast<int>(name);
  CONSTANT(ParameterType_Int)
  CONSTANT(ParameterType_Float)
  CONSTANT(ParameterType_Double)
  CONSTANT(ParameterType_String)
  CONSTANT(ParameterType_StringList)
  CONSTANT(ParameterType_InputFilename)
  CONSTANT(ParameterType_InputFilenameList)
  CONSTANT(ParameterType_OutputFilename)
  CONSTANT(ParameterType_Directory)
  CONSTANT(ParameterType_Choice)
  CONSTANT(ParameterType_InputImage)
  CONSTANT(ParameterType_InputImageList)
  CONSTANT(ParameterType_InputVectorData)
  CONSTANT(ParameterType_InputVectorDataList)
  CONSTANT(ParameterType_OutputImage)
  CONSTANT(ParameterType_OutputVectorData)
  CONSTANT(ParameterType_Radius)
  CONSTANT(ParameterType_Group)
  CONSTANT(ParameterType_ListView)
  CONSTANT(ParameterType_RAM)
  CONSTANT(ParameterType_Bool)
  CONSTANT(ParameterType_Field)
  CONSTANT(ParameterType_Band)
  CONSTANT(ImagePixelType_uint8)
  CONSTANT(ImagePixelType_int16)
  CONSTANT(ImagePixelType_uint16)
  CONSTANT(ImagePixelType_int32)
  CONSTANT(ImagePixelType_uint32)
  CONSTANT(ImagePixelType_float)
  CONSTANT(ImagePixelType_double)
  CONSTANT(ImagePixelType_cint16)
  CONSTANT(ImagePixelType_cint32)
  CONSTANT(ImagePixelType_cfloat)
  CONSTANT(ImagePixelType_cdouble)
  CONSTANT(ComplexImagePixelType_float)
  CONSTANT(ComplexImagePixelType_double)
  CONSTANT(UserLevel_Basic)
  CONSTANT(UserLevel_Advanced)
  CONSTANT(Role_Input)
  CONSTANT(Role_Output)
#undef CONSTANT
}

}  // namespace otbpy
