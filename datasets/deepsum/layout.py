# SPDX-License-Identifier: Apache-2.0
"""Where DeepSUM's records lie in their folder, and how scenes are shared out between training and validation."""

from pathlib import Path

DESCRIPTION = "deepsum.json"
TRAINING, VALIDATION = "train", "valid"
SPLITS = {"authors": 0.7, "ours": 0.9}
"""Share of the scenes that is for training, by the name of the split; both shuffle them as the authors did."""


def chunk_file(folder: Path, chunk: int, name: str) -> Path:
    """Return the file of a scene's patches of a chunk."""
    return folder / TRAINING / f"chunk{chunk}_{name}.tfrecord"


def scene_file(folder: Path, name: str) -> Path:
    """Return the file of a scene for validation."""
    return folder / VALIDATION / f"{name}.tfrecord"
