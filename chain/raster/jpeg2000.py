# SPDX-License-Identifier: Apache-2.0
"""Whether a JPEG 2000 file is whole: its boxes, and the tile parts of its codestream (ISO/IEC 15444-1, A and I).

Decoders make pixels of what is left of a damaged file. Its structure tells what was cut off or moved, at the cost of
reading a few bytes of each tile part. Packets carry no checksum: a bit that flipped in them is not told.
"""

import functools
import struct
from dataclasses import dataclass, field

from chain.raster.http import REMOTE_PREFIXES
from chain.raster.vsi import File, State, opened, state

SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
CODESTREAM_BOX = b"jp2c"
SOC, SIZ, SOT, SOD, EOC = 0xFF4F, 0xFF51, 0xFF90, 0xFF93, 0xFFD9
EXTENDED = 1
"""Length of a box that tells its length in 8 bytes more."""
MOST_TILES = 65535


class Damaged(ValueError):
    """A JPEG 2000 file is not whole."""


def _at(file: File, offset: int, count: int) -> bytes:
    """Return bytes at a place.

    Raises:
        Damaged: they are beyond the end.
    """
    found = file.at(offset, count)
    if len(found) != count:
        raise Damaged(f"it ends after {file.size} bytes")
    return found


def _number(file: File, offset: int, form: str) -> int:
    """Return a big-endian number at a place.

    Raises:
        Damaged: it is beyond the end.
    """
    return int(struct.unpack(f">{form}", _at(file, offset, struct.calcsize(form)))[0])


@dataclass
class _Parts:
    """Tile parts that were found of a tile."""

    numbers: set[int] = field(default_factory=set)
    count: int = 0
    """How many there are, 0 where none of them tells it."""


def is_jpeg2000(name: str) -> bool:
    """Return whether a file begins as JPEG 2000 does.

    Raises:
        OSError: it cannot be opened.
    """
    with opened(name) as file:
        return _is_jpeg2000(file)


def _is_jpeg2000(file: File) -> bool:
    """Return whether a file begins as JPEG 2000 does."""
    begins = file.at(0, len(SIGNATURE))
    return begins == SIGNATURE or begins.startswith(struct.pack(">HH", SOC, SIZ))


def check_whole(name: str) -> None:
    """Hold the structure of a JPEG 2000 file against what it says of itself; other files pass.

    Of a remote file, of which each look costs a request, only the end is looked at, if it is one.

    Args:
        name: the file, as a name for GDAL.

    Raises:
        Damaged: a part of it is missing, or lies elsewhere.
    """
    found = state(name)
    if found:
        _check(name, found)


@functools.lru_cache(1024)
def _check(name: str, _: State) -> None:
    """Check a file, once for each state of it."""
    with opened(name) as file:
        if not _is_jpeg2000(file):
            return
        try:
            start, end = _codestream(file)
            if not (name.startswith(REMOTE_PREFIXES) and _number(file, end - 2, "H") == EOC):
                _check_tiles(file, start, end)
        except Damaged as error:
            raise Damaged(f"{name}: expected a whole JPEG 2000 file, got a damaged one ({error})") from None


def _codestream(file: File) -> tuple[int, int]:
    """Return where the codestream begins and ends.

    Raises:
        Damaged: there is none, or a box is longer than the file.
    """
    if _at(file, 0, len(SIGNATURE)) != SIGNATURE:
        return 0, file.size
    place, found = 0, None
    while place < file.size:
        length, kind, header = _number(file, place, "I"), _at(file, place + 4, 4), 8
        if length == EXTENDED:
            length, header = _number(file, place + 8, "Q"), 16
        end = place + length if length else file.size
        if end > file.size or (length and length < header):
            raise Damaged(f"its box at byte {place} should end at {end} of {file.size}")
        if kind == CODESTREAM_BOX and found is None:
            found = place + header, end
        place = end
    if found is None:
        raise Damaged("it has no codestream")
    return found


def _check_tiles(file: File, start: int, end: int) -> None:
    """Walk a codestream from tile part to tile part.

    Raises:
        Damaged: a marker is not where it has to be, or a part is missing.
    """
    if _number(file, start, "H") != SOC or _number(file, start + 2, "H") != SIZ:
        raise Damaged("its codestream has no header")
    tiles = _tiles(file, start + 4)
    parts = {number: _Parts() for number in range(tiles)}
    place = _next(file, start + 2, SOT, end)
    while (marker := _number(file, place, "H")) == SOT:
        tile, length, part, count = struct.unpack(">HIBB", _at(file, place + 4, 8))
        following = place + length if length else end - 2
        if tile not in parts or part in parts[tile].numbers or length and length < 14 or following > end - 2:
            raise Damaged(f"its tile part at byte {place} is not one of {tiles} tiles, or too long")
        _next(file, place + 12, SOD, following)
        parts[tile].numbers.add(part)
        parts[tile].count = parts[tile].count or count
        place = following
    if marker != EOC:
        raise Damaged(f"it has neither a tile part nor its end at byte {place}")
    short = [tile for tile, each in parts.items() if each.numbers != set(range(each.count or len(each.numbers) or 1))]
    if short:
        raise Damaged(f"{len(short)} of its {tiles} tiles are not whole, the first of them tile {short[0]}")


def _tiles(file: File, place: int) -> int:
    """Return the number of tiles that the header tells, from the length of SIZ on."""
    right, bottom, _, _, width, height, left, top = struct.unpack(">8I", _at(file, place + 4, 32))
    if not width or not height or right <= left or bottom <= top:
        raise Damaged("its header tells no tiles")
    tiles = -(-(right - left) // width) * -(-(bottom - top) // height)
    if tiles > MOST_TILES:
        raise Damaged(f"its header tells {tiles} tiles")
    return tiles


def _next(file: File, place: int, wanted: int, end: int) -> int:
    """Return where a marker lies, at a place where one lies or after it, by the lengths of those between.

    Raises:
        Damaged: something else lies there, or `end` comes first.
    """
    while (marker := _number(file, place, "H")) != wanted:
        if marker < 0xFF01 or marker in (SOT, SOD, EOC) or place >= end:
            raise Damaged(f"it has no marker at byte {place}")
        place += 2 + _number(file, place + 2, "H")
    return place
