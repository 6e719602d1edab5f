# SPDX-License-Identifier: Apache-2.0
"""What shares of a product were asked for, held against what is asked of the product that they become.

Regions are assembled without their input. What a command line with `--assemble` says of bands, place and numbers would
have no part in it: it is refused where the regions were made otherwise, and need not be said again.
"""

from typing import Any

from chain.runtime.options import BaseOptions, flag_of, kinds
from chain.serving.journal import Journal, plain

ASKED_KEY = "asked"
"""In the notes of a journal: what `asked` returned for who began it."""
NAMES = "bands drop_bands with_b10 box bbox bbox_crs floating nodata mask_classes".split()
"""Options of which another word means another product."""


def asked(options: BaseOptions) -> dict[str, Any]:
    """Return what options say of bands, place and numbers, by field name; nothing of those that are not given."""
    known = kinds(type(options))
    return {name: getattr(options, name) for name in NAMES if name in known and options.given(name)}


def check_asked(options: BaseOptions, journal: Journal) -> None:
    """Refuse options that ask for another product than regions were made for.

    Args:
        options: those of whoever assembles them.
        journal: that of the regions.

    Raises:
        ValueError: one of them does.
    """
    made = journal.notes.get(ASKED_KEY)
    if made is None:  # begun by an earlier version
        return
    for name, value in plain(asked(options)).items():
        if made.get(name) != value:
            flag = flag_of(name, kinds(type(options))[name])
            raise ValueError(
                f"--assemble: expected {flag} as the regions were made with, {_shown(made.get(name))}, "
                f"got {_shown(value)}"
            )


def _shown(value: Any) -> str:
    """Return a value of an option as it is written."""
    if value is None or isinstance(value, bool):
        return "given" if value else "none"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
