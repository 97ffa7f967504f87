"""Network slimming's sparsity: an L1 penalty on batch-norm scales while training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detectors.detector import Detector
from detectors.features import Outputs
from detectors.train import Term


def gates(detector: Detector) -> dict[str, nn.BatchNorm2d]:
    """The batch norms whose scales decide which channels stay, by name."""
    return {n: m for n, m in detector.named_modules() if isinstance(m, nn.BatchNorm2d)}


def sparsity_term(strength: float) -> Term:
    """`strength` times the sum of |scale| over the gates (network slimming, equation 1).

    Its gradient is strength * sign(scale), the subgradient of the L1 norm.
    """

    def term(detector: Detector, images: Tensor, outputs: Outputs) -> dict[str, Tensor]:
        scales = torch.cat([gate.weight.abs() for gate in gates(detector).values()])
        return {"sparsity": strength * scales.sum()}

    return term
