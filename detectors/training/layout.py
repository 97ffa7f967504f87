"""The order in which a training keeps images, maps and weights in memory."""

from __future__ import annotations

import torch

from searchspace.detector import DetectorConfig

DENSE_AT_FULL_SIZE = frozenset({"vgg16"})
"""Kinds of backbones with dense convolutions on maps of the input's own size."""


def layout(detector: DetectorConfig, device: torch.device) -> torch.memory_format:
    """Channels last, but for the backward pass of VGG on processors without AVX-512.

    There PyTorch takes 1.1 to 1.6 times as long for a step of VGG with channels last, at inputs of
    96 to 300 pixels and batches of 1 to 16; other backbones gain up to a fifth by it
    (`benchmarks.throughput` shows VGG against torchvision's training, which keeps channels first).
    """
    slow = device.type == "cpu" and "AVX512" not in torch.backends.cpu.get_cpu_capability()
    if slow and detector.backbone.kind in DENSE_AT_FULL_SIZE:
        return torch.contiguous_format
    return torch.channels_last
