# SPDX-License-Identifier: Apache-2.0
"""How words of the command lines are read, and how errors end."""

import argparse
import contextlib
import importlib
import os
import subprocess
import sys

import pytest

from chain.runtime import command_line
from chain.runtime.provenance import software_version
from inference import spot7


def _run(error, debug=False, verbose=False):
    def command(arguments):
        raise error

    parser = argparse.ArgumentParser(prog="program")
    return command_line.run(parser, argparse.Namespace(debug=debug, verbose=verbose), command)


@pytest.mark.parametrize(
    "error, line",
    [
        (ValueError("--input: wanted.\n  Received: this"), "program: error: --input: wanted. Received: this"),
        (KeyError("key"), "program: error: KeyError: 'key'"),
        (RuntimeError(""), "program: error: RuntimeError"),
        (RuntimeError("itk::ERROR: GDALImageIO(0x55d0): Cannot read"), "program: error: Cannot read"),
        (
            RuntimeError(
                "Exception thrown in otbApplication Application_ExecuteAndWriteOutput: ./Modules/IO/src/otbX.cxx:270:\n"
                'itk::ERROR: TensorflowModelServe(0x55d0): Tensor name "x" not found.'
            ),
            'program: error: Tensor name "x" not found.',
        ),
        (
            RuntimeError("Exception thrown in otbApplication Application_Execute: ./a.cxx:1: No input image"),
            "program: error: No input image",
        ),
        (OSError("http://host/B04.tif?st=1&sig=secret%3D refused"), "program: error: http://host/B04.tif refused"),
        (RuntimeError("first line\n" + "x" * 1000), "program: error: first line"),
    ],
)
def test_an_error_is_one_line_and_status_1(capsys, error, line):
    assert _run(error) == 1
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", line + "\n")


def test_an_interruption_is_status_130(capsys):
    assert _run(KeyboardInterrupt()) == 130
    assert capsys.readouterr() == ("", "program: interrupted; the same command goes on\n")


def test_debug_lets_errors_pass():
    with pytest.raises(KeyError):
        _run(KeyError("key"), debug=True)


@pytest.mark.parametrize(("words", "level"), [({}, "3"), ({"verbose": True}, "0"), ({"debug": True}, "0")])
def test_libraries_tell_what_they_do_when_they_are_asked(monkeypatch, words, level):
    for name in command_line.LOUD:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    with pytest.raises(ValueError) if "debug" in words else contextlib.nullcontext():
        assert _run(ValueError("any"), **words) == 1
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == level


def test_quiet_and_verbose_are_told_apart(capsys):
    parser = argparse.ArgumentParser()
    command_line.add_program_arguments(parser)
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["--quiet", "--verbose"])
    assert ended.value.code == 2 and "not allowed with" in capsys.readouterr().err


def test_what_the_user_set_stays(monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    _run(ValueError("any"))
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"


@pytest.mark.parametrize("program", ["sr_dataset.py", "-m train.spot7", "-m inference.spot7", "-m simulate.scenes"])
def test_help_imports_nothing_heavy(program):
    command = [sys.executable, "-X", "importtime", *program.split(), "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.split("|")[-1].strip() for line in result.stderr.splitlines()}
    assert result.stdout.startswith("usage:")
    assert not imported & {"tensorflow", "otbApplication", "osgeo", "numpy", "matplotlib", "pyotb"}


@pytest.mark.parametrize(
    "module",
    [
        *("sr_dataset", "train.spot7", "train.dsen2", "train.l1bsr", "train.deepsum"),
        *("inference.spot7", "inference.dsen2", "inference.l1bsr", "inference.deepsum", "datasets.deepsum.records"),
        *("weights.convert_dsen2", "weights.convert_l1bsr", "weights.convert_deepsum", "evaluation.l1bsr_networks"),
        *("evaluation.l1bsr_sharpness",),
    ],
)
def test_each_program_tells_its_version(module, capsys):
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(module).main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"otb-super-resolution {software_version()}\n"


@pytest.mark.parametrize("words", [["--", "a\nb"], ["--no\nsuch"], ["--st\n"]])
def test_words_of_several_lines_are_refused_in_one(words, capsys):
    with pytest.raises(SystemExit) as ended:
        spot7.main(["--input", "a.tif", "--output", "b.tif", "--model-dir", "m", *words])
    assert ended.value.code == 2
    usage, _, said = capsys.readouterr().err.rpartition("python -m inference.spot7: error: ")
    assert usage and len(said.splitlines()) == 1
