# SPDX-License-Identifier: Apache-2.0
"""Real STAC items, served by the local stand-in for Planetary Computer."""

from simulate.items import COLLECTION, blob_href, image_asset


def adopt(item, folder):
    """A real item as Planetary Computer would have it, its assets being a folder's images.

    Assets are named after the files (`B04.tif` becomes `B04`), whatever the catalogue that the item comes
    from calls them; shapes and transforms are the files'. The server is to serve the folder that holds
    `folder`.

    Args:
        item: any STAC item, as a dictionary.
        folder: holds its images.

    Raises:
        ValueError: the folder holds no image.
    """
    files = sorted(folder.glob("*.tif"))
    if not files:
        raise ValueError(f"folder: expected GeoTIFF images, got {folder}")
    assets = {path.stem: image_asset(path, blob_href(f"{folder.name}/{path.name}"), path.stem) for path in files}
    return {**item, "collection": COLLECTION, "assets": assets, "links": []}
