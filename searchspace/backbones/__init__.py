"""Backbones: each kind is one class, which says what maps it makes of an input."""

from __future__ import annotations

from searchspace.backbones.contract import Backbone
from searchspace.backbones.csp_darknet import CSPDarknet
from searchspace.backbones.mobilenet_v1 import MobileNetV1
from searchspace.backbones.resnet import ResNet
from searchspace.backbones.rows import Row, RowBackbone
from searchspace.backbones.timm_models import Timm
from searchspace.backbones.vgg16 import VGG16
from searchspace.registry import Registry

BACKBONES = Registry[Backbone]("backbone", MobileNetV1, VGG16, ResNet, CSPDarknet, Timm)

__all__ = [
    "BACKBONES",
    "VGG16",
    "Backbone",
    "CSPDarknet",
    "MobileNetV1",
    "ResNet",
    "Row",
    "RowBackbone",
    "Timm",
]
