# SPDX-License-Identifier: Apache-2.0
"""Download of published files, from a commit at GitHub or a record at Zenodo.

Files are identified by content. An incomplete download is kept under a temporary name and resumed by the next attempt;
a file is renamed when it is complete and its content is right.

    python -c "from weights.download import zenodo_files; print(zenodo_files(11091321, ['L2A20M.pt']))"
"""

import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import requests
from tqdm import tqdm
from urllib3.exceptions import HTTPError, MaxRetryError

from chain.raster.http import retry, within
from chain.runtime.files import locked, no_link, replace
from weights.published import GITHUB_RAW, ZENODO, mismatch

ATTEMPTS = 5
DELAY = 1.0
"""Pause after the first failure, in seconds; doubled after each."""
TIMEOUT = (15, 60)
"""Seconds to wait for a connection, and for data."""
CHUNK = 1 << 16
"""Bytes that are read at once, at most."""
SLOWEST = 1000
"""Bytes per second below which, over `WATCHED` seconds, an attempt ends."""
WATCHED = 60.0
BUSY = (429, 500, 502, 503, 504)
"""HTTP statuses of a server that may answer later."""


Result = TypeVar("Result")


class Interrupted(RuntimeError):
    """A server has not sent the requested content, but may do so at the next attempt."""


AGAIN = (
    *(Interrupted, TimeoutError, HTTPError),
    *(requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError),
)


@dataclass(frozen=True)
class RemoteFile:
    """A file to download."""

    name: str
    """Local name."""
    url: str
    expected: dict[str, str]
    """Its digests: `blob` (of git), `sha256` or `md5`, each complete or its first digits."""
    size: int | None = None
    """Number of bytes, if known."""


def github_file(repository: str, commit: str, path: str, blob: str, base_url: str = GITHUB_RAW) -> RemoteFile:
    """Describe a file of a commit at GitHub.

    Args:
        repository: owner and name.
        commit: id of the commit.
        path: the file in the repository.
        blob: its git blob id.
        base_url: URL of the server.
    """
    url = f"{base_url.rstrip('/')}/{repository}/{commit}/{path}"
    return RemoteFile(Path(path).name, url, {"blob": blob})


def _check_status(response: requests.Response) -> None:
    """Raise an error unless a server has sent the requested content.

    Raises:
        Interrupted: it may do so later.
        RuntimeError: it refuses.
    """
    if response.status_code in BUSY:
        raise Interrupted(f"HTTP status {response.status_code}")
    if response.status_code not in (200, 206):
        raise RuntimeError(f"download: the server refuses {response.url}: HTTP status {response.status_code}")


def _persist(action: Callable[[], Result], url: str) -> Result:
    """Run a network operation, with several attempts.

    Raises:
        RuntimeError: every attempt has failed, the server cannot be reached at all, or there is no such address.
    """

    def tell(error: Exception, attempt: int, delay: float) -> None:
        if attempt == 1 and error.args and isinstance(error.args[0], MaxRetryError):  # no connection was made
            raise _no_connection(error, url) from error
        tqdm.write(f"{url}: {_reason(error)}; attempt {attempt + 1} of {ATTEMPTS} in {delay:g} s", sys.stderr)

    try:
        return retry(action, AGAIN, ATTEMPTS, DELAY, tell)
    except (*AGAIN, requests.RequestException) as error:
        raise _no_connection(error, url) from error


def _no_connection(error: Exception, url: str) -> RuntimeError:
    return RuntimeError(f"download: cannot connect to {url} ({_reason(error)})")


def _reason(error: Exception) -> str:
    """Return the reason of a failed attempt; the text of requests for a lost connection is long."""
    if isinstance(error, (Interrupted, TimeoutError)):
        return str(error)
    return f"the connection failed ({type(error).__name__})"


def zenodo_files(record: int, names: Collection[str], base_url: str = ZENODO) -> list[RemoteFile]:
    """Get the URLs, sizes and checksums of a record's files from Zenodo.

    Args:
        record: number of the record.
        names: names of the files.
        base_url: URL of the server.

    Raises:
        ValueError: the answer is not a record's, or the record lacks a file.
        RuntimeError: there is no connection, or the server refuses.
    """
    url = f"{base_url.rstrip('/')}/api/records/{record}"

    def ask() -> requests.Response:
        response = within(sum(TIMEOUT), lambda: requests.get(url, timeout=TIMEOUT))
        _check_status(response)
        return response

    answer = _persist(ask, url)
    try:
        found = {file["key"]: file for file in answer.json()["files"]}
        files = []
        for name in names:
            algorithm, digest = found[name]["checksum"].split(":")
            files.append(RemoteFile(name, found[name]["links"]["self"], {algorithm: digest}, found[name]["size"]))
        return files
    except (ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"download: expected a record with {', '.join(names)}, got another one from {url} ({reason})"
        ) from error


def _receive(file: RemoteFile, partial: Path) -> None:
    """Download a file, or its missing part.

    Raises:
        Interrupted: the download is incomplete.
        RuntimeError: the server refuses.
    """
    start = partial.stat().st_size if partial.exists() else 0
    if start and start == file.size:
        return
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
    with within(
        sum(TIMEOUT), lambda: requests.get(file.url, headers=headers, stream=True, timeout=TIMEOUT)
    ) as response:
        continued = response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        if response.status_code == 416 or response.status_code == 206 and not continued:
            partial.unlink()
            raise Interrupted("the server cannot continue the file")
        _check_status(response)
        if response.status_code == 200:
            start = 0
        length = response.headers.get("Content-Length")
        end = start + int(length) if length else file.size
        progress = tqdm(total=end, initial=start, unit="B", unit_scale=True, desc=file.name)
        with open(partial, "ab" if start else "wb", opener=no_link) as stream, progress:
            for chunk in _chunks(response):
                stream.write(chunk)
                progress.update(len(chunk))
                if end is not None and stream.tell() > end:
                    break
    received = partial.stat().st_size
    if end is not None and received < end:
        raise Interrupted(f"received {received} of {end} bytes")


def _chunks(response: requests.Response) -> Iterator[bytes]:
    """Yield what a server sends, as it comes.

    Raises:
        Interrupted: it drips.
        urllib3.exceptions.HTTPError: the connection is lost, or silent.
    """
    since, received = time.monotonic(), 0
    while chunk := response.raw.read1(CHUNK, decode_content=True):
        yield chunk
        received += len(chunk)
        seconds = time.monotonic() - since
        if seconds > WATCHED:
            if received < SLOWEST * seconds:
                raise Interrupted(f"expected {SLOWEST} bytes per second, got {received / seconds:.0f}")
            since, received = time.monotonic(), 0


def fetch(file: RemoteFile, folder: Path) -> Path:
    """Download a file, unless it already exists.

    Args:
        file: the file.
        folder: folder to write into, created if necessary.

    Returns:
        Its path.

    Raises:
        ValueError: the downloaded content is wrong; it is deleted.
        RuntimeError: there is no connection, the server refuses, or another process downloads the same file.
    """
    path, partial = folder / file.name, folder / f"{file.name}.partial"
    if is_whole(path, file.expected):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    refusal = RuntimeError(f"download: another process is fetching {path}")
    with locked(folder / f".{file.name}.lock", refusal):
        _persist(lambda: _receive(file, partial), file.url)
        difference = mismatch(partial, file.expected)
        if difference:
            partial.unlink()
            raise ValueError(f"download: {difference} from {file.url}")
        replace(partial, path)
    return path


def is_whole(path: Path, expected: dict[str, str]) -> bool:
    """Return whether a file exists and has the expected digests."""
    return path.is_file() and not mismatch(path, expected)
