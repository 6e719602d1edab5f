# SPDX-License-Identifier: Apache-2.0
"""L1BSR's training samples: the same ground, seen by two neighbouring detectors of Sentinel-2."""
