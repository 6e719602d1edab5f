# SPDX-License-Identifier: Apache-2.0
"""How good super-resolved images are: metrics, protocols, reports."""
