# SPDX-License-Identifier: Apache-2.0
"""Credentials in addresses and texts: what may be written into files and messages holds none.

    without_credentials("https://a.blob.core.windows.net/c/B04.tif?sv=1&sig=abc: 403")
    # 'https://a.blob.core.windows.net/c/B04.tif: 403'

Signatures tell who may read, and until when, not what: without them, an address that was signed anew is the same.
"""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

AZURE = "sig|se|sp|spr|sr|ss|srt|st|sv|skoid|sktid|skt|ske|sks|skv"
"""Parameters of Azure's signatures, all of which go with `sig`."""
KEYS = (
    r"sig|se|signature|token|access[-_]?token|id[-_]?token|refresh[-_]?token|auth[-_]?token|sas|sas[-_]?token|"
    r"api[-_]?key|subscription[-_]?key|secret|client[-_]?secret|password|passwd|pwd|userpwd|awsaccesskeyid|"
    r"googleaccessid|key-pair-id|policy|expires|x-(?:amz|goog|oss|ms)-[\w-]*"
)
"""Parameters of addresses that hold credentials, or end with these."""
WORDS = r"sig|token|access[-_]?token|api[-_]?key|subscription[-_]?key|password|userpwd|x-(?:amz|goog)-[\w-]*"
"""Those that are credentials outside addresses too."""
ENVIRONMENT = re.compile(
    r"AWS_(SECRET_ACCESS_KEY|SESSION_TOKEN)|AZURE_STORAGE_(ACCESS_KEY|SAS_TOKEN|CONNECTION_STRING)|"
    r"PC_SDK_SUBSCRIPTION_KEY|GDAL_HTTP_(USERPWD|BEARER|PROXYUSERPWD)|GS_(SECRET_ACCESS_KEY|OAUTH2_\w+)|OSS_SECRET_\w+"
)
"""Variables of the environment whose values are credentials."""
SHORTEST = 6
"""Characters of the shortest value of the environment that is looked for in texts."""

_SEPARATOR = r"(?:[?&;]|&amp;|\\u0026|%26|%3F)"
_VALUE = r"(?:=|%3D)(?:(?!&amp;|\\u0026|%26|[,:.)\]]+(?:\s|$))[^&;\s'\"<>\\])*"
_USER = re.compile(r"(:(?://|%2F%2F))[^/\s'\"@?#<>]+@", re.IGNORECASE)
_IN_ADDRESS = re.compile(rf"({_SEPARATOR})(?:{KEYS}){_VALUE}", re.IGNORECASE)
_OF_AZURE = re.compile(rf"({_SEPARATOR})(?:{AZURE}){_VALUE}", re.IGNORECASE)
_SIGNED = re.compile(rf"{_SEPARATOR}sig(?:=|%3D)", re.IGNORECASE)
_IN_TEXT = re.compile(rf"(?<![\w-])(?:{WORDS})=[^&;\s'\"<>]+", re.IGNORECASE)
_HEADER = re.compile(
    r"((?:proxy-)?authorization|x-api-key|ocp-apim-subscription-key|(?:set-)?cookie)(['\"]?\s*[:=]\s*['\"]?)"
    r"(?:(?:bearer|basic|digest|token|negotiate|aws4-hmac-sha256)\s+)?[^\s'\",]+",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(bearer|basic)\s+(?=\S*[\d=])[\w.~+/%-]{6,}=*", re.IGNORECASE)
_EMPTIED = re.compile(r"\?(?:&|&amp;|;)+(?=[^\s'\"<>])|[?&](?=[?&]*(?:$|[\s'\"<>),:]))")
_HINTS = re.compile(r"[=@]|%3D|bearer|basic|authorization|cookie|key", re.IGNORECASE)


def without_credentials(text: str) -> str:
    """Return a text without signatures, tokens, passwords and headers that hold them."""
    return _cleaned_text(text, _of_environment())


def _cleaned_text(text: str, values: Sequence[str]) -> str:
    """Return a text without credentials, those of the environment given by their values."""
    for value in values:
        text = text.replace(value, "***")
    if not _HINTS.search(text):
        return text
    text = _HEADER.sub(r"\1\2***", text)
    text = _BEARER.sub(r"\1 ***", text)
    found = _USER.sub(r"\1", text)
    if _SIGNED.search(found):
        found = _without(_OF_AZURE, found)
    found = _without(_IN_ADDRESS, found)
    found = _IN_TEXT.sub("", found)
    return found if found == text else _EMPTIED.sub(lambda match: "?" if len(match[0]) > 1 else "", found)


def _without(pattern: re.Pattern, text: str) -> str:
    """Return a text without parameters; those that follow take the place of the first."""
    return pattern.sub(lambda match: "?" if match[1] == "?" else "", text).replace("?&amp;", "?").replace("?&", "?")


def _of_environment() -> list[str]:
    """Return the credentials that the environment holds, the longest first."""
    found = {value for name, value in os.environ.items() if ENVIRONMENT.fullmatch(name) and len(value) >= SHORTEST}
    return sorted(found, key=len, reverse=True)


def cleaned(content: Any) -> Any:
    """Return content of JSON without credentials, in keys and in values."""
    values = _of_environment()

    def clean(content: Any) -> Any:
        if isinstance(content, str):
            return _cleaned_text(content, values)
        if isinstance(content, Mapping):
            return {clean(key): clean(value) for key, value in content.items()}
        if isinstance(content, list | tuple):
            return [clean(each) for each in content]
        return content

    return clean(content)


def _filter() -> None:
    """Copy the standard input to the standard output, line by line, without credentials."""
    for line in iter(sys.stdin.buffer.readline, b""):
        os.write(1, without_credentials(line.decode(errors="surrogateescape")).encode(errors="surrogateescape"))


if __name__ == "__main__":
    _filter()
