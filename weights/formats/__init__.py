# SPDX-License-Identifier: Apache-2.0
"""Readers of other frameworks' weights files that never execute any of their content."""
