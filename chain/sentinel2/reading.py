# SPDX-License-Identifier: Apache-2.0
"""How a user wants an input to be read. Nothing heavy is imported here: command lines are made of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """How a user wants an input to be read; what is not given is as the input says."""

    offset: int | None = None
    """Offset of the digital numbers."""
    scale: float | None = None
    """Reflectance of a number."""
    prefix: str = ""
    """Beginning of the descriptions of the bands to take."""
    suffix: str = ""
    """End of the descriptions of the bands to take."""

    def to_json(self) -> dict[str, float | str]:
        """Return what is given, but for the offset, which an opened image states by itself."""
        given = {"scale": self.scale, "band_prefix": self.prefix, "band_suffix": self.suffix}
        return {name: value for name, value in given.items() if value}
