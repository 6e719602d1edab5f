// SPDX-License-Identifier: Apache-2.0
// Entering and leaving the Python interpreter from OTB's threads.
#ifndef otb_python_gil_h
#define otb_python_gil_h

#include <pybind11/pybind11.h>

namespace py = pybind11;

namespace otbpy
{

using ReleaseGil = py::call_guard<py::gil_scoped_release>;

// A strong reference to a Python object that any thread may drop, even after the interpreter has ended
// (OTB's registry is static, and outlives it): the reference is then leaked.
class PythonRef
{
public:
  PythonRef() = default;
  explicit PythonRef(py::object object) : m_Object(object.release().ptr()) {}
  PythonRef(const PythonRef&) = delete;
  PythonRef& operator=(const PythonRef&) = delete;
  ~PythonRef() { Reset(); }

  // The GIL must be held.
  void Set(py::object object)
  {
    PyObject* const old = m_Object;
    m_Object = object.release().ptr();
    Py_XDECREF(old);
  }

  // The GIL must be held.
  py::object Get() const { return py::reinterpret_borrow<py::object>(m_Object); }

  explicit operator bool() const { return m_Object != nullptr; }

  void Reset()
  {
    if (m_Object == nullptr || !Py_IsInitialized())
      return;
    py::gil_scoped_acquire gil;
    Py_CLEAR(m_Object);
  }

private:
  PyObject* m_Object = nullptr;
};

}  // namespace otbpy

#endif
