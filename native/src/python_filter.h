// SPDX-License-Identifier: Apache-2.0
// A streaming filter whose geometry, regions and pixels come from a Python object:
//
//   output_information() -> {"size": (w, h), "bands": n, "origin": (x, y), "spacing": (dx, dy), "projection": wkt}
//   input_regions(region) -> one (x, y, w, h) per input, to compute the output region (x, y, w, h)
//   compute(region, arrays, regions) -> float32 array (h, w, bands) of the output region
#ifndef otb_python_filter_h
#define otb_python_filter_h

#include "gil.h"

#include <itkImageToImageFilter.h>
#include <otbWrapperTypes.h>
#include <pybind11/numpy.h>

#include <vector>

namespace otbpy
{

class PythonFilter
    : public itk::ImageToImageFilter<otb::Wrapper::FloatVectorImageType, otb::Wrapper::FloatVectorImageType>
{
public:
  using Self = PythonFilter;
  using ImageType = otb::Wrapper::FloatVectorImageType;
  using Superclass = itk::ImageToImageFilter<ImageType, ImageType>;
  using Pointer = itk::SmartPointer<Self>;
  itkNewMacro(Self);
  itkTypeMacro(PythonFilter, itk::ImageToImageFilter);

  void SetBody(py::object body) { m_Body.Set(std::move(body)); }

protected:
  PythonFilter();

  void GenerateOutputInformation() override;
  void GenerateInputRequestedRegion() override;
  void GenerateData() override;
  void VerifyInputInformation() override {}  // the inputs may lie on different grids

private:
  std::vector<itk::ImageRegion<2>> CallInputRegions();
  py::array RequestedPixels(unsigned int input);

  PythonRef m_Body;
  std::vector<itk::ImageRegion<2>> m_InputRegions;  // those of the last request, one per input
};

}  // namespace otbpy

#endif
