# SPDX-License-Identifier: Apache-2.0
"""The published files of weights of DSen2: what is known of each, and where they are fetched from.

python -c "from pathlib import Path; from weights.dsen2_published import download; download('rsp', Path('cache'))"
"""

import dataclasses
from pathlib import Path

from weights.published import GITHUB_RAW, ZENODO, Published

BAND_ORDER = ("B04", "B03", "B02", "B08")
"""Order of the 10 m bands in our models, and in all published files but those of RSP 0.3, for which it is not known."""

ORIGINAL = "original DSen2 (Lanaras et al. 2018)"
PUBLISHED = tuple(
    Published(who, name, role, tuple(levels.split()), blob, BAND_ORDER)
    for who, name, role, levels, blob in (
        (ORIGINAL, "s2_032_lr_1e-04.hdf5", "2x", "L1C", "dd4b6d49171d38534bafe7097080b7d0184eca24"),
        (ORIGINAL, "s2_030_lr_1e-05.hdf5", "6x", "L1C", "459723841e73b2bfb8bdeb50ae189868bcc8f6ae"),
        ("UP42", "l1c_ and l2a_dsen2_20m", "2x", "L1C L2A", "82251c8e1ecbc08b98b441665d0c28a914ee1935"),
        ("UP42", "l1c_dsen2_60m", "6x", "L1C", "17cddf2d5974acc00f44a27fb5d458899edc3634"),
        ("UP42", "l2a_dsen2_60m", "6x", "L2A", "73ad53957f73e833a1db2e3d9e53d8ed7b6f9deb"),
        ("RSP 0.2", "L1C20M.pt", "2x", "L1C", "c98e2378"),
        ("RSP 0.2", "L1C60M.pt", "6x", "L1C", "2454ce14"),
        ("RSP 0.2", "L2A20M.pt", "2x", "L2A", "af51c523"),
        ("RSP 0.2", "L2A60M.pt", "6x", "L2A", "200462db"),
        ("RSP 0.2.2", "L1C20M.pt", "2x", "L1C", "ff02479f"),
        ("RSP 0.2.2", "L1C60M.pt", "6x", "L1C", "f0ad754a"),
        ("RSP 0.2.2", "L2A20M.pt", "2x", "L2A", "06271b33544a165db6612b3ce9bda5aa3be04648"),
        ("RSP 0.2.2", "L2A60M.pt", "6x", "L2A", "3b7435bda15d6e17b8a6e8618bd5cb72321107f2"),
    )
)
"""Known files. UP42's two files for the 20 m bands are identical; RSP 0.1 contains UP42's."""

ORIGINAL_REPOSITORY = "lanha/DSen2"
ORIGINAL_COMMIT = "38d7209d38a298d5d4c4856e02d5dcefa94a192a"
ORIGINAL_FOLDER = "models"
"""Folder of the files in the repository."""
RSP_RECORD = 11091321
"""Number of RSP 0.2.2 at Zenodo."""


def download(source: str, cache: Path, base_url: str | None = None) -> list[Path]:
    """Download the published files of a source that are not in the cache.

    Args:
        source: `original` (GitHub) or `rsp` (RSP 0.2.2, Zenodo).
        cache: cache folder; it gets a folder for each source.
        base_url: URL to use instead of `https://raw.githubusercontent.com` or `https://zenodo.org`.

    Returns:
        The files.

    Raises:
        ValueError: the downloaded file is not the published one.
        RuntimeError: there is no connection, or the server refuses.
    """
    from weights.download import fetch, github_file, is_whole, zenodo_files

    who = {"original": ORIGINAL, "rsp": "RSP 0.2.2"}[source]
    blobs = {file.name: file.blob for file in PUBLISHED if file.who == who}
    folder = cache / f"dsen2-{source}"
    if all(is_whole(folder / name, {"blob": blob}) for name, blob in blobs.items()):
        return [folder / name for name in blobs]
    if source == "original":
        url = base_url or GITHUB_RAW
        files = [
            github_file(ORIGINAL_REPOSITORY, ORIGINAL_COMMIT, f"{ORIGINAL_FOLDER}/{name}", blob, url)
            for name, blob in blobs.items()
        ]
    else:
        files = [
            dataclasses.replace(file, expected={**file.expected, "blob": blobs[file.name]})
            for file in zenodo_files(RSP_RECORD, blobs, base_url or ZENODO)
        ]
    return [fetch(file, folder) for file in files]
