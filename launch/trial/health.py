"""The health of the data of a trial or a search: with its input sizes, priors and detections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from detectors.data.health import Health, data_health
from launch.trial.data import TrialData
from searchspace import Space, TrialConfig
from searchspace.domains import spread
from searchspace.geometry import Canvas, canvas_of

INPUT_SIZE = "detector.input_size"


def health_of_trials(data: TrialData, configs: Sequence[TrialConfig]) -> Health:
    """The health of data at the input sizes of configurations, and with the priors of the first."""
    canvases = dict.fromkeys(config.detector.canvas for config in configs)
    return _health(data, configs[0], tuple(canvases))


def health_of_space(data: TrialData, space: Space) -> Health:
    """The health of data at each input size of a space, or both ends of their range, and with the
    priors and tiles of its baseline."""
    config = space.baseline()
    own = config.detector.canvas
    sizes = spread(dict(space.fields())[INPUT_SIZE])
    return _health(data, config, tuple(replace(own, size=canvas_of(size).size) for size in sizes))


def _health(data: TrialData, config: TrialConfig, canvases: tuple[Canvas, ...]) -> Health:
    kept = data.decide(config).detector.head.postprocess.detections
    return data_health(data.train, data.val, canvases, config.detector, kept)


def warnings_of(odd: Iterable[str]) -> tuple[str, ...]:
    """Oddities of data as the lines that are printed before training."""
    return tuple(f"warning: {words}" for words in odd)
