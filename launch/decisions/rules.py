"""The early-stopping rules; `RULES.register` adds one from any module."""

from __future__ import annotations

from typing import Annotated

from launch.decisions.early_stopping import EarlyStopping
from launch.decisions.halving import Halving
from searchspace.registry import Registry

RULES: Registry[EarlyStopping] = Registry("early-stopping rule", Halving)

Rule = Annotated[EarlyStopping, RULES]
"""A registered rule; a field of this type is stored with the rule's kind."""
