# SPDX-License-Identifier: Apache-2.0
"""What a run leaves behind to be understood, and repeated, later."""

import json
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from chain.runtime.credentials import cleaned, without_credentials
from chain.runtime.files import read_document, whole_file

NAME = "otb-super-resolution"
"""Name of this project."""
VERSION = "0.1.0"
"""Version of this project, to which pyproject.toml refers: in the otbtf image that file is not there."""
PROJECT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "tensorflow": "tensorflow",
    "tensorflow-cpu": "tensorflow",
    "keras": "keras",
    "numpy": "numpy",
    "pyotb": "pyotb",
    "pystac-client": "pystac-client",
    "planetary-computer": "planetary-computer",
}
"""Installed packages, and the names that they are told by."""
MODULES = {"gdal": "osgeo.gdal", "otbtf": "otbtf"}
"""Modules that may stand outside any installed package: their versions are told when they are loaded."""


def software_version() -> str:
    """Return the version of this project, with the commit where it is run from a git repository."""
    return "+".join(part for part in (VERSION, _commit()) if part)


def software() -> str:
    """Return the name and the version of this project, as products state them."""
    return f"{NAME} {software_version()}"


def _commit() -> str:
    """Return the short name of the commit, empty outside a git repository."""
    command = ["git", "-C", str(PROJECT), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return ""


def versions() -> dict[str, str]:
    """Return the versions of this project, of Python, and of the packages and modules in use."""
    found = {NAME: software_version(), "python": platform.python_version()}
    for name, module in MODULES.items():
        version = getattr(sys.modules.get(module), "__version__", None)
        if version:
            found[name] = version
    return {**found, **package_versions()}


def package_versions() -> dict[str, str]:
    """Return the versions of installed packages, of those in `PACKAGES`, without loading them."""
    found = {}
    for package, name in PACKAGES.items():
        try:
            found[name] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def record_of(product: Path) -> Path:
    """Return the name of the record of a product, which lies beside it."""
    return product.with_name(f"{product.name}.json")


def read(path: Path) -> dict:
    """Return what a record says; nothing where there is none, or another content."""
    try:
        content = json.loads(read_document(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def is_record(path: Path) -> bool:
    """Return whether a file is a record, or there is none: what another program has written is to stay."""
    return not path.exists() or "versions" in read(path)


def write(path: Path, record: dict) -> None:
    """Write a record as JSON, without credentials, whole or not at all; what JSON does not know is written as text."""
    text = json.dumps(cleaned(record), indent=2, default=lambda value: without_credentials(str(value)))
    with whole_file(path) as partial:
        partial.write_text(f"{text}\n", encoding="utf-8")
