# SPDX-License-Identifier: Apache-2.0
"""STAC items of the kind Planetary Computer has for `sentinel-2-l2a`, for images on disk."""

import datetime
from pathlib import Path

from osgeo import gdal, ogr, osr

from simulate.sensors import SENTINEL2

gdal.UseExceptions()
ogr.UseExceptions()

COLLECTION, ACCOUNT, CONTAINER = "sentinel-2-l2a", "sentinel2l2a01", "sentinel2-l2"
BLOB_HOST = f"{ACCOUNT}.blob.core.windows.net"
"""Host of the images. Planetary Computer's SDK signs no other; a local server answers for it as an HTTP
proxy."""

COMMON_NAMES = {
    **{"B01": "coastal", "B02": "blue", "B03": "green", "B04": "red", "B08": "nir", "B11": "swir16", "B12": "swir22"},
    **{name: "rededge" for name in ("B05", "B06", "B07", "B8A")},
}
"""Names that the `eo` extension gives to bands."""

COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"


def blob_href(path: str) -> str:
    """Address of an image in the container, unsigned and over plain HTTP (so that a proxy can answer)."""
    return f"http://{BLOB_HOST}/{CONTAINER}/{path}"


def footprint(ring: list[tuple[float, float]], epsg: int) -> tuple[dict, list[float]]:
    """A polygon as GeoJSON, with its bounding box, in degrees of longitude and latitude.

    Args:
        ring: corners of the polygon, easting and northing in metres.
        epsg: code of their coordinate reference system.
    """
    source, target = osr.SpatialReference(), osr.SpatialReference()
    source.ImportFromEPSG(epsg)
    target.ImportFromEPSG(4326)
    for reference in (source, target):
        reference.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    transformed = osr.CoordinateTransformation(source, target).TransformPoints([*ring, ring[0]])
    points = [[round(x, 9), round(y, 9)] for x, y, _ in transformed]
    longitudes, latitudes = zip(*points, strict=True)
    box = [min(longitudes), min(latitudes), max(longitudes), max(latitudes)]
    return {"type": "Polygon", "coordinates": [points]}, box


def image_asset(path: Path, href: str, title: str) -> dict:
    """The asset of one image, its shape and transform read from the file."""
    image = gdal.Open(str(path))
    transform = image.GetGeoTransform()
    left, top, gsd = transform[0], transform[3], transform[1]
    right, bottom = left + gsd * image.RasterXSize, top - gsd * image.RasterYSize
    asset = {
        "href": href,
        "type": COG_TYPE,
        "title": title,
        "roles": ["data"],
        "gsd": gsd,
        "proj:bbox": [left, bottom, right, top],
        "proj:shape": [image.RasterYSize, image.RasterXSize],
        "proj:transform": [gsd, 0.0, left, 0.0, -gsd, top],
    }
    if title in SENTINEL2:
        asset["eo:bands"] = [_eo_band(title)]
    return asset


def _eo_band(name: str) -> dict:
    """A band as the `eo` extension describes it, wavelengths in micrometres."""
    shortest, longest = SENTINEL2[name].interval
    described = {"name": name, "center_wavelength": round((shortest + longest) / 2e3, 3)}
    described["full_width_half_max"] = round((longest - shortest) / 1e3, 3)
    return {**described, "common_name": COMMON_NAMES[name]} if name in COMMON_NAMES else described


def make_item(
    identity: str,
    folder: Path,
    when: datetime.datetime,
    geometry: dict,
    bbox: list[float],
    properties: dict,
) -> dict:
    """An item whose assets are a folder's images, named after their files.

    Args:
        identity: the item's id, also the folder's name in the container.
        folder: holds the images, `B04.tif` and so on.
        when: acquisition time, UTC.
        geometry: GeoJSON footprint, in degrees.
        bbox: its bounding box, in degrees.
        properties: the item's other properties.
    """
    assets = {
        path.stem: image_asset(path, blob_href(f"{identity}/{path.name}"), path.stem)
        for path in sorted(folder.glob("*.tif"))
    }
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [
            "https://stac-extensions.github.io/eo/v1.0.0/schema.json",
            "https://stac-extensions.github.io/sat/v1.0.0/schema.json",
            "https://stac-extensions.github.io/projection/v1.0.0/schema.json",
        ],
        "id": identity,
        "collection": COLLECTION,
        "geometry": geometry,
        "bbox": bbox,
        "properties": {"datetime": when.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), **properties},
        "assets": assets,
        "links": [],
    }
