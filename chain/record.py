# SPDX-License-Identifier: Apache-2.0
"""What a run leaves behind to be understood, and repeated, later."""

import json
import platform
from importlib import metadata
from pathlib import Path

PACKAGES = ("pyotb", "pystac-client", "planetary-computer", "numpy", "tensorflow", "tensorflow-cpu")


def versions() -> dict[str, str]:
    """Return the versions of Python, OTB (as pyotb sees it), GDAL, and the packages in use."""
    from osgeo import gdal

    found = {"python": platform.python_version(), "gdal": gdal.VersionInfo("RELEASE_NAME")}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def write(path: Path, record: dict) -> None:
    """Write a record as JSON."""
    path.write_text(json.dumps(record, indent=1, default=str) + "\n")
