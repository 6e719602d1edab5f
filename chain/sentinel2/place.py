# SPDX-License-Identifier: Apache-2.0
"""Where rasters lie: georeferences that are no grid on the ground are refused, never dropped."""

from osgeo import gdal

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
