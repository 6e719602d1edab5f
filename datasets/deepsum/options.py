# SPDX-License-Identifier: Apache-2.0
"""The options by which records are made of scenes, for the library and for the command line."""

from dataclasses import dataclass

from chain.runtime.options import MISSING, BaseOptions, at_least, option
from datasets.deepsum.layout import SPLITS

BANDS = ("NIR", "RED")


@dataclass(frozen=True, kw_only=True)
class Options(BaseOptions):
    """How records are made of scenes."""

    band: str = option("NIR", "band", choices=BANDS)
    chunks: int = option(5, "number of chunks of an epoch", metavar="N", check=at_least(1))
    patches: int = option(20, "patches of a scene and chunk, at most", metavar="N", check=at_least(1))
    seed: int = option(4, "seed of the patches' places", metavar="N", check=at_least(0))
    splits: str = option(
        "authors",
        "share of the scenes for training, the others being for validation: "
        + ", ".join(f"{name}: {share:.0%}".replace("%", " %") for name, share in SPLITS.items()),
        choices=tuple(SPLITS),
    )
    on_error: str = option(
        "fail",
        "what to do about a scene that cannot be read, or lacks files",
        choices=("fail", "skip"),
        pixels=False,
    )
    overwrite: bool = option(False, "replace records that are in the folder", pixels=False)


@dataclass(frozen=True, kw_only=True)
class Command(Options):
    """The command line."""

    input: str = option(
        MISSING, "folder of the scenes: train/<band>/imgsetNNNN, and norm.csv", metavar="DIR", reads=True, pixels=False
    )
    output: str = option(MISSING, "folder to write into", metavar="DIR", pixels=False)
