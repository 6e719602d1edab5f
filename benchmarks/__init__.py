# SPDX-License-Identifier: Apache-2.0
"""Measurements of speed, memory and disk; `make bench` runs them all and writes RESULTS.md."""
