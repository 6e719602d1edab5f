// SPDX-License-Identifier: Apache-2.0
#include "source_image.h"

#include "pixel_buffer.h"

#include <cstring>
#include <sstream>

namespace otbpy
{

itk::ImageRegion<2> ToRegion(const RegionTuple& region)
{
  if (region[2] < 0 || region[3] < 0)
    throw py::value_error("region: expected a size of at least 0, got " + std::to_string(region[2]) + " x " +
                          std::to_string(region[3]));
  itk::ImageRegion<2> result;
  for (unsigned int i = 0; i < 2; ++i)
  {
    result.SetIndex(i, region[i]);
    result.SetSize(i, region[i + 2]);
  }
  return result;
}

RegionTuple ToTuple(const itk::ImageRegion<2>& region)
{
  return {region.GetIndex(0), region.GetIndex(1), static_cast<long>(region.GetSize(0)),
          static_cast<long>(region.GetSize(1))};
}

std::string Text(const itk::ImageRegion<2>& region)
{
  std::ostringstream text;
  text << "(" << region.GetIndex(0) << ", " << region.GetIndex(1) << ", " << region.GetSize(0) << ", "
       << region.GetSize(1) << ")";
  return text.str();
}

SourceImage::SourceImage(FloatVectorImageType* image) : m_Image(image)
{
  m_Image->UpdateOutputInformation();
}

std::array<long, 2> SourceImage::GetSize() const
{
  const auto& size = m_Image->GetLargestPossibleRegion().GetSize();
  return {static_cast<long>(size[0]), static_cast<long>(size[1])};
}

std::array<long, 2> SourceImage::GetIndex() const
{
  const auto& index = m_Image->GetLargestPossibleRegion().GetIndex();
  return {index[0], index[1]};
}

std::array<double, 2> SourceImage::GetOrigin() const
{
  const auto& origin = m_Image->GetOrigin();
  return {origin[0], origin[1]};
}

std::array<double, 2> SourceImage::GetSpacing() const
{
  const auto spacing = m_Image->GetSignedSpacing();
  return {spacing[0], spacing[1]};
}

py::array_t<float> SourceImage::Read(long x, long y, long width, long height) const
{
  const auto region = ToRegion({x, y, width, height});
  const auto bands = static_cast<py::ssize_t>(GetBands());
  if (width > 0 && height > 0 && !m_Image->GetLargestPossibleRegion().IsInside(region))
    throw py::value_error("read: expected a region inside " + Text(m_Image->GetLargestPossibleRegion()) +
                          ", got " + Text(region));
  py::array_t<float> pixels({static_cast<py::ssize_t>(height), static_cast<py::ssize_t>(width), bands});
  if (pixels.size() == 0)
    return pixels;
  float* const target = pixels.mutable_data();
  py::gil_scoped_release release;
  m_Image->SetRequestedRegion(region);
  m_Image->PropagateRequestedRegion();
  m_Image->UpdateOutputData();
  const auto& buffered = m_Image->GetBufferedRegion();
  const size_t row = static_cast<size_t>(width) * bands;
  const float* source =
      m_Image->GetBufferPointer() +
      ((y - buffered.GetIndex(1)) * static_cast<long>(buffered.GetSize(0)) + (x - buffered.GetIndex(0))) * bands;
  for (long line = 0; line < height; ++line)
    std::memcpy(target + line * row, source + line * buffered.GetSize(0) * bands, row * sizeof(float));
  return pixels;
}

}  // namespace otbpy
