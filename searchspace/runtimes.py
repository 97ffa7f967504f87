"""The names of what can run a detector, and in which numbers."""

from __future__ import annotations

from typing import Literal

Runtime = Literal[
    "eager",
    "channels_last",
    "compile",
    "cudagraphs",
    "onnxruntime",
    "openvino",
    "tensorrt",
]
"""PyTorch as it is, with channels innermost, through Inductor, through CUDA graphs; or another."""

Precision = Literal["float32", "bfloat16", "float16", "int8"]
"""The numbers that convolutions are computed in; boxes and scores are always float32."""
