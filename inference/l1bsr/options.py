# SPDX-License-Identifier: Apache-2.0
"""The options of L1BSR, for the library and for the command line."""

from dataclasses import dataclass
from pathlib import Path

from chain.runtime.options import MISSING, above, band_names, changed, distinct, memory_size, option
from chain.serving.area_options import AreaOptions
from chain.serving.options import WORK, ProgramOptions, WorkersOptions
from chain.serving.precision.options import MAX_ERROR, PrecisionOptions
from chain.serving.scene_command import SceneCommand

SUPER_RESOLUTION, REGISTRATION = TASKS = ("superresolution", "registration")
NUMBERS = "numbers: counts = scale x (digital number + offset)"
TIFF = (".tif", ".tiff")
PROJECT_WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "l1bsr"
"""Folder of the networks that are taken unless others are named."""


@dataclass(frozen=True, kw_only=True)
class Options(ProgramOptions, AreaOptions, PrecisionOptions, WorkersOptions):
    """How a product is made."""

    model_dir: str | None = option(
        None,
        "folder of the model REC (superresolution) or CSR (registration), or of both (default: the project's)",
        metavar="DIR",
        reads=True,
        pixels=False,  # what is in it counts, not its name
    )
    csr: str | None = option(
        None,
        "superresolution by a REC for registered images: folder of the model CSR that registers them first (default: "
        "the project's)",
        metavar="DIR",
        reads=True,
        pixels=False,  # what is in it counts, not its name
    )
    band_names: tuple[str, ...] | None = option(
        None,
        "names of all bands of the input, in order (default: as descriptions, names of files or colours say; of a "
        "raster of four bands that does not say, B02,B03,B04,B08)",
        read=band_names,
        metavar="NAMES",
        also=("--bands",),
        check=distinct,
    )
    count_scale: float | None = option(
        None,
        "counts of one digital number, for other levels than L1B; given, numbers that do not look like counts are "
        "warned of instead of refused (default: 1)",
        read=float,
        metavar="X",
        formerly=("--scale",),
        check=above(0),
        group=NUMBERS,
    )
    count_offset: float = option(
        0.0,
        "added to digital numbers, such as -1000 for L1C and L2A of baseline 04.00 on (default: 0)",
        metavar="DN",
        formerly=("--offset",),
        group=NUMBERS,
    )
    original_cast: bool = option(
        False,
        "cut fractions off and wrap numbers modulo 65536, as the authors' program (default: round and clip)",
        group=NUMBERS,
    )
    flow: str | None = option(
        None,
        "file of the flow: where bands show what B03 does, x and y of B02, B04 and B08, in pixels, float32",
        metavar="TIF",
        writes=TIFF,
        pixels=False,
        group=REGISTRATION,
    )
    metrics: str | None = option(
        None,
        "file of the median flow of each band, and its correlation with B03",
        metavar="JSON",
        writes=(".json",),
        replaces=True,
        pixels=False,
        group=REGISTRATION,
    )
    precision: str = changed(
        PrecisionOptions,
        "precision",
        "float32",
        help="of REC's inner convolutions; auto: the fastest whose error on parts of the input is within --max-error; "
        "CSR always computes in float32",
        choices=("float32", "bfloat16", "auto"),
    )
    engine: str | None = changed(
        PrecisionOptions,
        "engine",
        None,
        help="what runs REC on a whole image; auto tries this one only (default: otbtf; all for auto)",
    )
    max_error: float = changed(
        PrecisionOptions,
        "max_error",
        MAX_ERROR,
        help="root mean square difference from float32 that auto allows, in counts",
    )
    scheduler: str | None = changed(
        WorkersOptions,
        "scheduler",
        None,
        help="make images of --output-dir on workers of Dask, one at a time on each: of the scheduler at "
        "tcp://HOST:PORT or tls://HOST:PORT, or of this machine, by `processes`; --threads is then that of each worker "
        "(default: none)",
    )
    mode: str = option(
        "auto",
        "whole: the whole image at once; strips: piece by piece, equal to two counts, in bounded memory; auto: "
        "whole where memory holds it",
        choices=("auto", "whole", "strips"),
        pixels=False,
        group=WORK,
    )
    memory: str | None = option(
        None,
        "memory to use, such as 3GB (default: 3/4 of what there is)",
        metavar="SIZE",
        check=memory_size,
        pixels=False,
        group=WORK,
    )

    def check(self) -> None:
        """Refuse options that do not go together."""
        super().check()
        if self.nodata is not None:
            from chain.serving.encoding import check_nodata

            check_nodata(self.nodata, "uint16")
        if self.mode == "strips" and self.engine == "openvino":
            raise ValueError("--engine: expected otbtf or tensorflow with --mode strips, got openvino")

    def check_task(self, task: str) -> None:
        """Raise ValueError when an option is not for a task."""
        for flag, value, needed in (
            ("--flow", self.flow, REGISTRATION),
            ("--metrics", self.metrics, REGISTRATION),
            ("--csr", self.csr, SUPER_RESOLUTION),
            ("--precision", self.precision != "float32", SUPER_RESOLUTION),
            ("--engine", self.engine, SUPER_RESOLUTION),
        ):
            if value and task != needed:
                raise ValueError(f"{flag} requires --task {needed}")


@dataclass(frozen=True, kw_only=True)
class Command(Options, SceneCommand):
    """The command line."""

    input: tuple[str, ...] | None = changed(
        SceneCommand,
        "input",
        MISSING,
        help="B02, B03, B04 and B08 of L1B: a raster (GeoTIFF, plain TIFF, JPEG 2000), or one for each band; with "
        "--output-dir, images and folders of images",
    )
    output_dir: str | None = changed(
        SceneCommand, "output_dir", None, help="folder of the products, one for each image; those that are done stay"
    )
    task: str = option(
        SUPER_RESOLUTION,
        "what is made: all bands at 5 m on the grid of B03, or the bands as they are on it",
        choices=TASKS,
        pixels=False,
    )

    def check(self) -> None:
        """Refuse options that do not go together."""
        super().check()
        self.check_task(self.task)
        self.require("scheduler", "output_dir")
        self.exclude("flow", "output_dir")
        self.exclude("metrics", "output_dir")
        if self.flow and Path(self.flow).exists() and not (self.overwrite or self.info or self.completes()):
            raise ValueError(f"--flow: {self.flow} exists; --overwrite replaces it")
