# SPDX-License-Identifier: Apache-2.0
"""Damage of files: what disks, networks and hands do to them."""

import random

WORDS = (
    b"",
    b"0",
    b"-1",
    b"1e999",
    b"NaN",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'"',
    b"<",
    b"../../etc/passwd",
    b"\xff\xfe",
)
"""What text is replaced by."""


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Return a content with one to three damages."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        content = draw.choice(KINDS)(content, draw)
    return content


def truncated(content: bytes, draw: random.Random) -> bytes:
    """Return the beginning."""
    return content[: draw.randrange(len(content) + 1)]


def flipped(content: bytes, draw: random.Random) -> bytes:
    """Return it with one bit flipped."""
    if not content:
        return content
    place = draw.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]


def zeroed(content: bytes, draw: random.Random) -> bytes:
    """Return it with a run of zeros, as of a sector that was not written."""
    place, length = draw.randrange(len(content) + 1), draw.choice((4, 64, 512, 4096))
    run = min(length, len(content) - place)
    return content[:place] + bytes(run) + content[place + run :]


def repeated(content: bytes, draw: random.Random) -> bytes:
    """Return it with a part that is there twice, as of a copy that was resumed at the wrong place."""
    place, length = draw.randrange(len(content) + 1), draw.choice((1, 16, 512))
    return content[: place + length] + content[place:]


def lacking(content: bytes, draw: random.Random) -> bytes:
    """Return it without a part."""
    place, length = draw.randrange(len(content) + 1), draw.choice((1, 16, 512))
    return content[:place] + content[place + length :]


def reworded(content: bytes, draw: random.Random) -> bytes:
    """Return it with a part replaced by a word that readers of text may stumble over."""
    place, length = draw.randrange(len(content) + 1), draw.choice((0, 1, 3, 10))
    return content[:place] + draw.choice(WORDS) + content[place + length :]


KINDS = (truncated, flipped, flipped, zeroed, repeated, lacking, reworded, reworded)
