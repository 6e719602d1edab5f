# SPDX-License-Identifier: Apache-2.0
"""Published files: their description, and their identification by content.

python -c "from weights.published import digests; print(digests('s2_032_lr_1e-04.hdf5'))"
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

GITHUB_RAW = "https://raw.githubusercontent.com"
ZENODO = "https://zenodo.org"
CHUNK = 1 << 20


def is_web_address(text: str) -> bool:
    """Return whether a text is the URL of a server, with http or https and a host."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    return parts.scheme in ("http", "https") and bool(re.fullmatch(r"[\w.:-]+", host)) and port != 0


def digests(path: str | Path) -> dict[str, str]:
    """Compute a file's git blob id (`blob`), `sha256` and `md5`, in hexadecimal.

    Raises:
        OSError: the file cannot be read.
    """
    path = Path(path)
    blob = hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as stream:
        while chunk := stream.read(CHUNK):
            for digest in (blob, sha256, md5):
                digest.update(chunk)
    return {"blob": blob.hexdigest(), "sha256": sha256.hexdigest(), "md5": md5.hexdigest()}


def mismatch(path: str | Path, expected: dict[str, str]) -> str:
    """Describe how the digests of a file differ from the expected ones; empty if they do not.

    Args:
        path: the file.
        expected: digests by the names of `digests`, each complete or its first digits.
    """
    received = digests(path)
    differences = [
        f"expected {name} {digest}, got {received[name]}"
        for name, digest in expected.items()
        if not received[name].startswith(digest)
    ]
    return "; ".join(differences)


@dataclass(frozen=True)
class Published:
    """A published weights file."""

    who: str
    """Its publisher."""
    name: str
    """Its published name."""
    role: str
    """Role of its network."""
    levels: tuple[str, ...]
    """Processing levels of the products that it is for."""
    blob: str
    """Git blob id, or its known first digits."""
    band_order: tuple[str, ...]
    """Bands of the first input, in the file's order."""

    @property
    def matched_by(self) -> str:
        """The part of the digest that is compared."""
        return "git blob id" if len(self.blob) == 40 else f"first {len(self.blob)} digits of the git blob id"


def identify(blob: str, published: Iterable[Published]) -> Published | None:
    """Return the published file with a git blob id."""
    return next((file for file in published if blob.startswith(file.blob)), None)
