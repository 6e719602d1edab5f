# SPDX-License-Identifier: Apache-2.0
"""Shared access signatures: tokens that open the containers of a storage account for a while."""

import base64
import hashlib
import hmac
import secrets
import time
from urllib.parse import urlencode


class Tokens:
    """Issues and checks shared access signatures."""

    def __init__(self, lifetime: float):
        """Tokens are valid for `lifetime` seconds."""
        self.lifetime = lifetime
        self._key = secrets.token_bytes(32)

    def issue(self, account: str, container: str) -> dict:
        """A token for a container, as the token service answers it."""
        now = time.time()
        start, expiry = _timestamp(now - 60.0), _timestamp(now + self.lifetime)
        values = {"st": start, "se": expiry, "sp": "rl", "sv": "2024-05-04", "sr": "c"}
        values["sig"] = self._signature(account, container, values)
        return {"msft:expiry": expiry, "token": urlencode(values)}

    def refusal(self, account: str, container: str, query: dict[str, list[str]]) -> str | None:
        """Why a request's token is no good; None when it is."""
        values = {name: query[name][0] for name in ("st", "se", "sp", "sv", "sr", "sig") if name in query}
        if len(values) < 6:
            return "Public access is not permitted on this storage account."
        if not hmac.compare_digest(values.pop("sig").encode(), self._signature(account, container, values).encode()):
            return "Signature did not match."
        if _timestamp(time.time()) >= values["se"]:
            return f"Signed expiry time [{values['se']}] must be after the present."
        return None

    def revoke(self) -> None:
        """Makes every token issued so far invalid."""
        self._key = secrets.token_bytes(32)

    def _signature(self, account: str, container: str, values: dict[str, str]) -> str:
        text = "\n".join([account, container, *(values[name] for name in ("st", "se", "sp", "sv", "sr"))])
        return base64.b64encode(hmac.digest(self._key, text.encode(), hashlib.sha256)).decode()


def _timestamp(seconds: float) -> str:
    """UTC time to the microsecond, so that short lifetimes can be tested."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1e6):06d}Z"
