"""`measured_report`: the front of a study over the speeds of another device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detectors.timing.returned import Returned
from launch.files import BUNDLES, MEASURED
from launch.records import Finished, TrialRecord
from launch.report import Front, load_front, write_report
from launch.report.facts import study_facts
from launch.report.page import About
from launch.report.speed import FORMS, PREDICTED
from launch.study.opening import read_records
from launch.study.settings import StudySettings, read_settings
from searchspace import load_plugins


def measured_report(
    run: Path, file: Path, out: Path | None = None
) -> tuple[Front, tuple[TrialRecord, ...], Path]:
    """Write the front of a study, and its report, over what a device measured with a bundle of it.

    Nothing is trained or scored, and the study stays as it is: a detector has the accuracy that the
    search found, and the speed that the device found.

    Args:
        file: what `python BUNDLE` wrote on the device; see `launch.searches.bundle`.
        out: folder of the report; by default one in the study's, named as the file.

    Returns:
        the front, the trials that were measured with their new speeds, and the report's folder.

    Raises:
        InputError: the file is not from a bundle of the study, or was changed.
    """
    settings, records = read_settings(run), read_records(run)
    found, bundle = Returned.read(file, run / BUNDLES)
    moved = _moved(settings, records, found.speeds(bundle))
    out = out or run / MEASURED / file.stem
    facts = study_facts(settings, moved)
    facts.pop(PREDICTED, None)
    facts[FORMS] = (
        f"{found.runtime} {found.version} on {found.on}, NMS inside, timed on validation images; "
        "accuracy is as scored in the search"
    )
    write_report(
        run,
        moved,
        title=f"{settings.title}, measured on {found.device}",
        facts=facts,
        objectives=settings.goal.objectives,
        about=About(plugins=load_plugins() if settings.plugins else (), health=settings.health),
        out=out,
    )
    return load_front(out), moved, out


def _moved(
    settings: StudySettings, records: Sequence[TrialRecord], speeds: Mapping[int, dict[str, Any]]
) -> tuple[TrialRecord, ...]:
    """The trials that were measured on another device, as if the search had measured there.

    What a trial was before it was pruned was not measured there, and is left out.
    """
    moved = []
    for record in records:
        if record.number not in speeds or record.result is None:
            continue
        final = record.result.final
        cost = final.cost.model_copy(update=speeds[record.number])
        final = final.model_copy(update={"cost": cost})
        update = {"dense": final, "compact": None, "predicted": cost}
        result = record.result.model_copy(update=update)
        ending = Finished(result=result, broken=settings.broken_by(result))
        moved.append(record.model_copy(update={"ending": ending, "predicted": cost}))
    return tuple(moved)
