# SPDX-License-Identifier: Apache-2.0
"""What a product was made of: the identity by which an interrupted run is resumed, and the record beside the file."""

import argparse
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

NOT_IDENTITY = ("input", "output", "model_dir", "quicklook", "overwrite", "debug")
"""Arguments that the pixels do not depend on, or that are recorded by content."""


def identity_of(arguments: argparse.Namespace, product, description) -> dict:
    """Return all that the pixels depend on."""
    model = [path for path in Path(arguments.model_dir).rglob("*") if path.is_file() and path.suffix != ".json"]
    return {
        "input": {
            **product.identity,
            "bands": list(product.bands),
            "offset": product.offset,
            "hrefs": product.hrefs,
            "files": _stamps(Path(name) for name in files_of(product)),
        },
        "model": {**description.to_json(), "files": _stamps(model)},
        "arguments": {name: value for name, value in vars(arguments).items() if name not in NOT_IDENTITY},
    }


def files_of(product) -> list[str]:
    """Return the local files that a product's bands are read from; mosaics (VRT) are followed to theirs."""
    from osgeo import gdal

    found, asked = set(), list(product.bands.values())
    while asked:
        names = set(gdal.Open(asked.pop()).GetFileList() or ()) - found
        asked += [name for name in names if name.lower().endswith(".vrt")]
        found |= names
    return sorted(name for name in found if os.path.isfile(name))


def _stamps(paths: Iterable[Path]) -> dict[str, dict]:
    """Return size and modification time of files."""
    return {
        str(path.resolve()): {"bytes": path.stat().st_size, "mtime_ns": path.stat().st_mtime_ns}
        for path in sorted(paths)
    }


def product_metadata(product, description) -> dict[str, str]:
    """Return the metadata that a product file carries."""
    return {
        "TIFFTAG_SOFTWARE": f"otb-super-resolution {software_version()}",
        "SR_SYSTEM": description.system,
        "SR_WEIGHTS": description.weights or "unknown",
        "SR_INPUT": str(product.identity.get("id", "")),
        "SR_OFFSET": str(product.offset),
    }


def software_version() -> str:
    """Return the version of this project, with the commit where it is run from a git repository."""
    root = Path(__file__).resolve().parent.parent
    stated = re.search(r'^version = "(.+)"', (root / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    try:
        command = ["git", "-C", str(root), "rev-parse", "--short", "HEAD"]
        commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        commit = ""
    return "+".join(part for part in (stated[1] if stated else "unknown", commit) if part)


def write_record(output: Path, arguments: argparse.Namespace, identity: dict, resumed: int, seconds: float) -> None:
    """Write what the product was made of, beside it."""
    from osgeo import gdal

    versions = {"otb-super-resolution": software_version(), "python": platform.python_version()}
    versions["gdal"] = gdal.__version__
    installed = {(item.metadata["Name"] or "").lower(): item.version for item in metadata.distributions()}
    versions["tensorflow"] = installed.get("tensorflow") or installed.get("tensorflow-cpu")
    versions.update({name: installed.get(name) for name in ("keras", "pyotb", "numpy")})
    content = {
        "arguments": vars(arguments),
        "versions": versions,
        "input": identity["input"],
        "model": identity["model"],
        "resumed_regions": resumed,
        "seconds": round(seconds, 2),
    }
    record = output.with_name(f"{output.name}.json")
    partial = record.with_name(f"{record.name}.partial")
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, record)
