# SPDX-License-Identifier: Apache-2.0
"""Signatures of Planetary Computer.

URLs of Azure's blob storage are signed as late as possible, with tokens that are renewed in the last minute of their
lifetime. Other servers (Earth Search) need no signature.
"""

import json
from typing import Any
from urllib.parse import urlparse

from chain.raster.http import RemoteError

BLOB_STORAGE = ".blob.core.windows.net"
MARGIN = 60.0
"""Seconds before the end of a token's life in which it is renewed."""


def sign(href: str) -> str:
    """Return a readable URL: signed if it is in Azure's blob storage, unchanged otherwise.

    Raises:
        RemoteError: the token server gives no token after several attempts.
    """
    parts = urlparse(href)
    if not parts.netloc.split(":")[0].endswith(BLOB_STORAGE) or parts.query:
        return href
    account, container = parts.netloc.split(".")[0], parts.path.lstrip("/").split("/")[0]
    try:
        return _token(account, container).sign(href).href
    except RemoteError as error:
        raise RemoteError(f"no access token for {account}/{container}: {error}") from error


def forget_tokens() -> None:
    """Make the next signature request a new token, after the server has refused the current one."""
    from planetary_computer.sas import TOKEN_CACHE

    TOKEN_CACHE.clear()


def _token(account: str, container: str) -> Any:
    """Return a token of Planetary Computer, as its SDK keeps them, with time limits that the SDK's request lacks.

    Args:
        account: the storage account.
        container: the container in it.

    Raises:
        RemoteError: there is none.
    """
    from planetary_computer.sas import TOKEN_CACHE, SASToken
    from planetary_computer.settings import Settings

    from chain.raster.documents import read_text

    settings = Settings.get()
    url = f"{settings.sas_url}/{account}/{container}"
    found = TOKEN_CACHE.get(url)
    if found is None or found.ttl() < MARGIN:
        key = settings.subscription_key
        text = read_text(url, {"Ocp-Apim-Subscription-Key": key} if key else None)
        try:
            found = SASToken(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise RemoteError(f"{urlparse(url).hostname}: expected a token ({type(error).__name__})") from error
        TOKEN_CACHE[url] = found
    return found
