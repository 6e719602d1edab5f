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
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chain.runtime.command_line import band_names, run
from weights.convert import check_arguments, read_identified, source_in_words, write_models
from weights.convert import make_parser as make_common_parser
from weights.dsen2_published import BAND_ORDER, PUBLISHED
from weights.published import GITHUB_RAW, ZENODO, Published

if TYPE_CHECKING:
    from models.dsen2 import DSen2
    from weights.formats.convolutions import Convolution, WeightsFile

LEVELS = ("L1C", "L2A")
ROLES = {(10, 6): "2x", (12, 2): "6x"}
"""Role of the network by the numbers of bands that go in and come out."""


def find_size(convolutions: "Sequence[Convolution]") -> tuple[str, int, int]:
    """Find role, number of features, and number of residual blocks.

    Raises:
        ValueError: a convolution has another shape than DSen2 gives it, or one is missing.
    """
    if len(convolutions) < 2 or len(convolutions) % 2:
        names = ", ".join(one.name for one in convolutions[:3])
        raise ValueError(
            f"a first, a last, and two convolutions per block are wanted, not {len(convolutions)} in all ({names}...)"
        )
    first, last = convolutions[0], convolutions[-1]
    bands, depth = first.kernel.shape[2:]
    role = ROLES.get((bands, last.kernel.shape[3]))
    if role is None:
        raise ValueError(
            f"10 bands in and 6 out, or 12 in and 2 out, are wanted; {first.name} takes {bands}, "
            f"{last.name} gives {last.kernel.shape[3]}"
        )
    for one in convolutions:
        ends = (bands if one is first else depth, last.kernel.shape[3] if one is last else depth)
        if one.kernel.shape != (3, 3, *ends):
            raise ValueError(
                f"a kernel (height, width, in, out) of {(3, 3, *ends)} is wanted in {one.name}, not {one.kernel.shape}"
            )
    return role, depth, len(convolutions) // 2 - 1


def _as_known(argument: str, known: Sequence[str], stated: Sequence[str] | None) -> tuple[str, ...]:
    """Return what is known of a published file.

    Raises:
        ValueError: the user states something else.
    """
    if stated and tuple(stated) != tuple(known):
        raise ValueError(
            f"{argument}: what is known of this published file, {','.join(known)}, is wanted. "
            f"Received: {','.join(stated)}"
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
    if stated and sorted(stated) != sorted(BAND_ORDER):
        raise ValueError(
            f"band_order: {','.join(BAND_ORDER)} in the file's order are wanted. Received: {','.join(stated)}"
        )
    if published:
        return _as_known("band_order", published.band_order, stated)
    if inputs == 1 and not stated:
        raise ValueError(
            f"band_order: the order of the 10 m bands in this file must be stated, {','.join(BAND_ORDER)} or "
            "B02,B03,B04,B08: files of networks that take all bands as one image, such as those of RSP 0.3, do not "
            "tell it. Received: none"
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
        raise ValueError(f"the network {published.role} of {published.who}, {published.name} is wanted, not {role}")
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
    if not set(levels) <= set(LEVELS):
        raise ValueError(f"levels: of {', '.join(LEVELS)} are wanted. Received: {','.join(levels)}")
    origin, published, file = read_identified(Path(path), PUBLISHED, _read_file)
    order = _band_order(published, file.inputs, band_order)
    role, depth, num_blocks = find_size(file.convolutions)
    model = DSen2.from_bands(role, depth=depth, num_blocks=num_blocks)
    blocks = [f"block{index + 1}_{part}" for index in range(num_blocks) for part in (1, 2)]
    for name, one in zip(["first", *blocks, "last"], file.convolutions):
        kernel = one.kernel
        if name == "first":
            channels = [order.index(band) for band in BAND_ORDER]
            kernel = kernel[:, :, [*channels, *range(len(channels), kernel.shape[2])]]
        model.model.get_layer(name).set_weights([kernel, one.bias])
    model.levels = _as_known("levels", published.levels, levels) if published else levels
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
            raise ValueError(f"levels: those of {name} are wanted beside files whose levels are known: --levels")
        for folder in [output / level for level in model.levels] if several else [output]:
            if folder / role in places:
                raise ValueError(
                    f"input: one file for each role and level is wanted; {places[folder / role].origin['file']} and "
                    f"{name} are both {role}"
                )
            places[folder / role] = model
    return list(places.items())


def convert(arguments: argparse.Namespace) -> None:
    """Read all files, then write all models."""
    paths = arguments.input
    if arguments.download:
        from weights.dsen2_published import download

        paths = download(arguments.download, arguments.cache, arguments.base_url)
    models = [read_model(path, arguments.levels, arguments.band_order) for path in paths]
    places = plan(models, arguments.output)
    write_models(places, arguments.overwrite, _describe)


def _describe(model: "DSen2") -> str:
    """Say of a model what it is, what for, and where it comes from."""
    size = f"{model.arguments['num_blocks']} blocks of {model.arguments['depth']} features"
    levels = ", ".join(model.levels) or "any level"
    order = ",".join(model.origin["band_order"])
    return f"{size}, for {levels}, from {source_in_words(model.origin)}; 10 m bands in the file: {order}"


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = make_common_parser(
        "convert_dsen2",
        "Turn the published weights of DSen2, VDSen2, UP42 and RSP into models of this project.",
        "Keras HDF5, torch or TorchScript",
        "DIR/2x and DIR/6x, or DIR/L1C/2x, ... when the files are for several levels",
        {
            "choices": ("original", "rsp"),
            "help": "fetch the authors' files: of the original DSen2 (GitHub, L1C), or of RSP 0.2.2 (Zenodo, L1C and "
            "L2A)",
        },
        f"{GITHUB_RAW} or {ZENODO}",
    )
    add = parser.add_argument
    add(
        "--levels",
        type=band_names,
        metavar="LEVELS",
        help="levels that files which are not known are for: L1C, L2A or L1C,L2A (default: any)",
    )
    add(
        "--band-order",
        type=band_names,
        metavar="BANDS",
        help="10 m bands in the order of the file's input, of files which are not known, such as B02,B03,B04,B08 "
        f"(default: {','.join(BAND_ORDER)}; none for networks that take all bands as one image)",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if arguments.band_order and sorted(arguments.band_order) != sorted(BAND_ORDER):
        wanted = ",".join(BAND_ORDER)
        parser.error(
            f"argument --band-order: {wanted} in any order is wanted. Received: {','.join(arguments.band_order)}"
        )
    if arguments.levels and not set(arguments.levels) <= set(LEVELS):
        parser.error(f"argument --levels: of {', '.join(LEVELS)} are wanted. Received: {','.join(arguments.levels)}")
    check_arguments(parser, arguments)
    return run(parser, arguments, convert)


if __name__ == "__main__":
    sys.exit(main())
