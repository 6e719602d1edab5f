// SPDX-License-Identifier: Apache-2.0
// itkSize, itkIndex, itkPoint, itkVector (sequences of two) and itkRegion.
#include "bindings.h"

#include <pybind11/stl.h>

#include <sstream>

namespace otbpy
{

namespace
{

using Size = itk::Size<2>;
using Index = itk::Index<2>;
using Region = itk::ImageRegion<2>;
using Point = itk::Point<double, 2>;
using Vector = itk::Vector<double, 2>;

unsigned int Checked(long position)
{
  if (position < 0 || position > 1)
    throw py::index_error("Index outside [0,1]");
  return static_cast<unsigned int>(position);
}

template <typename T, typename Value>
py::class_<T> BindPair(py::module_& module, const char* name)
{
  py::class_<T> pair(module, name);
  pair.def(py::init(
               []()
               {
                 T value;
                 value.Fill(0);
                 return value;
               }))
      .def("Fill", [](T& self, Value value) { self.Fill(value); })
      .def("GetElement", [](const T& self, long i) -> Value { return self[Checked(i)]; })
      .def("SetElement", [](T& self, long i, Value value) { self[Checked(i)] = value; })
      .def("__getitem__", [](const T& self, long i) -> Value { return self[Checked(i)]; })
      .def("__setitem__", [](T& self, long i, Value value) { self[Checked(i)] = value; })
      .def("__len__", [](const T&) { return 2; })
      .def(
          "__eq__", [](const T& self, const T& other) { return self == other; }, py::is_operator())
      .def("__str__",
           [](const T& self)
           {
             return "[" + std::string(py::str(py::cast(Value(self[0])))) + "," +
                    std::string(py::str(py::cast(Value(self[1])))) + "]";
           })
      .def("__repr__",
           [name](const T& self)
           {
             return std::string(name) + "([" + std::string(py::repr(py::cast(Value(self[0])))) + ", " +
                    std::string(py::repr(py::cast(Value(self[1])))) + "])";
           });
  return pair;
}

template <typename T>
void BindArrayMethods(py::class_<T>& array)
{
  array.def("Size", [](const T&) { return 2; });
}

std::string Text(const Region& region)
{
  std::ostringstream text;
  text << "{index:[" << region.GetIndex(0) << "," << region.GetIndex(1) << "], size:[" << region.GetSize(0) << ","
       << region.GetSize(1) << "]}";
  return text.str();
}

void BindRegion(py::module_& module)
{
  const auto reference = py::return_value_policy::reference_internal;
  py::class_<Region>(module, "itkRegion")
      .def(py::init<>())
      .def(
          "GetIndex", [](Region& self) -> Index& { return self.GetModifiableIndex(); }, reference)
      .def("GetIndex", [](const Region& self, unsigned int i) { return self.GetIndex(Checked(i)); })
      .def(
          "GetSize", [](Region& self) -> Size& { return self.GetModifiableSize(); }, reference)
      .def("GetSize", [](const Region& self, unsigned int i) { return self.GetSize(Checked(i)); })
      .def("SetIndex", [](Region& self, const Index& index) { self.SetIndex(index); })
      .def("SetIndex", [](Region& self, unsigned int i, long value) { self.SetIndex(Checked(i), value); })
      .def("SetSize", [](Region& self, const Size& size) { self.SetSize(size); })
      .def("SetSize", [](Region& self, unsigned int i, unsigned long value) { self.SetSize(Checked(i), value); })
      .def("GetUpperIndex", &Region::GetUpperIndex)
      .def("SetUpperIndex", &Region::SetUpperIndex)
      .def("IsInside", [](const Region& self, const Index& index) { return self.IsInside(index); })
      .def("keys", [](const Region&) { return std::vector<std::string>{"index", "size"}; })
      .def("__getitem__",
           [](py::object self, const std::string& key) -> py::object
           {
             if (key == "index")
               return self.attr("GetIndex")();
             if (key == "size")
               return self.attr("GetSize")();
             throw py::index_error("Key not in [\"index\",\"size\"]");
           })
      .def("__setitem__",
           [](Region& self, const std::string& key, const Index& index)
           {
             if (key != "index")
               throw py::index_error("Key not in [\"index\",\"size\"]");
             self.SetIndex(index);
           })
      .def("__setitem__",
           [](Region& self, const std::string& key, const Size& size)
           {
             if (key != "size")
               throw py::index_error("Key not in [\"index\",\"size\"]");
             self.SetSize(size);
           })
      .def("__len__", [](const Region&) { return 2; })
      .def(
          "__eq__", [](const Region& self, const Region& other) { return self == other; }, py::is_operator())
      .def("__str__", &Text)
      .def("__repr__", &Text);
}

}  // namespace

void BindItkValues(py::module_& module)
{
  BindPair<Size, unsigned long>(module, "itkSize").def_static("GetSizeDimension", []() { return 2; });
  BindPair<Index, long>(module, "itkIndex").def_static("GetIndexDimension", []() { return 2; });
  auto point = BindPair<Point, double>(module, "itkPoint");
  BindArrayMethods(point);
  auto vector = BindPair<Vector, double>(module, "itkVector");
  BindArrayMethods(vector);
  vector.def("GetNorm", &Vector::GetNorm)
      .def("GetSquaredNorm", &Vector::GetSquaredNorm)
      .def("Normalize", [](Vector& self) { return self.Normalize(); });
  BindRegion(module);
}

}  // namespace otbpy
