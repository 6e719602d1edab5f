# SPDX-License-Identifier: Apache-2.0
"""Weights: the authors' published files, found, checked and converted to this project's models."""
