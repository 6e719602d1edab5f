# SPDX-License-Identifier: Apache-2.0
"""The readers that are fed with damaged files: how a whole file is made, and what is read of it."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from osgeo import gdal, osr

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"
TORCH = Path(__file__).resolve().parents[2] / "tests" / "weights" / "data"
"""Files that torch has written."""
PIXELS = np.random.default_rng(0).integers(1001, 9000, (48, 48)).astype(np.uint16)
LOSSLESS = ["REVERSIBLE=YES", "QUALITY=100", "BLOCKXSIZE=64", "BLOCKYSIZE=64"]
SAFE = "S2A_MSIL1C_20210908T042701_N0301_R133_T46RER_20210908T070248.SAFE"


@dataclass(frozen=True)
class Reader:
    """A reader of one kind of file."""

    make: Callable[[Path], Path]
    """Makes a whole input in a folder; returns the file that is to be damaged."""
    read: Callable[[Path], Any]
    """Reads the input of that file; returns what has to stay the same."""
    tells: bool
    """Whether the format has checksums, so that whatever else is read is an error."""


def raster(path: Path, driver: str = "GTiff", options: list[str] | None = None) -> Path:
    """Write one band of known pixels."""
    memory = gdal.GetDriverByName("MEM").Create("", 48, 48, 1, gdal.GDT_UInt16)
    memory.SetGeoTransform((300000.0, 10.0, 0.0, 5000040.0, 0.0, -10.0))
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(32631)
    memory.SetProjection(crs.ExportToWkt())
    memory.WriteArray(PIXELS)
    memory.GetRasterBand(1).SetDescription("B04")
    path.parent.mkdir(parents=True, exist_ok=True)
    gdal.GetDriverByName(driver).CreateCopy(str(path), memory, options=options or [])
    return path


def pixels(source: Any) -> bytes:
    """Return the pixels and the place of B04 of whatever opens as Sentinel-2."""
    from chain.sentinel2.image import open_product

    image = open_product(source, ("B04",), offset=0)
    try:
        dataset = gdal.Open(image.bands["B04"])
        return dataset.ReadAsArray().tobytes() + str((dataset.GetGeoTransform(), image.offset)).encode()
    finally:
        image.close()


def _safe(folder: Path, listed: bool) -> Path:
    """Make a SAFE product of one image, with or without a manifest; return the image."""
    file = raster(folder / SAFE / "GRANULE" / "a" / "IMG_DATA" / "T46RER_B04.jp2", "JP2OpenJPEG", LOSSLESS)
    metadata = folder / SAFE / "MTD_MSIL1C.xml"
    metadata.write_text("<a><PROCESSING_BASELINE>03.01</PROCESSING_BASELINE></a>")
    if listed:
        objects = "".join(
            f'<byteStream size="{each.stat().st_size}"><fileLocation href="{each.relative_to(folder / SAFE)}"/>'
            f'<checksum checksumName="MD5">{hashlib.md5(each.read_bytes()).hexdigest()}</checksum></byteStream>'
            for each in (file, metadata)
        )
        (folder / SAFE / "manifest.safe").write_text(f"<a>{objects}</a>")
    return file


def _zip(folder: Path) -> Path:
    _safe(folder / "content", listed=False)
    return Path(shutil.make_archive(str(folder / "S2A"), "zip", folder / "content"))


def _item(folder: Path) -> Path:
    raster(folder / "B04.tif")
    properties = {"datetime": "2021-07-14T10:56:29Z", "s2:processing_baseline": "02.13"}
    asset = {"href": "B04.tif", "type": "image/tiff", "eo:bands": [{"name": "B04"}]}
    item = {"type": "Feature", "stac_version": "1.0.0", "id": "a", "properties": properties, "links": []}
    (folder / "item.json").write_text(json.dumps({**item, "assets": {"B04": asset}}))
    return folder / "item.json"


def _mosaic(folder: Path) -> Path:
    gdal.BuildVRT(str(folder / "mosaic.vrt"), [str(raster(folder / "B04.tif"))]).FlushCache()
    text = (folder / "mosaic.vrt").read_text()
    (folder / "mosaic.vrt").write_text(text.replace("<ColorInterp>", "<Description>B04</Description><ColorInterp>"))
    return folder / "mosaic.vrt"


def _geometry(folder: Path) -> Path:
    ring = [[3.0, 45.0], [3.1, 45.0], [3.1, 45.1], [3.0, 45.0]]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    (folder / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return folder / "a.geojson"


def _bounds(path: Path) -> Any:
    from chain.raster.area_of_interest import geometry_bounds

    crs = osr.SpatialReference()
    crs.ImportFromEPSG(32631)
    return geometry_bounds(str(path), crs.ExportToWkt())


def _model(folder: Path) -> Path:
    shutil.copytree(WEIGHTS / "dsen2" / "2x", folder, dirs_exist_ok=True)
    return folder / "model.json"


def _described(path: Path) -> Any:
    from models.description import read_description

    return read_description(path.parent).to_json()


def _weights(folder: Path) -> Path:
    shutil.copytree(WEIGHTS / "l1bsr" / "REC", folder, dirs_exist_ok=True)
    return folder / "weights.h5"


def _arrays(arrays: dict[str, np.ndarray]) -> Any:
    return {name: (array.shape, array.tobytes()) for name, array in arrays.items()}


def _safetensors(folder: Path) -> Path:
    content = PIXELS.astype("<f4").tobytes()
    header = json.dumps({"a": {"dtype": "F32", "shape": [48, 48], "data_offsets": [0, len(content)]}}).encode()
    (folder / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + content)
    return folder / "a.safetensors"


def _read_safetensors(path: Path) -> Any:
    from weights.formats.safetensors_file import read_safetensors

    return _arrays(read_safetensors(path))


def _torch(name: str) -> Callable[[Path], Path]:
    return lambda folder: Path(shutil.copy(TORCH / name, folder))


def _convolutions(path: Path) -> Any:
    from weights.dsen2_file import read_dsen2_file

    return [(each.kernel.tobytes(), each.bias.tobytes()) for each in read_dsen2_file(path).convolutions]


def _png(path: Path) -> Any:
    from inference.deepsum.png import read_image

    return read_image(path).tobytes()


READERS = {
    "GeoTIFF": Reader(lambda folder: raster(folder / "B04.tif"), lambda path: pixels(str(path)), False),
    "COG": Reader(
        lambda folder: raster(folder / "B04.tif", "GTiff", ["COMPRESS=DEFLATE", "TILED=YES"]),
        lambda path: pixels(str(path)),
        False,
    ),
    "JPEG 2000": Reader(
        lambda folder: raster(folder / "B04.jp2", "JP2OpenJPEG", LOSSLESS), lambda path: pixels(str(path)), False
    ),
    "SAFE, image": Reader(lambda folder: _safe(folder, True), lambda path: pixels(str(path.parents[3])), True),
    "SAFE, metadata": Reader(
        lambda folder: _safe(folder, True).parents[3] / "MTD_MSIL1C.xml", lambda path: pixels(str(path.parent)), True
    ),
    "SAFE, manifest": Reader(
        lambda folder: _safe(folder, True).parents[3] / "manifest.safe", lambda path: pixels(str(path.parent)), False
    ),
    "SAFE, zip": Reader(_zip, lambda path: pixels(str(path)), True),
    "STAC item": Reader(_item, lambda path: pixels(str(path)), False),
    "VRT": Reader(_mosaic, lambda path: pixels(str(path)), False),
    "ENVI header": Reader(
        lambda folder: raster(folder / "B04.img", "ENVI").with_suffix(".hdr"),
        lambda path: pixels(str(path.with_suffix(".img"))),
        False,
    ),
    "geometry": Reader(_geometry, _bounds, False),
    "PNG": Reader(lambda folder: raster(folder / "a.png", "PNG"), _png, True),
    "model.json": Reader(_model, _described, True),
    "weights.h5": Reader(_weights, _described, True),
    "safetensors": Reader(_safetensors, _read_safetensors, False),
    "torch, zip": Reader(_torch("state_dict_2x.pt"), _convolutions, True),
    "torch, legacy": Reader(_torch("legacy_2x.pt"), _convolutions, False),
    "TorchScript": Reader(_torch("scripted_2x.pt"), _convolutions, True),
}
"""Kinds of files by name."""
