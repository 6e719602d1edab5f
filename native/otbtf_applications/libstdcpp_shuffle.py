# SPDX-License-Identifier: Apache-2.0
"""``std::shuffle`` of GNU libstdc++ with a default-seeded ``std::default_random_engine``, reproduced exactly.

OTBTF shuffles the groups of its samples with this pair, so its random split is the same on every run, but
belongs to the library it was compiled with. Neither the permutation nor the distribution is fixed by the C++
standard; what is followed here is libstdc++ of GCC 11 to 14: the engine is ``minstd_rand0`` (Park and Miller
1988, multiplier 16807), a uniform integer is drawn by rejection and division, and two swaps are made from one
draw wherever the square of the number of elements fits in the range of the engine.

    python -c "from otbtf_applications.libstdcpp_shuffle import shuffled; print(shuffled(range(10)))"
"""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_MULTIPLIER = 16807
_MODULUS = 2**31 - 1
_RANGE = _MODULUS - 2
"""Largest minus smallest value of the engine."""


class _DefaultRandomEngine:
    """``std::default_random_engine``, seeded with its default seed."""

    def __init__(self) -> None:
        self._state = 1

    def below(self, bound: int) -> int:
        """Draw what ``std::uniform_int_distribution<>(0, bound - 1)`` does, bound < 2**31 - 2."""
        scaling = _RANGE // bound
        while True:
            self._state = self._state * _MULTIPLIER % _MODULUS
            drawn = self._state - 1
            if drawn < bound * scaling:
                return drawn // scaling


def shuffled(elements: Sequence[T]) -> list[T]:
    """Return the elements in the order in which libstdc++'s ``std::shuffle`` leaves them.

    Args:
        elements: At most 2**31 - 3 elements.

    Raises:
        ValueError: If there are more elements than the engine can index with one draw.
    """
    count = len(elements)
    if count >= _RANGE:
        raise ValueError(f"elements: expected at most {_RANGE - 1} to shuffle, got {count}")
    result = list(elements)
    engine = _DefaultRandomEngine()

    def swap(i: int, j: int) -> None:
        result[i], result[j] = result[j], result[i]

    if count == 0:
        return result
    if _RANGE // count < count:
        for i in range(1, count):
            swap(i, engine.below(i + 1))
        return result
    if count % 2 == 0:
        swap(1, engine.below(2))
    for i in range(2 - count % 2, count, 2):
        first, second = divmod(engine.below((i + 1) * (i + 2)), i + 2)
        swap(i, first)
        swap(i + 1, second)
    return result
