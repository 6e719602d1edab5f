// SPDX-License-Identifier: Apache-2.0
// Application: output images as numpy arrays, numpy arrays as input images. Both share memory.
#include "bindings.h"
#include "pixel_buffer.h"

#include <otbImageCommons.h>
#include <otbImageMetadata.h>

#include <complex>
#include <iostream>

namespace otbpy
{

namespace
{

using Key = const std::string&;
using otb::Wrapper::ImageBaseType;

// Makes each computation go into new memory, so that an array exported before keeps its own, and says whether it does.
// Changing the flag makes the source compute again: not done where it already has.
bool KeepsExports(ImageBaseType& image)
{
  auto* const source = image.GetSource().GetPointer();
  if (source == nullptr)
    return true;
  if (!image.GetBufferedRegion().IsInside(image.GetRequestedRegion()))
    image.Initialize();
  if (image.GetBufferedRegion().GetNumberOfPixels() == 0)
    source->ReleaseDataBeforeUpdateFlagOn();
  return source->GetReleaseDataBeforeUpdateFlag();
}

template <typename Image>
py::array ExportPixels(Image* image, bool keepsExports)
{
  auto shared = ArrayOverImage(image);
  return keepsExports ? shared : py::array(shared.attr("copy")());
}

template <typename Pixel>
py::array Export(Application& application, Key key)
{
  ImageBaseType::Pointer image;
  bool keepsExports = true;
  {
    py::gil_scoped_release release;
    image = application.GetParameterOutputImage(key);
    if (image.IsNotNull())
    {
      keepsExports = KeepsExports(*image);
      image->Update();
    }
  }
  if (image.IsNull())
    throw std::runtime_error("Parameter " + key + ": no image yet. Execute the application first.");
  if (auto* vector = dynamic_cast<otb::VectorImage<Pixel>*>(image.GetPointer()))
    return ExportPixels(vector, keepsExports);
  if (auto* scalar = dynamic_cast<otb::Image<Pixel>*>(image.GetPointer()))
    return ExportPixels(scalar, keepsExports);
  throw std::runtime_error("Parameter " + key + ": its image has another pixel type.");
}

template <typename Image>
ImageBaseType::Pointer Import(Application& application, Key key, unsigned int index, const py::array& array)
{
  using Value = typename Image::InternalPixelType;
  auto contiguous = py::array_t<Value, py::array::c_style>::ensure(array);
  if (!py::isinstance<py::array_t<Value>>(array) || !contiguous || contiguous.ndim() != 3)
    throw py::type_error("Array of type '" + std::string(py::str(py::dtype::of<Value>())) +
                         "' and 3 dimensions required. A " + std::to_string(array.ndim()) +
                         "-dimensional array of type '" + std::string(py::str(array.dtype())) + "' was given");
  auto image = ImageOverArray<Image>(contiguous);
  py::gil_scoped_release release;
  application.SetParameterImageBase(key, image, index);
  return image.GetPointer();
}

void SetupInformation(ImageBaseType& image, const itk::Point<double, 2>& origin, const itk::Vector<double, 2>& spacing,
                      const itk::Size<2>& size, const itk::ImageRegion<2>& region, const otb::ImageMetadata* metadata)
{
  image.SetOrigin(origin);
  otb::internal::SetSignedSpacing(&image, spacing);
  itk::ImageRegion<2> largest;
  largest.SetSize(size);
  image.SetLargestPossibleRegion(largest);
  if (region.GetSize() != image.GetBufferedRegion().GetSize())
  {
    std::cerr << "Given buffered size doesn't match actual buffer size" << std::endl;
    return;
  }
  image.SetRequestedRegion(region);
  image.SetBufferedRegion(region);
  auto* const commons = dynamic_cast<otb::ImageCommons*>(&image);
  if (metadata != nullptr && commons != nullptr)
    commons->SetImageMetadata(*metadata);
}

template <typename Pixel>
void BindPixel(ApplicationClass& application, const std::string& name)
{
  application.def(("GetVectorImageAs" + name + "NumpyArray_").c_str(), &Export<Pixel>)
      .def(("SetVectorImageFrom" + name + "NumpyArray_").c_str(), &Import<otb::VectorImage<Pixel>>)
      .def(("SetImageFrom" + name + "NumpyArray_").c_str(), &Import<otb::Image<Pixel>>);
}

}  // namespace

void BindNumpy(ApplicationClass& application)
{
  BindPixel<unsigned char>(application, "UInt8");
  BindPixel<short>(application, "Int16");
  BindPixel<unsigned short>(application, "UInt16");
  BindPixel<int>(application, "Int32");
  BindPixel<unsigned int>(application, "UInt32");
  BindPixel<float>(application, "Float");
  BindPixel<double>(application, "Double");
  BindPixel<std::complex<float>>(application, "CFloat");
  BindPixel<std::complex<double>>(application, "CDouble");
  application.def(
      "SetupImageInformation",
      [](Application&, ImageBaseType& image, const itk::Point<double, 2>& origin, const itk::Vector<double, 2>& spacing,
         const itk::Size<2>& size, const itk::ImageRegion<2>& region, const otb::ImageMetadata* metadata)
      { SetupInformation(image, origin, spacing, size, region, metadata); },
      py::arg("img"), py::arg("origin"), py::arg("spacing"), py::arg("size"), py::arg("bufferRegion"),
      py::arg("metadata") = py::none());
}

}  // namespace otbpy
