# SPDX-License-Identifier: Apache-2.0
"""`--scheduler`: regions and scenes on workers that are other processes, lost ones and broken scenes among them.

The workers are in network namespaces of their own, as on other machines, where this machine allows that.
"""

import json
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from osgeo import gdal

from chain.runtime.resources import VARIABLES
from chain.serving.dask import scheduler
from chain.serving.dask.job import make_region, refusal
from chain.serving.journal import opened_journal, parts_folder
from chain.serving.network import Network
from chain.serving.production import Production
from inference import dsen2, spot7
from models.description import read_description
from tests import toy_models
from tests.conftest import REPOSITORY

pytest.importorskip("distributed", reason="Dask is not installed: pip install -r requirements/dask.txt")

BANDS = ("B04", "B03", "B02", "B08")
PATIENCE = 60
"""Seconds after which a process that does not answer is a failure."""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {"nearest": toy_models.nearest(root / "nearest"), "blurring": toy_models.blurring(root / "blurring")}


@pytest.fixture
def image(write_raster):
    """Return a function that writes a Sentinel-2 raster with described bands."""

    def write(name="s2.tif", side=200, seed=0):
        pixels = np.random.default_rng(seed).integers(1, 9000, (side, side, 4)).astype(np.uint16)
        return str(write_raster(name, pixels, bands=BANDS))

    return write


def command(path, model, *more):
    inputs = path if isinstance(path, list) else [path]
    return [str(word) for word in ("--input", *inputs, "--model-dir", model, "--offset", 0, "--tile-size", 64, *more)]


def pixels_of(path):
    return gdal.Open(str(path)).ReadAsArray()


def made_by(product):
    """Return the process that made each region that is there, by the log."""
    try:
        lines = (parts_folder(product) / "regions.log").read_text().splitlines()
    except FileNotFoundError:
        return []
    return [int(line.rpartition(":")[2]) for line in lines]


def wait_for(condition):
    """Wait until a condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@contextmanager
def process(*arguments, prefix=(), **options):
    """Run a process for a while."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    running = subprocess.Popen([*prefix, sys.executable, *map(str, arguments)], env=environment, **options)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


@contextmanager
def namespace(number):
    """Give the beginning of a command that runs in a network namespace of its own, and the address there of this one.

    Without the right to make one, commands run as they are.
    """
    name, network = f"sr{os.getpid()}n{number}", f"198.18.{os.getpid() % 250}"
    here, there = (f"{network}.{4 * number + k}" for k in (1, 2))
    made = [f"ip netns add {name}", f"ip link add {name}h type veth peer name {name}t netns {name}"]
    made += [f"ip addr add {here}/30 dev {name}h", f"ip link set {name}h up"]
    made += [f"ip -n {name} addr add {there}/30 dev {name}t", f"ip -n {name} link set {name}t up"]
    made += [f"ip -n {name} link set lo up"]
    try:
        for line in made:
            subprocess.run(line.split(), check=True, capture_output=True)
        yield ["ip", "netns", "exec", name], here
    except (OSError, subprocess.CalledProcessError):
        yield [], "127.0.0.1"
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Return the address of a scheduler, and its two workers, separate processes."""
    folder = tmp_path_factory.mktemp("cluster")
    file = folder / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    with ExitStack() as stack:
        enter = stack.enter_context
        enter(process("-m", "dask", "scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", file, **quiet))
        wait_for(lambda: file.exists() and file.read_text())
        port = json.loads(file.read_text())["address"].rpartition(":")[2]
        workers = []
        for number in (1, 2):
            prefix, host = enter(namespace(number))
            options = ["--no-nanny", "--nthreads", "2", "--no-dashboard", "--local-directory", folder]
            address = f"tcp://{host}:{port}"
            workers.append(enter(process("-m", "dask", "worker", address, *options, prefix=prefix, **quiet)))
        yield SimpleNamespace(address=f"tcp://127.0.0.1:{port}", workers=workers)


@pytest.fixture
def alone(tmp_path):
    """Return a function that gives the pixels of the product that a run without workers makes."""

    def make(path, model):
        output = tmp_path / f"alone_{Path(path).name}"
        assert spot7.main(command(path, model, "--output", output)) == 0
        return pixels_of(output)

    return make


@pytest.mark.slow
def test_product_is_the_same_when_a_worker_is_killed_in_the_middle(tmp_path, image, models, cluster, alone):
    path, output, seen = image(side=250), tmp_path / "sr.tif", []
    first, second = cluster.workers

    def kill():
        wait_for(lambda: {first.pid, second.pid} <= set(made_by(output)))
        first.send_signal(signal.SIGKILL)
        seen.extend(made_by(output))

    killer = threading.Thread(target=kill)
    killer.start()
    assert spot7.main(command(path, models["blurring"], "--output", output, "--scheduler", cluster.address)) == 0
    killer.join()
    assert 2 <= len(seen) < 150 and first.wait(PATIENCE) == -signal.SIGKILL
    np.testing.assert_array_equal(pixels_of(output), alone(path, models["blurring"]))
    assert not parts_folder(output).exists()


@pytest.mark.slow
def test_one_broken_scene_does_not_stop_the_others(tmp_path, image, models, cluster, alone, capfd):
    good, broken = [image("a.tif", seed=1), image("b.tif", seed=2)], Path(image("broken.tif"))
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    more = ["--output-dir", tmp_path / "out", "--scheduler", cluster.address]
    assert spot7.main(command([good[0], broken, good[1]], models["nearest"], *more)) == 1
    captured = capfd.readouterr()
    table = captured.out.splitlines()[-3:]
    assert [line.split()[0] for line in table] == ["a", "broken", "b"] and "failed: Error while" in table[1]
    assert "error: 1 of 3 scenes failed: broken" in captured.err
    for path in good:
        made = pixels_of(tmp_path / "out" / f"{Path(path).stem}_SR.tif")
        np.testing.assert_array_equal(made, alone(path, models["nearest"]))
    assert spot7.main(command(good, models["nearest"], "--output-dir", tmp_path / "out")) == 0
    assert capfd.readouterr().out.count("done before") == 2


@pytest.mark.slow
def test_a_run_that_is_ended_is_resumed_without_workers(tmp_path, image, models, cluster, alone):
    path, output = image(side=250), tmp_path / "sr.tif"
    words = command(path, models["blurring"], "--output", output)
    with process("-m", "inference.spot7", *words, "--scheduler", cluster.address, stderr=subprocess.PIPE) as client:
        wait_for(lambda: len(made_by(output)) > 5)
        client.send_signal(signal.SIGTERM)
        _, errors = client.communicate(timeout=PATIENCE)
    assert client.returncode == 130 and "python -m inference.spot7: interrupted" in errors.decode()
    assert 5 < len(made_by(output)) < 150 and not output.exists()
    assert spot7.main(words) == 0
    assert json.loads(Path(f"{output}.json").read_text())["resumed_regions"] > 5
    np.testing.assert_array_equal(pixels_of(output), alone(path, models["blurring"]))


@pytest.mark.slow
def test_workers_of_this_machine(tmp_path, image, models, alone, capfd):
    path, output = image(), tmp_path / "sr.tif"
    more = ["--output", output, "--scheduler", "processes", "--workers", 1, "--worker-memory", "4GB"]
    assert spot7.main(command(path, models["blurring"], *more, "--no-stac")) == 0
    lines = [line for line in capfd.readouterr().err.splitlines() if line and "px/s" not in line]
    assert len(lines) == 1 and re.fullmatch(r"--scheduler: dashboard at http://127.0.0.1:\d+/status", lines[0])
    np.testing.assert_array_equal(pixels_of(output), alone(path, models["blurring"]))


def test_a_scheduler_that_does_not_answer_is_refused_in_one_line(tmp_path, image, models, monkeypatch, capfd):
    monkeypatch.setattr(scheduler, "CONNECT_SECONDS", 1)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
        more = ["--output", tmp_path / "sr.tif", "--scheduler", address]
        assert spot7.main(command(image(), models["nearest"], *more)) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert f"error: --scheduler: expected a Dask scheduler that answers, got {address}, " in line
    assert sorted(file.name for file in tmp_path.iterdir()) == ["s2.tif"]


def test_dask_is_asked_for_when_it_is_not_installed(tmp_path, image, models, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "distributed", None)
    more = ["--output", tmp_path / "sr.tif", "--scheduler", "processes"]
    assert spot7.main(command(image(), models["nearest"], *more)) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert "--scheduler requires Dask: pip install -r requirements/dask.txt (no module" in line


def test_dask_is_not_loaded_without_it(tmp_path):
    words = command("none.tif", "none", "--output", tmp_path / "sr.tif")
    script = f"import sys; from inference import spot7; spot7.main({words})"
    loaded = "assert 'chain.serving.dask.scheduler' in sys.modules"
    with process("-c", f"{script}; {loaded}; assert not {{'dask', 'distributed'}} & set(sys.modules)") as running:
        assert running.wait(PATIENCE) == 0


@pytest.mark.parametrize(
    "more, option",
    [
        (("--scheduler", "10.0.0.1:8786"), "--scheduler"),
        (("--scheduler", "processes", "--block-range", "1/2"), "--scheduler"),
        (("--scheduler", "processes", "--assemble"), "--scheduler"),
        (("--workers", "2"), "--workers"),
        (("--scheduler", "tcp://10.0.0.1:8786", "--worker-memory", "3GB"), "--worker-memory"),
        (("--scheduler", "processes", "--worker-memory", "much"), "--worker-memory"),
        (("--scheduler", "processes", "--workers", "0"), "--workers"),
    ],
)
def test_wrong_usage_ends_with_status_2(tmp_path, capsys, more, option):
    with pytest.raises(SystemExit) as end:
        spot7.main(command("s2.tif", "model", "--output", tmp_path / "sr.tif", *more))
    assert end.value.code == 2 and option in capsys.readouterr().err


def test_original_tiling_is_not_for_workers(tmp_path, capsys):
    with pytest.raises(SystemExit):
        dsen2.main(["--input", "x", "--output", "y.tif", "--tiling", "original", "--scheduler", "processes"])
    assert "--tiling original and --scheduler are mutually exclusive" in capsys.readouterr().err


@pytest.fixture
def begun(tmp_path, image, models, monkeypatch):
    """Return the job of a product that is begun, as the client makes it, and its journal."""
    monkeypatch.setenv("SR_THREADS", "1")
    for name in VARIABLES:
        monkeypatch.setenv(name, "1")
    monkeypatch.chdir(tmp_path)
    image(side=40)
    (tmp_path / "nearest").symlink_to(models["nearest"])
    options = spot7.Options(model_dir="nearest")
    workers = scheduler.DaskWorkers(None, "inference.spot7", options, 1)
    with spot7.PROGRAM.opened(["s2.tif"], options) as (product, recipe):
        chosen = Network(read_description(models["blurring"]), models["blurring"], "tensorflow")
        production = Production(options, product, replace(recipe, networks=(chosen,)))
        identity = production.identity()
        output, notes = Path("sr.tif"), {"layout": production.layout(identity).to_json()}
        with opened_journal(output, identity, production.regions, notes) as journal:
            yield (
                workers.job(["s2.tif"], output, production.recipe.networks, identity),
                replace(journal, product=tmp_path / "sr.tif"),
            )


def test_a_worker_takes_the_clients_networks_and_makes_each_region_once(tmp_path, begun, models, monkeypatch, alone):
    job, journal = begun
    expected = alone("s2.tif", models["blurring"])
    monkeypatch.setattr("chain.serving.production.prepared_for", None)
    monkeypatch.chdir("/")
    for region in journal.regions:
        make_region(pickle.loads(pickle.dumps(job)), region)
        stamp = journal.file(region).stat().st_mtime_ns
        make_region(job, region)
        assert journal.file(region).stat().st_mtime_ns == stamp
        place = slice(region.y, region.y + region.rows), slice(region.x, region.x + region.columns)
        np.testing.assert_array_equal(pixels_of(journal.file(region)), expected[(slice(None), *place)])


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"software": "0.0"}, "expected workers of this project's version 0.0, got "),
        ({"identity": "other"}, "expected workers that share the product's folder, got "),
        ({"output": Path("/none/sr.tif")}, "expected workers that share the product's folder, got "),
        ({"networks": "moved"}, "expected workers that share the models' folder, or XDG_CACHE_HOME, got "),
    ],
)
def test_a_worker_tells_why_it_cannot_work(begun, change, reason):
    job, journal = begun
    if "networks" in change:
        change = {"networks": (replace(job.networks[0], model_dir="/none"),)}
    assert refusal(job) is None and reason in refusal(replace(job, **change))
    with pytest.raises(RuntimeError, match=f"^--scheduler: {reason}"):
        make_region(replace(job, name="other", **change), journal.regions[0])


def test_a_worker_that_sees_another_input_is_refused(begun, tmp_path):
    job, journal = begun
    os.utime(tmp_path / "s2.tif", (1, 1))
    with pytest.raises(ValueError, match="^--scheduler: expected workers that see the client's input, got "):
        make_region(job, journal.regions[0])


def workers_of(client):
    return scheduler.DaskWorkers(client, "inference.spot7", None, None)


def raising(error):
    def fail():
        raise error

    return SimpleNamespace(result=fail)


def test_a_region_that_costs_several_workers_is_given_up():
    from distributed import KilledWorker

    error = KilledWorker("key", SimpleNamespace(memory_limit=3e9, address="tcp://worker"), 3)
    wanted = "^--scheduler: 4 workers died of the region at column 0, row 64, the last with 3.0 GB of memory"
    with pytest.raises(RuntimeError, match=wanted):
        workers_of(None)._result(raising(error), "the region at column 0, row 64")


def test_a_scheduler_that_is_lost_is_told():
    from distributed.client import FutureCancelledError

    error = FutureCancelledError("key", "scheduler-connection-lost", "Client lost")
    with pytest.raises(RuntimeError, match="^--scheduler: expected a scheduler that stays, got scheduler-connect"):
        workers_of(None)._result(raising(error), "the region at column 0, row 0")


@pytest.mark.parametrize(
    "workers, received", [({}, "none"), ({"a": {"status": "paused"}}, "1 that are paused, for want")]
)
def test_workers_that_do_not_come_back_are_not_waited_for_without_end(monkeypatch, workers, received):
    client = SimpleNamespace(scheduler_info=lambda: {"workers": workers})
    waiting = workers_of(client)
    assert waiting._places() == 0
    monkeypatch.setattr(scheduler, "WORKER_SECONDS", -1)
    with pytest.raises(RuntimeError, match=f"^--scheduler: expected workers, got {received}"):
        waiting._places()
    workers["b"] = {"status": "running"}
    assert waiting._places() == scheduler.AHEAD
