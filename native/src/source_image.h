// SPDX-License-Identifier: Apache-2.0
// An input image of an application, as its Python body sees it: geometry, and pixels by region.
#ifndef otb_python_source_image_h
#define otb_python_source_image_h

#include "gil.h"

#include <otbWrapperTypes.h>
#include <pybind11/numpy.h>

#include <array>

namespace otbpy
{

using otb::Wrapper::FloatVectorImageType;
using RegionTuple = std::array<long, 4>;  // x, y, width, height

itk::ImageRegion<2> ToRegion(const RegionTuple& region);
RegionTuple ToTuple(const itk::ImageRegion<2>& region);
std::string Text(const itk::ImageRegion<2>& region);

class SourceImage
{
public:
  explicit SourceImage(FloatVectorImageType* image);

  FloatVectorImageType* GetImage() const { return m_Image; }
  std::array<long, 2> GetSize() const;
  std::array<long, 2> GetIndex() const;
  std::array<double, 2> GetOrigin() const;
  std::array<double, 2> GetSpacing() const;
  unsigned int GetBands() const { return m_Image->GetNumberOfComponentsPerPixel(); }
  std::string GetProjection() const { return m_Image->GetProjectionRef(); }

  // The pixels of a region, (height, width, bands): the pipeline upstream computes that region only.
  py::array_t<float> Read(long x, long y, long width, long height) const;

private:
  FloatVectorImageType::Pointer m_Image;
};

}  // namespace otbpy

#endif
