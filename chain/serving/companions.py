# SPDX-License-Identifier: Apache-2.0
"""What goes with a product, beside its record: styles, the picture, the STAC Item."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chain.raster.http import REMOTE_PREFIXES
from chain.runtime.credentials import without_credentials
from chain.runtime.progress import LOG
from chain.sentinel2.opened_image import OpenedImage
from chain.sentinel2.stac_item import ADDRESS_KEY
from chain.serving.layer_styles import write_class_style, write_styles
from chain.serving.options import FileOptions
from chain.serving.product_names import classes_file, item_file, style_file
from chain.serving.quicklook import write_quicklook


def write_companions(options: FileOptions, output: Path, missing: bool = False) -> None:
    """Write what goes with a product that is there, and has its record.

    Args:
        options: those of the program.
        output: the product.
        missing: write what is not there alone.

    Raises:
        OSError: the disk refuses.
    """

    def is_wanted(path: Path) -> bool:
        return not (missing and path.exists())

    if options.style and is_wanted(style_file(output)):
        write_styles(output, options.styles)
    classes = classes_file(output)
    if options.style and options.with_classes and classes.exists() and is_wanted(style_file(classes)):
        write_class_style(classes)
    quicklook = Path(options.quicklook) if options.quicklook else None
    if quicklook and is_wanted(quicklook):
        write_quicklook(output, quicklook)
    if options.stac and is_wanted(item_file(output)):
        from chain.serving.product_item import write_item

        if not write_item(output, quicklook):
            LOG.info("%s: no STAC Item: the input does not tell both its date and its place", output.name)


def derived_from(image: OpenedImage) -> list[dict[str, Any]]:
    """Return the links of a STAC Item to what an image was opened from: its own item, or its files or addresses."""
    title = str(image.identity.get("id", ""))
    item = image.identity.get(ADDRESS_KEY)
    if item:
        kind = "application/geo+json" if "://" in item else "application/json"
        return [link(item, title, kind)]
    return [link(name, title) for name in _names(image.identity) or image.hrefs.values()]


def _names(identity: Mapping[str, Any]) -> list[str]:
    """Return the names of files that an image was opened from."""
    return [str(name) for name in (identity.get("paths") or [identity.get("path")]) if name]


def link(name: str, title: str = "", kind: str | None = None) -> dict[str, Any]:
    """Return a link to a file, by its whole path, or to an address, without signature."""
    local = "://" not in name and not name.startswith(("/vsi", *REMOTE_PREFIXES))
    found = {"href": without_credentials(os.path.abspath(name) if local else name), "title": title}
    return {**found, "type": kind} if kind else found
