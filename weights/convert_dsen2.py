# SPDX-License-Identifier: Apache-2.0
"""Turn published weights of DSen2 and VDSen2 into models of this project (`models/dsen2.py`).

Read are the files of the original (Lanaras et al. 2018), of UP42 and of RSP (remote-sensing-processor), see
`weights/dsen2_file.py`, without torch and without running anything that is in them. A file is known by its content;
others of the same network are taken as well, and said to be unknown. Role and size follow from the shapes.

    python -m weights.convert_dsen2 --download original --output models/dsen2
    python -m weights.convert_dsen2 --input L2A20M.pt L2A60M.pt --output models/dsen2
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chain.runtime.command_line import run_program
from chain.runtime.options import MISSING, band_names, changed, option
from chain.runtime.progress import Progress
from weights.convert import (
    Conversion,
    ConversionCommand,
    ConversionOptions,
    read_all,
    read_identified,
    source_in_words,
    write_models,
)
from weights.dsen2_published import BAND_ORDER, PUBLISHED
from weights.published import GITHUB_RAW, ZENODO, Published

if TYPE_CHECKING:
    from models.dsen2 import DSen2
    from weights.formats.convolutions import Convolution, WeightsFile

LEVELS = ("L1C", "L2A")
ROLES = {(10, 6): "2x", (12, 2): "6x"}
"""Role of the network by the numbers of bands that go in and come out."""


def known_levels(names: Sequence[str]) -> None:
    """Check names of processing levels.

    Raises:
        ValueError: one is none.
    """
    if not set(names) <= set(LEVELS):
        raise ValueError(f"expected names among {', '.join(LEVELS)}, got {','.join(names)}")


def _band_orders(names: Sequence[str]) -> None:
    """Check an order of the 10 m bands.

    Raises:
        ValueError: it is none.
    """
    if sorted(names) != sorted(BAND_ORDER):
        raise ValueError(f"expected {','.join(BAND_ORDER)} in any order, got {','.join(names)}")


@dataclass(frozen=True, kw_only=True)
class Options(ConversionOptions):
    """How files of DSen2's weights are converted."""

    levels: tuple[str, ...] | None = option(
        None,
        "levels that files which are not known are for: L1C, L2A or L1C,L2A (default: any)",
        read=band_names,
        metavar="LEVELS",
        check=known_levels,
    )
    band_order: tuple[str, ...] | None = option(
        None,
        "10 m bands in the order of the file's input, of files which are not known, such as B02,B03,B04,B08 "
        f"(default: {','.join(BAND_ORDER)}; none for networks that take all bands as one image)",
        read=band_names,
        metavar="BANDS",
        check=_band_orders,
    )


@dataclass(frozen=True, kw_only=True)
class Command(Options, ConversionCommand):
    """The command line."""

    input: tuple[str, ...] = changed(
        ConversionCommand, "input", (), help="files of weights: Keras HDF5, torch or TorchScript"
    )
    output: str = changed(
        ConversionCommand,
        "output",
        MISSING,
        help="folder of the models: DIR/2x and DIR/6x, or DIR/L1C/2x, ... when the files are for several levels",
    )
    download: str | None = option(
        None,
        f"fetch the authors' files: of the original DSen2 ({GITHUB_RAW}, L1C), or of RSP 0.2.2 ({ZENODO}, L1C and L2A)",
        choices=("original", "rsp"),
    )


def find_size(convolutions: "Sequence[Convolution]") -> tuple[str, int, int]:
    """Find role, number of features, and number of residual blocks.

    Raises:
        ValueError: a convolution has another shape than DSen2 gives it, or one is missing.
    """
    if len(convolutions) < 2 or len(convolutions) % 2:
        names = ", ".join(one.name for one in convolutions[:3])
        raise ValueError(
            f"expected a first, a last, and two convolutions per block, got {len(convolutions)} in all ({names}...)"
        )
    first, last = convolutions[0], convolutions[-1]
    bands, depth = first.kernel.shape[2:]
    role = ROLES.get((bands, last.kernel.shape[3]))
    if role is None:
        raise ValueError(
            f"expected 10 bands in and 6 out, or 12 in and 2 out, but {first.name} takes {bands}, "
            f"{last.name} gives {last.kernel.shape[3]}"
        )
    for one in convolutions:
        ends = (bands if one is first else depth, last.kernel.shape[3] if one is last else depth)
        if one.kernel.shape != (3, 3, *ends):
            raise ValueError(
                f"expected a kernel (height, width, in, out) of {(3, 3, *ends)} in {one.name}, got {one.kernel.shape}"
            )
    return role, depth, len(convolutions) // 2 - 1


def _as_known(what: str, known: Sequence[str], stated: Sequence[str] | None) -> tuple[str, ...]:
    """Return what is known of a published file.

    Raises:
        ValueError: the user states something else.
    """
    if stated and tuple(stated) != tuple(known):
        raise ValueError(
            f"expected the {what} {','.join(known)}, which is known of this published file, got {','.join(stated)}"
        )
    return tuple(known)


def _band_order(published: Published | None, inputs: int | None, stated: Sequence[str] | None) -> tuple[str, ...]:
    """Find the order of a file's 10 m bands.

    Args:
        published: the published file that it is.
        inputs: number of images that its network takes, where that is known.
        stated: what the user says.

    Raises:
        ValueError: it is not known, or known to be another than the user says.
    """
    if stated:
        _band_orders(stated)
    if published:
        return _as_known("band order", published.band_order, stated)
    if inputs == 1 and not stated:
        raise ValueError(
            "files of networks that take all bands as one image, such as those of RSP 0.3, do not tell the order of "
            f"the 10 m bands: state it by --band-order, {','.join(BAND_ORDER)} or B02,B03,B04,B08"
        )
    return tuple(stated or BAND_ORDER)


def _read_file(path: Path, published: Published | None) -> "WeightsFile":
    """Read a file, given the published file that it is.

    Raises:
        ValueError: the file does not hold exactly the weights of a DSen2.
        OSError: the file cannot be read.
    """
    from weights.dsen2_file import read_dsen2_file

    file = read_dsen2_file(path, published is not None)
    role, _, _ = find_size(file.convolutions)
    if published and published.role != role:
        raise ValueError(f"expected the network {published.role} of {published.who}, {published.name}, got {role}")
    return file


def read_model(
    path: str | Path, levels: Sequence[str] | None = None, band_order: Sequence[str] | None = None
) -> "DSen2":
    """Make a model of a file of published weights.

    Args:
        path: the file, of any format that `weights/dsen2_file.py` knows.
        levels: processing levels of the products that the weights are for (`L1C`, `L2A`), of a file that is not known;
            by default none is stated: any.
        band_order: order of the 10 m bands in the file's input, by default `B04`, `B03`, `B02`, `B08`, which is that
            of the original and of its descendants; must be given for a network whose bands come as one image.

    Returns:
        The model, with `levels` and `origin`; its bands are in the order of `models.dsen2.SOURCES`.

    Raises:
        ValueError: the file does not hold exactly the weights of a DSen2, or an argument is not right.
        OSError: the file cannot be read.
    """
    from models.dsen2 import DSen2

    levels = tuple(sorted(levels or ()))
    known_levels(levels)
    origin, published, file = read_identified(Path(path), PUBLISHED, _read_file)
    try:
        order = _band_order(published, file.inputs, band_order)
        levels = _as_known("levels", published.levels, levels) if published else levels
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    role, depth, num_blocks = find_size(file.convolutions)
    model = DSen2.from_bands(role, depth=depth, num_blocks=num_blocks)
    blocks = [f"block{index + 1}_{part}" for index in range(num_blocks) for part in (1, 2)]
    for name, one in zip(["first", *blocks, "last"], file.convolutions):
        kernel = one.kernel
        if name == "first":
            channels = [order.index(band) for band in BAND_ORDER]
            kernel = kernel[:, :, [*channels, *range(len(channels), kernel.shape[2])]]
        model.model.get_layer(name).set_weights([kernel, one.bias])
    model.levels = levels
    model.origin = {
        **origin,
        "format": file.format,
        "residual_only": file.residual_only,
        "order_from": file.order,
        "band_order": list(order),
        "band_order_from": "published file" if published else "user" if band_order else "format",
    }
    return model


def plan(models: Sequence["DSen2"], output: Path) -> list[tuple[Path, "DSen2"]]:
    """Name the folders of models: their roles', in one for each level when their levels differ.

    Raises:
        ValueError: two models have the same folder, or one of several levels has none.
    """
    several = len({model.levels for model in models}) > 1
    places: dict[Path, DSen2] = {}
    for model in models:
        role, name = model.arguments["role"], model.origin["file"]
        if several and not model.levels:
            raise ValueError(f"--levels: expected those of {name}, beside files whose levels are known, got none")
        for folder in [output / level for level in model.levels] if several else [output]:
            if folder / role in places:
                raise ValueError(
                    f"--input: expected one file for each role and level, but {places[folder / role].origin['file']} "
                    f"and {name} are both {role}"
                )
            places[folder / role] = model
    return list(places.items())


def convert(
    files: str | Path | Sequence[str | Path],
    output: str | Path,
    options: Options = Options(),
    *,
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[Conversion]:
    """Turn files of weights into models. All files are read before the first model is written.

    Args:
        files: one or several, of any format that `weights/dsen2_file.py` knows.
        output: folder of the models: `2x` and `6x` in it, or `L1C/2x` and so on where files are for several levels.
        options: how.
        progress: called with the fraction that is done, 0 to 1, and a short text.
        cancelled: says whether to stop.

    Returns:
        The models that were written.

    Raises:
        ValueError: a file does not hold exactly the weights of a DSen2, or two are for the same place.
        OSError: a file cannot be read, or a model exists and is not to be replaced.
    """
    told = Progress(progress, cancelled)
    models = read_all(files, lambda path: read_model(path, options.levels, options.band_order), told)
    return write_models(plan(models, Path(output)), files, options.overwrite, _describe, told)


def _describe(model: "DSen2") -> str:
    """Say of a model what it is, what for, and where it comes from."""
    size = f"{model.arguments['num_blocks']} blocks of {model.arguments['depth']} features"
    levels = ", ".join(model.levels) or "any level"
    order = ",".join(model.origin["band_order"])
    return f"{size}, for {levels}, from {source_in_words(model.origin)}; 10 m bands in the file: {order}"


def command(options: Command, progress: Progress) -> None:
    """Convert, and print what was made."""
    files: Sequence[str | Path] = options.input
    if options.download:
        from weights.dsen2_published import download

        files = download(options.download, Path(options.cache), options.base_url)
    for made in convert(files, options.output, options, progress=progress):
        print(made)


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        prog="python -m weights.convert_dsen2",
        description="Turn the published weights of DSen2, VDSen2, UP42 and RSP into models of this project.",
        allow_abbrev=False,
    )
    return run_program(parser, Command, command, argv, doc=__doc__)


if __name__ == "__main__":
    sys.exit(main())
