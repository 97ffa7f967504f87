"""The numbers that a training computes in, and how PyTorch's backends are set for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from detectors.blocks import is_depthwise
from detectors.detector import Detector
from searchspace.training import TrainConfig


def autocast_type(precision: str, detector: Detector, device: torch.device) -> torch.dtype:
    """The type that convolutions compute in.

    `auto` is bfloat16 on GPUs that have it, and on CPUs with AMX for dense convolutions: small
    depthwise ones are faster in float32 there.
    """
    if precision != "auto":
        return getattr(torch, precision)
    if device.type == "cuda":
        # Older GPUs emulate bfloat16, which takes longer than float32.
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float32
    depthwise = any(is_depthwise(layer) for layer in detector.backbone.modules())
    amx = torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if amx and not depthwise else torch.float32


@contextlib.contextmanager
def backends(config: TrainConfig, device: torch.device) -> Iterator[None]:
    """Set cuDNN and cuBLAS for a training on a GPU, and as they were afterwards.

    Algorithms of convolutions are chosen by trying them where all steps have one input size; what
    is computed in float32 is rounded to TF32 where `config.tf32` allows it.
    """
    if device.type != "cuda":
        yield
        return
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    # pyrefly: ignore[missing-attribute] (the module is replaced when it is imported)
    convolutions = cudnn.conv
    before = cudnn.benchmark, convolutions.fp32_precision, products.fp32_precision
    precision = "tf32" if config.tf32 else "ieee"
    try:
        cudnn.benchmark = not config.multi_scale.active
        convolutions.fp32_precision = products.fp32_precision = precision
        yield
    finally:
        cudnn.benchmark, convolutions.fp32_precision, products.fp32_precision = before
