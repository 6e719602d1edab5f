# SPDX-License-Identifier: Apache-2.0
"""The published checkpoints of DeepSUM: known files and their download.

Their repository states no licence. They are not part of this project: users who download them must find out what they
may do with them.

python -c "from pathlib import Path; from weights.deepsum_published import download; download(['NIR'], Path('cache'))"
"""

from collections.abc import Sequence
from pathlib import Path

from weights.published import GITHUB_RAW, Published

DATA = ".data-00000-of-00001"
INDEX = ".index"
INDEX_SIZE = 6265
"""Size in bytes of each published index. Its git blob id is unknown, but TensorFlow compares its checksums."""
AUTHORS = "DeepSUM (Molini et al. 2020)"
REPOSITORY = "diegovalsesia/deepsum"
COMMIT = "a1ef5ff4f32d9b819de50dec44edd575930a93cd"
FOLDER = "DeepSUM/checkpoints"
"""Folder of the checkpoints in the repository."""

PUBLISHED = tuple(
    Published(AUTHORS, name, band, (), blob, ())
    for name, band, blob in (
        ("DeepSUM_NIR_lr_5e-06_bsize_8/model.ckpt-968999", "NIR", "88cbe2804020e283d27454cc67514f42d5c87a5d"),
        (
            "DeepSUM_NIRpretraining_RED_lr_5e-06_bsize_8/model.ckpt-1119999",
            "RED",
            "d86fcbc03f00bf589ff2009e734f6b9becbdfff5",
        ),
    )
)
"""Known checkpoints, with the ids of their data files; the role is the band."""


def download(bands: Sequence[str], cache: Path, base_url: str | None = None) -> list[Path]:
    """Download the published checkpoints that are not in the cache.

    Args:
        bands: `NIR`, `RED` or both.
        cache: cache folder; it gets a folder for each checkpoint of DeepSUM.
        base_url: URL to use instead of `https://raw.githubusercontent.com`.

    Returns:
        The data files.

    Raises:
        ValueError: the downloaded file is not the published one.
        RuntimeError: there is no connection, or the server refuses.
    """
    return [_fetch(file, cache, base_url or GITHUB_RAW) for file in PUBLISHED if file.role in bands]


def _fetch(file: Published, cache: Path, base_url: str) -> Path:
    """Download the two files of a checkpoint, and return the data file.

    Raises:
        ValueError: the downloaded file is not the published one.
        RuntimeError: there is no connection, or the server refuses.
    """
    from weights.download import RemoteFile, fetch, github_file

    folder = (cache / "deepsum" / file.name).parent
    data = github_file(REPOSITORY, COMMIT, f"{FOLDER}/{file.name}{DATA}", file.blob, base_url)
    path = fetch(data, folder)
    url = data.url.removesuffix(DATA) + INDEX
    index = fetch(RemoteFile(Path(url).name, url, {}, INDEX_SIZE), folder)
    size = index.stat().st_size
    if size != INDEX_SIZE:
        index.unlink()
        raise ValueError(f"download: expected an index of {INDEX_SIZE} bytes, got {size} from {url}")
    return path
