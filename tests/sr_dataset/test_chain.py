# SPDX-License-Identifier: Apache-2.0
"""sr_dataset.py from end to end: what patches come out, whatever happens on the way."""

import json
import os

import numpy as np
import pytest
from osgeo import gdal

import sr_dataset
from simulate.planetary_computer import Fault
from tests.examples import slow
from tests.sr_dataset.program import CLEAR, SETS, SMALL, failure, patches_of, run


def test_from_query_topatches_of(server, spot, tmp_path, capsys):
    output = tmp_path / "patches"
    assert run(*spot, "--stac-url", server.stac_url, "--output", output, *SMALL) == 0
    record = json.loads((output / "dataset.json").read_text())
    assert record["sentinel2"]["id"] == CLEAR and record["sentinel2"]["offset"] == -1000
    assert record["sentinel2"]["cover"]["cloudy"] < 0.01
    expected = {f"{name}_{side}.tif" for name in SETS for side in ("lr", "hr")} | {"dataset.json", "contact_sheet.png"}
    assert set(os.listdir(output)) == expected
    for name in SETS:
        lr, hr = patches_of(output, f"{name}_lr"), patches_of(output, f"{name}_hr")
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
    assert run(*spot, *local, "--output", output, *SMALL, "--split", 1, 0, 0) == 0
    stack = pyotb.ConcatenateImages(il=list(local[1:]))
    lr = pyotb.Superimpose(inr=spot[1], inm=stack).to_numpy()
    raw = np.rint(np.clip(lr, 0, 65535))
    hr = np.rint(np.clip(pyotb.BundleToPerfectSensor(inp=spot[3], inxs=spot[1]).to_numpy(), 0, 65535))
    coarse, fine = patches_of(output, "train_lr"), patches_of(output, "train_hr")
    starts = [(x, y) for y in range(2, 128 - 16 + 1, 16) for x in range(1, 128 - 16 + 1, 16)]
    assert len(coarse) == len(starts)
    for (x, y), one, other in zip(starts, coarse, fine):
        assert np.array_equal(other, np.maximum(hr[4 * y : 4 * y + 64, 4 * x : 4 * x + 64], 1))
        assert np.abs(one - (raw[y : y + 16, x : x + 16] - 1000)).max() <= 1


@pytest.mark.slow
def test_strips_and_repetition_change_nothing(spot, local, tmp_path, monkeypatch):
    from chain.patches import patches

    assert run(*spot, *local, "--output", tmp_path / "one", *SMALL, "--step", 8, "--seed", 5) == 0
    monkeypatch.setattr(patches, "STRIP_PIXELS", 60_000)
    assert run(*spot, *local, "--output", tmp_path / "two", *SMALL, "--step", 8, "--seed", 5) == 0
    for name in (f"{name}_{side}" for name in SETS for side in ("lr", "hr")):
        one, two = (sorted(map(bytes, patches_of(tmp_path / folder, name))) for folder in ("one", "two"))
        assert one == two


def test_radiometry_tfrecords_and_item_by_hand(server, spot, tmp_path):
    from otbtf import TFRecords

    item = next(item for item in json.loads(json.dumps(server.catalogue.items)) if "20220728" in item["id"])["id"]
    output = tmp_path / "patches"
    options = ("--item", item, "--match-radiometry", "--tfrecords", "--split", 0.6, 0.2, 0.2)
    assert run(*spot, "--stac-url", server.stac_url, "--output", output, *SMALL, *options) == 0
    record = json.loads((output / "dataset.json").read_text())
    assert record["sentinel2"]["id"] == item and record["sentinel2"]["offset"] == 0
    assert len(record["radiometry"]) == 4 and all(0.7 < line["gain"] < 1.4 for line in record["radiometry"])
    count = record["patches"]["train"]
    dataset = TFRecords(str(output / "train")).read(batch_size=1, target_keys=["hr"], drop_remainder=False)
    batches = list(dataset)
    assert len(batches) == count and batches[0][0]["lr"].shape == (1, 16, 16, 4)


@pytest.mark.slow
def test_matching_brings_the_means_together(spot, local, scene, tmp_path):
    options = {}
    altered = tmp_path / "xs.tif"
    gdal.Translate(str(altered), spot[1], scaleParams=[[0, 10000, 200, 5200]], outputType=gdal.GDT_UInt16)
    for name, option in (("plain", ()), ("matched", ("--match-radiometry",))):
        output = tmp_path / name
        assert run("--xs", altered, *spot[2:], *local, "--output", output, *SMALL, *option) == 0
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


@pytest.mark.parametrize(
    "fault",
    [fault if fault in ("busy", "truncated") else slow(fault) for fault in FAULTS],
)
@pytest.mark.parametrize("when", [slow("opening"), "reading"])
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
    assert run(*spot, "--stac-url", server.stac_url, "--output", output, *SMALL) == 0
    assert server.counters()["requests"]["fault"] == FAULTS[fault]["count"]
    assert "sig=" not in "".join(capfd.readouterr())
    for name in SETS:
        assert np.array_equal(patches_of(output, f"{name}_lr"), patches_of(reference, f"{name}_lr"))


@pytest.mark.slow
def test_tokens_which_expire_or_are_revoked_midrun(server, spot, reference, tmp_path, monkeypatch):
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
    assert run(*spot, "--stac-url", server.stac_url, "--output", output, *SMALL) == 0
    assert len(strips) > 5 and server.counters()["requests"]["token"] > 5
    for name in SETS:
        assert sorted(map(bytes, patches_of(output, f"{name}_lr"))) == sorted(
            map(bytes, patches_of(reference, f"{name}_lr"))
        )


def test_storms_of_refusals_end_in_one_line(server, spot, tmp_path, capsys, monkeypatch):
    from chain.patches import patches
    from chain.raster import http

    monkeypatch.setattr(http, "TRIES", 2)
    monkeypatch.setattr(patches, "ATTEMPTS", 2)
    for pattern, status in (("/search", 503), ("/token/", 429), (r"SCL\.tif", 503), (r"B0\d\.tif", 403)):
        server.clear_faults()
        server.inject(Fault(pattern, "status", count=10**6, status=status, retry_after=0))
        failure(capsys, *spot, "--stac-url", server.stac_url, "--output", tmp_path / "patches", *SMALL)
        assert not (tmp_path / "patches").exists()


def test_no_network_no_item(server, spot, tmp_path, capsys):
    output = ("--output", tmp_path / "patches", *SMALL)
    remote = (*spot, "--stac-url", server.stac_url, *output)
    assert "no item" in failure(capsys, *remote, "--dates", "2019-01-01", "2019-02-01")
    assert "--item" in failure(capsys, *remote, "--item", "absent")
    assert "--max-cloud-cover" in failure(capsys, *remote, "--dates", "2022-07-10", "2022-07-15")
    server.stop()
    assert "Connection refused" in failure(capsys, *remote)
    assert not (tmp_path / "patches").exists()
