# SPDX-License-Identifier: Apache-2.0
"""Rasters through GDAL and OTB: grids, blocks of pixels, masks, areas of interest, images over HTTP."""
