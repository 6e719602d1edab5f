# SPDX-License-Identifier: Apache-2.0
"""Regions and scenes on many processes or machines."""
