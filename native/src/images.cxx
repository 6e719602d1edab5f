// SPDX-License-Identifier: Apache-2.0
// Application: images of parameters: geometry, regions, metadata, in-memory objects.
#include "bindings.h"

#include <otbImageMetadata.h>

namespace otbpy
{

namespace
{

using Key = const std::string&;
using otb::Wrapper::ImageBaseType;

void BindGeometry(ApplicationClass& application)
{
  const auto key = py::arg("key");
  const auto index = py::arg("idx") = 0;
  application.def("GetImageOrigin", &Application::GetImageOrigin, key, index, ReleaseGil())
      .def("GetImageSpacing", &Application::GetImageSpacing, key, index, ReleaseGil())
      .def("GetImageSize", &Application::GetImageSize, key, index, ReleaseGil())
      .def("GetImageNbBands", &Application::GetImageNbBands, key, index, ReleaseGil())
      .def("GetImageProjection", &Application::GetImageProjection, key, index, ReleaseGil())
      .def("GetImageRequestedRegion", &Application::GetImageRequestedRegion, key, index, ReleaseGil())
      .def("PropagateRequestedRegion", &Application::PropagateRequestedRegion, key, py::arg("region"), index,
           ReleaseGil())
      .def(
          "GetImageMetadata", [](Application& self, Key name, unsigned int i)
          { return otb::ImageMetadata(self.GetImageMetadata(name, i)); }, key, index, ReleaseGil())
      .def("SetImageMetadata", &Application::SetImageMetadata, py::arg("imd"), key, index, ReleaseGil())
      .def("GetMetadataDictionary", &Application::GetMetadataDictionary, key, index, ReleaseGil())
      .def(
          "GetImageBasePixelType", [](Application& self, Key name, unsigned int i)
          { return static_cast<int>(self.GetImageBasePixelType(name, i)); }, key, index, ReleaseGil());
}

void BindInMemory(ApplicationClass& application)
{
  // An image keeps its application alive, and an application the images given to it: a pipeline lives
  // as long as its last link.
  application
      .def(
          "GetParameterOutputImage", [](Application& self, Key key)
          { return ImageBaseType::Pointer(self.GetParameterOutputImage(key)); }, py::keep_alive<0, 1>(), ReleaseGil())
      .def("SetParameterInputImage", &Application::SetParameterInputImage, py::arg("parameter"), py::arg("image"),
           py::keep_alive<1, 3>(), ReleaseGil())
      .def("AddImageToParameterInputImageList", &Application::AddImageToParameterInputImageList, py::arg("parameter"),
           py::arg("image"), py::keep_alive<1, 3>(), ReleaseGil())
      .def("SetNthParameterInputImageList", &Application::SetNthParameterInputImageList, py::arg("parameter"),
           py::arg("id"), py::arg("image"), py::keep_alive<1, 4>(), ReleaseGil())
      .def("ClearParameterInputImageList", &Application::ClearParameterInputImageList, ReleaseGil())
      .def("GetNumberOfElementsInParameterInputImageList", &Application::GetNumberOfElementsInParameterInputImageList,
           ReleaseGil());
}

void BindPixelTypes(ApplicationClass& application)
{
  using otb::Wrapper::ImagePixelType;
  application
      .def("GetParameterOutputImagePixelType",
           [](Application& self, Key key) { return static_cast<int>(self.GetParameterOutputImagePixelType(key)); })
      .def("SetParameterOutputImagePixelType",
           [](Application& self, Key key, int type)
           {
             if (type < otb::Wrapper::ImagePixelType_uint8 || type > otb::Wrapper::ImagePixelType_cdouble)
               throw py::value_error("SetParameterOutputImagePixelType: expected an ImagePixelType_ value, got " +
                                     std::to_string(type));
             py::gil_scoped_release release;
             self.SetParameterOutputImagePixelType(key, static_cast<ImagePixelType>(type));
             UpdateParameters(self);
           });
}

}  // namespace

void BindImages(ApplicationClass& application)
{
  BindGeometry(application);
  BindInMemory(application);
  BindPixelTypes(application);
}

}  // namespace otbpy
