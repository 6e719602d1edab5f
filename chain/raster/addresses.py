# SPDX-License-Identifier: Apache-2.0
"""Which addresses a document from elsewhere may make these programs read.

A STAC item, or a page of a search, that another host has sent names what is read next, with the rights and from the
place of whoever runs the program. It may name https, and the buckets that GDAL knows; the host that sent it may name
itself by http too. Files of this machine, and hosts of this machine and of its network, are not for others to name.
Redirections are held to the same. A document that is a file, or that comes from this machine or its network, may name
any host.
"""

import ipaddress
import socket
from urllib.parse import urljoin, urlsplit

import requests

SCHEMES = ("https", "s3", "gs")
LOCAL_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost", "metadata.google.internal")
HELP = "--allow-local permits it"

ALLOW_LOCAL = False
"""Whether documents may name anything; `allow_local` sets it."""


class ForbiddenAddress(ValueError):
    """A document from elsewhere names what it may not name."""


def allow_local(is_allowed: bool) -> None:
    """Set whether documents from elsewhere may name files and hosts of this machine and of its network."""
    global ALLOW_LOCAL
    ALLOW_LOCAL = is_allowed


def is_local(host: str) -> bool:
    """Return whether the name of a host says that it is this machine, or one of its network."""
    name = host.strip("[]").rstrip(".").lower()
    if name in LOCAL_NAMES or name.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        return not _address(name).is_global
    except ValueError:
        return "." not in name  # a name of the network around


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return an address of the internet in whatever form resolvers take: 127.1 and 2130706433 are 127.0.0.1 too.

    Raises:
        ValueError: it is none.
    """
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        try:
            address = ipaddress.ip_address(socket.inet_aton(name))
        except (OSError, UnicodeError):
            raise ValueError(f"expected an address, got {name}") from None
    return getattr(address, "ipv4_mapped", None) or address


def is_from_elsewhere(document: str) -> bool:
    """Return whether what lies at an address comes from another host than this machine and those of its network."""
    return document.startswith(("http://", "https://")) and not is_local(urlsplit(document).hostname or "")


def check_address(href: str, document: str) -> None:
    """Refuse an address that a document may not name.

    Args:
        href: the address, or a path.
        document: where the document comes from.

    Raises:
        ForbiddenAddress: it is a path, or of another scheme, or of a host of this machine or of its network.
    """
    if ALLOW_LOCAL or not document.startswith(("http://", "https://")):
        return
    try:
        parts, origin = urlsplit(href), urlsplit(document)
        host = parts.hostname or ""
    except ValueError as error:
        raise ForbiddenAddress(f"expected an address, got {href} ({error})") from error
    if not parts.scheme or parts.scheme == "file" or href.startswith("/"):
        raise ForbiddenAddress(f"expected addresses in a document of {origin.hostname}, got the path {href}: {HELP}")
    if not is_from_elsewhere(document):
        return
    if parts.scheme in ("http", "https") and is_local(host):
        raise ForbiddenAddress(
            f"expected a host that others may name in a document of {origin.hostname}, got {host}: {HELP}"
        )
    if parts.scheme not in SCHEMES and not (parts.scheme == "http" == origin.scheme and host == origin.hostname):
        raise ForbiddenAddress(
            f"expected https in a document of {origin.hostname}, got {parts.scheme}://{host}: {HELP}"
        )


class Session(requests.Session):
    """Requests whose redirections lead where the host that redirects may lead."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return where an answer leads.

        Raises:
            ForbiddenAddress: it may not lead there.
        """
        target = super().get_redirect_target(resp)
        if target:
            check_address(urljoin(str(resp.url), target), str(resp.url))
        return target


def check_reached(href: str, document: str, timeout: tuple[float, float]) -> None:
    """Refuse an address that leads, by its name or by redirections, to this machine or its network.

    Args:
        href: the address, signed if need be.
        document: where the document that names it comes from.
        timeout: seconds to connect, and in which the server answers.

    Raises:
        ForbiddenAddress: it leads there.
    """
    if ALLOW_LOCAL or not is_from_elsewhere(document) or not href.startswith(("http://", "https://")):
        return
    try:
        with (
            Session() as session,
            session.get(href, headers={"Range": "bytes=0-0"}, stream=True, timeout=timeout) as response,
        ):
            hosts = {urlsplit(each).hostname or "" for each in (href, str(response.url))}
    except requests.RequestException:  # whoever reads it says why it cannot be read
        return
    for host in hosts:
        try:
            found = {str(each[4][0]) for each in socket.getaddrinfo(host, None)}
        except OSError:  # a proxy knows it
            continue
        if any(is_local(address) for address in found):
            raise ForbiddenAddress(f"expected a host that others may name, got {host}, which is {min(found)}: {HELP}")
