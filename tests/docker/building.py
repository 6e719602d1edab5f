# SPDX-License-Identifier: Apache-2.0
"""Builds a Dockerfile without Docker: its steps, one by one, in a chroot whose base image is this machine, overlaid."""

import json
import re
import shutil
import subprocess
from pathlib import Path

PYTHON = "/usr/bin/python3"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def steps(dockerfile):
    """Yield the instructions of a Dockerfile: their names, and the rest of the line."""
    text = re.sub(r"^#.*\n", "", Path(dockerfile).read_text(), flags=re.MULTILINE)
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if line.strip():
            yield line.split(maxsplit=1)


class Build:
    """A build under way.

    Attributes:
        root: the chroot.
        workdir, user, environment, entrypoint: what instructions have set.
    """

    def __init__(self, folder, context, variables=()):
        """Mount the overlay. `context` has the names of files, relative to the folder in which `docker build` runs."""
        self.folder, self.context = Path(folder), context
        self.root = self.folder / "root"
        self.workdir, self.user, self.entrypoint, self.arguments = "/", "root", None, {}
        self.environment = {"PATH": PATH, **dict(variables)}
        for name in ("root", "upper", "work"):
            (self.folder / name).mkdir()
        options = f"lowerdir=/,upperdir={self.folder / 'upper'},workdir={self.folder / 'work'}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, self.root], check=True, capture_output=True)
        for name in ("proc", "dev"):
            subprocess.run(["mount", "--rbind", f"/{name}", self.root / name], check=True, capture_output=True)

    def close(self):
        """Unmount the overlay, and remove what was written."""
        for name in ("proc", "dev", ""):
            subprocess.run(["umount", "--recursive", "--lazy", self.root / name], check=True, capture_output=True)
        shutil.rmtree(self.folder / "upper")

    def run(self, *words):
        """Run a command as the present user, in the present folder."""
        identity = [] if self.user == "root" else [f"--userspec={self.user}:{self.user}"]
        script = f'cd "{self.workdir}" && exec "$@"'
        return subprocess.run(
            ["chroot", *identity, str(self.root), "/bin/sh", "-c", script, "sh", *map(str, words)],
            capture_output=True,
            text=True,
            env=self.environment,
        )

    def step(self, name, rest):
        """Do an instruction, and return what `run` returns, if it is a RUN."""
        if name == "ARG":
            key, _, value = rest.partition("=")
            self.arguments.setdefault(key, value.strip('"'))
        elif name == "ENV":
            for key, value in re.findall(r"(\w+)=(\S+)", rest):
                self.environment[key] = re.sub(r"\$\{(\w+)\}", lambda found: self.environment.get(found[1], ""), value)
        elif name == "USER":
            self.user = rest
        elif name == "WORKDIR":
            self.workdir = rest
            self.inside(rest).mkdir(parents=True, exist_ok=True)
        elif name == "COPY":
            self.copy(*rest.split())
        elif name == "ENTRYPOINT":
            self.entrypoint = json.loads(rest)
        elif name == "RUN":
            self.environment.update(self.arguments)
            return self.run("/bin/sh", "-c", rest)
        elif name not in ("FROM", "LABEL"):
            raise ValueError(f"expected a known instruction, got {name}")
        return None

    def copy(self, *words):
        """Copy files of the context, as root or as `--chown` says."""
        owner = next((word.removeprefix("--chown=") for word in words if word.startswith("--chown=")), None)
        source, target = (word for word in words if not word.startswith("--"))
        for name in self.context:
            if source == "." or name.startswith(f"{source}/"):
                inner = name if source == "." else name.removeprefix(f"{source}/")
                place = self.inside(f"{self.workdir}/{target}/{inner}")
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(name, place)
        if owner:
            self.run_as_root("chown", "-R", owner, self.workdir)

    def run_as_root(self, *words):
        """Run a command as root, whatever the present user."""
        done = subprocess.run(["chroot", self.root, *words], capture_output=True, text=True, env={"PATH": PATH})
        assert done.returncode == 0, done.stderr
        return done

    def inside(self, path):
        """Return where a path of the chroot lies."""
        return self.root / path.lstrip("/")
