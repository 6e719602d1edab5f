// SPDX-License-Identifier: Apache-2.0
// An OTB application whose body is a Python class:
//
//   class <Name>:                            in module <snake_case_name> of package otbtf_applications
//       def init(self, app): ...             declares parameters and documentation
//       def update_parameters(self, app): ...
//       def execute(self, app): ...          sets the outputs
//
// The body must not keep app, which owns it. Other packages are searched first when named, separated by
// colons, in the environment variable OTB_PYTHON_PACKAGES.
#ifndef otb_python_application_h
#define otb_python_application_h

#include "gil.h"
#include "source_image.h"

#include <otbWrapperApplication.h>
#include <otbWrapperApplicationFactoryBase.h>
#include <pybind11/numpy.h>

#include <map>

namespace otbpy
{

class PythonApplication : public otb::Wrapper::Application
{
public:
  using Self = PythonApplication;
  using Superclass = otb::Wrapper::Application;
  using Pointer = itk::SmartPointer<Self>;
  itkTypeMacro(PythonApplication, otb::Wrapper::Application);

  static Pointer New(const std::string& name);

  using Superclass::AddChoice;
  using Superclass::AddParameter;
  using Superclass::AddRAMParameter;
  using Superclass::AddRANDParameter;
  using Superclass::AutomaticValueOff;
  using Superclass::AutomaticValueOn;
  using Superclass::ClearChoices;
  using Superclass::GetSelectedItems;
  using Superclass::MandatoryOff;
  using Superclass::MandatoryOn;
  using Superclass::SetMultiWriting;
  using Superclass::SetParameterRole;

  // Whether the body is setting parameters itself.
  bool IsInBody() const { return m_IsInBody; }

  std::vector<SourceImage> GetParameterImages(const std::string& key);
  void SetOutputImageFromFilter(const std::string& key, const std::vector<SourceImage>& inputs, py::object body);
  void SetOutputImageFromArray(const std::string& key, py::array array, const std::array<double, 2>& origin,
                               const std::array<double, 2>& spacing, const std::string& projection);
  // Points, each with the integer field "id".
  void SetOutputVectorDataFromPoints(const std::string& key, const std::vector<double>& x, const std::vector<double>& y,
                                     const std::vector<int>& ids, const std::string& projection);

protected:
  explicit PythonApplication(const std::string& name) : m_BodyName(name) {}

private:
  template <typename Image>
  void SetOutputArray(const std::string& key, py::array array, const std::array<double, 2>& origin,
                      const std::array<double, 2>& spacing, const std::string& projection);
  void CallBody(const char* method);

  void DoInit() override;
  void DoUpdateParameters() override;
  void DoExecute() override;

  std::string m_BodyName;
  bool m_IsInBody = false;
  PythonRef m_Body;
  std::map<std::string, itk::LightObject::Pointer> m_Sources;  // what computes or holds each output image
};

// Makes applications of one name.
class PythonApplicationFactory : public otb::Wrapper::ApplicationFactoryBase
{
public:
  using Self = PythonApplicationFactory;
  using Pointer = itk::SmartPointer<Self>;
  itkTypeMacro(PythonApplicationFactory, otb::Wrapper::ApplicationFactoryBase);

  static Pointer New(const std::string& name);

  // The factory that a plug-in returns; null when the application's body cannot be imported.
  static itk::ObjectFactoryBase* Load(const char* name);

  // Why Load gave null for this name, or an empty string.
  static std::string GetLoadError(const std::string& name);

  const char* GetITKSourceVersion() const override;
  const char* GetDescription() const override { return "PythonApplicationFactory"; }

protected:
  explicit PythonApplicationFactory(const std::string& name) : m_Name(name) {}
  itk::LightObject::Pointer CreateObject(const char* name) override;
  std::list<itk::LightObject::Pointer> CreateAllObject(const char* name) override;

private:
  std::string m_Name;
};

}  // namespace otbpy

#endif
