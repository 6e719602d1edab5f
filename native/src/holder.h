// SPDX-License-Identifier: Apache-2.0
// pybind11 holds ITK objects by itk::SmartPointer: Python and OTB share one reference count.
#ifndef otb_python_holder_h
#define otb_python_holder_h

#include <itkSmartPointer.h>
#include <pybind11/pybind11.h>

PYBIND11_DECLARE_HOLDER_TYPE(T, itk::SmartPointer<T>, true)

namespace pybind11
{
namespace detail
{
template <typename T>
struct holder_helper<itk::SmartPointer<T>>
{
  static T* get(const itk::SmartPointer<T>& pointer) { return pointer.GetPointer(); }
};
}  // namespace detail
}  // namespace pybind11

#endif
