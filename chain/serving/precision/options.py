# SPDX-License-Identifier: Apache-2.0
"""The options of precision and engine: `--precision`, `--engine`, `--max-error`."""

from dataclasses import dataclass

from chain.runtime.options import BaseOptions, above, option
from chain.serving.engines.opening import ENGINES

PRECISIONS = ("float32", "bfloat16", "int8", "auto")
MAX_ERROR = 2.0
"""Error that `auto` allows, in digital numbers."""
GROUP = "precision and engine"


@dataclass(frozen=True, kw_only=True)
class PrecisionOptions(BaseOptions):
    """In which precision networks compute, and what runs them."""

    precision: str = option(
        "float32",
        "of the networks' inner convolutions; int8 is made from tiles of the input and needs OpenVINO; auto: the "
        "fastest whose error on such tiles is within --max-error",
        choices=PRECISIONS,
        group=GROUP,
    )
    engine: str | None = option(
        None,
        "what runs the networks; auto tries this one only (default: otbtf in the otbtf image, else tensorflow; "
        "openvino for int8; all for auto)",
        choices=ENGINES,
        group=GROUP,
    )
    max_error: float = option(
        MAX_ERROR,
        "root mean square difference from float32 that auto allows, in digital numbers",
        metavar="DN",
        check=above(0),
        group=GROUP,
    )

    def check(self) -> None:
        """Refuse options that do not go together."""
        super().check()
        if self.precision == "int8" and self.engine not in (None, "openvino"):
            raise ValueError(f"--engine: expected openvino with --precision int8, got {self.engine}")
        if self.precision == "bfloat16" and self.engine == "openvino":
            raise ValueError("--engine: expected otbtf or tensorflow with --precision bfloat16, got openvino")
