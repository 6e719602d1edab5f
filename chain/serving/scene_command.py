# SPDX-License-Identifier: Apache-2.0
"""The command line of programs that super-resolve scenes: what is read, and into which files."""

from dataclasses import dataclass
from pathlib import Path

from chain.runtime.options import MISSING, option
from chain.serving.options import FileOptions
from chain.serving.outputs import is_interrupted


@dataclass(frozen=True, kw_only=True)
class SceneCommand(FileOptions):
    """What is super-resolved, and into which files."""

    input: tuple[str, ...] | None = option(
        MISSING,
        "a scene of Sentinel-2: SAFE folder or zip, STAC item (JSON file or URL), a raster with all bands, rasters "
        "with some bands each, or a folder of these; with --output-dir, scenes and folders of scenes",
        many=True,
        metavar="IMG",
        pixels=False,
    )
    output: str | None = option(
        None,
        "the product, a Cloud-Optimized GeoTIFF (.tif)",
        metavar="TIF",
        writes=(".tif", ".tiff"),
        pixels=False,
    )
    output_dir: str | None = option(
        None, "folder of the products, one for each scene; those that are done stay", metavar="DIR", pixels=False
    )
    info: bool = option(
        False, "tell what the input is taken for and what would be written, and compute nothing", pixels=False
    )
    json: bool = option(False, "with --info: as JSON", pixels=False)

    def check(self) -> None:
        """Refuse options that do not go together."""
        super().check()
        self.require("json", "info")
        self.exclude("output", "output_dir")
        self.exclude("quicklook", "output_dir")
        self.exclude("report", "output_dir")
        if self.needs_output and not self.info and not (self.output or self.output_dir):
            raise ValueError("--output or --output-dir is required")
        if not self.overwrite and not self.info and not self.completes():
            named = (("--output", self.output), ("--quicklook", self.quicklook), ("--report", self.report))
            for flag, name in named:
                if name and Path(name).exists():
                    raise ValueError(f"{flag}: {name} exists; --overwrite replaces it")

    def completes(self) -> bool:
        """Return whether the product is there, but not all that goes with it."""
        if not self.output or not Path(self.output).is_file():
            return False
        return is_interrupted(self, Path(self.output))

    @property
    def needs_output(self) -> bool:
        """Whether a product has to be named."""
        return True
