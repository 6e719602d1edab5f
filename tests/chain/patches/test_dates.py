# SPDX-License-Identifier: Apache-2.0
"""When Spot images were taken, by what tells it; bundles of two dates are refused, or told where a tag may err."""

from datetime import datetime, timezone

import pytest
from osgeo import gdal

from chain.patches.dates import check_one_date, moment_of, tell_dates

NAME = "IMG_SPOT7_{}_201409051024012_ORT_1234-001_R1C1.TIF"
MORNING = datetime(2014, 9, 5, 10, 24, 1)
DIMAP = """<?xml version="1.0" encoding="UTF-8"?>
<Dimap_Document><Metadata_Id><METADATA_FORMAT version="1.1">DIMAP</METADATA_FORMAT></Metadata_Id>
<Data_Access><Data_File><DATA_FILE_PATH href="XS.TIF"/></Data_File></Data_Access>
<Raster_Dimensions><NCOLS>3</NCOLS><NROWS>2</NROWS><NBANDS>1</NBANDS></Raster_Dimensions>
<Dataset_Sources><Source_Information><Scene_Source>
<IMAGING_DATE>2014-09-05</IMAGING_DATE><IMAGING_TIME>10:24:01.2</IMAGING_TIME>
</Scene_Source></Source_Information></Dataset_Sources></Dimap_Document>
"""


@pytest.fixture
def image(tmp_path):
    """Return a function that writes a raster with metadata, and returns its name."""

    def write(name="xs.tif", **metadata):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        gdal.GetDriverByName("GTiff").Create(str(path), 3, 2).SetMetadata(metadata)
        return str(path)

    return write


@pytest.mark.parametrize(
    "name, metadata, source",
    [
        (NAME.format("MS"), {}, "name"),
        (f"DIM_SPOT7_P_201409051024012_ORT/{'x'}.tif", {}, "name"),
        (NAME.format("PMS"), {"TIFFTAG_DATETIME": "2020:01:01 00:00:00"}, "name"),
        ("xs.tif", {"TIFFTAG_DATETIME": "2014:09:05 10:24:01"}, "TIFFTAG_DATETIME"),
    ],
)
def test_moments_are_told_by_names_and_tags(image, name, metadata, source):
    moment = moment_of(image(name, **metadata))
    assert (moment.time, moment.source) == (MORNING, source)


def test_dimap_tells_the_moment(image, tmp_path):
    image("XS.TIF")
    (tmp_path / "DIM_XS.XML").write_text(DIMAP)
    moment = moment_of(str(tmp_path / "DIM_XS.XML"))
    assert (moment.time, moment.source) == (MORNING, "IMAGING_DATE")


@pytest.mark.parametrize(
    "name, metadata",
    [
        ("xs.tif", {}),
        ("xs.tif", {"TIFFTAG_DATETIME": "today"}),
        ("SPOT_2014.tif", {}),
        ("IMG_SPOT7_MS_20149999102401_x.tif", {}),
    ],
)
def test_what_tells_no_moment(image, name, metadata):
    assert moment_of(image(name, **metadata)) is None


def test_bundles_of_two_dates_are_refused(image, caplog):
    xs = image(NAME.format("MS"))
    check_one_date(xs, image(NAME.format("P").replace("102401", "102359")))
    check_one_date(xs, image("pan.tif"))
    with pytest.raises(
        ValueError, match="^--pan: expected an image of the date of --xs, 2014-09-05 10:24 .*2016-09-05"
    ):
        check_one_date(xs, image(NAME.format("P").replace("2014", "2016")))
    assert not caplog.records
    check_one_date(xs, image("pan.tif", TIFFTAG_DATETIME="2014:10:05 10:24:01"))
    (record,) = caplog.records
    assert record.levelname == "WARNING" and "2014-10-05 10:24 (TIFFTAG_DATETIME)" in record.getMessage()


@pytest.mark.parametrize("day, days, told", [(5, 0.0, 0), (25, 20.0, 0), (None, None, 0), (365, 360.0, 1)])
def test_images_far_apart_are_told(image, caplog, day, days, told):
    spot = moment_of(image(NAME.format("MS")))
    year, month, day = (2015, 8, 31) if day == 365 else (2014, 9, day)
    sentinel2 = datetime(year, month, day, 10, 24, tzinfo=timezone.utc) if day else None
    assert tell_dates(spot, sentinel2)["days_apart"] == days and len(caplog.records) == told
    assert tell_dates(None, sentinel2) == {
        "sentinel2": sentinel2 and sentinel2.isoformat(),
        "spot": None,
        "days_apart": None,
    }
