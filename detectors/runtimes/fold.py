"""Folding of batch norms into the convolutions before them, for deployment."""

from __future__ import annotations

import copy
import itertools

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from detectors.blocks import Bottleneck
from detectors.detector import Detector


def folded(detector: Detector) -> Detector:
    """A copy in eval mode whose convolutions include the batch norms after them.

    Its detections equal the original's up to rounding; it cannot be trained or pruned.
    """
    copied = copy.deepcopy(detector).eval()
    for module in list(copied.modules()):
        if isinstance(module, nn.Sequential):
            _fold_pairs(module)
        elif isinstance(module, Bottleneck):
            _fold_bottleneck(module)
    return copied


def _fold_pairs(sequence: nn.Sequential) -> None:
    for index, (first, second) in enumerate(itertools.pairwise(list(sequence))):
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
            sequence[index] = fuse_conv_bn_eval(first, second)
            sequence[index + 1] = nn.Identity()


def _fold_bottleneck(block: Bottleneck) -> None:
    for number in "123":
        conv, norm = getattr(block, f"conv{number}"), getattr(block, f"bn{number}")
        block.add_module(f"conv{number}", fuse_conv_bn_eval(conv, norm))
        block.add_module(f"bn{number}", nn.Identity())
