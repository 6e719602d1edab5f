# SPDX-License-Identifier: Apache-2.0
"""Where rasters lie: georeferences that are no grid on the ground are refused, never dropped."""

from osgeo import gdal


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
    if dataset.GetProjection():
        raise ValueError(f"{path}: expected a place on the ground, got a coordinate system without a geotransform")
