"""The facts of a study that a reader needs to judge its figures."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path

from launch.decisions.inheritance import SHARE
from launch.decisions.pruning_ladder import trainings_saved
from launch.figures import DEFAULT, LABELS, SENSES
from launch.records import TrialRecord
from launch.report.speed import speed_facts
from launch.study.settings import StudySettings


def study_facts(settings: StudySettings, records: tuple[TrialRecord, ...]) -> dict[str, str]:
    """The facts that a reader needs to judge the figures, by name."""
    measured = next((r.result.final.cost for r in records if r.result), None)
    device = measured.device if measured else "nothing yet"
    threads = f", {measured.threads} thread" if measured and measured.threads else ""
    names = ("sparrow-search", "ray", "optuna", "torch", "torch-pruning")
    versions = [f"{name} {metadata.version(name)}" for name in names]
    return {
        "Space": settings.space["name"],
        "Training data": _shown(settings.train.annotations),
        "Validation data": _shown(settings.val.annotations),
        **({"Dropped by skip_bad": "; ".join(settings.dropped)} if settings.dropped else {}),
        "Speed measured on": device + threads,
        **speed_facts(records),
        "Trials requested": str(settings.trials),
        "Sampler": settings.sampler,
        **_objectives(settings),
        **_early_ends(settings),
        **({"Pruning ladder": _ladder(settings, records)} if settings.ladder else {}),
        **({"Weight inheritance": _inheritance(records)} if settings.inherit else {}),
        **_warm_start(settings),
        **(
            {"Constraints": ", ".join(map(str, settings.constraints))}
            if settings.constraints
            else {}
        ),
        "Seed": str(settings.seed),
        "Software": ", ".join([*versions, f"Python {platform.python_version()}"]),
    }


def _objectives(settings: StudySettings) -> dict[str, str]:
    """The objectives, if they are not the default ones."""
    if settings.objectives == DEFAULT:
        return {}
    words = (f"{'more' if SENSES[n].up else 'less'} {LABELS[n]}" for n in settings.objectives)
    return {"Objectives": ", ".join(words)}


def _early_ends(settings: StudySettings) -> dict[str, str]:
    """The causes of early ends, apart from constraints."""
    ends = []
    if settings.gate:
        ends.append("before training if the predicted upper bound is dominated by the front")
    if settings.early_stopping:
        ends.append(settings.early_stopping.in_words())
    return {"Ended early": "; ".join(ends)} if ends else {}


def _warm_start(settings: StudySettings) -> dict[str, str]:
    """The results that the sampler knew before the search began."""
    words = [results.in_words(settings.fingerprint) for results in settings.known]
    return {"Warm start": "; ".join(words)} if words else {}


def _ladder(settings: StudySettings, records: tuple[TrialRecord, ...]) -> str:
    """The ratios of the ladder, and the number of trainings saved."""
    ratios = ", ".join(f"{100 * ratio:g} %" for ratio in settings.ladder)
    finished = sum(record.state == "finished" for record in records)
    return f"{ratios}; {trainings_saved(records)} of {finished} trials shared a training"


def _inheritance(records: tuple[TrialRecord, ...]) -> str:
    heirs = sum(record.parent is not None for record in records)
    return (
        f"{heirs} of {len(records)} trials start from the most similar trained design, with "
        f"{100 * SHARE:g} % of the epochs"
    )


def _shown(path: Path) -> str:
    """A path, relative if it is below the working folder."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
