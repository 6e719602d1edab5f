# SPDX-License-Identifier: Apache-2.0
"""A simulated otbtf image: the Docker context, the requirements and OTB's binding, each in its own folder."""

import fnmatch
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
DOCKER = PROJECT / "docker"
SYSTEM_PYTHON = "/usr/bin/python3"
OLD_TYPING_EXTENSIONS = '''
"""typing_extensions as of 4.11: without the names that later versions have brought."""

import importlib.util

_spec = importlib.util.spec_from_file_location("_newer_typing_extensions", {real!r})
_newer = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_newer)
_LATER = {{"Sentinel", "NoExtraItems", "TypeForm", "evaluate_forward", "disjoint_base", "type_repr"}}
globals().update({{name: value for name, value in vars(_newer).items() if name not in _LATER and name[:2] != "__"}})
__all__ = [name for name in _newer.__all__ if name not in _LATER]
'''


def in_context(name, rules):
    """Return whether a file is in the build context: as Docker does, the last rule that matches counts."""
    found = True
    parents = [name, *map(str, Path(name).parents)][:-1]
    for rule in rules:
        pattern, kept = rule.lstrip("!"), rule.startswith("!")
        patterns = [pattern, pattern.removeprefix("**/")]
        if any(fnmatch.fnmatch(parent, each) for parent in parents for each in patterns):
            found = kept
    return found


def context_files():
    """Return the names of the files that `docker build -f docker/Dockerfile .` sends, from the project's folder."""
    lines = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.splitlines() if (PROJECT / name).is_file() and in_context(name, rules)]


class Image:
    """The simulated image: `run` runs its Python as some user, as `docker run -u` does."""

    def __init__(self, root):
        self.root = root
        self.project = root / "opt" / "super-resolution"
        self.cache = root / "cache"
        self.old = root / "otbtf" / "dist-packages"
        self.otb = root / "otbtf" / "otb"
        self.packages = Path(sysconfig.get_path("purelib"))
        for name in context_files():
            target = self.project / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(PROJECT / name, target)
        self.old.mkdir(parents=True)
        real = str(self.packages / "typing_extensions.py")
        (self.old / "typing_extensions.py").write_text(OLD_TYPING_EXTENSIONS.format(real=real))
        for name in ("otbApplication", "otbtf", "build/otbApplication", "build/applications"):
            shutil.copytree(PROJECT / "native" / name, self.otb / name)
        self.cache.mkdir()
        subprocess.run(["chmod", "-R", "a+rX,a-w", str(root)], check=True)
        self.cache.chmod(0o1777)

    def run(self, *words, user, home, first=()):
        """Run the image's Python in the project's folder.

        Args:
            words: arguments of Python.
            user: number of a user without an entry in /etc/passwd.
            home: what HOME says.
            first: folders to come before all others on the path.
        """
        folders = [*first, self.project, self.packages, self.old, self.otb]
        return subprocess.run(
            [SYSTEM_PYTHON, *map(str, words)],
            cwd=self.project,
            user=user,
            group=user,
            extra_groups=[],
            umask=0o022,
            capture_output=True,
            text=True,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "PYTHONPATH": os.pathsep.join(map(str, folders)),
                "XDG_CACHE_HOME": str(self.cache),
                "MPLCONFIGDIR": str(self.cache),
            },
        )


def readable_by_others(path):
    """Return whether any user can read a folder."""
    command = [SYSTEM_PYTHON, "-c", f"import os; os.listdir({str(path)!r})"]
    return subprocess.run(command, user=1, group=1, extra_groups=[], capture_output=True, cwd="/").returncode == 0


@pytest.fixture(scope="session")
def image():
    """The simulated image."""
    if os.getuid() != 0:
        pytest.skip("only root can run programs as other users")
    if not Path(SYSTEM_PYTHON).exists() or sys.version_info[:2] != (3, 11):
        pytest.skip("needs Debian 12's Python")
    if not readable_by_others(sysconfig.get_path("purelib")):
        pytest.skip(f"other users cannot read {sysconfig.get_path('purelib')}")
    root = Path(tempfile.mkdtemp(prefix="otbtf-image-", dir="/tmp"))
    root.chmod(0o755)
    yield Image(root)
    shutil.rmtree(root)


@pytest.fixture
def data():
    """A folder that any user may write, as one that is mounted."""
    folder = Path(tempfile.mkdtemp(prefix="otbtf-data-", dir="/tmp"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)
