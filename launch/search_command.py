"""`sparrow search`: its options, and what it prints on the way."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from detectors.data.coco import DataSource
from detectors.data.shapes import generate_shapes
from launch.budget import Outlook
from launch.cli_options import (
    Annotations,
    Data,
    Device,
    Images,
    SkipBad,
    Weights,
    console,
    data_source,
    parse_ratios,
)
from launch.constraints import constraints_from, parse_count
from launch.failures import evidence
from launch.halving import Halving
from launch.interrupts import interruptible
from launch.objectives import DEFAULT, SENSES, Figure
from launch.records import TrialRecord
from launch.recovery import missing_in_words, read_missing
from launch.report import (
    describe_in_words,
    front_table,
    gone,
    gone_in_words,
    outlook_in_words,
    with_name,
)
from launch.samplers import SamplerName
from launch.searches import Driver, resume, search
from launch.settings import MAX_SEED, SETTINGS, read_settings
from launch.study import OnEnd, read_records
from launch.told import TOLD_AS, StoppedAs

TRIALS = 20
SHAPES_FOLDER = Path("runs/shapes")
SHAPES_MINUTES = 7.5
"""Limit of a search on generated shapes that names none."""

RESUMABLE = frozenset(
    (
        "resume_from",
        "retry_failed",
        "trials",
        "trial_timeout",
        "driver",
        "cpus_per_trial",
        "gpus_per_trial",
        "address",
    )
)
"""What may be said of a study that goes on."""

Count = Annotated[
    float | None,
    typer.Option(parser=parse_count, metavar="COUNT", help="The front keeps to it; k, M, G."),
]
Bound = Annotated[float | None, typer.Option(help="The front keeps to it.")]
DriverName = Annotated[Driver, typer.Option(help="ray runs trials side by side.")]


def search_command(
    context: typer.Context,
    data: Data = None,
    train_images: Images = None,
    train_annotations: Annotations = None,
    val_images: Images = None,
    val_annotations: Annotations = None,
    space: Annotated[str, typer.Option(help="A named space or a TOML file.")] = "quick",
    trials: Annotated[
        int | None, typer.Option(min=1, help=f"How many; {TRIALS} by default.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Begin no trial that would end later; 7.5 without --data.")
    ] = None,
    device_hours: Annotated[
        float | None, typer.Option(help="Begin no trial with which all would take longer in sum.")
    ] = None,
    trial_timeout: Annotated[
        float | None,
        typer.Option(metavar="MINUTES", help="End a trial for good that takes longer."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the study.")] = None,
    resume_from: Annotated[
        Path | None, typer.Option("--resume", help="Go on with the study there.")
    ] = None,
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="With --resume: run again what failed by its design."),
    ] = False,
    seed: Annotated[
        int, typer.Option(min=0, max=MAX_SEED, help="Of the sampler's random draws.")
    ] = 0,
    driver: DriverName = "ray",
    cpus_per_trial: Annotated[float, typer.Option(min=1)] = 1,
    gpus_per_trial: Annotated[float | None, typer.Option(min=0)] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="Join a running Ray cluster: HOST:PORT, or auto for RAY_ADDRESS or this "
            "machine's. By default, Ray is started for this search alone."
        ),
    ] = None,
    measure_on: Annotated[
        str | None, typer.Option(help="Ray resource of the nodes that are the target device.")
    ] = None,
    device: Device = None,
    skip_bad: SkipBad = False,
    weights: Weights = None,
    papers: Annotated[
        bool, typer.Option("--papers/--no-papers", help="Begin with the papers' systems.")
    ] = True,
    sampler: Annotated[
        SamplerName | None,
        typer.Option(help="What proposes configurations; gp by default, tpe under bounds or gate."),
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(help=f"What the front is over; repeatable: {', '.join(SENSES)}."),
    ] = None,
    min_fps: Bound = None,
    min_ap: Bound = None,
    min_ap50: Bound = None,
    min_ap_small: Bound = None,
    min_ar_small: Bound = None,
    max_latency_ms: Bound = None,
    max_latency_p99: Bound = None,
    max_memory_mb: Bound = None,
    max_energy_mj: Bound = None,
    max_params: Count = None,
    max_macs: Count = None,
    ladder: Annotated[
        str | None,
        typer.Option(help="Prune the best trained detectors at these ratios: 0.3,0.5."),
    ] = None,
    inherit: Annotated[
        bool,
        typer.Option("--inherit", help="Train from the nearest relative, half as long."),
    ] = False,
    warm_start: Annotated[
        list[Path] | None,
        typer.Option(help="Study or CSV file whose results the sampler is told of; repeatable."),
    ] = None,
    gate: Annotated[
        bool, typer.Option("--gate", help="Train no design that cannot reach the front any more.")
    ] = False,
    halving: Annotated[
        bool, typer.Option("--halving", help="Stop trials that are behind others on the way.")
    ] = False,
    rungs: Annotated[
        str | None,
        typer.Option(help="Epochs after which --halving compares; a quarter and half by default."),
    ] = None,
    stopped_as: Annotated[
        StoppedAs | None,
        typer.Option(help=f"How the sampler is told of stopped trials; {TOLD_AS} by default."),
    ] = None,
) -> None:
    """Search a space on a data set; without --data, on generated shapes."""
    paths = (train_images, train_annotations, val_images, val_annotations)
    folder = resume_from or out or Path("runs") / f"{space}-{datetime.now():%Y%m%d-%H%M%S}"
    workers = {
        "driver": driver,
        "cpus_per_trial": cpus_per_trial,
        "gpus_per_trial": gpus_per_trial,
        "address": address,
        "trial_timeout": trial_timeout,
        "on_wait": _print_words,
    }
    constraints = constraints_from(
        {
            "min_fps": min_fps,
            "min_ap": min_ap,
            "min_ap50": min_ap50,
            "min_ap_small": min_ap_small,
            "min_ar_small": min_ar_small,
            "max_latency_ms": max_latency_ms,
            "max_latency_p99": max_latency_p99,
            "max_memory_mb": max_memory_mb,
            "max_energy_mj": max_energy_mj,
            "max_params": max_params,
            "max_macs": max_macs,
        }
    )
    context.with_resource(interruptible())
    try:
        if resume_from:
            _check_resumable(context)
            aims = read_settings(resume_from).objectives
            front = resume(
                resume_from,
                trials=trials,
                retry_failed=retry_failed,
                on_end=_print_end(aims, resume_from),
                **workers,
            )
        else:
            if retry_failed:
                raise typer.BadParameter("it goes with --resume", param_hint="--retry-failed")
            source, aims = data_source(data, paths), _objectives(objective)
            front = search(
                space,
                source or _shapes(),
                folder,
                trials=trials or TRIALS,
                minutes=minutes or (None if source or device_hours else SHAPES_MINUTES),
                device_hours=device_hours,
                seed=seed,
                device=device,
                measure_on=measure_on,
                skip_bad=skip_bad,
                weights=weights,
                papers=papers,
                sampler=sampler,
                objectives=aims,
                constraints=constraints,
                gate=gate,
                halving=_halving(halving, rungs),
                stopped_as=stopped_as,
                ladder=parse_ratios("--ladder", ladder) if ladder else (),
                inherit=inherit,
                warm_start=warm_start or (),
                on_known=_print_words,
                on_end=_print_end(aims, folder),
                **workers,
            )
    except KeyboardInterrupt:
        _print_interrupted(folder)
        raise typer.Exit(130) from None
    print_front(folder)
    if not front.members:
        _print_no_front(folder)
        raise typer.Exit(1)


def _print_interrupted(folder: Path) -> None:
    begun = (folder / SETTINGS).exists()
    words = (
        f"\nInterrupted. Go on with: sparrow search --resume {folder}"
        if begun
        else "\nInterrupted before the search began; nothing was written."
    )
    with contextlib.suppress(OSError):  # The terminal may be what has gone.
        console.print(words, markup=False, highlight=False, soft_wrap=True)


def _check_resumable(context: typer.Context) -> None:
    """Raise ValueError where an option was given that a study has settled for good."""
    for name in context.params:
        given = context.get_parameter_source(name).name == "COMMANDLINE"
        if given and name not in RESUMABLE:
            option = f"--{name.replace('_', '-')}"
            raise ValueError(f"--resume: the study has settled {option} for good; leave it out")


def _objectives(names: Sequence[str] | None) -> Sequence[Figure]:
    for name in names or ():
        if name not in SENSES:
            near = difflib.get_close_matches(name, SENSES, n=1, cutoff=0.0)[0]
            raise ValueError(
                f"--objective {name}: the nearest one is {near}; there are {', '.join(SENSES)}"
            )
    return tuple(names or DEFAULT)


def _halving(wanted: bool, rungs: str | None) -> bool | Halving:
    if rungs is None:
        return wanted
    if not wanted:
        raise ValueError("--rungs says when --halving compares: give that, too")
    try:
        return Halving(tuple(int(part) for part in rungs.split(",")))
    except ValueError as error:
        raise ValueError(f"--rungs {rungs}: give rising epochs, such as 2,4 ({error})") from None


def _shapes() -> DataSource:
    console.print(f"No --data: searching on generated shapes in {SHAPES_FOLDER}")
    return DataSource.from_folder(generate_shapes(SHAPES_FOLDER))


def _print_words(words: str) -> None:
    console.print(words, markup=False, highlight=False)


def _print_end(objectives: Sequence[Figure], folder: Path) -> OnEnd:
    def print_end(record: TrialRecord, outlook: Outlook) -> None:
        _print_trial(record, objectives, folder)
        console.print(f"  {outlook_in_words(outlook)}", highlight=False)

    return print_end


def _print_trial(record: TrialRecord, objectives: Sequence[Figure], folder: Path) -> None:
    words = describe_in_words(record.config)
    if record.result is None:
        why = record.reason or f"not {', not '.join(record.broken)}"
        console.print(f"trial {record.number} {record.state}: {why} ({words})", markup=False)
        if record.state == "failed":
            _print_evidence(folder / record.folder)
        return
    figures = ", ".join(with_name(name, record.result.figure(name)) for name in objectives)
    console.print(
        f"trial {record.number}: {figures}, {record.seconds:.0f} s ({words})",
        highlight=False,
    )


def _print_evidence(folder: Path) -> None:
    """Where a failed trial left its traceback and its log."""
    for file in evidence(folder):
        console.print(f"  see {file}", markup=False, highlight=False, soft_wrap=True)


def _print_no_front(folder: Path) -> None:
    """Why a search ended without a front."""
    failed = [record for record in read_records(folder) if record.state == "failed"]
    if not failed:
        console.print("No trial gives a front; the report says why.")
        return
    first = failed[0]
    text = f"No trial gives a front: {len(failed)} failed, trial {first.number}: {first.reason}"
    console.print(text, markup=False, highlight=False)
    _print_evidence(folder / first.folder)


def print_front(folder: Path) -> None:
    """The front of a study as a table, and where its report lies."""
    records, objectives = read_records(folder), read_settings(folder).objectives
    lost = gone(folder, records)
    console.print(front_table(records, objectives, lost))
    for warning in filter(None, (gone_in_words(lost), missing_in_words(read_missing(folder)))):
        console.print(warning, markup=False, highlight=False, soft_wrap=True)
    console.print(f"Report: {folder / 'report.html'}", soft_wrap=True)
