"""The facts of a study that a reader needs to judge its figures."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from detectors.data.readers import Split
from launch.decisions.inheritance import SHARE
from launch.decisions.pruning_ladder import trainings_saved
from launch.figures import FIGURES
from launch.records import SHARED, TrialRecord
from launch.report.speed import speed_facts
from launch.study.options import options_of
from launch.study.search_settings import GivenSettings, SearchSettings, options_in
from launch.study.settings import StudySettings


def study_facts(settings: StudySettings, records: tuple[TrialRecord, ...]) -> dict[str, str]:
    """The facts that a reader needs to judge the figures, by name.

    Options of a search are among them wherever they are not as usual.
    """
    measured = next((r.result.final.cost for r in records if r.result), None)
    device = measured.device if measured else "nothing yet"
    threads = f", {measured.threads} thread" if measured and measured.threads else ""
    names = ("sparrow-search", "ray", "optuna", "torch", "torch-pruning")
    versions = [f"{name} {metadata.version(name)}" for name in names]
    return {
        "Given trials" if settings.is_given else "Space": settings.space["name"],
        **({"Plugins": _plugins(settings.plugins)} if settings.plugins else {}),
        **_data(settings),
        **({"Dropped by skip_bad": "; ".join(settings.dropped)} if settings.dropped else {}),
        "Speed measured on": device + threads,
        **speed_facts(records),
        **dict(_options(settings, records)),
        "Software": ", ".join([*versions, f"Python {platform.python_version()}"]),
    }


def _data(settings: StudySettings) -> dict[str, str]:
    if (source := settings.known_source) is None:
        return {"Trained by": "a trainer of one's own, which reported the figures"}
    return {
        "Training data": _of_split(source.train),
        "Validation data": _of_split(source.val),
    }


def _of_split(split: Split) -> str:
    there = split.annotations
    return split.shown(there) if split.fetched else _shown(there)


ALWAYS = ("trials", "sampler", "seed")
"""Options that are shown even where they are as usual."""

SAID_ELSEWHERE = ("skip_bad", "stopped_as", "shared_weights")


def _options(
    settings: StudySettings, records: tuple[TrialRecord, ...]
) -> Iterator[tuple[str, str]]:
    """Headings and words for the options of a search."""
    rule = settings.early_stopping
    own = {
        "objectives": lambda: ", ".join(map(_direction, settings.goal.objectives)),
        "early_stopping": lambda: rule.in_words() if rule else "",
        "inherit": lambda: _inheritance(records),
        "ladder": lambda: _ladder(settings, records),
        "warm_start": lambda: "; ".join(
            results.in_words(settings.fingerprint) for results in settings.known
        ),
    }
    values = options_in(settings)
    for _, name, field in options_of(GivenSettings if settings.is_given else SearchSettings):
        value = values[name]
        usual = value == field.default or field.exclude or name in SAID_ELSEWHERE
        if name in ALWAYS or not usual:
            heading = field.title or name.replace("_", " ").capitalize()
            yield heading, own[name]() if name in own else _value(value)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _direction(name: str) -> str:
    row = FIGURES[name]
    return f"{'high' if row.better == 'up' else 'low'} {row.label}"


def _ladder(settings: StudySettings, records: tuple[TrialRecord, ...]) -> str:
    """The ratios of the ladder, and the number of trainings saved."""
    ratios = ", ".join(f"{100 * ratio:g} %" for ratio in settings.start.ladder)
    finished = sum(record.state == "finished" for record in records)
    return f"{ratios}; {trainings_saved(records)} of {finished} trials shared a training"


def _inheritance(records: tuple[TrialRecord, ...]) -> str:
    heirs = sum(record.parent is not None for record in records)
    return (
        f"{heirs} of {len(records)} trials start from {_started_from(records)}, with "
        f"{100 * SHARE:g} % of the epochs"
    )


def _started_from(records: tuple[TrialRecord, ...]) -> str:
    parents = {record.parent for record in records} - {None}
    slices = ["their slices of the shared weights"] if SHARED in parents else []
    similar = ["the most similar trained design"] if parents != {SHARED} else []
    return " or ".join((*slices, *similar))


def _plugins(names: tuple[str, ...]) -> str:
    return ", ".join(_shown(Path(name)) for name in names)


def _shown(path: Path) -> str:
    """A path, relative if it is below the working folder."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
