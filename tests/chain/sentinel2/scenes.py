# SPDX-License-Identifier: Apache-2.0
"""Small scenes of Sentinel-2 with known native pixels, and the files that people make of them."""

from pathlib import Path

import numpy as np
from osgeo import gdal, osr

from chain.sentinel2.bands import BANDS, SURFACE_BANDS

gdal.UseExceptions()

LEFT, TOP, EPSG = 300000.0, 5000040.0, 32631
ORDER = SURFACE_BANDS
GROUND = {
    "B01": (400, 350, 900, 800),
    "B02": (350, 300, 1000, 500),
    "B03": (600, 500, 1200, 450),
    "B04": (400, 250, 1500, 250),
    "B05": (900, 700, 1800, 300),
    "B06": (2200, 1900, 2300, 150),
    "B07": (2700, 2300, 2500, 140),
    "B08": (2900, 2500, 2600, 110),
    "B8A": (3000, 2600, 2700, 100),
    "B09": (3000, 2600, 2800, 90),
    "B10": (14, 12, 15, 10),
    "B11": (1700, 1300, 2900, 60),
    "B12": (900, 600, 2300, 40),
}
"""Digital numbers, without an offset, of fields, forest, soil and water in each band."""
TYPES = {
    "uint8": gdal.GDT_Byte,
    "uint16": gdal.GDT_UInt16,
    "int16": gdal.GDT_Int16,
    "uint32": gdal.GDT_UInt32,
    "int32": gdal.GDT_Int32,
    "float32": gdal.GDT_Float32,
    "float64": gdal.GDT_Float64,
}


def ratio_of(band):
    """Return pixels of 10 m along a native one."""
    return round(BANDS[band] / 10)


def native(size=120, seed=0, bands=ORDER):
    """Return native pixels of a landscape, uint16, by band; `size` pixels of 10 m a side, a multiple of 6."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(0, 4, (size // 12 + 1,) * 2).repeat(12, 0).repeat(12, 1)[:size, :size]
    pixels = {}
    for band in bands:
        ratio = ratio_of(band)
        fine = np.array(GROUND[band])[ground] * (1 + 0.08 * rng.standard_normal((size, size)))
        coarse = fine.reshape(size // ratio, ratio, size // ratio, ratio).mean((1, 3))
        pixels[band] = np.maximum(np.round(coarse), 1).astype(np.uint16)
    return pixels


def fine(pixels):
    """Return bands on one grid of 10 m, by nearest neighbour."""
    return {band: array.repeat(ratio_of(band), 0).repeat(ratio_of(band), 1) for band, array in pixels.items()}


def wkt(epsg=EPSG):
    """Return a coordinate system, WKT."""
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(epsg)
    return crs.ExportToWkt()


def write(
    path,
    arrays,
    names=(),
    gsd=10.0,
    driver="GTiff",
    options=(),
    nodata=None,
    scale=None,
    offset=None,
    metadata=None,
    place=None,
    epsg=EPSG,
):
    """Write arrays (rows, columns) as the bands of a raster; return its path as a string."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, columns = arrays[0].shape
    memory = gdal.GetDriverByName("MEM").Create("", columns, rows, len(arrays), TYPES[str(arrays[0].dtype)])
    if place is not False:
        memory.SetGeoTransform(place or (LEFT, gsd, 0.0, TOP, 0.0, -gsd))
    if epsg:
        memory.SetProjection(wkt(epsg))
    if metadata:
        memory.SetMetadata(metadata)
    for number, array in enumerate(arrays, 1):
        band = memory.GetRasterBand(number)
        band.WriteArray(array)
        if names:
            band.SetDescription(names[number - 1])
        if nodata is not None:
            band.SetNoDataValue(nodata)
        if scale is not None:
            band.SetScale(scale)
        if offset is not None:
            band.SetOffset(offset)
    gdal.GetDriverByName(driver).CreateCopy(str(path), memory, options=list(options))
    return str(path)


def write_stack(path, pixels, names=None, add=0, dtype="uint16", **how):
    """Write bands as a stack of 10 m; `names` of them all, their own by default; `add` is added to valid numbers."""
    arrays = [np.where(array == 0, 0, array + float(add)).astype(dtype) for array in fine(pixels).values()]
    return write(path, arrays, list(pixels) if names is None else names, **how)


def write_dimap(folder, arrays, names, gsds, scale=1.0, offset=0.0, nodata=None, place=None):
    """Write arrays as a product of SNAP's, with a band of it that is computed from others; return its path."""
    folder, infos, files = Path(folder), [], []
    for index, (name, array, gsd) in enumerate(zip(names, arrays, gsds)):
        write(folder / "s2.data" / f"{name}.img", [array], (name,), gsd, "ENVI", place=place)
        files.append(
            f'<Data_File><DATA_FILE_PATH href="s2.data/{name}.hdr"/><BAND_INDEX>{index}</BAND_INDEX></Data_File>'
        )
        infos.append(
            f"<Spectral_Band_Info><BAND_INDEX>{index}</BAND_INDEX><BAND_NAME>{name}</BAND_NAME>"
            f"<SCALING_FACTOR>{scale}</SCALING_FACTOR><SCALING_OFFSET>{offset}</SCALING_OFFSET>"
            f"<NO_DATA_VALUE_USED>{str(nodata is not None).lower()}</NO_DATA_VALUE_USED>"
            f"<NO_DATA_VALUE>{nodata or 0.0}</NO_DATA_VALUE></Spectral_Band_Info>"
        )
    infos.append("<Spectral_Band_Info><BAND_INDEX>99</BAND_INDEX><BAND_NAME>ndvi</BAND_NAME></Spectral_Band_Info>")
    text = f"<Dimap_Document><Data_Access>{''.join(files)}</Data_Access>{''.join(infos)}</Dimap_Document>"
    (folder / "s2.dim").write_text(text)
    return folder / "s2.dim"


def write_netcdf(path, arrays, names, dates=1, nodata=None, scale=None, offset=None, corner=(LEFT, TOP), placed=True):
    """Write arrays of 10 m as the variables of a netCDF file, as openEO does; return its path as a string."""
    dataset = gdal.GetDriverByName("netCDF").CreateMultiDimensional(str(path))
    root = dataset.GetRootGroup()
    sizes = {"t": dates, "y": arrays[0].shape[0], "x": arrays[0].shape[1]}
    order = ("t", "y", "x") if dates > 1 else ("y", "x")
    dimensions = {name: root.CreateDimension(name, None, None, sizes[name]) for name in order}
    kind = gdal.ExtendedDataType.Create(gdal.GDT_Float64)
    for name, start, step in (("x", corner[0] + 5, 10.0), ("y", corner[1] - 5, -10.0)):
        axis = root.CreateMDArray(name, [dimensions[name]], kind)
        axis.Write((start + step * np.arange(sizes[name])).astype(np.float64))
        text = gdal.ExtendedDataType.CreateString()
        for key, value in (("standard_name", f"projection_{name}_coordinate"), ("units", "m")) if placed else ():
            axis.CreateAttribute(key, [], text).Write(value)
    for name, array in zip(names, arrays):
        kind = gdal.ExtendedDataType.Create(TYPES[str(array.dtype)])
        variable = root.CreateMDArray(name, [dimensions[name] for name in order], kind)
        if nodata is not None:
            variable.SetNoDataValueDouble(nodata)
        if scale is not None:
            variable.SetScale(scale)
        if offset is not None:
            variable.SetOffset(offset)
        variable.Write(np.stack([array] * dates).reshape([sizes[name] for name in order]))
    del variable, axis, root, dataset
    return str(path)


def write_files(folder, pixels, stem="{band}", driver="GTiff", suffix=".tif", **how):
    """Write each band as a file of its native resolution; return their paths by band."""
    return {
        band: write(Path(folder) / f"{stem.format(band=band)}{suffix}", [array], (), BANDS[band], driver, **how)
        for band, array in pixels.items()
    }


def read(image, band):
    """Return the harmonised numbers of a band of an opened image, (rows, columns), as OTB reads them."""
    return image.image((band,)).to_numpy()[..., 0]


def check_stack(image, pixels, missing=None, tolerance=0.0):
    """Check that an image has the pixels of a landscape, on the 10 m grid, 0 where `missing`."""
    for band, array in fine(pixels).items():
        expected = array.astype(float)
        if missing is not None:
            expected = np.where(missing, 0, expected)
        np.testing.assert_allclose(read(image, band), expected, atol=tolerance, err_msg=band)


def check_native(image, pixels, tolerance=0.0):
    """Check that an image has the native pixels of a landscape."""
    for band, array in pixels.items():
        np.testing.assert_allclose(read(image, band), array.astype(float), atol=tolerance, err_msg=band)


def reason_of(image, subject):
    """Return what was decided about a subject, in one line."""
    return "; ".join(str(decision) for decision in image.decisions if decision.subject == subject)
