// SPDX-License-Identifier: Apache-2.0
// numpy arrays over ITK's pixel buffers, and ITK images over numpy's, without copies.
#ifndef otb_python_pixel_buffer_h
#define otb_python_pixel_buffer_h

#include "gil.h"

#include <itkCommand.h>
#include <itkImageBase.h>
#include <pybind11/numpy.h>

namespace otbpy
{

// Keeps a Python object alive as long as the ITK object that observes with it.
class KeepAlive : public itk::Command
{
public:
  using Self = KeepAlive;
  using Pointer = itk::SmartPointer<Self>;
  itkNewMacro(Self);
  itkTypeMacro(KeepAlive, itk::Command);

  static void Tie(itk::Object* owner, py::object kept)
  {
    auto command = New();
    command->m_Kept.Set(std::move(kept));
    owner->AddObserver(itk::UserEvent(), command);
  }

  void Execute(itk::Object*, const itk::EventObject&) override {}
  void Execute(const itk::Object*, const itk::EventObject&) override {}

protected:
  KeepAlive() = default;

private:
  PythonRef m_Kept;
};

// A capsule that owns a reference to an ITK object: the base of an array over its memory.
inline py::capsule Owner(itk::LightObject* object)
{
  object->Register();
  return py::capsule(object, [](void* pointer) { static_cast<itk::LightObject*>(pointer)->UnRegister(); });
}

// The pixels of a (height, width, bands) array of an otb::Image or otb::VectorImage, shared.
template <typename Image>
py::array ArrayOverImage(Image* image)
{
  using Value = typename Image::InternalPixelType;
  const auto& region = image->GetBufferedRegion();
  const auto bands = static_cast<py::ssize_t>(image->GetNumberOfComponentsPerPixel());
  const auto width = static_cast<py::ssize_t>(region.GetSize(0));
  const auto height = static_cast<py::ssize_t>(region.GetSize(1));
  return py::array_t<Value>({height, width, bands}, image->GetBufferPointer(), Owner(image->GetPixelContainer()));
}

// An image over the memory of a C-contiguous (height, width, bands) array, which it keeps alive.
template <typename Image>
typename Image::Pointer ImageOverArray(py::array array)
{
  using Value = typename Image::InternalPixelType;
  typename Image::RegionType region;
  region.SetSize(0, array.shape(1));
  region.SetSize(1, array.shape(0));
  auto image = Image::New();
  image->SetNumberOfComponentsPerPixel(array.shape(2));
  image->SetRegions(region);
  auto* const container = image->GetPixelContainer();
  container->SetImportPointer(static_cast<Value*>(const_cast<void*>(array.data())), array.size(), false);
  KeepAlive::Tie(container, std::move(array));
  return image;
}

}  // namespace otbpy

#endif
