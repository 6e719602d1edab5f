// SPDX-License-Identifier: Apache-2.0
#include "python_filter.h"

#include "errors.h"
#include "pixel_buffer.h"
#include "source_image.h"

#include <pybind11/stl.h>

#include <cstring>

namespace otbpy
{

namespace
{

template <typename T>
T Entry(const py::dict& information, const char* key)
{
  if (!information.contains(key))
    throw py::key_error(std::string("output_information: '") + key + "' is missing");
  try
  {
    return information[key].cast<T>();
  }
  catch (const py::cast_error&)
  {
    throw py::type_error(std::string("output_information: '") + key + "' cannot be " +
                         std::string(py::repr(information[key])));
  }
}

// The part of an input's buffer that was requested, (height, width, bands), read-only and shared.
py::array RequestedPixels(otb::Wrapper::FloatVectorImageType* image)
{
  const auto& requested = image->GetRequestedRegion();
  const auto bands = static_cast<py::ssize_t>(image->GetNumberOfComponentsPerPixel());
  const auto width = static_cast<py::ssize_t>(requested.GetSize(0));
  const auto height = static_cast<py::ssize_t>(requested.GetSize(1));
  if (width == 0 || height == 0)
    return py::array_t<float>({height, width, bands});
  const auto& buffered = image->GetBufferedRegion();
  const auto row = static_cast<py::ssize_t>(buffered.GetSize(0)) * bands;
  const auto offset =
      (requested.GetIndex(1) - buffered.GetIndex(1)) * row + (requested.GetIndex(0) - buffered.GetIndex(0)) * bands;
  const auto item = static_cast<py::ssize_t>(sizeof(float));
  py::array_t<float> pixels({height, width, bands}, {row * item, bands * item, item},
                            image->GetBufferPointer() + offset, Owner(image->GetPixelContainer()));
  py::detail::array_proxy(pixels.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
  return std::move(pixels);
}

}  // namespace

PythonFilter::PythonFilter()
{
  this->SetNumberOfRequiredInputs(0);
}

void PythonFilter::GenerateOutputInformation()
{
  CallPython(
      [this]()
      {
        const auto information = m_Body.Get().attr("output_information")().cast<py::dict>();
        const auto size = Entry<std::array<long, 2>>(information, "size");
        const auto origin = Entry<std::array<double, 2>>(information, "origin");
        const auto spacing = Entry<std::array<double, 2>>(information, "spacing");
        auto* const output = this->GetOutput();
        output->SetLargestPossibleRegion(ToRegion({0, 0, size[0], size[1]}));
        output->SetNumberOfComponentsPerPixel(Entry<unsigned int>(information, "bands"));
        output->SetOrigin(origin.data());
        ImageType::SpacingType signedSpacing;
        signedSpacing[0] = spacing[0];
        signedSpacing[1] = spacing[1];
        output->SetSignedSpacing(signedSpacing);
        output->SetImageMetadata(otb::ImageMetadata());
        const auto projection = Entry<std::string>(information, "projection");
        if (!projection.empty())
          output->SetProjectionRef(projection);
      });
}

void PythonFilter::GenerateInputRequestedRegion()
{
  const auto requested = this->GetOutput()->GetRequestedRegion();
  const auto regions = CallPython(
      [&]()
      {
        return m_Body.Get()
            .attr("input_regions")(py::tuple(py::cast(ToTuple(requested))))
            .cast<std::vector<RegionTuple>>();
      });
  if (regions.size() != this->GetNumberOfInputs())
    ThrowItk("input_regions: " + std::to_string(this->GetNumberOfInputs()) +
             " regions expected, one per input. Received: " + std::to_string(regions.size()));
  for (unsigned int i = 0; i < regions.size(); ++i)
  {
    auto* const input = const_cast<ImageType*>(this->GetInput(i));
    const auto region = ToRegion(regions[i]);
    if (region.GetNumberOfPixels() > 0 && !input->GetLargestPossibleRegion().IsInside(region))
      ThrowItk("input_regions: a region inside " + Text(input->GetLargestPossibleRegion()) + " expected for input " +
               std::to_string(i) + ". Received: " + Text(region));
    input->SetRequestedRegion(region);
  }
}

void PythonFilter::GenerateData()
{
  auto* const output = this->GetOutput();
  output->SetBufferedRegion(output->GetRequestedRegion());
  output->Allocate();
  CallPython(
      [&]()
      {
        const auto region = output->GetRequestedRegion();
        py::list arrays, regions;
        for (unsigned int i = 0; i < this->GetNumberOfInputs(); ++i)
        {
          auto* const input = const_cast<ImageType*>(this->GetInput(i));
          arrays.append(RequestedPixels(input));
          regions.append(py::tuple(py::cast(ToTuple(input->GetRequestedRegion()))));
        }
        const py::object result = m_Body.Get().attr("compute")(py::tuple(py::cast(ToTuple(region))), arrays, regions);
        auto pixels = py::array_t<float, py::array::c_style | py::array::forcecast>::ensure(result);
        if (!pixels)
          throw py::error_already_set();
        const auto height = static_cast<py::ssize_t>(region.GetSize(1));
        const auto width = static_cast<py::ssize_t>(region.GetSize(0));
        const auto bands = static_cast<py::ssize_t>(output->GetNumberOfComponentsPerPixel());
        if (pixels.ndim() != 3 || pixels.shape(0) != height || pixels.shape(1) != width || pixels.shape(2) != bands)
          throw py::value_error("compute: an array of shape (" + std::to_string(height) + ", " + std::to_string(width) +
                                ", " + std::to_string(bands) + ") expected for region " + Text(region) +
                                ". Received: " + std::string(py::str(pixels.attr("shape"))));
        std::memcpy(output->GetBufferPointer(), pixels.data(), pixels.size() * sizeof(float));
      });
  this->UpdateProgress(1);
}

}  // namespace otbpy
