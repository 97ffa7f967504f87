"""The backbones that ship with the package, trained on generated shapes."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from detectors.detector import Detector
from detectors.weights.place import Placement, place
from searchspace.initial_weights import check_start

SHAPES_WIDTHS = (0.25, 0.375)
"""The width multipliers of the backbones that ship with the package."""


def shapes_file(width: float) -> str:
    """The file name of the shipped backbone of this width."""
    return f"shapes_mobilenet_v1_{width:g}.safetensors"


def load_shapes_backbone(detector: Detector) -> Placement:
    """Start the backbone from the narrowest shipped one that is at least as wide.

    Raises:
        ValueError: the backbone is of another kind, computes a different function, or is wider than
            any shipped one.
    """
    config = detector.config
    check_start("shapes", config)
    narrowest = next(width for width in SHAPES_WIDTHS if width >= config.width)
    file = resources.files("detectors.weights").joinpath(shapes_file(narrowest))
    with resources.as_file(file) as path, torch.no_grad():
        return place(detector.backbone, load_file(path))


def save_backbone(backbone: nn.Module, path: Path) -> None:
    """Write a backbone's tensors in half precision."""
    state = backbone.state_dict()
    save_file({n: t.half().contiguous() for n, t in state.items() if t.is_floating_point()}, path)
