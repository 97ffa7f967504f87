"""The modules of backbones."""

from __future__ import annotations

from detectors.backbones.contract import Backbone
from detectors.backbones.rows import RowNetwork
from detectors.backbones.timm_models import TimmNetwork
from detectors.building import module_for
from searchspace import backbones as config
from searchspace.errors import InputError

__all__ = ["Backbone", "RowNetwork", "TimmNetwork", "build_backbone"]


def build_backbone(backbone: config.Backbone, width: float) -> Backbone:
    """The module of a backbone at a width multiplier.

    Raises:
        InputError: the module that is registered for this kind is not a backbone.
    """
    module = module_for(backbone)(backbone, width)
    if not isinstance(module, Backbone):
        raise InputError(f"backbone {backbone.kind}: {type(module).__name__} is not a Backbone")
    return module
