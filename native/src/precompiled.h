// SPDX-License-Identifier: Apache-2.0
// Headers of OTB, ITK and pybind11 that most files read, parsed once (native/Makefile).
#include <itkCommand.h>
#include <itkImageToImageFilter.h>
#include <otbImageMetadata.h>
#include <otbLogger.h>
#include <otbWrapperApplication.h>
#include <otbWrapperApplicationRegistry.h>
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <string>
#include <vector>
