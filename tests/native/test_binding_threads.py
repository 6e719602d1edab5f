# SPDX-License-Identifier: Apache-2.0
"""While OTB computes: other Python threads run, progress is reported, logs reach sys.stdout, interpreters end well."""

import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import otbApplication as otb


def smoothing(size=600):
    app = otb.Registry.CreateApplicationWithoutLogger("Smoothing")
    array = np.random.default_rng(3).random((size, size, 1), np.float32)
    app.SetVectorImageFromNumpyArray("in", array)
    app.SetParameters({"type": "mean", "type.mean.radius": 8})
    return app


def test_other_threads_run_while_otb_computes():
    app = smoothing()
    app.Execute()
    computing, beats = threading.Event(), []

    def beat():
        while not computing.wait(0.005):
            beats.append(time.perf_counter())

    thread = threading.Thread(target=beat)
    thread.start()
    start = time.perf_counter()
    app.GetVectorImageAsNumpyArray("out")
    end = time.perf_counter()
    computing.set()
    thread.join()
    during = [beat for beat in beats if start < beat < end]
    assert len(during) >= min(5, (end - start) / 0.05), (len(during), end - start)


def test_observers():
    app = smoothing(100)
    calls = []
    command = otb.itkPyCommand.New()
    command.SetCommandCallable(lambda: calls.append(app.GetProgressSource().GetProgress()))
    tag = app.AddObserver(otb.itkUserEvent(), command)
    assert app.HasObserver(otb.itkUserEvent()) and app.GetCommand(tag) is not None
    app.SetParameterString("out", "/vsimem/observed.tif")
    app.Execute()
    assert calls == []
    source = app.GetProgressSource()
    if source is not None:
        assert 0 <= source.GetProgress() <= 1
    app.RemoveObserver(tag)
    assert not app.HasObserver(otb.itkUserEvent())


def test_progress_of_writing(tmp_path):
    app = smoothing(100)
    progress = []

    def watch():
        command = otb.itkPyCommand.New()
        process = app.GetProgressSource()
        command.SetCommandCallable(lambda: progress.append(process.GetProgress()))
        process.AddObserver(otb.itkProgressEvent(), command)

    added = otb.itkPyCommand.New()
    added.SetCommandCallable(watch)
    app.AddObserver(otb.AddProcessToWatchEvent(), added)
    app.SetParameterString("out", str(tmp_path / "out.tif"))
    app.ExecuteAndWriteOutput()
    assert progress and progress[-1] == 1 and progress == sorted(progress)


def test_error_in_an_observer():
    app = smoothing(10)
    command = otb.itkPyCommand.New()
    command.SetCommandCallable(lambda: 1 / 0)
    app.AddObserver(otb.itkUserEvent(), command)
    try:
        app.InvokeEvent(otb.itkUserEvent())
    except RuntimeError as error:
        assert str(error) == "ZeroDivisionError: division by zero"
    else:
        raise AssertionError("no error")


def test_log_and_progress_go_to_stdout(write_raster, tmp_path, capsys):
    path = str(write_raster("in.tif", np.zeros((20, 30), np.uint8)))
    app = otb.Registry.CreateApplication("ExtractROI")
    app.SetParameters({"in": path, "out": str(tmp_path / "out.tif")})
    app.ExecuteAndWriteOutput()
    app.GetLogger().Info("a line of ours")
    text = capsys.readouterr().out
    assert "(INFO) ExtractROI: " in text
    assert "Writing " in text and "100% [" in text
    assert "a line of ours" in text
    quiet = otb.Registry.CreateApplicationWithoutLogger("ExtractROI")
    quiet.SetParameters({"in": path, "out": str(tmp_path / "out.tif")})
    quiet.ExecuteAndWriteOutput()
    assert "ExtractROI" not in capsys.readouterr().out


def test_log_to_a_callback():
    class Callback(otb.PythonPrintCallback):
        def __init__(self):
            self.text = ""

        def Call(self, content):
            self.text += content

    callback, output = Callback(), otb.PythonLogOutput.New()
    output.SetCallback(callback)
    app = otb.Registry.CreateApplicationWithoutLogger("BandMath")
    app.GetLogger().AddLogOutput(output)
    app.GetLogger().Warning("beware")
    assert "(WARNING) BandMath: beware\n" in callback.text


def test_interpreters_end_well(write_raster):
    path = str(write_raster("in.tif", np.zeros((20, 30), np.uint8)))
    program = textwrap.dedent(
        f"""
        import otbApplication as otb
        kept = [otb.Registry.CreateApplication("PatchesSelection"), otb.Registry.CreateApplication("ExtractROI")]
        kept[1].SetParameterString("in", {path!r})
        kept[1].Execute()
        array = kept[1].GetVectorImageAsNumpyArray("out")
        otb.Registry.CleanRegistry()
        """
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
