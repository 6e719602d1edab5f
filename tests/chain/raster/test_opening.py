"""Rasters are opened by the drivers that the docs name, and so is what they are made of."""

import numpy as np
import pytest
from osgeo import gdal

from chain.raster.opening import name_for_otb, open_raster

PIXELS = np.arange(400, dtype=np.uint16).reshape(20, 20)
WMS = "<GDAL_WMS><Service name='TMS'><ServerUrl>http://127.0.0.1:9/{x}</ServerUrl></Service></GDAL_WMS>"


def written(path, driver="GTiff"):
    memory = gdal.GetDriverByName("MEM").Create("", 20, 20, 1, gdal.GDT_UInt16)
    memory.SetGeoTransform((0, 10, 0, 0, 0, -10))
    memory.WriteArray(PIXELS)
    gdal.GetDriverByName(driver).CreateCopy(str(path), memory)
    return str(path)


def vrt(path, band, source, kind=""):
    """Write a VRT of one band."""
    band = f'<VRTRasterBand dataType="UInt16" band="1"{kind}>{band.format(source)}</VRTRasterBand>'
    path.write_text(f'<VRTDataset rasterXSize="20" rasterYSize="20">{band}</VRTDataset>')
    return str(path)


def mosaic(path, source, relative=0):
    file = f'<SourceFilename relativeToVRT="{relative}">{{}}</SourceFilename>'
    return vrt(path, f"<SimpleSource>{file}</SimpleSource>", source)


@pytest.mark.parametrize("driver, ending", [("GTiff", "tif"), ("ENVI", "dat"), ("HFA", "img"), ("EHdr", "bil")])
def test_rasters_of_the_formats_that_the_docs_name_are_opened(tmp_path, driver, ending):
    assert np.array_equal(open_raster(written(tmp_path / f"a.{ending}", driver)).ReadAsArray(), PIXELS)


@pytest.mark.parametrize("content", [WMS, "PG:dbname=a", "ncols 1\nnrows 1\nxllcorner 0\nyllcorner 0\ncellsize 1\n1\n"])
def test_rasters_of_other_formats_are_not_opened(tmp_path, content):
    (tmp_path / "a.asc").write_text(content)
    for name in (str(tmp_path / "a.asc"), content):
        with pytest.raises(RuntimeError, match="not recognized as a supported file format|No such file"):
            open_raster(name)


def test_what_mosaics_are_made_of_is_held_to_the_same(tmp_path):
    written(tmp_path / "a.tif")
    good = mosaic(tmp_path / "good.vrt", "a.tif", relative=1)
    assert np.array_equal(open_raster(good).ReadAsArray(), PIXELS)
    assert np.array_equal(open_raster(mosaic(tmp_path / "outer.vrt", good)).ReadAsArray(), PIXELS)
    (tmp_path / "wms.xml").write_text(WMS)
    bad = mosaic(tmp_path / "bad.vrt", tmp_path / "wms.xml")
    for name in (bad, mosaic(tmp_path / "nested.vrt", bad)):
        with pytest.raises(RuntimeError, match="wms.xml.* not recognized"):
            open_raster(name)
    with pytest.raises(ValueError, match="expected a mosaic of other rasters, got one of itself"):
        open_raster(mosaic(tmp_path / "self.vrt", tmp_path / "self.vrt"))


def test_mosaics_of_raw_bytes_are_opened(tmp_path):
    (tmp_path / "raw.bin").write_bytes(PIXELS.tobytes())
    band = (
        '<SourceFilename relativeToVRT="1">{}</SourceFilename><PixelOffset>2</PixelOffset><LineOffset>40</LineOffset>'
    )
    raw = vrt(tmp_path / "raw.vrt", band, "raw.bin", kind=' subClass="VRTRawRasterBand"')
    assert np.array_equal(open_raster(raw).ReadAsArray(), PIXELS)


def test_a_name_that_otb_would_cut_gets_another(tmp_path):
    plain, cut = written(tmp_path / "a.tif"), written(tmp_path / "a?b.tif")
    assert name_for_otb(plain) == plain
    assert "?" not in name_for_otb(cut) and np.array_equal(gdal.Open(name_for_otb(cut)).ReadAsArray(), PIXELS)


def test_a_mosaic_that_is_no_xml_is_refused(tmp_path):
    """GDAL's own reader of XML takes it."""
    written(tmp_path / "a.tif")
    name = mosaic(tmp_path / "a.vrt", "a.tif", relative=1)
    text, end = (tmp_path / "a.vrt").read_bytes(), b"</VRTRasterBand>"
    (tmp_path / "a.vrt").write_bytes(text.replace(end, b"<Description>\xe5</Description>" + end))
    with pytest.raises(ValueError, match="expected a mosaic .VRT. in XML"):
        open_raster(name)


@pytest.mark.parametrize("said", ["Key 2 of unknown type.", "a.tif: too few bytes"])
def test_the_error_of_a_raster_names_it_once(tmp_path, monkeypatch, said):
    def refuse(name, *_, **__):
        raise RuntimeError(said.replace("a.tif", name))

    monkeypatch.setattr("chain.raster.opening.gdal.OpenEx", refuse)
    with pytest.raises(RuntimeError) as caught:
        open_raster(written(tmp_path / "a.tif"))
    assert str(caught.value).count("a.tif") == 1
