# SPDX-License-Identifier: Apache-2.0
"""Set up a user's profile of QGIS: its OTB provider with this project's applications, and this project's plugin.

    /usr/bin/python3 qgis/set_up.py        # as `make qgis` does

It makes the folder `.setup/qgis/otb` that the provider takes for OTB's (a launcher, descriptions of all applications),
links the plugin into the profile, and writes what QGIS reads at its start. Nothing else in the profile changes; running
it again changes nothing. It needs the Python that QGIS uses, for Qt's reader of the settings.

Where OTBTF's own applications lie in a folder of OTB_APPLICATION_PATH, these are taken, otherwise those of `native/`.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
APPLICATIONS = ("PatchesSelection", "PatchesExtraction", "TensorflowModelServe")
SOURCES = 3
"""Largest number of sources that QGIS offers."""
LAUNCHER = "otbApplicationLauncherCommandLine"
PLUGIN = "super_resolution"
VARIABLES = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "OTBTF_PYTHON", "GDAL_DATA", "PROJ_LIB")
"""Variables of the environment that OTB gets in QGIS as they are now, where they are set."""


def folders_of_applications(otb: Path) -> list[Path]:
    """Return the folders of OTB's applications, and of OTBTF's: the original ones, else those of this project."""
    named = [Path(name) for name in os.environ.get("OTB_APPLICATION_PATH", "").split(":") if name]
    usual = [otb / "lib" / "otb" / "applications", *sorted(otb.glob("lib/*-linux-gnu/otb/applications"))]
    found = [path for path in dict.fromkeys((*named, *usual)) if path.is_dir()]
    if not found:
        raise SystemExit(f"--otb: expected a folder with OTB's applications, got {otb}")
    if not any((path / f"otbapp_{APPLICATIONS[-1]}.so").exists() for path in found):
        found.append(PROJECT / "native" / "build" / "applications")
    return found


def make_otb_folder(folder: Path, otb: Path) -> None:
    """Make what the provider takes for OTB's folder, anew.

    Args:
        folder: where it is made.
        otb: where OTB is installed.

    Raises:
        SystemExit: OTB, or one of the applications, is not there.
    """
    launcher = otb / "bin" / LAUNCHER
    if not launcher.exists():
        raise SystemExit(f"--otb: expected a folder with bin/{LAUNCHER}, got {otb}")
    applications = folders_of_applications(otb)
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "bin").mkdir(parents=True)
    (partial / "bin" / LAUNCHER).symlink_to(PROJECT / "qgis" / "otb_launcher.py")
    environment = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    environment["OTB_APPLICATION_PATH"] = ":".join(map(str, applications))
    settings = {"launcher": str(launcher), "environment": environment}
    (partial / "environment.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    stock = next((otb / path for path in ("share/otb/description", "description") if (otb / path).is_dir()), None)
    if stock is None:
        raise SystemExit(f"--otb: expected a folder with descriptions for QGIS (Debian: package otb-qgis), got {otb}")
    shutil.copytree(stock, partial / "description")
    for application in APPLICATIONS:
        describe(application, applications, partial / "description", environment)
    for path in sorted((partial / "description").glob("*.txt")):
        text = path.read_text(encoding="utf-8")
        relaxed = with_optional_branches(with_optional_sources(text))
        if relaxed != text:
            path.write_text(relaxed, encoding="utf-8")
    (partial / "VERSION").write_text(f"OTB Version: {version(otb)}\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def describe(application: str, applications: list[Path], folder: Path, environment: dict[str, str]) -> None:
    """Write the description of an application for QGIS, with as many sources as it offers."""
    place = next((path for path in applications if (path / f"otbapp_{application}.so").exists()), None)
    if place is None:
        raise SystemExit(f"expected {application} in {':'.join(map(str, applications))}: `make setup` builds it")
    subprocess.run(
        ["otbQgisDescriptor", application, str(place), f"{folder}/"],
        env={**environment, "OTB_TF_NSOURCES": str(SOURCES)},
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def with_optional_sources(text: str) -> str:
    """Return a description whose sources from the second on are optional: one description serves one to three."""
    return re.sub(r"^(\*?Qgs\w+\|source[2-9]\..*\|)False$", r"\1True", text, flags=re.MULTILINE)


def with_optional_branches(text: str) -> str:
    """Return a description whose parameters of single choices are optional: QGIS asks for those of all choices."""
    for choice in re.findall(r"^OTBParameterChoice\|([^|]+)\|", text, re.MULTILINE):
        pattern = rf"^(\*?Qgs\w+\|{re.escape(choice)}\.[^|]*\.[^|]*\|.*\|)False$"
        text = re.sub(pattern, r"\1True", text, flags=re.MULTILINE)
    return text


def version(otb: Path) -> str:
    """Return the version of OTB, by its libraries' names."""
    found = sorted(otb.glob("lib/**/libOTBCommon-*.so*"))
    names = [re.search(r"-(\d+\.\d+)\.so[.\d]*", path.name) for path in found]
    return f"{names[-1][1]}.0" if names and names[-1] else "8.0.0"


def set_up_profile(profile: Path, folder: Path, python: Path) -> list[str]:
    """Write what QGIS reads at its start; return what has changed, a line each.

    Args:
        profile: the profile's folder.
        folder: what the provider takes for OTB's folder.
        python: the project's Python.
    """
    from qgis.PyQt.QtCore import QSettings

    changes = []
    link, target = profile / "python" / "plugins" / PLUGIN, PROJECT / "qgis" / PLUGIN
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink() and link.resolve() != target:
        link.unlink()
    if not link.exists():
        link.symlink_to(target)
        changes.append(f"plugin {PLUGIN}: {target}")
    (profile / "QGIS").mkdir(parents=True, exist_ok=True)
    settings = QSettings(str(profile / "QGIS" / "QGIS3.ini"), QSettings.Format.IniFormat)
    wanted = {
        f"PythonPlugins/{PLUGIN}": "true",
        "PythonPlugins/otbprovider": "true",
        "Processing/Configuration/OTB_FOLDER": str(folder),
        "Processing/Configuration/OTB_APP_FOLDER": str(PROJECT / "native" / "build" / "applications"),
        "Processing/Configuration/SR_PYTHON": str(python),
    }
    for key, value in wanted.items():
        before = settings.value(key)
        if str(before) != value:
            settings.setValue(key, value)
            changes.append(f"{key}: {value}" + (f" (it was {before})" if before is not None else ""))
    settings.sync()
    if settings.status() != QSettings.Status.NoError:
        raise SystemExit(f"--profile: expected settings that can be written, got {settings.fileName()}")
    return changes


def default_profile() -> Path:
    """Return the folder of QGIS's default profile."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    root = os.environ.get("QGIS_CUSTOM_CONFIG_PATH") or Path(data) / "QGIS" / "QGIS3"
    return Path(root) / "profiles" / "default"


def main() -> int:
    """Set up a profile."""
    parser = argparse.ArgumentParser(description="Set up QGIS: the OTB provider, and this project's algorithms.")
    parser.add_argument("--profile", type=Path, default=default_profile(), help="folder of the profile of QGIS")
    parser.add_argument("--otb", type=Path, default=Path("/usr"), help="folder where OTB is installed (default: /usr)")
    parser.add_argument(
        "--folder", type=Path, default=PROJECT / ".setup" / "qgis" / "otb", help="folder that QGIS takes for OTB's"
    )
    parser.add_argument(
        "--python", type=Path, default=PROJECT / ".venv" / "bin" / "python", help="the project's Python"
    )
    arguments = parser.parse_args()
    folder = Path(os.path.abspath(arguments.folder))
    make_otb_folder(folder, arguments.otb.resolve())
    changes = set_up_profile(arguments.profile, folder, Path(os.path.abspath(arguments.python)))
    print("\n".join(changes) if changes else f"QGIS: {arguments.profile} is set up already")
    return 0


if __name__ == "__main__":
    sys.exit(main())
