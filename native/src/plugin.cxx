// SPDX-License-Identifier: Apache-2.0
// The plug-in that OTB loads for a Python-bodied application. It takes the application's name from its own
// file name (otbapp_<Name>.so: one copy per application), makes sure that a Python interpreter runs in this
// process, and asks the module otbApplication for the factory.
//
// It is linked with no Python library: inside python3, QGIS or any program that embeds Python the symbols are
// there already; in OTB's own programs libpython is loaded first. The interpreter is never finalised.
#include <Python.h>
#include <dlfcn.h>

#include <itkMacro.h>
#include <itkObjectFactoryBase.h>

#include <cstdlib>
#include <iostream>
#include <string>

namespace
{

template <typename Function>
Function* Find(Function*, const char* name)
{
  void* const address = dlsym(RTLD_DEFAULT, name);
  if (address == nullptr)
    itkGenericExceptionMacro(<< "Python: " << name << " not found");
  return reinterpret_cast<Function*>(address);
}

#define PYTHON(name) Find(&name, #name)

void LoadPython()
{
  if (dlsym(RTLD_DEFAULT, "Py_IsInitialized") == nullptr && dlopen(LIBPYTHON, RTLD_NOW | RTLD_GLOBAL) == nullptr)
    itkGenericExceptionMacro(<< "Cannot load " LIBPYTHON ": " << dlerror());
}

// Starts Python as the project's environment, so that its packages are found.
void StartPython()
{
  const char* const wanted = std::getenv("OTBTF_PYTHON");
  const std::string program = wanted == nullptr ? PROJECT_PYTHON : wanted;
  PyConfig config;
  PYTHON(PyConfig_InitPythonConfig)(&config);
  config.install_signal_handlers = 0;
  config.buffered_stdio = 0;
  config.parse_argv = 0;
  PYTHON(PyConfig_SetBytesString)(&config, &config.program_name, program.c_str());
  PYTHON(PyConfig_SetBytesString)(&config, &config.executable, program.c_str());
  const PyStatus status = PYTHON(Py_InitializeFromConfig)(&config);
  PYTHON(PyConfig_Clear)(&config);
  if (PYTHON(PyStatus_Exception)(status))
    itkGenericExceptionMacro(<< "Cannot start Python as " << program << ": "
                             << (status.err_msg ? status.err_msg : "unknown error"));
  PYTHON(PyRun_SimpleStringFlags)("import sys; sys.otb_embedded = True", nullptr);
  PYTHON(PyEval_SaveThread)();
}

std::string ApplicationName()
{
  Dl_info information;
  dladdr(reinterpret_cast<void*>(&ApplicationName), &information);
  const std::string file(information.dli_fname);
  const auto start = file.rfind("otbapp_") + 7;
  return file.substr(start, file.rfind('.') - start);
}

using MakeFactory = itk::ObjectFactoryBase* (*)(const char*);

MakeFactory FindMakeFactory()
{
  PYTHON(PyRun_SimpleStringFlags)("import sys\nif '" NATIVE_DIR "' not in sys.path: sys.path.append('" NATIVE_DIR "')",
                                  nullptr);
  PyObject* const module = PYTHON(PyImport_ImportModule)("otbApplication");
  PyObject* const door = module ? PYTHON(PyObject_GetAttrString)(module, "make_factory") : nullptr;
  void* const make = door ? PYTHON(PyCapsule_GetPointer)(door, "otbApplication.make_factory") : nullptr;
  if (make == nullptr)
    PYTHON(PyErr_Print)();
  return reinterpret_cast<MakeFactory>(make);
}

}  // namespace

// OTB's programs do not catch what is thrown here: a failure is said, and OTB then does without the plug-in.
extern "C" itk::ObjectFactoryBase* itkLoad()
{
  try
  {
    LoadPython();
    if (!PYTHON(Py_IsInitialized)())
      StartPython();
    const PyGILState_STATE state = PYTHON(PyGILState_Ensure)();
    const MakeFactory make = FindMakeFactory();
    PYTHON(PyGILState_Release)(state);
    return make == nullptr ? nullptr : make(ApplicationName().c_str());
  }
  catch (const itk::ExceptionObject& error)
  {
    std::cerr << "otbapp_" << ApplicationName() << ": " << error.GetDescription() << std::endl;
    return nullptr;
  }
}
