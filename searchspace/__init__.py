"""Configurations of trials, and the spaces they are drawn from. Imports neither torch nor ray."""

from searchspace.compression import CompressConfig
from searchspace.config import OutsideSpace
from searchspace.detector import DetectorConfig
from searchspace.measuring import MeasureConfig
from searchspace.papers import PaperSystem, Published, papers
from searchspace.plugins import PluginError, load_plugins
from searchspace.space import Space
from searchspace.space_files import SpaceError, load_space, space_names
from searchspace.training import TrainConfig
from searchspace.trial import TrialConfig
from searchspace.walk import project, suggest, to_params

__all__ = [
    "CompressConfig",
    "DetectorConfig",
    "MeasureConfig",
    "OutsideSpace",
    "PaperSystem",
    "PluginError",
    "Published",
    "Space",
    "SpaceError",
    "TrainConfig",
    "TrialConfig",
    "load_plugins",
    "load_space",
    "papers",
    "project",
    "space_names",
    "suggest",
    "to_params",
]
