# SPDX-License-Identifier: Apache-2.0
"""The published checkpoints of DeepSUM: what is known of each, and where they are fetched from.

The repository that they are in states no licence. Nothing of them is part of this project: who fetches them decides
what may be done with them.

python -c "from pathlib import Path; from weights.deepsum_published import download; download(['NIR'], Path('cache'))"
"""

from collections.abc import Sequence
from pathlib import Path

from weights.published import GITHUB_RAW, Published

DATA = ".data-00000-of-00001"
INDEX = ".index"
INDEX_SIZE = 6265
"""Number of bytes of each published index, whose git blob id is not known: TensorFlow compares its checksums."""
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
"""Known checkpoints, by the ids of the files that hold the numbers; the role is the band."""


def download(bands: Sequence[str], cache: Path, base_url: str | None = None) -> list[Path]:
    """Fetch published checkpoints, those that are not in the cache.

    Args:
        bands: `NIR`, `RED` or both.
        cache: folder of the files; there is one for each checkpoint of DeepSUM in it.
        base_url: address in place of `https://raw.githubusercontent.com`.

    Returns:
        The files that hold the numbers.

    Raises:
        ValueError: what comes is not the published file.
        RuntimeError: there is no connection, or the server refuses.
    """
    return [_fetch(file, cache, base_url or GITHUB_RAW) for file in PUBLISHED if file.role in bands]


def _fetch(file: Published, cache: Path, base_url: str) -> Path:
    """Fetch a checkpoint's two files, and return the one that holds the numbers.

    Raises:
        ValueError: what comes is not the published file.
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
