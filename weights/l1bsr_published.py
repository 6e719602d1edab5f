# SPDX-License-Identifier: Apache-2.0
"""The published weights of L1BSR: known files and their download.

They are under the GPL-3.0, the licence of their repository, and so are works derived from them.

python -c "from pathlib import Path; from weights.l1bsr_published import download; download(Path('cache'))"
"""

from pathlib import Path

from weights.published import GITHUB_RAW, Published

BANDS = ("B02", "B03", "B04", "B08")
"""Order of the bands, in the files and in our models."""
AUTHORS = "L1BSR (Nguyen et al. 2023)"
LICENCE = "GPL-3.0"
REPOSITORY = "centreborelli/L1BSR"
COMMIT = "296a8e8d29ecfe044fe0698cc1726450ab617e44"
FOLDER = "trained_models"
"""Folder of the files in the repository."""

PUBLISHED = tuple(
    Published(AUTHORS, name, network, ("L1B",), blob, BANDS)
    for name, network, blob in (
        ("REC_Real_L1B.pt", "REC", "55a5e01bb70fd7e34a29d09494013c6a79c7770b"),
        ("CSR_Real_L1B.pth.tar", "CSR", "17edadc1a1327e47f6f3e87ef84ebfa66c580463"),
    )
)
"""Known files."""


def download(cache: Path, base_url: str | None = None) -> list[Path]:
    """Download the published files that are not in the cache.

    Args:
        cache: cache folder; it gets a folder for L1BSR.
        base_url: URL to use instead of `https://raw.githubusercontent.com`.

    Returns:
        The files.

    Raises:
        ValueError: the downloaded file is not the published one.
        RuntimeError: there is no connection, or the server refuses.
    """
    from weights.download import fetch, github_file

    url, folder = base_url or GITHUB_RAW, cache / "l1bsr"
    return [
        fetch(github_file(REPOSITORY, COMMIT, f"{FOLDER}/{file.name}", file.blob, url), folder) for file in PUBLISHED
    ]
