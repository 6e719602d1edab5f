# SPDX-License-Identifier: Apache-2.0
"""The Python class behind an application, found by the application's name.

``PatchesSelection`` is class ``PatchesSelection`` of module ``patches_selection`` in package
``otbtf_applications``, or in one of the packages named in the environment variable ``OTB_PYTHON_PACKAGES``
(separated by colons), which are searched first.
"""

import os
import re
from importlib import import_module
from importlib.util import find_spec


def module_name(application: str) -> str:
    """Return an application's name in snake case: "PatchesSelection" -> "patches_selection"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", application).lower()


def find(application: str) -> type:
    """Return the class of an application's body.

    Raises:
        ValueError: no package has such a module.
    """
    named = os.environ.get("OTB_PYTHON_PACKAGES", "")
    packages = [package for package in named.split(os.pathsep) if package] + ["otbtf_applications"]
    for package in packages:
        module = f"{package}.{module_name(application)}"
        if find_spec(package) is not None and find_spec(module) is not None:
            return getattr(import_module(module), application)
    raise ValueError(f"expected module {module_name(application)} in one of the packages {', '.join(packages)}")
