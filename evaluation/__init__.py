# SPDX-License-Identifier: Apache-2.0
"""Quality of super-resolved images: metrics, protocols and reports."""
