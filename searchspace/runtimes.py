"""Names of runtimes and precisions."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator

from searchspace.names import Names

Precision = Literal["float32", "bfloat16", "float16", "int8"]
"""The numbers that convolutions are computed in; boxes and scores are always float32."""

_TORCH: tuple[Precision, ...] = ("float32", "bfloat16", "float16")

RUNTIMES = Names[tuple[Precision, ...]](
    "runtime",
    {
        "eager": _TORCH,
        "channels_last": _TORCH,
        "compile": _TORCH,
        "cudagraphs": _TORCH,
        "onnxruntime": ("float32", "int8"),
        "openvino": get_args(Precision),
        "tensorrt": ("float32", "float16"),
    },
)
"""The precisions of each runtime: PyTorch as it is, with channels innermost, through Inductor,
through CUDA graphs; or another. What they do is in `detectors.runtimes`, which adds those of users'
modules."""


def _quantises(name: str) -> str:
    if "int8" not in RUNTIMES[RUNTIMES.check(name)]:
        able = [runtime for runtime, precisions in RUNTIMES.items() if "int8" in precisions]
        raise ValueError(f"runtime {name!r} has no int8; choose from {', '.join(able)}")
    return name


Runtime = Annotated[str, AfterValidator(RUNTIMES.check)]
"""The name of a runtime."""

Quantiser = Annotated[str, AfterValidator(_quantises)]
"""The name of a runtime that runs int8."""
