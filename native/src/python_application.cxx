// SPDX-License-Identifier: Apache-2.0
#include "python_application.h"

#include "errors.h"
#include "holder.h"
#include "pixel_buffer.h"
#include "python_filter.h"

#include <itkVersion.h>

#include <cstdlib>
#include <iostream>

namespace otbpy
{

namespace
{

// Whether Python was started by the plug-in, in a program of OTB.
bool IsEmbedded()
{
  py::gil_scoped_acquire gil;
  return py::hasattr(py::module_::import("sys"), "otb_embedded");
}

}  // namespace

PythonApplication::Pointer PythonApplication::New(const std::string& name)
{
  Pointer application = new Self(name);
  application->UnRegister();
  return application;
}

void PythonApplication::CallBody(const char* method)
{
  struct Inside
  {
    explicit Inside(bool& inside) : flag(inside), outer(inside) { flag = true; }
    ~Inside() { flag = outer; }
    bool& flag;
    const bool outer;
  };
  const Inside inside(m_IsInBody);
  CallPython([&]() { m_Body.Get().attr(method)(py::cast(Pointer(this))); });
}

void PythonApplication::DoInit()
{
  this->SetName(m_BodyName);
  try
  {
    CallPython([this]() { m_Body.Set(py::module_::import("otbApplication.bodies").attr("find")(m_BodyName)()); });
    CallBody("init");
  }
  catch (const itk::ExceptionObject& error)
  {
    if (!IsEmbedded())
      throw;
    // OTB's programs catch nothing here, and would abort.
    std::cerr << m_BodyName << ": " << error.GetDescription() << std::endl;
    std::exit(EXIT_FAILURE);
  }
}

void PythonApplication::DoUpdateParameters()
{
  CallBody("update_parameters");
}

void PythonApplication::DoExecute()
{
  CallBody("execute");
}

std::vector<SourceImage> PythonApplication::GetParameterImages(const std::string& key)
{
  std::vector<SourceImage> images;
  if (!this->HasValue(key))  // an image given in memory has a value, but OTB does not call it enabled
    throw std::runtime_error("Parameter " + key + ": No input image or filename detected...");
  if (this->GetParameterType(key) == otb::Wrapper::ParameterType_InputImageList)
  {
    auto* const list = this->GetParameterImageList(key);
    for (unsigned int i = 0; i < list->Size(); ++i)
      images.emplace_back(list->GetNthElement(i));
  }
  else
    images.emplace_back(this->GetParameterImage(key));
  return images;
}

void PythonApplication::SetOutputImageFromFilter(const std::string& key, const std::vector<SourceImage>& inputs,
                                                 py::object body)
{
  auto filter = PythonFilter::New();
  filter->SetBody(std::move(body));
  for (unsigned int i = 0; i < inputs.size(); ++i)
    filter->SetInput(i, inputs[i].GetImage());
  py::gil_scoped_release release;
  filter->UpdateOutputInformation();
  Superclass::SetParameterOutputImage<FloatVectorImageType>(key, filter->GetOutput());
  m_Sources[key] = filter.GetPointer();
}

template <typename Image>
void PythonApplication::SetOutputArray(const std::string& key, py::array array, const std::array<double, 2>& origin,
                                       const std::array<double, 2>& spacing, const std::string& projection)
{
  using Value = typename Image::InternalPixelType;
  auto image = ImageOverArray<Image>(py::array_t<Value, py::array::c_style>::ensure(array));
  image->SetOrigin(origin.data());
  typename Image::SpacingType signedSpacing;
  signedSpacing[0] = spacing[0];
  signedSpacing[1] = spacing[1];
  image->SetSignedSpacing(signedSpacing);
  if (!projection.empty())
    image->SetProjectionRef(projection);
  py::gil_scoped_release release;
  Superclass::SetParameterOutputImage<Image>(key, image.GetPointer());
  m_Sources[key] = image.GetPointer();
}

void PythonApplication::SetOutputImageFromArray(const std::string& key, py::array array,
                                                const std::array<double, 2>& origin,
                                                const std::array<double, 2>& spacing, const std::string& projection)
{
  using namespace otb::Wrapper;
  if (array.ndim() != 3)
    throw py::value_error("SetOutputImageFromArray: expected an array (height, width, bands), got " +
                          std::to_string(array.ndim()) + " dimensions");
  if (py::isinstance<py::array_t<float>>(array))
    return SetOutputArray<FloatVectorImageType>(key, array, origin, spacing, projection);
  if (py::isinstance<py::array_t<double>>(array))
    return SetOutputArray<DoubleVectorImageType>(key, array, origin, spacing, projection);
  if (py::isinstance<py::array_t<unsigned char>>(array))
    return SetOutputArray<UInt8VectorImageType>(key, array, origin, spacing, projection);
  if (py::isinstance<py::array_t<unsigned short>>(array))
    return SetOutputArray<UInt16VectorImageType>(key, array, origin, spacing, projection);
  if (py::isinstance<py::array_t<short>>(array))
    return SetOutputArray<Int16VectorImageType>(key, array, origin, spacing, projection);
  if (py::isinstance<py::array_t<int>>(array))
    return SetOutputArray<Int32VectorImageType>(key, array, origin, spacing, projection);
  throw py::type_error(
      "SetOutputImageFromArray: expected an array of float32, float64, uint8, uint16, int16 or int32, got " +
      std::string(py::str(array.dtype())));
}

void PythonApplication::SetOutputVectorDataFromPoints(const std::string& key, const std::vector<double>& x,
                                                      const std::vector<double>& y, const std::vector<int>& ids,
                                                      const std::string& projection)
{
  using VectorData = otb::Wrapper::VectorDataType;
  if (x.size() != ids.size() || y.size() != ids.size())
    throw py::value_error(
        "SetOutputVectorDataFromPoints: expected as many x as y and ids, got " + std::to_string(x.size()) + ", " +
        std::to_string(y.size()) + " and " + std::to_string(ids.size()));
  auto vectorData = VectorData::New();
  vectorData->SetProjectionRef(projection);
  auto* const tree = vectorData->GetDataTree();
  auto document = VectorData::DataNodeType::New();
  document->SetNodeType(otb::DOCUMENT);
  tree->Add(document, tree->GetRoot()->Get());
  for (std::size_t i = 0; i < ids.size(); ++i)
  {
    auto point = VectorData::DataNodeType::New();
    const double coordinates[] = {x[i], y[i]};
    point->SetPoint(coordinates);
    point->SetFieldAsInt("id", ids[i]);
    tree->Add(point, document);
  }
  Superclass::SetParameterOutputVectorData(key, vectorData);
  m_Sources[key] = vectorData.GetPointer();
}

PythonApplicationFactory::Pointer PythonApplicationFactory::New(const std::string& name)
{
  Pointer factory = new Self(name);
  factory->UnRegister();
  return factory;
}

namespace
{
std::map<std::string, std::string> loadErrors;
}

itk::ObjectFactoryBase* PythonApplicationFactory::Load(const char* name)
{
  static std::map<std::string, Pointer> factories;  // OTB's registry forgets those that it has used
  try
  {
    CallPython([name]() { py::module_::import("otbApplication.bodies").attr("find")(name); });
  }
  catch (const itk::ExceptionObject& error)
  {
    loadErrors[name] = std::string(name) + ": " + error.GetDescription();
    if (IsEmbedded())
      std::cerr << loadErrors[name] << std::endl;
    return nullptr;
  }
  loadErrors.erase(name);
  auto& factory = factories[name];
  if (factory.IsNull())
    factory = New(name);
  return factory.GetPointer();
}

std::string PythonApplicationFactory::GetLoadError(const std::string& name)
{
  const auto found = loadErrors.find(name);
  return found == loadErrors.end() ? "" : found->second;
}

const char* PythonApplicationFactory::GetITKSourceVersion() const
{
  return ITK_SOURCE_VERSION;
}

itk::LightObject::Pointer PythonApplicationFactory::CreateObject(const char* name)
{
  return m_Name == name ? itk::LightObject::Pointer(PythonApplication::New(m_Name).GetPointer()) : nullptr;
}

std::list<itk::LightObject::Pointer> PythonApplicationFactory::CreateAllObject(const char* name)
{
  if (m_Name == name || std::string("otbWrapperApplication") == name)
    return {itk::LightObject::Pointer(PythonApplication::New(m_Name).GetPointer())};
  return {};
}

}  // namespace otbpy
