# SPDX-License-Identifier: Apache-2.0
"""What `mkdocs build` does beside: pages of other folders, links that fit both the site and the repository, options.

In the repository, pages link to each other by where their files lie (`../weights/dsen2/README.md`). The site has the
pages of other folders under the same names, so links lose their way to `docs/` only; links to code become its name.
"""

import posixpath
import re
import sys
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

PROJECT = Path(__file__).resolve().parents[1]

OUTER = (
    "benchmarks/RESULTS.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docker/README.md",
    "native/README.md",
    "README.md",
    "SECURITY.md",
    "weights/deepsum/README.md",
    "weights/dsen2/README.md",
    "weights/l1bsr/README.md",
)
"""Pages outside of docs/."""
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def site_name(name):
    """Return where a file of the repository lies in the site, or None: README.md is not the site's first page."""
    if name == "README.md":
        return "project.md"
    if name in OUTER:
        return name.replace("README.md", "card.md")
    inner = name.removeprefix("docs/")
    return inner if inner != name else None


REPOSITORY_NAMES = {site_name(name): name for name in OUTER}


def on_config(config):
    """Add pages to the navigation that mkdocs.yml does not name: those of new systems, and others."""
    named = set(re.findall(r"[\w/]+\.md", str(config.nav)))
    groups = {name: pages for group in config.nav for name, pages in group.items()}
    for path in sorted((PROJECT / "docs").glob("*.md")):
        if path.name not in named:
            is_system = (PROJECT / "models" / f"{path.stem}.py").exists()
            groups["Systems" if is_system else "Use"].append(path.name)
    return config


def on_files(files, config):
    """Add the pages of other folders, and the page of options."""
    sys.path[:0] = [str(PROJECT), str(PROJECT / "docs")]
    import options

    for name in OUTER:
        content = (PROJECT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, site_name(name), content=content))
    files.append(File.generated(config, "options.md", content=options.page()))
    return files


def on_page_markdown(markdown, page, config, files):
    """Make links fit the site."""
    uri = page.file.src_uri
    here = posixpath.dirname(REPOSITORY_NAMES.get(uri, f"docs/{uri}"))

    def fitting(found):
        image, text, target = found.groups()
        address, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target) or not address:
            return found[0]
        name = posixpath.normpath(posixpath.join(here, address))
        if not (PROJECT / name).exists() and name != "docs/options.md":
            raise PluginError(f"{uri}: expected a file, got a link to {name}")
        place = site_name(name)
        if place is None or name.endswith((".py", "/docs")):
            return text if "`" in text else f"`{text}`"
        place = posixpath.relpath(place, posixpath.dirname(uri) or ".")
        return f"{image}[{text}]({place}{'#' + anchor if anchor else ''})"

    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else LINK.sub(fitting, part) for part in parts)
