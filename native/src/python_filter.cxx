// SPDX-License-Identifier: Apache-2.0
#include "python_filter.h"

#include "errors.h"
#include "pixel_buffer.h"
#include "source_image.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <cstring>
#include <map>

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

std::vector<RegionTuple> Regions(const py::object& returned)
{
  try
  {
    return returned.cast<std::vector<RegionTuple>>();
  }
  catch (const py::cast_error&)
  {
    throw py::type_error("input_regions: expected a list of (x, y, width, height), got " +
                         std::string(py::repr(returned)));
  }
}

// The smallest region that holds both.
itk::ImageRegion<2> Union(const itk::ImageRegion<2>& first, const itk::ImageRegion<2>& second)
{
  if (first.GetNumberOfPixels() == 0)
    return second;
  if (second.GetNumberOfPixels() == 0)
    return first;
  auto both = first;
  for (unsigned int i = 0; i < 2; ++i)
  {
    const auto end = std::max(first.GetUpperIndex()[i], second.GetUpperIndex()[i]) + 1;
    both.SetIndex(i, std::min(first.GetIndex(i), second.GetIndex(i)));
    both.SetSize(i, end - both.GetIndex(i));
  }
  return both;
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
        const py::object returned = m_Body.Get().attr("output_information")();
        if (!py::isinstance<py::dict>(returned))
          throw py::type_error("output_information: expected a dict, got " + std::string(py::repr(returned)));
        const py::dict information = returned;
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

std::vector<itk::ImageRegion<2>> PythonFilter::CallInputRegions()
{
  return CallPython(
      [this]()
      {
        const py::tuple requested = py::cast(ToTuple(this->GetOutput()->GetRequestedRegion()));
        const auto tuples = Regions(m_Body.Get().attr("input_regions")(requested));
        if (tuples.size() != this->GetNumberOfInputs())
          throw py::value_error("input_regions: expected " + std::to_string(this->GetNumberOfInputs()) +
                                " regions, one per input, got " + std::to_string(tuples.size()));
        std::vector<itk::ImageRegion<2>> regions;
        for (unsigned int i = 0; i < tuples.size(); ++i)
        {
          regions.push_back(ToRegion(tuples[i]));
          const auto& largest = this->GetInput(i)->GetLargestPossibleRegion();
          if (regions[i].GetNumberOfPixels() > 0 && !largest.IsInside(regions[i]))
            throw py::value_error("input_regions: expected a region inside " + Text(largest) + " for input " +
                                  std::to_string(i) + ", got " + Text(regions[i]));
        }
        return regions;
      });
}

// An image that stands for several inputs is asked for all their regions at once.
void PythonFilter::GenerateInputRequestedRegion()
{
  m_InputRegions = this->CallInputRegions();
  std::map<const ImageType*, itk::ImageRegion<2>> requests;
  for (unsigned int i = 0; i < m_InputRegions.size(); ++i)
    requests[this->GetInput(i)] = Union(requests[this->GetInput(i)], m_InputRegions[i]);
  for (const auto& request : requests)
    const_cast<ImageType*>(request.first)->SetRequestedRegion(request.second);
}

// The pixels requested of an input, (height, width, bands), read-only, in the input's own buffer.
py::array PythonFilter::RequestedPixels(unsigned int number)
{
  auto* const image = const_cast<ImageType*>(this->GetInput(number));
  const auto& requested = m_InputRegions[number];
  const auto bands = static_cast<py::ssize_t>(image->GetNumberOfComponentsPerPixel());
  const auto width = static_cast<py::ssize_t>(requested.GetSize(0));
  const auto height = static_cast<py::ssize_t>(requested.GetSize(1));
  if (width == 0 || height == 0)
    return py::array_t<float>({height, width, bands});
  const auto& buffered = image->GetBufferedRegion();
  if (!buffered.IsInside(requested))
    throw py::value_error("input " + std::to_string(number) + ": region " + Text(requested) +
                          " was asked for, and the pipeline gave " + Text(buffered));
  const auto row = static_cast<py::ssize_t>(buffered.GetSize(0)) * bands;
  const auto offset =
      (requested.GetIndex(1) - buffered.GetIndex(1)) * row + (requested.GetIndex(0) - buffered.GetIndex(0)) * bands;
  const auto item = static_cast<py::ssize_t>(sizeof(float));
  py::array_t<float> pixels({height, width, bands}, {row * item, bands * item, item},
                            image->GetBufferPointer() + offset, Owner(image->GetPixelContainer()));
  py::detail::array_proxy(pixels.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
  return std::move(pixels);
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
          arrays.append(this->RequestedPixels(i));
          regions.append(py::tuple(py::cast(ToTuple(m_InputRegions[i]))));
        }
        const py::object result = m_Body.Get().attr("compute")(py::tuple(py::cast(ToTuple(region))), arrays, regions);
        const auto pixels = py::array_t<float, py::array::c_style | py::array::forcecast>::ensure(result);
        if (!pixels)
          throw py::type_error("compute: expected an array of numbers, got " + std::string(py::repr(result)));
        const auto height = static_cast<py::ssize_t>(region.GetSize(1));
        const auto width = static_cast<py::ssize_t>(region.GetSize(0));
        const auto bands = static_cast<py::ssize_t>(output->GetNumberOfComponentsPerPixel());
        if (pixels.ndim() != 3 || pixels.shape(0) != height || pixels.shape(1) != width || pixels.shape(2) != bands)
          throw py::value_error("compute: expected an array of shape (" + std::to_string(height) + ", " + std::to_string(width) +
                                ", " + std::to_string(bands) + ") for region " + Text(region) +
                                ", got " + std::string(py::str(pixels.attr("shape"))));
        std::memcpy(output->GetBufferPointer(), pixels.data(), pixels.size() * sizeof(float));
      });
  this->UpdateProgress(1);
}

}  // namespace otbpy
