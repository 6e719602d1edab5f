# SPDX-License-Identifier: Apache-2.0
"""A small product, its regions, and what makes them, for the tests of journals."""

import multiprocessing
import re
from types import SimpleNamespace

import numpy as np
import pytest
from osgeo import gdal, osr

from chain.raster.grids import Grid, Region, plan
from chain.serving import journal as regions
from chain.serving.journal import finished_journal, opened_journal
from chain.serving.layout import Layout
from chain.serving.product_file import assemble, write_product

IDENTITY = {"input": {"files": {"/data/s2.tif": {"bytes": 7}}}, "models": [{"crop": 8}], "float": False}


AREA = Region(0, 0, 70, 50)


REGIONS = plan(AREA, 20)


VALUES = np.random.default_rng(0).integers(1, 9000, (50, 70)).astype(np.float32)


SPAWN = multiprocessing.get_context("spawn")


PATIENCE = 60


"""Seconds after which a process that does not answer is a failure."""


def layout():
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(32631)
    return Layout(Grid(300000.0, 5000040.0, 1.5, 1.5, AREA.columns, AREA.rows, crs.ExportToWkt()), ("B04",))


def values_of(region):
    """Return what a maker computes."""
    values = VALUES[region.y : region.y + region.rows, region.x : region.x + region.columns]
    return {"B04": (values, np.ones(values.shape, bool))}


def maker(before=lambda region: None):
    """Return a maker of `VALUES` that calls a function before it computes a region."""

    def compute(region, blocks):
        before(region)
        return values_of(region)

    return SimpleNamespace(read=lambda region: None, compute=compute)


def write(path, made=None, **options):
    return write_product(path, layout(), REGIONS, made or maker(), **{"identity": IDENTITY, **options})


def assembled(path):
    """Make the product of its regions."""
    with finished_journal(path) as journal:
        assemble(journal)


def pixels(path):
    return gdal.Open(str(path)).ReadAsArray()


def content_of(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def log_of(path):
    """Return the lines of a log as dictionaries."""
    pattern = (
        r"(?P<moment>\S+) x=(?P<x>\d+) y=(?P<y>\d+) columns=(?P<columns>\d+) rows=(?P<rows>\d+) "
        r"seconds=(?P<seconds>\d+\.\d\d) process=(?P<process>\S+)"
    )
    text = regions.parts_folder(path).joinpath("regions.log").read_text()
    assert not text or text.endswith("\n")
    return [re.fullmatch(pattern, line).groupdict() for line in text.splitlines()]


def region_of(line):
    return Region(*(int(line[name]) for name in ("x", "y", "columns", "rows")))


# What stands in the journal


def begun_journal(path):
    """Leave a journal as an interrupted process does."""
    with pytest.raises(KeyboardInterrupt), opened_journal(path, IDENTITY, REGIONS, {"layout": layout().to_json()}):
        raise KeyboardInterrupt
