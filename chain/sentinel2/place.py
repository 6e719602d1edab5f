# SPDX-License-Identifier: Apache-2.0
"""Where rasters lie: georeferences that are no grid on the ground, and grids that are not Sentinel-2's, are refused."""

from collections.abc import Mapping

from osgeo import gdal, osr

from chain.sentinel2.bands import TILE_IN_NAME

WAY_BACK = (
    "super-resolution needs the native UTM grid, on which no band has been interpolated: pass the tile as it was "
    "delivered, or an export on its UTM grid (EPSG:326xx north, EPSG:327xx south), nearest neighbour"
)

UNPLACED_UPSIDE_DOWN = ("netCDF",)
"""Drivers whose first row may be the last one of the file where no coordinates tell which is."""


def check_place(dataset: gdal.Dataset, path: str) -> None:
    """Refuse a raster whose place is told otherwise than by a geotransform: its product would lie nowhere.

    Raises:
        ValueError: ground control points, RPCs or arrays of coordinates place it, or a coordinate system alone.
    """
    if dataset.GetGeoTransform(can_return_null=True) is not None:
        return
    for found, what in (
        (dataset.GetGCPCount() > 0, "ground control points"),
        (dataset.GetMetadata("RPC"), "rational polynomial coefficients (RPC)"),
        (dataset.GetMetadata("GEOLOCATION"), "arrays of coordinates"),
    ):
        if found:
            raise ValueError(
                f"{path}: expected an orthorectified image, got one that only {what} place: bring it onto the UTM grid "
                "of Sentinel-2 first (gdalwarp -t_srs EPSG:… -tr 10 10 -r near)"
            )
    if dataset.GetDriver().ShortName in UNPLACED_UPSIDE_DOWN:
        raise ValueError(
            f"{path}: expected coordinates of the variables, with the standard names of the CF conventions, got none: "
            "which row is the first is not told"
        )
    if dataset.GetProjection():
        raise ValueError(f"{path}: expected a place on the ground, got a coordinate system without a geotransform")


def check_one_map(names: Mapping[str, str], path: str) -> None:
    """Refuse bands on several maps, on which the same coordinates are different places.

    Args:
        names: for each band, its raster; those without coordinate system pass.
        path: the name of the image, for errors.

    Raises:
        ValueError: their coordinate systems are of several UTM zones, or have several codes.
    """
    first: tuple[str, osr.SpatialReference] | None = None
    for band, name in names.items():
        crs = gdal.Open(name).GetSpatialRef()
        if crs is None or not _code(crs):
            continue
        if first is None:
            first = band, crs
        elif _code(crs) != _code(first[1]):
            raise ValueError(
                f"{path}: expected bands on one map, got {first[0]} in {_name(first[1])} and {band} in {_name(crs)}"
            )


def _code(crs: osr.SpatialReference) -> int | str | None:
    """Return what tells a coordinate system from others: its UTM zone, below 0 in the south, or its code, if any."""
    return crs.GetUTMZone() or crs.GetAuthorityCode(None)


def check_native_map(dataset: gdal.Dataset, path: str) -> None:
    """Refuse a band that was brought onto another map than the UTM zone in which Sentinel-2 is delivered.

    Args:
        dataset: the band's raster; one without coordinate system passes.
        path: what the image was opened from; a tile in it tells the zone.

    Raises:
        ValueError: the coordinate system is none of UTM, or of another zone than the tile's.
    """
    crs = dataset.GetSpatialRef()
    if crs is None:
        return
    zone = abs(crs.GetUTMZone())
    if not zone or crs.GetLinearUnits() != 1.0:
        raise ValueError(f"input: resampled to {_name(crs)}; {WAY_BACK}")
    tile = TILE_IN_NAME.search(path)
    if tile and int(tile[1]) != zone:
        raise ValueError(
            f"input: resampled to {_name(crs)}, though its tile lies in UTM zone {int(tile[1])}; {WAY_BACK}"
        )


def _name(crs: osr.SpatialReference) -> str:
    """Return the code of a coordinate system, such as EPSG:3857, or its name."""
    code = crs.GetAuthorityCode(None)
    return f"{crs.GetAuthorityName(None)}:{code}" if code else crs.GetName()
