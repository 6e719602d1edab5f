# SPDX-License-Identifier: Apache-2.0
"""Composing OTB applications: opening Sentinel-2, finding it by STAC, cutting patches, serving models."""
