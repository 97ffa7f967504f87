"""Names of runtimes and precisions."""

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
"""PyTorch eager, in channels_last format, compiled by Inductor or with CUDA graphs; or others."""

Precision = Literal["float32", "bfloat16", "float16", "int8"]
"""The precision of convolutions; boxes and scores are always float32."""
