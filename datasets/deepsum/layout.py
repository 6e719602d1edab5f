# SPDX-License-Identifier: Apache-2.0
"""File layout of DeepSUM's records, and the split of scenes into training and validation."""

from pathlib import Path

DESCRIPTION = "deepsum.json"
TRAINING, VALIDATION = "train", "valid"
SPLITS = {"authors": 0.7, "ours": 0.9}
"""Share of the scenes for training, by the name of the split; both shuffle the scenes as the authors did."""


def chunk_file(folder: Path, chunk: int, name: str) -> Path:
    """Return the file of a scene's patches in a chunk."""
    return folder / TRAINING / f"chunk{chunk}_{name}.tfrecord"


def scene_file(folder: Path, name: str) -> Path:
    """Return the file of a validation scene."""
    return folder / VALIDATION / f"{name}.tfrecord"
