# SPDX-License-Identifier: Apache-2.0
"""Landscapes and sensors with known truth, for the demo, the tests and the benchmarks.

A seeded landscape at 1.5 m (`landscape`), seen by Spot-7 and Sentinel-2 (`sensors`), written as scenes of
Cloud-Optimized GeoTIFFs with their STAC items (`scenes`), which a local stand-in for Planetary Computer
(`planetary_computer`) serves.

    python -m simulate.scenes --output demo/scenes
    python -m simulate.planetary_computer --folder demo/scenes -- python sr_dataset.py --help
"""
