# SPDX-License-Identifier: Apache-2.0
"""Weights: download, check and conversion of the authors' published files to this project's models."""
