// SPDX-License-Identifier: Apache-2.0
// ImageMetadata (OTB's typed metadata) and itkMetaDataDictionary (ITK's untyped one).
#include "bindings.h"

#include <itkMetaDataObject.h>
#include <otbImageMetadata.h>
#include <otbWrapperMetaDataHelper.h>
#include <pybind11/stl.h>

#include <sstream>

namespace otbpy
{

namespace
{

using otb::ImageMetadata;
using otb::ImageMetadataBase;
namespace md = otb::MetaData;

template <typename Names>
bool IsIn(const Names& names, const std::string& key)
{
  return names.right.find(key) != names.right.end();
}

// The value under a named key of one of the typed dictionaries.
template <typename Names>
auto Value(const ImageMetadataBase& metadata, const Names& names, const std::string& key)
{
  const auto found = names.right.find(key);
  if (found == names.right.end() || !metadata.Has(found->second))
    throw std::runtime_error("Image metadata: no value for '" + key + "'");
  return metadata[found->second];
}

template <typename Names>
bool HasIn(const ImageMetadataBase& metadata, const Names& names, const std::string& key)
{
  const auto found = names.right.find(key);
  return found != names.right.end() && metadata.Has(found->second);
}

bool Has(const ImageMetadataBase& metadata, const std::string& key)
{
  return HasIn(metadata, md::MDNumNames, key) || HasIn(metadata, md::MDStrNames, key) ||
         HasIn(metadata, md::MDL1DNames, key) || HasIn(metadata, md::MDL2DNames, key) ||
         HasIn(metadata, md::MDTimeNames, key) || HasIn(metadata, md::MDGeomNames, key) || metadata.Has(key);
}

py::object Item(const ImageMetadataBase& metadata, const std::string& key)
{
  if (IsIn(md::MDNumNames, key))
    return py::cast(Value(metadata, md::MDNumNames, key));
  if (IsIn(md::MDStrNames, key))
    return py::cast(Value(metadata, md::MDStrNames, key));
  if (IsIn(md::MDL1DNames, key))
    return py::cast(Value(metadata, md::MDL1DNames, key));
  if (IsIn(md::MDL2DNames, key))
    return py::cast(Value(metadata, md::MDL2DNames, key));
  if (IsIn(md::MDTimeNames, key))
    return py::cast(Value(metadata, md::MDTimeNames, key));
  if (metadata.Has(key))
    return py::cast(metadata[key]);
  return py::none();
}

// A value goes under its typed key where the key is known, a text also under a key of geometry, else under an extra
// key as text.
template <typename Names, typename T>
void Set(ImageMetadataBase& metadata, const Names& names, const std::string& key, const T& value,
         const std::string& text)
{
  const auto found = names.right.find(key);
  const auto geometry = md::MDGeomNames.right.find(key);
  if (found != names.right.end())
    metadata.Add(found->second, value);
  else if (std::is_same<T, std::string>::value && geometry != md::MDGeomNames.right.end())
    metadata.Add(geometry->second, text);
  else
    metadata.Add(key, text);
}

template <typename T>
std::string Printed(const T& value)
{
  std::ostringstream text;
  text << value;
  return text.str();
}

template <unsigned int Dimension>
void BindTable(py::module_& module, const char* name)
{
  using Table = md::LUT<Dimension>;
  py::class_<Table>(module, name)
      .def(py::init<>())
      .def_readwrite("Array", &Table::Array)
      .def_property_readonly(
          "Axis", [](const Table& self) { return std::vector<md::LUTAxis>(self.Axis, self.Axis + Dimension); })
      .def("ToJSON", &Table::ToJSON, py::arg("multiline") = false)
      .def("ToString", &Table::ToString)
      .def("FromString", &Table::FromString)
      .def("__str__", &Table::ToString);
}

void BindValues(py::module_& module)
{
  py::class_<md::LUTAxis>(module, "LUTAxis")
      .def(py::init<>())
      .def_readwrite("Size", &md::LUTAxis::Size)
      .def_readwrite("Origin", &md::LUTAxis::Origin)
      .def_readwrite("Spacing", &md::LUTAxis::Spacing)
      .def_readwrite("Values", &md::LUTAxis::Values)
      .def("ToJSON", &md::LUTAxis::ToJSON, py::arg("multiline") = false);
  BindTable<1>(module, "lut1d");
  BindTable<2>(module, "lut2d");
  py::class_<md::TimePoint>(module, "TimePoint")
      .def(py::init<>())
      .def("GetJulianDay", &md::TimePoint::GetJulianDay)
      .def("GetModifiedJulianDay", &md::TimePoint::GetModifiedJulianDay)
      .def("GetYear", &md::TimePoint::GetYear)
      .def("GetMonth", &md::TimePoint::GetMonth)
      .def("GetDay", &md::TimePoint::GetDay)
      .def("GetHour", &md::TimePoint::GetHour)
      .def("GetMinute", &md::TimePoint::GetMinute)
      .def("GetSecond", &md::TimePoint::GetSecond)
      .def("__str__", [](const md::TimePoint& self) { return Printed(self); });
  py::class_<otb::GCP>(module, "GCP")
      .def(py::init<>())
      .def_readwrite("m_Id", &otb::GCP::m_Id)
      .def_readwrite("m_Info", &otb::GCP::m_Info)
      .def_readwrite("m_GCPCol", &otb::GCP::m_GCPCol)
      .def_readwrite("m_GCPRow", &otb::GCP::m_GCPRow)
      .def_readwrite("m_GCPX", &otb::GCP::m_GCPX)
      .def_readwrite("m_GCPY", &otb::GCP::m_GCPY)
      .def_readwrite("m_GCPZ", &otb::GCP::m_GCPZ);
}

void BindImageMetadata(py::module_& module)
{
  py::class_<ImageMetadataBase>(module, "ImageMetadataBase")
      .def(py::init<>())
      .def("GetProjectedGeometry", &ImageMetadataBase::GetProjectedGeometry)
      .def("GetProjectionWKT", &ImageMetadataBase::GetProjectionWKT)
      .def("GetProjectionProj", &ImageMetadataBase::GetProjectionProj)
      .def("GetKeyListNum", &ImageMetadataBase::GetKeyListNum)
      .def("GetKeyListStr", &ImageMetadataBase::GetKeyListStr)
      .def("GetKeyListL1D", &ImageMetadataBase::GetKeyListL1D)
      .def("GetKeyListTime", &ImageMetadataBase::GetKeyListTime)
      .def("has", &Has)
      .def("is_num", [](const ImageMetadataBase&, const std::string& key) { return IsIn(md::MDNumNames, key); })
      .def("is_str", [](const ImageMetadataBase&, const std::string& key) { return IsIn(md::MDStrNames, key); })
      .def("is_l1d", [](const ImageMetadataBase&, const std::string& key) { return IsIn(md::MDL1DNames, key); })
      .def("is_l2d", [](const ImageMetadataBase&, const std::string& key) { return IsIn(md::MDL2DNames, key); })
      .def("is_time", [](const ImageMetadataBase&, const std::string& key) { return IsIn(md::MDTimeNames, key); })
      .def("is_geom", [](const ImageMetadataBase&, const std::string& key) { return IsIn(md::MDGeomNames, key); })
      .def("is_extra", [](const ImageMetadataBase& self, const std::string& key) { return self.Has(key); })
      .def("get_num",
           [](const ImageMetadataBase& self, const std::string& key) { return Value(self, md::MDNumNames, key); })
      .def("get_str",
           [](const ImageMetadataBase& self, const std::string& key) { return Value(self, md::MDStrNames, key); })
      .def("get_l1d",
           [](const ImageMetadataBase& self, const std::string& key) { return Value(self, md::MDL1DNames, key); })
      .def("get_l2d",
           [](const ImageMetadataBase& self, const std::string& key) { return Value(self, md::MDL2DNames, key); })
      .def("get_time",
           [](const ImageMetadataBase& self, const std::string& key) { return Value(self, md::MDTimeNames, key); })
      .def("get_extra",
           [](const ImageMetadataBase& self, const std::string& key)
           {
             if (!self.Has(key))
               throw std::runtime_error("Image metadata: no extra value for '" + key + "'");
             return self[key];
           })
      .def("__getitem__", &Item)
      .def("__setitem__", [](ImageMetadataBase& self, const std::string& key, double value)
           { Set(self, md::MDNumNames, key, value, std::to_string(value)); })
      .def("__setitem__", [](ImageMetadataBase& self, const std::string& key, const std::string& value)
           { Set(self, md::MDStrNames, key, value, value); })
      .def("__setitem__", [](ImageMetadataBase& self, const std::string& key, const md::LUT1D& value)
           { Set(self, md::MDL1DNames, key, value, value.ToString()); })
      .def("__setitem__", [](ImageMetadataBase& self, const std::string& key, const md::LUT2D& value)
           { Set(self, md::MDL2DNames, key, value, value.ToString()); })
      .def("__setitem__", [](ImageMetadataBase& self, const std::string& key, const md::TimePoint& value)
           { Set(self, md::MDTimeNames, key, value, Printed(value)); })
      .def("__str__", [](const ImageMetadataBase& self) { return Printed(self); });
  py::class_<ImageMetadata, ImageMetadataBase>(module, "ImageMetadata")
      .def(py::init<>())
      .def_readwrite("Bands", &ImageMetadata::Bands)
      .def("__str__", [](const ImageMetadata& self) { return Printed(self); });
}

py::object DictionaryItem(const itk::MetaDataDictionary& dictionary, const std::string& key)
{
  namespace helper = otb::Wrapper::MetaDataHelper;
  if (!dictionary.HasKey(key))
    throw py::index_error("Key not recognized");
  switch (helper::GetType(key))
  {
  case helper::MDType::Int:
    return py::cast(helper::GetInt(dictionary, key));
  case helper::MDType::Double:
    return py::cast(helper::GetDouble(dictionary, key));
  case helper::MDType::GCP:
    return py::cast(helper::GetGCP(dictionary, key));
  case helper::MDType::Vector:
    return Tuple(helper::GetVector(dictionary, key));
  case helper::MDType::BoolVector:
    return Tuple(helper::GetBoolVector(dictionary, key));
  default:
    return py::cast(helper::GetString(dictionary, key));
  }
}

template <typename T>
void Encapsulate(itk::MetaDataDictionary& dictionary, const std::string& key, const T& value)
{
  itk::EncapsulateMetaData<T>(dictionary, key, value);
}

void BindDictionary(py::module_& module)
{
  using Dictionary = itk::MetaDataDictionary;
  py::class_<Dictionary>(module, "itkMetaDataDictionary")
      .def(py::init<>())
      .def("GetKeys", [](const Dictionary& self) { return Tuple(self.GetKeys()); })
      .def("keys", [](const Dictionary& self) { return Tuple(self.GetKeys()); })
      .def("HasKey", &Dictionary::HasKey)
      .def("__contains__", &Dictionary::HasKey)
      .def("__len__", [](const Dictionary& self) { return self.GetKeys().size(); })
      .def("__getitem__", &DictionaryItem)
      .def("__setitem__", &Encapsulate<int>)
      .def("__setitem__", &Encapsulate<double>)
      .def("__setitem__", &Encapsulate<std::string>)
      .def("__setitem__", &Encapsulate<std::vector<double>>)
      .def("__str__",
           [](const Dictionary& self)
           {
             std::string text;
             for (const auto& key : self.GetKeys())
               text += (text.empty() ? "" : ", ") + key + ":<...>";
             return "{" + text + "}";
           });
}

}  // namespace

void BindMetadata(py::module_& module)
{
  BindValues(module);
  BindImageMetadata(module);
  BindDictionary(module);
}

}  // namespace otbpy
