"""A fixed network that is timed in turns with every detector, so that machine drift cancels out.

A lower clock or a shared memory slows both, and the ratio of the two latencies stays. It is
converted to frames per second by the reference's nominal latency, recorded once for each kind of
hardware (`detectors.timing.store`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

REFERENCE_VERSION = 1
"""Latencies of two versions cannot be compared."""

SIDE = 160

_WIDTHS = (32, 64, 128)


def reference_call(device: torch.device) -> tuple[nn.Module, Tensor]:
    """The reference in eager float32 on a device, and the image [1, 3, 160, 160] for it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = _network().eval()
        image = torch.rand(1, 3, SIDE, SIDE)
    return network.to(device), image.to(device)


def _network() -> nn.Sequential:
    """Dense and depthwise convolutions, like those of detectors: 0.14 GMAC."""
    layers: list[nn.Module] = [nn.Conv2d(3, _WIDTHS[0], 3, stride=2, padding=1), nn.ReLU()]
    for narrow, wide in zip(_WIDTHS, (*_WIDTHS[1:], _WIDTHS[-1]), strict=True):
        layers += [
            nn.Conv2d(narrow, narrow, 3, stride=2, padding=1, groups=narrow),
            nn.ReLU(),
            nn.Conv2d(narrow, wide, 1),
            nn.ReLU(),
            nn.Conv2d(wide, wide, 3, padding=1),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)
