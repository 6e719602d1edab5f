# SPDX-License-Identifier: Apache-2.0
"""How the tests run the program, and read what it writes."""

import numpy as np
from osgeo import gdal

import sr_dataset

SMALL = ("--lr-patch-size", "16", "--hr-patch-size", "64")
SETS = ("train", "valid", "test")
CLEAR = "S2B_MSIL2A_20220618T105629_R008_T31UDQ_20220618T235959"


def run(*arguments):
    return sr_dataset.main([str(argument) for argument in arguments])


def patches_of(folder, name):
    dataset = gdal.Open(str(folder / f"{name}.tif"))
    size = dataset.RasterXSize
    return np.moveaxis(dataset.ReadAsArray(), 0, -1).reshape(-1, size, size, dataset.RasterCount)


def failure(capsys, *arguments):
    """Run, and return the one line of error."""
    assert run(*arguments) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("sr_dataset.py: error:")]
    assert len(lines) == 1 and "Traceback" not in lines[0] and "sig=" not in lines[0]
    return lines[0]
