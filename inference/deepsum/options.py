# SPDX-License-Identifier: Apache-2.0
"""The options of DeepSUM, for the library and for the command line."""

from dataclasses import dataclass
from pathlib import Path

from chain.runtime.options import at_least, changed, flag_of, integers, kinds, option
from chain.sentinel2.options import OffsetOptions
from chain.serving.options import AreaOptions, FileOptions, WorkersOptions, WorkOptions
from chain.serving.scene_command import SceneCommand

IMAGES = (".png", ".tif", ".tiff")
"""Endings of the image of a scene."""
FILLS = "frames", "network"
USE = "what of the images is used"
WINDOWS = "windows of nine frames"
DATES = "images of several dates"
SCENES = "scenes of the challenge"


@dataclass(frozen=True, kw_only=True)
class Options(OffsetOptions, AreaOptions, FileOptions, WorkersOptions, WorkOptions):
    """How one image is made of several."""

    model_dir: str | None = option(
        None,
        "folder of the exported model, or of models in folders NIR and RED, chosen by a scene's band (default: the "
        "project's)",
        metavar="DIR",
        reads=True,
        pixels=False,  # the weights count, not where they lie
    )
    band: str | None = option(
        None,
        "band: of scenes, NIR or RED (default: both); of images, its name or number (default: the only one)",
        metavar="NAME",
    )
    on_error: str = option(
        "fail",
        "what to do with a scene, or an image, that cannot be used",
        choices=("fail", "skip"),
        pixels=False,
    )
    overwrite: bool = changed(
        FileOptions, "overwrite", False, help="replace --output, or images of --output-dir, that exist"
    )
    unmasked: bool = option(False, "treat all pixels with data as clear: scenes need no QM, rasters no mask", group=USE)
    valid_zero: bool = option(False, "treat 0 in rasters and scenes as data (default: as missing)", group=USE)
    statistics: str | None = option(
        None,
        "data: rescale pixel values to the mean and deviation of the model's data, and back; model: they match "
        "already (default: data for images of several dates, model for scenes)",
        choices=("data", "model"),
        group=USE,
    )
    repeat: bool = option(
        False, "accept fewer than nine images: repeat them, the clearest first, until there are nine", group=USE
    )
    windows: int = option(
        2,
        "largest number of windows whose results are averaged; the authors' n_slide + 1",
        metavar="N",
        check=at_least(1),
        group=WINDOWS,
    )
    original_windows: bool = option(
        False,
        "shift masks as the authors' program does, by the shifts of other frames",
        group=WINDOWS,
    )
    fill: str | None = option(
        None,
        "frames: fill concealed pixels, and a margin, from the other frames, before the network; network: leave them "
        "to the network, as the authors do (default: frames for images of several dates, network for scenes and with "
        "--original-windows)",
        choices=FILLS,
        group=USE,
    )
    clear_masks: tuple[str, ...] | None = option(
        None,
        "one raster per image, in the same order: non-zero where the image is clear",
        many=True,
        metavar="IMG",
        reads=True,
        formerly=("--masks",),
        group=DATES,
    )
    qa: str | None = option(None, "name or number of the rasters' band of classes", metavar="BAND", group=DATES)
    qa_concealed: tuple[int, ...] | None = option(
        None,
        "classes of --qa, or of Sentinel-2's scene classification, that are not clear (default: 0,3,8,9,10,11)",
        read=integers,
        metavar="N,...",
        group=DATES,
    )
    bands_are_dates: bool = option(
        False, "treat each band of a raster as a date (default: if the bands are named after days)", group=DATES
    )
    floating: bool = option(
        False,
        "write float32, nodata NaN (default: uint16, nodata 0, if the input holds unsigned integers)",
        flag="--float",
        group=DATES,
    )
    quicklook: str | None = changed(FileOptions, "quicklook", None, group=DATES)
    nodata: float | None = changed(FileOptions, "nodata", None, group=DATES)
    co: tuple[str, ...] = changed(FileOptions, "co", (), group=DATES)
    restart: bool = changed(WorkOptions, "restart", False, group=DATES)
    split: str = option(
        "test",
        "which scenes; validation: those of train that the authors held out",
        choices=("test", "train", "validation"),
        pixels=False,
        group=SCENES,
    )
    norm: str | None = option(
        None,
        "ESA's baselines (default: norm.csv above the scenes, if any)",
        metavar="CSV",
        reads=True,
        pixels=False,
        group=SCENES,
    )
    block_size: int | None = option(
        None,
        "side of the blocks to compute in, in input pixels, plus a margin of 8; how much blocks differ where they meet "
        "is reported (default: all at once, or as large as memory allows)",
        read=int,
        metavar="N",
        check=at_least(1),
        group="work",
    )
    scheduler: str | None = changed(
        WorkersOptions,
        "scheduler",
        None,
        help="make scenes of --output-dir on workers of Dask, one at a time on each: of the scheduler at "
        "tcp://HOST:PORT or tls://HOST:PORT, or of this machine, by `processes`; --threads is then that of each worker "
        "(default: none)",
    )
    precision: str = option(
        "float32",
        "of the network's inner convolutions",
        choices=("float32", "bfloat16"),
        pixels=False,  # the identity of the network has it
        group="work",
    )
    engine: str = option(
        "tensorflow",
        "what runs the network: TensorFlow, or OTBTF's TensorflowModelServe",
        choices=("tensorflow", "otbtf"),
        group="work",
    )

    def check(self) -> None:
        """Refuse options that do not go together."""
        super().check()
        self.exclude("clear_masks", "qa", "unmasked")
        self.exclude("bands_are_dates", "band")
        self.exclude("bands_are_dates", "qa")

    def filled_before(self, is_scene: bool) -> bool:
        """Return whether concealed pixels, of a scene or of dates, are filled before the network sees them."""
        return (self.fill or FILLS[is_scene or self.original_windows]) == FILLS[0]

    def given_for_dates(self) -> list[str]:
        """Return the flags of the options that are given and apply to images of several dates only."""
        known = kinds(Options)
        of_dates = [name for name, kind in known.items() if kind.group == DATES]
        names = (*of_dates, *kinds(AreaOptions), *kinds(OffsetOptions))
        return [flag_of(name, known[name]) for name in names if self.given(name)]


@dataclass(frozen=True, kw_only=True)
class Command(Options, SceneCommand):
    """The command line: adds the input and the files to write."""

    input: tuple[str, ...] | None = changed(
        SceneCommand,
        "input",
        None,
        help="a scene's folder of the PROBA-V challenge (LR, QM), or folders of scenes: of imgset…, of NIR and RED, or "
        "of test and train; or images of nine or more dates: rasters, SAFE folders or zips, STAC items, collections of "
        "items, lists (.txt) of these; or a raster whose bands are dates",
    )
    output: str | None = changed(
        SceneCommand,
        "output",
        None,
        help="image of one scene, 16 bits (.png or .tif), or of several dates (.tif)",
        metavar="IMG",
        writes=IMAGES,
    )
    output_dir: str | None = changed(
        SceneCommand,
        "output_dir",
        None,
        help="folder of the images of all scenes, imgsetNNNN.png; those that are done stay",
    )
    submission: str | None = option(
        None,
        "zip of the 290 images of --output-dir, imgset1160.png to imgset1449.png, for the challenge",
        metavar="ZIP",
        writes=(".zip",),
        pixels=False,
        group=SCENES,
    )
    metrics: str | None = option(
        None,
        "file of cPSNR (dB), cSSIM and challenge score of scenes with HR, and of simple methods; also printed",
        metavar="JSON",
        writes=(".json",),
        replaces=True,
        pixels=False,
        group=SCENES,
    )

    def check(self) -> None:
        """Refuse options that do not go together."""
        if not self.input and not self.submission:
            raise ValueError("--input or --submission is required")
        super().check()
        self.require("submission", "output_dir")
        self.require("norm", "metrics")
        self.require("metrics", "input")
        self.require("scheduler", "output_dir")
        if self.submission and Path(self.submission).exists() and not self.overwrite:
            raise ValueError(f"--submission: {self.submission} exists; --overwrite replaces it")

    @property
    def needs_output(self) -> bool:
        """Whether an image has to be named."""
        return not (self.metrics or self.submission)
