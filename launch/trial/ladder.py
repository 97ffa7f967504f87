"""The pruning ladder: one trained detector, pruned at several ratios."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from detectors.data.readers import DataSource
from detectors.files import publish
from launch.files import DETECTOR, SPEEDS, STAGES
from launch.trial.data import TrialData, TrialError
from launch.trial.meter import LocalMeter
from launch.trial.result import Outcome, TrialResult
from launch.trial.run import pick_device, run_trial
from launch.trial.stages import Stages
from launch.trial.store import Store
from launch.trial.teachers import load_teacher
from launch.trial.training import OnEpoch
from searchspace.trial import TrialConfig


def ladder(
    config: TrialConfig,
    ratios: Sequence[float],
    data: TrialData | DataSource | Path | str,
    out: Path | str,
    device: torch.device | str | None = None,
    on_epoch: OnEpoch | None = None,
    progress: bool = False,
    weights: Path | None = None,
) -> tuple[TrialResult, ...]:
    """Train a detector once, and prune, fine-tune, evaluate and measure it at each ratio.

    Each ratio is a separate trial in `out/ratio-RATIO`; shared stages are in `out/stages` and run
    once. An interrupted ladder resumes, and ratios can be added.

    Args:
        config: the configuration except for the ratio.
        ratios: values of `compress.pruning.ratio`, each once.
        weights: as in `run_trial`.

    Returns:
        The trials' results in the order of `ratios`.

    Raises:
        TrialError: the configuration prunes nothing, or `ratios` is empty or has one twice.
        pydantic.ValidationError: a ratio is not between 0 and 1.
        DataError, TrainingFailed: as in `run_trial`.
    """
    rungs = ladder_configs(config, ratios)
    data, out = TrialData.of(data), Path(out)
    return tuple(
        run_trial(
            rung,
            data,
            out / f"ratio-{rung.compress.removal.ratio:g}",
            device=device,
            on_epoch=on_epoch,
            progress=progress,
            stages=out / STAGES,
            weights=weights,
        )
        for rung in rungs
    )


def ladder_control(
    config: TrialConfig,
    data: TrialData | DataSource | Path | str,
    out: Path | str,
    device: torch.device | str | None = None,
    progress: bool = False,
    weights: Path | None = None,
) -> Outcome | None:
    """The control of a ladder: the unpruned parent, trained for as many more epochs.

    Its detector is in `out/unpruned`, shared stages in `out/stages`. None if there is no
    fine-tuning: then the parent itself has had the same training. Arguments and errors are as in
    `ladder`.
    """
    if not config.compress.pruning.finetune_epochs:
        return None
    config, data = config.started(), TrialData.of(data)
    out, device = Path(out), pick_device(device)
    store = Store(out / STAGES)
    meter = LocalMeter(data, device, store.folder / SPEEDS)
    config = data.decide(config)
    stages = Stages(
        config, data, store, device, meter, load_teacher, bars=progress, weights=weights
    )
    model = stages.train_on(stages.train())
    publish(model.folder / DETECTOR, out / "unpruned")
    return Outcome(metrics=stages.evaluate(model), cost=stages.measure(model))


def ladder_configs(config: TrialConfig, ratios: Sequence[float]) -> tuple[TrialConfig, ...]:
    """The trials of a ladder; raises `TrialError` or `pydantic.ValidationError` as `ladder`."""
    if not config.compress.prunes:
        raise TrialError("compress.pruning is none: a ladder needs a kind of pruning")
    if not ratios or len(set(ratios)) < len(ratios):
        raise TrialError(f"ratios {list(ratios)}: give at least one, and each once")
    return tuple(_rung(config, ratio) for ratio in ratios)


def _rung(config: TrialConfig, ratio: float) -> TrialConfig:
    pruning = config.compress.pruning.changed(ratio=ratio)
    return config.changed(compress=config.compress.changed(pruning=pruning))
