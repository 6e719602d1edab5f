# SPDX-License-Identifier: Apache-2.0
"""sr_dataset.py from end to end, on a small simulated scene behind a local stand-in for Planetary Computer."""

import json
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal

import sr_dataset
from simulate.planetary_computer import Fault, LocalPlanetaryComputer
from simulate.scenes import ACQUISITIONS, write_scenes

REPOSITORY = Path(__file__).resolve().parents[1]
SMALL = ("--lr-patch-size", "16", "--hr-patch-size", "64")
SETS = ("train", "valid", "test")
CLEAR = "S2B_MSIL2A_20220618T105629_R008_T31UDQ_20220618T235959"


@pytest.fixture(scope="session")
def scene(tmp_path_factory):
    """A Spot image of 512 pixels of PAN, and four Sentinel-2 items over it."""
    folder = tmp_path_factory.mktemp("scene")
    write_scenes(folder, 512, 40, 3, ACQUISITIONS[:4])
    return folder


@pytest.fixture
def server(scene, monkeypatch):
    """The local stand-in, and this process led to it."""
    from planetary_computer.settings import Settings

    from chain.raster import http

    with LocalPlanetaryComputer.of_scenes(scene) as computer:
        for name, value in computer.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "2")
        monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.05")
        monkeypatch.setattr(http.time, "sleep", lambda seconds: None)
        Settings.get.cache_clear()
        http.forget_tokens()
        http.forget_failures()
        yield computer
    Settings.get.cache_clear()
    http.forget_tokens()


@pytest.fixture
def spot(scene):
    return "--xs", str(scene / "spot7/xs.tif"), "--pan", str(scene / "spot7/pan.tif")


@pytest.fixture
def local(scene):
    """Arguments that take the clear item's files instead of searching."""
    return "--sentinel2", *(str(scene / "sentinel2" / CLEAR / f"{band}.tif") for band in sr_dataset.BANDS)


@pytest.fixture(scope="session")
def reference(scene, tmp_path_factory):
    """The patches which the clear item's files give."""
    output = tmp_path_factory.mktemp("reference") / "patches"
    bands = (scene / "sentinel2" / CLEAR / f"{band}.tif" for band in sr_dataset.BANDS)
    spot = ("--xs", scene / "spot7/xs.tif", "--pan", scene / "spot7/pan.tif")
    assert _run(*spot, "--sentinel2", *bands, "--output", output, *SMALL) == 0
    return output


def _run(*arguments):
    return sr_dataset.main([str(argument) for argument in arguments])


def _patches(folder, name):
    dataset = gdal.Open(str(folder / f"{name}.tif"))
    size = dataset.RasterXSize
    return np.moveaxis(dataset.ReadAsArray(), 0, -1).reshape(-1, size, size, dataset.RasterCount)


def test_from_query_to_patches(server, spot, tmp_path, capsys):
    output = tmp_path / "patches"
    assert _run(*spot, "--stac-url", server.stac_url, "--output", output, *SMALL) == 0
    record = json.loads((output / "dataset.json").read_text())
    assert record["sentinel2"]["id"] == CLEAR and record["sentinel2"]["offset"] == -1000
    assert record["sentinel2"]["cover"]["cloudy"] < 0.01
    expected = {f"{name}_{side}.tif" for name in SETS for side in ("lr", "hr")} | {"dataset.json", "contact_sheet.png"}
    assert set(os.listdir(output)) == expected
    for name in SETS:
        lr, hr = _patches(output, f"{name}_lr"), _patches(output, f"{name}_hr")
        assert lr.shape[1:] == (16, 16, 4) and hr.shape[1:] == (64, 64, 4) and lr.dtype == hr.dtype == np.uint16
        assert len(lr) == len(hr) == record["patches"][name] > 0
    alignment = record["alignment"]
    assert abs(alignment["shift_x"]) <= 1 and abs(alignment["shift_y"]) <= 1 and alignment["correlation"] > 0.85
    assert min(record["statistics"]["correlation"].values()) > 0.9
    for band, values in record["statistics"]["lr"].items():
        assert values["mean"] == pytest.approx(record["statistics"]["hr"][band]["mean"], rel=0.15)
    counters = server.counters()
    assert record["fetched"]["requests"] <= counters["requests"]["blob"] < 60
    assert record["fetched"]["bytes"] > 0 and counters["requests"].get("unauthorized", 0) == 0


def test_patches_are_those_of_the_chain_run_on_files(spot, local, scene, tmp_path):
    """The same applications one after the other, with whole images, give the same pixels."""
    import pyotb

    output = tmp_path / "patches"
    assert _run(*spot, *local, "--output", output, *SMALL, "--split", 1, 0, 0) == 0
    stack = pyotb.ConcatenateImages(il=list(local[1:]))
    lr = pyotb.Superimpose(inr=spot[1], inm=stack).to_numpy()
    raw = np.rint(np.clip(lr, 0, 65535))
    hr = np.rint(np.clip(pyotb.BundleToPerfectSensor(inp=spot[3], inxs=spot[1]).to_numpy(), 0, 65535))
    coarse, fine = _patches(output, "train_lr"), _patches(output, "train_hr")
    starts = [(x, y) for y in range(2, 128 - 16 + 1, 16) for x in range(1, 128 - 16 + 1, 16)]
    assert len(coarse) == len(starts)
    for (x, y), one, other in zip(starts, coarse, fine):
        assert np.array_equal(other, np.maximum(hr[4 * y : 4 * y + 64, 4 * x : 4 * x + 64], 1))
        assert np.abs(one - (raw[y : y + 16, x : x + 16] - 1000)).max() <= 1


def test_strips_and_repetition_change_nothing(spot, local, tmp_path, monkeypatch):
    from chain.patches import patches

    assert _run(*spot, *local, "--output", tmp_path / "one", *SMALL, "--step", 8, "--seed", 5) == 0
    monkeypatch.setattr(patches, "STRIP_PIXELS", 60_000)
    assert _run(*spot, *local, "--output", tmp_path / "two", *SMALL, "--step", 8, "--seed", 5) == 0
    for name in (f"{name}_{side}" for name in SETS for side in ("lr", "hr")):
        one, two = (sorted(map(bytes, _patches(tmp_path / folder, name))) for folder in ("one", "two"))
        assert one == two


def test_radiometry_tfrecords_and_item_by_hand(server, spot, tmp_path):
    from otbtf import TFRecords

    item = next(item for item in json.loads(json.dumps(server.catalogue.items)) if "20220728" in item["id"])["id"]
    output = tmp_path / "patches"
    options = ("--item", item, "--match-radiometry", "--tfrecords", "--split", 0.6, 0.2, 0.2)
    assert _run(*spot, "--stac-url", server.stac_url, "--output", output, *SMALL, *options) == 0
    record = json.loads((output / "dataset.json").read_text())
    assert record["sentinel2"]["id"] == item and record["sentinel2"]["offset"] == 0
    assert len(record["radiometry"]) == 4 and all(0.7 < line["gain"] < 1.4 for line in record["radiometry"])
    count = record["patches"]["train"]
    dataset = TFRecords(str(output / "train")).read(batch_size=1, target_keys=["hr"], drop_remainder=False)
    batches = list(dataset)
    assert len(batches) == count and batches[0][0]["lr"].shape == (1, 16, 16, 4)


def test_matching_brings_the_means_together(spot, local, scene, tmp_path):
    options = {}
    altered = tmp_path / "xs.tif"
    gdal.Translate(str(altered), spot[1], scaleParams=[[0, 10000, 200, 5200]], outputType=gdal.GDT_UInt16)
    for name, option in (("plain", ()), ("matched", ("--match-radiometry",))):
        output = tmp_path / name
        assert _run("--xs", altered, *spot[2:], *local, "--output", output, *SMALL, *option) == 0
        options[name] = json.loads((output / "dataset.json").read_text())["statistics"]
    for band in sr_dataset.BANDS:
        lr, hr = (options["matched"][side][band]["mean"] for side in ("lr", "hr"))
        assert hr == pytest.approx(lr, rel=0.06)
        assert abs(options["plain"]["hr"][band]["mean"] - lr) > 0.1 * lr


FAULTS = {
    "busy": {"kind": "status", "count": 10, "status": 503, "retry_after": 0},
    "throttled": {"kind": "status", "count": 10, "status": 429, "retry_after": 0},
    "dropped": {"kind": "drop", "count": 4},
    "truncated": {"kind": "truncate", "count": 4},
    "refused": {"kind": "status", "count": 2, "status": 403},
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("when", ["opening", "reading"])
def test_faults_are_survived(server, spot, reference, tmp_path, monkeypatch, capfd, fault, when):
    from chain.patches import patches
    from chain.raster import http

    select, output = patches.select, tmp_path / "patches"

    def inject(*arguments):
        http.forget_failures()
        server.inject(Fault(r"B0\d\.tif", **FAULTS[fault]))
        return select(*arguments) if arguments else None

    if when == "opening":
        inject()
    else:
        monkeypatch.setattr(patches, "select", inject)
    assert _run(*spot, "--stac-url", server.stac_url, "--output", output, *SMALL) == 0
    assert server.counters()["requests"]["fault"] == FAULTS[fault]["count"]
    assert "sig=" not in "".join(capfd.readouterr())
    for name in SETS:
        assert np.array_equal(_patches(output, f"{name}_lr"), _patches(reference, f"{name}_lr"))


def test_tokens_which_expire_or_are_revoked_mid_run(server, spot, reference, tmp_path, monkeypatch):
    from chain.patches import patches

    output = tmp_path / "patches"
    monkeypatch.setattr(patches, "STRIP_PIXELS", 30_000)
    server.tokens.lifetime = 30.0
    strips = []
    cut = patches._cut

    def revoke(*arguments):
        strips.append(1)
        if len(strips) == 3:
            server.tokens.revoke()
        return cut(*arguments)

    monkeypatch.setattr(patches, "_cut", revoke)
    assert _run(*spot, "--stac-url", server.stac_url, "--output", output, *SMALL) == 0
    assert len(strips) > 5 and server.counters()["requests"]["token"] > 5
    for name in SETS:
        assert sorted(map(bytes, _patches(output, f"{name}_lr"))) == sorted(
            map(bytes, _patches(reference, f"{name}_lr"))
        )


def _failure(capsys, *arguments):
    """Run, and return the one line of error."""
    assert _run(*arguments) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("sr_dataset.py: error:")]
    assert len(lines) == 1 and "Traceback" not in lines[0] and "sig=" not in lines[0]
    return lines[0]


def test_storms_of_refusals_end_in_one_line(server, spot, tmp_path, capsys, monkeypatch):
    from chain.patches import patches
    from chain.raster import http

    monkeypatch.setattr(http, "TRIES", 2)
    monkeypatch.setattr(patches, "ATTEMPTS", 2)
    for pattern, status in (("/search", 503), ("/token/", 429), (r"SCL\.tif", 503), (r"B0\d\.tif", 403)):
        server.clear_faults()
        server.inject(Fault(pattern, "status", count=10**6, status=status, retry_after=0))
        _failure(capsys, *spot, "--stac-url", server.stac_url, "--output", tmp_path / "patches", *SMALL)
        assert not (tmp_path / "patches").exists()


def test_no_network_no_item(server, spot, tmp_path, capsys):
    output = ("--output", tmp_path / "patches", *SMALL)
    remote = (*spot, "--stac-url", server.stac_url, *output)
    assert "no item" in _failure(capsys, *remote, "--dates", "2019-01-01", "2019-02-01")
    assert "--item" in _failure(capsys, *remote, "--item", "absent")
    assert "--max-cloud-cover" in _failure(capsys, *remote, "--dates", "2022-07-10", "2022-07-15")
    server.stop()
    assert "Connection refused" in _failure(capsys, *remote)
    assert not (tmp_path / "patches").exists()


@pytest.fixture
def altered(spot, tmp_path):
    """Return a function copying XS and PAN with their pixels or georeference changed."""

    def make(which, change=None, **options):
        path = tmp_path / f"altered_{which}.tif"
        source = spot[1] if which == "xs" else spot[3]
        gdal.Translate(str(path), source, **options)
        if change:
            dataset = gdal.Open(str(path), gdal.GA_Update)
            array = dataset.ReadAsArray()
            change(array)
            dataset.WriteArray(array)
            dataset = None
        paths = {"xs": spot[1], "pan": spot[3], which: str(path)}
        return "--xs", paths["xs"], "--pan", paths["pan"]

    return make


def _fill(array):
    array[:] = 0


@pytest.mark.parametrize(
    "which, options, message",
    [
        ("xs", {"change": _fill}, "none of them valid"),
        ("pan", {"change": _fill}, "rejected hold nodata"),
        (
            "xs",
            {"srcWin": [0, 0, 1, 1]},
            "--xs: at least 16 x 16 pixels, one patch of --lr-patch-size, are wanted. Received: 1 x 1",
        ),
        ("pan", {"srcWin": [0, 0, 1, 1]}, "--lr-patch-size"),
        ("xs", {"bandList": [1, 2, 3]}, "--xs: expected 4 bands, got 3"),
        ("pan", {"outputBounds": [0, 5000, 768, 4232]}, "--pan: expected an image that overlaps"),
        ("pan", {"width": 256}, "--hr-patch-size: expected 2 times"),
    ],
)
def test_unsuitable_images(altered, local, tmp_path, capsys, which, options, message):
    output = tmp_path / "patches"
    images = altered(which, **options)
    assert message in _failure(capsys, *images, *local, "--output", output, *SMALL)
    assert not output.exists()


def test_sentinel2_of_another_place(spot, local, tmp_path, capsys):
    moved = []
    for path in local[1:]:
        moved.append(tmp_path / Path(path).name)
        gdal.Translate(str(moved[-1]), path, outputBounds=[600000, 5000000, 601000, 4999000])
    line = _failure(capsys, *spot, "--sentinel2", *moved, "--output", tmp_path / "patches", *SMALL)
    assert "--sentinel2: an image of the place of --xs is wanted. Received: " in line
    assert not (tmp_path / "patches").exists()


def test_missing_truncated_and_sensor_geometry_images(spot, local, tmp_path, capsys):
    output = ("--output", tmp_path / "patches", *SMALL)
    assert "--xs: expected a readable raster" in _failure(
        capsys, "--xs", tmp_path / "no.tif", *spot[2:], *local, *output
    )
    broken = tmp_path / "broken.tif"
    content = Path(spot[3]).read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    _failure(capsys, *spot[:2], "--pan", broken, *local, *output)
    gdal.Translate(str(tmp_path / "raw.tif"), spot[1])
    dataset = gdal.Open(str(tmp_path / "raw.tif"), gdal.GA_Update)
    dataset.SetProjection("")
    dataset = None
    assert "orthorectified" in _failure(capsys, "--xs", tmp_path / "raw.tif", *spot[2:], *local, *output)
    assert "does not exist" in _failure(capsys, *spot, "--sentinel2", tmp_path / "no.SAFE", *output)
    assert not (tmp_path / "patches").exists()


def test_holes_and_nan_reject_their_patches_only(altered, local, tmp_path):
    def hole(array):
        array[..., 40:44, 60:64] = 0

    images = altered("xs", hole)
    assert _run(*images, *local, "--output", tmp_path / "one", *SMALL, "--split", 1, 0, 0) == 0
    record = json.loads((tmp_path / "one" / "dataset.json").read_text())
    assert record["patches"]["train"] == 49 - 2 and _patches(tmp_path / "one", "train_hr").min() > 0
    images = altered("xs", lambda array: array[..., 40:44, 60:64].__setitem__(..., np.nan), outputType=gdal.GDT_Float32)
    assert _run(*images, *local, "--output", tmp_path / "two", *SMALL, "--split", 1, 0, 0) == 0
    assert np.array_equal(_patches(tmp_path / "two", "train_hr"), _patches(tmp_path / "one", "train_hr"))
    assert _run(*images, *local, "--output", tmp_path / "three", *SMALL, "--nodata", "none", "--split", 1, 0, 0) == 0
    assert len(_patches(tmp_path / "three", "train_hr")) == 49


def test_bands_of_xs_in_another_order_and_pan_in_another_crs(altered, local, spot, tmp_path, reference):
    images = altered("xs", bandList=[3, 2, 1, 4])
    order = ("--xs-bands", "B02,B03,B04,B08")
    assert _run(*images, *local, "--output", tmp_path / "two", *SMALL, *order) == 0
    assert np.array_equal(_patches(reference, "train_hr"), _patches(tmp_path / "two", "train_hr"))
    warped = tmp_path / "pan_2154.tif"
    gdal.Warp(str(warped), spot[3], dstSRS="EPSG:2154", xRes=1.5, yRes=1.5, resampleAlg="cubic")
    assert _run(*spot[:2], "--pan", warped, *local, "--output", tmp_path / "three", *SMALL) == 0
    record = json.loads((tmp_path / "three" / "dataset.json").read_text())
    assert "another CRS" in record["alignment"]["grids"]
    assert abs(record["alignment"]["shift_x"]) <= 1 and abs(record["alignment"]["shift_y"]) <= 1


def test_jpeg_2000_images(spot, local, tmp_path, reference):
    paths = {}
    for name, source in (("xs", spot[1]), ("pan", spot[3])):
        paths[name] = tmp_path / f"{name}.jp2"
        gdal.Translate(
            str(paths[name]), source, format="JP2OpenJPEG", creationOptions=["REVERSIBLE=YES", "QUALITY=100"]
        )
    assert _run("--xs", paths["xs"], "--pan", paths["pan"], *local, "--output", tmp_path / "jp2", *SMALL) == 0
    assert np.array_equal(_patches(tmp_path / "jp2", "test_hr"), _patches(reference, "test_hr"))


DIMAP = """<?xml version="1.0" encoding="UTF-8"?>
<Dimap_Document>
 <Metadata_Identification><METADATA_FORMAT version="2.0">DIMAP</METADATA_FORMAT></Metadata_Identification>
 <Coordinate_Reference_System><Projected_CRS>
  <PROJECTED_CRS_CODE>urn:ogc:def:crs:EPSG::32631</PROJECTED_CRS_CODE></Projected_CRS></Coordinate_Reference_System>
 <Geoposition><Geoposition_Insert><ULXMAP>{left}</ULXMAP><ULYMAP>{top}</ULYMAP><XDIM>{gsd}</XDIM><YDIM>{gsd}</YDIM>
 </Geoposition_Insert></Geoposition>
 <Raster_Data>
  <Data_Access><Data_Files>
   <Data_File tile_C="1" tile_R="1"><DATA_FILE_PATH href="{name}.TIF"/></Data_File></Data_Files></Data_Access>
  <Raster_Dimensions><NROWS>{size}</NROWS><NCOLS>{size}</NCOLS><NBANDS>{bands}</NBANDS><Tile_Set><NTILES>1</NTILES>
   <Regular_Tiling><NTILES_SIZE ncols="{size}" nrows="{size}"/><NTILES_COUNT ntiles_C="1" ntiles_R="1"/>
   </Regular_Tiling></Tile_Set></Raster_Dimensions>
  <Raster_Encoding><DATA_TYPE>INTEGER</DATA_TYPE><NBITS>16</NBITS><SIGN>UNSIGNED</SIGN></Raster_Encoding>
 </Raster_Data>
</Dimap_Document>
"""


def test_dimap_images(spot, local, tmp_path, reference):
    """The georeference is in the .XML alone, and the pixels in a plain TIFF beside it."""
    for name, source in (("XS", spot[1]), ("PAN", spot[3])):
        image = gdal.Open(source)
        left, gsd, _, top, _, _ = image.GetGeoTransform()
        values = {"left": left, "top": top, "gsd": gsd, "size": image.RasterXSize, "bands": image.RasterCount}
        (tmp_path / f"DIM_{name}.XML").write_text(DIMAP.format(name=name, **values))
        options = ["PROFILE=BASELINE"]
        gdal.Translate(str(tmp_path / f"{name}.TIF"), image, creationOptions=options)
    images = ("--xs", tmp_path / "DIM_XS.XML", "--pan", tmp_path / "DIM_PAN.XML")
    assert _run(*images, *local, "--output", tmp_path / "patches", *SMALL) == 0
    for name in ("train_lr", "train_hr"):
        assert np.array_equal(_patches(tmp_path / "patches", name), _patches(reference, name))
    assert _run("--xs", tmp_path / "DIM_XS.XML", *spot[2:], *local, "--output", tmp_path / "mixed", *SMALL) == 0
    assert "correspond" in json.loads((tmp_path / "mixed/dataset.json").read_text())["alignment"]["grids"]


def test_output_is_not_replaced_unless_asked(spot, local, tmp_path, capsys):
    output = tmp_path / "patches"
    assert _run(*spot, *local, "--output", output, *SMALL) == 0
    before = (output / "dataset.json").read_bytes()
    assert "--overwrite" in _failure(capsys, *spot, *local, "--output", output, *SMALL)
    assert (output / "dataset.json").read_bytes() == before
    assert _run(*spot, *local, "--output", output, *SMALL, "--overwrite", "--seed", 9) == 0
    assert json.loads((output / "dataset.json").read_text())["arguments"]["seed"] == 9


@pytest.mark.parametrize(
    "arguments",
    [
        ("--start-date", "15/06/2022"),
        ("--dates", "2022-08-01", "2022-07-01"),
        ("--split", "0", "0.5", "0.5"),
        ("--split", "1", "-1", "0"),
        ("--xs-bands", "B04,B03,B02"),
        ("--lr-patch-size", "0"),
        ("--nodata", "black"),
        ("--max-cloud-cover", "101"),
        ("--offset", "12"),
        ("--step", "-4"),
    ],
)
def test_usage_errors(spot, tmp_path, capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        _run(*spot, "--output", tmp_path / "patches", *arguments)
    assert caught.value.code == 2 and arguments[0] in capsys.readouterr().err
    assert not (tmp_path / "patches").exists()


def _command(*arguments):
    return [sys.executable, str(REPOSITORY / "sr_dataset.py"), *map(str, arguments)]


def test_help_needs_nothing_heavy():
    code = "import sys, sr_dataset; sr_dataset.build_parser().format_help(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert not {"numpy", "osgeo", "tensorflow", "otbApplication", "pyotb"} & set(loaded.stdout.split())


def test_no_raster_on_disk_but_the_patches(server, spot, tmp_path):
    """Watch the folders a process may write into, while it runs in one of them."""
    output, work, temporary = (tmp_path / name for name in ("patches", "work", "temporary"))
    work.mkdir()
    temporary.mkdir()
    seen, running = set(), threading.Event()
    known = {str(path) for path in Path("/tmp").iterdir()}

    def watch():
        while not running.is_set():
            for folder in (output, work, temporary):
                seen.update(str(path.relative_to(tmp_path)) for path in folder.rglob("*") if path.is_file())
            seen.update(str(path) for path in Path("/tmp").iterdir() if path.suffix in (".tif", ".vrt"))
            time.sleep(0.002)

    thread = threading.Thread(target=watch)
    thread.start()
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(REPOSITORY), "MPLCONFIGDIR": str(tmp_path)}
    command = _command(*spot, "--stac-url", server.stac_url, "--output", output, *SMALL)
    result = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)
    running.set()
    thread.join()
    assert result.returncode == 0, result.stderr
    allowed = {f"{name}_{side}.tif" for name in SETS for side in ("lr", "hr")} | {
        "dataset.json",
        "dataset.json.partial",
        "contact_sheet.png",
        ".lock",
    }
    files = {name for name in seen - known if Path(name).suffix not in (".py", ".pyc")}
    assert any("train_hr" in name for name in files)
    assert {Path(name).name for name in files} <= allowed
    assert {str(Path(name).parent) for name in files} <= {"patches", "patches/.partial"}


def test_full_disk_leaves_nothing(spot, local, tmp_path):
    """A limit on the size of files stands in for a full disk."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))

    command = _command(*spot, *local, "--output", tmp_path / "patches", *SMALL)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    code = (
        f"import signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); sys.argv = {command[1:]!r}; "
        "import sr_dataset; sys.exit(sr_dataset.main())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, preexec_fn=limit
    )
    assert result.returncode == 1, result.stderr
    assert "is the disk full?" in result.stderr.splitlines()[-1] and not (tmp_path / "patches").exists()


def test_terminated_process_leaves_nothing(server, spot, tmp_path):
    server.inject(Fault(r"B0\d\.tif", "slow", count=1000, seconds=5.0))
    output = tmp_path / "patches"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(
        _command(*spot, "--stac-url", server.stac_url, "--output", output, *SMALL),
        env=environment,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 30
    while not (output / ".partial").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.terminate()
    assert process.wait(60) == 143
    assert not output.exists()
