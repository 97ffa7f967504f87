"""`sparrow search`: its options, and what it prints on the way."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, get_args

import typer

from detectors.data.coco import DataSource
from detectors.data.shapes import generate_shapes
from launch.cli import option_types
from launch.cli.bugs import bugs_kept_in
from launch.cli.debug import debugging
from launch.cli.options import (
    Annotations,
    Data,
    Device,
    Images,
    SkipBad,
    Weights,
    data_source,
    parse_ratios,
)
from launch.cli.terminal import console
from launch.constraints import bound_fault, constraints_from, parse_count
from launch.decisions.budget import Outlook
from launch.decisions.early_stopping import EarlyStopping
from launch.decisions.rules import RULES
from launch.drivers.choose import DRIVERS
from launch.drivers.interrupts import interruptible
from launch.figures import DEFAULT, SENSES, Figure
from launch.files import SETTINGS
from launch.records import TrialRecord
from launch.report import (
    front_table,
    gone,
    gone_in_words,
    outlook_in_words,
    with_name,
)
from launch.searches import resume, search
from launch.study.recovery import missing_in_words, read_missing
from launch.study.samplers import SAMPLERS
from launch.study.settings import (
    MAX_SEED,
    MOST_TIME,
    MOST_TRIALS,
    TOLD_AS,
    StoppedAs,
    read_settings,
    resume_command,
)
from launch.study.study import OnEnd, read_records
from launch.trial.data import SettingsError
from launch.trial.log import evidence, last_lines
from searchspace.errors import InputError
from searchspace.reading import shown

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


def _count(value: str | float) -> float:
    """A bound that is a number of things."""
    try:
        return value if isinstance(value, float) else parse_count(value)
    except InputError as error:
        raise typer.BadParameter(str(error)) from None


NUMBER = option_types.number()


def _bound(name: str, parser: Callable[..., float] = NUMBER) -> typer.models.OptionInfo:
    """The option of a bound, such as `min_fps`, which says of its value what cannot be kept."""

    def parse(value: str | float) -> float:
        bound = parser(value)
        if fault := bound_fault(name.split("_", 1)[1], bound):
            raise typer.BadParameter(fault)
        return bound

    units = "; k, M, G" if parser is _count else ""
    return typer.Option(parser=parse, metavar="NUMBER", help=f"The front keeps to it{units}.")


Duration = option_types.number(above=0, high=MOST_TIME)
DriverName = Annotated[
    str,
    typer.Option(
        parser=option_types.one_of(lambda: DRIVERS),
        metavar="|".join(DRIVERS),
        help="ray runs trials side by side.",
    ),
]


def search_command(
    context: typer.Context,
    data: Data = None,
    train_images: Images = None,
    train_annotations: Annotations = None,
    val_images: Images = None,
    val_annotations: Annotations = None,
    space: Annotated[
        str,
        typer.Option(
            parser=option_types.text, metavar="NAME|FILE", help="A named space or a TOML file."
        ),
    ] = "quick",
    trials: Annotated[
        int | None, typer.Option(min=1, max=MOST_TRIALS, help=f"How many; {TRIALS} by default.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            parser=Duration,
            metavar="NUMBER",
            help="Begin no trial that would end later; 7.5 without --data.",
        ),
    ] = None,
    device_hours: Annotated[
        float | None,
        typer.Option(
            parser=Duration,
            metavar="NUMBER",
            help="Begin no trial with which all would take longer in sum.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(parser=option_types.out_folder, metavar="FOLDER", help="Folder of the study."),
    ] = None,
    trial_timeout: Annotated[
        float | None,
        typer.Option(
            parser=Duration, metavar="MINUTES", help="End a trial for good that takes longer."
        ),
    ] = None,
    resume_from: Annotated[
        Path | None,
        typer.Option(
            "--resume",
            parser=option_types.in_folder,
            metavar="FOLDER",
            help="Go on with the study there.",
        ),
    ] = None,
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="With --resume: run again what failed by its design."),
    ] = False,
    seed: Annotated[
        int, typer.Option(min=0, max=MAX_SEED, help="Of the sampler's random draws.")
    ] = 0,
    driver: DriverName = "ray",
    cpus_per_trial: Annotated[
        float, typer.Option(parser=option_types.number(low=1), metavar="NUMBER")
    ] = 1,
    gpus_per_trial: Annotated[
        float | None, typer.Option(parser=option_types.number(low=0), metavar="NUMBER")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            parser=option_types.text,
            metavar="ADDRESS",
            help="Join a running Ray cluster: HOST:PORT, or auto for RAY_ADDRESS or this "
            "machine's. By default, Ray is started for this search alone.",
        ),
    ] = None,
    measure_on: Annotated[
        str | None,
        typer.Option(
            parser=option_types.text,
            metavar="RESOURCE",
            help="Ray resource of the nodes that are the target device.",
        ),
    ] = None,
    device: Device = None,
    skip_bad: SkipBad = False,
    weights: Weights = None,
    papers: Annotated[
        bool, typer.Option("--papers/--no-papers", help="Begin with the papers' systems.")
    ] = True,
    sampler: Annotated[
        str | None,
        typer.Option(
            parser=option_types.one_of(lambda: SAMPLERS),
            metavar="|".join(SAMPLERS),
            help="What proposes configurations; gp by default, tpe under bounds or gate.",
        ),
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(help=f"What the front is over; repeatable: {', '.join(SENSES)}."),
    ] = None,
    min_fps: Annotated[float | None, _bound("min_fps")] = None,
    min_ap: Annotated[float | None, _bound("min_ap")] = None,
    min_ap50: Annotated[float | None, _bound("min_ap50")] = None,
    min_ap_small: Annotated[float | None, _bound("min_ap_small")] = None,
    min_ar_small: Annotated[float | None, _bound("min_ar_small")] = None,
    max_latency_ms: Annotated[float | None, _bound("max_latency_ms")] = None,
    max_latency_p99: Annotated[float | None, _bound("max_latency_p99")] = None,
    max_memory_mb: Annotated[float | None, _bound("max_memory_mb")] = None,
    max_energy_mj: Annotated[float | None, _bound("max_energy_mj")] = None,
    max_params: Annotated[float | None, _bound("max_params", _count)] = None,
    max_macs: Annotated[float | None, _bound("max_macs", _count)] = None,
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
        typer.Option(
            parser=option_types.path,
            metavar="PATH",
            help="Study or CSV file whose results the sampler learns from; repeatable.",
        ),
    ] = None,
    gate: Annotated[
        bool, typer.Option("--gate", help="Train no design that cannot reach the front any more.")
    ] = False,
    halving: Annotated[
        bool, typer.Option("--halving", help="As --early-stopping halving: successive halving.")
    ] = False,
    early_stopping: Annotated[
        str | None,
        typer.Option(
            parser=option_types.one_of(lambda: RULES.by_kind),
            metavar="|".join(RULES.by_kind),
            help="Rule by which trials that are worse than others on the way are stopped.",
        ),
    ] = None,
    rungs: Annotated[
        str | None,
        typer.Option(help="Epochs after which trials are compared; a quarter and half by default."),
    ] = None,
    stopped_as: Annotated[
        StoppedAs | None,
        typer.Option(help=f"How the sampler is told of stopped trials; {TOLD_AS} by default."),
    ] = None,
) -> None:
    """Search a space on a data set; without --data, on generated shapes."""
    paths = (train_images, train_annotations, val_images, val_annotations)
    folder = resume_from or out or _new_folder(space)
    workers = {
        "driver": driver,
        "cpus_per_trial": cpus_per_trial,
        "gpus_per_trial": gpus_per_trial,
        "address": address,
        "trial_timeout": trial_timeout,
        "on_wait": console.say,
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
    context.with_resource(bugs_kept_in(folder))
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
            if source is None and minutes is None and device_hours is None:
                minutes = SHAPES_MINUTES
            front = search(
                space,
                source or _shapes(),
                folder,
                trials=TRIALS if trials is None else trials,
                minutes=minutes,
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
                early_stopping=_rule("halving" if halving else early_stopping, rungs),
                stopped_as=stopped_as,
                ladder=() if ladder is None else parse_ratios("--ladder", ladder),
                inherit=inherit,
                warm_start=warm_start or (),
                on_known=console.say,
                on_end=_print_end(aims, folder),
                **workers,
            )
    except SettingsError as error:
        raise typer.BadParameter(str(error)) from None
    except KeyboardInterrupt:
        _print_interrupted(folder)
        raise typer.Exit(130) from None
    print_front(folder)
    if not front.members:
        print_no_front(folder)
        raise typer.Exit(1)


def _print_interrupted(folder: Path) -> None:
    with contextlib.suppress(OSError):  # The terminal may be what has gone.
        console.say()
        if (folder / SETTINGS).exists():
            console.say(f"Interrupted. Go on with: {resume_command(folder)}")
        else:
            console.say("Interrupted before the search began; nothing was written.")


def _new_folder(space: str) -> Path:
    """Where a study lies that was given no folder: named by its space, not beside its file."""
    return Path("runs") / f"{Path(space).stem}-{datetime.now():%Y%m%d-%H%M%S}"


def _check_resumable(context: typer.Context) -> None:
    """A usage error where an option was given that a study has settled for good."""
    for name in context.params:
        source = context.get_parameter_source(name)
        given = source is not None and source.name == "COMMANDLINE"
        if given and name not in RESUMABLE:
            option = f"--{name.replace('_', '-')}"
            raise typer.BadParameter(
                f"the study has settled {option} for good; leave it out", param_hint="--resume"
            )


def _objectives(names: Sequence[str] | None) -> Sequence[Figure]:
    for name in names or ():
        if name not in SENSES:
            near = difflib.get_close_matches(name, SENSES, n=1, cutoff=0.0)[0]
            raise typer.BadParameter(
                f"{shown(name)}: the nearest one is {near}; there are {', '.join(SENSES)}",
                param_hint="--objective",
            )
    known: dict[str, Figure] = {name: name for name in get_args(Figure)}
    return tuple(known[name] for name in names) if names else DEFAULT


def _rule(kind: str | None, rungs: str | None) -> EarlyStopping | str | None:
    if rungs is None:
        return kind
    if kind is None:
        raise typer.BadParameter(
            "it says when --halving compares; give that, too", param_hint="--rungs"
        )
    try:
        return RULES.by_kind[kind].model_validate(
            {"budgets": tuple(int(part) for part in rungs.split(","))}
        )
    except ValueError:
        raise typer.BadParameter(
            f"{shown(rungs)}: give rising epochs from 1, such as 2,4", param_hint="--rungs"
        ) from None


def _shapes() -> DataSource:
    console.say(f"No --data: searching on generated shapes in {SHAPES_FOLDER}")
    return DataSource.from_folder(generate_shapes(SHAPES_FOLDER))


def _print_end(objectives: Sequence[Figure], folder: Path) -> OnEnd:
    def print_end(record: TrialRecord, outlook: Outlook) -> None:
        _print_trial(record, objectives, folder)
        console.say(f"  {outlook_in_words(outlook)}")

    return print_end


def _print_trial(record: TrialRecord, objectives: Sequence[Figure], folder: Path) -> None:
    words = record.config.in_words()
    if record.result is None:
        why = record.reason or f"not {', not '.join(record.broken)}"
        console.say(f"trial {record.number} {record.state}: {why} ({words})")
        if record.state == "failed":
            _print_evidence(folder / record.folder)
        return
    figures = ", ".join(with_name(name, record.result.figure(name)) for name in objectives)
    console.say(f"trial {record.number}: {figures}, {record.seconds:.0f} s ({words})")


def _print_evidence(folder: Path) -> None:
    """Where a failed trial left its traceback and its log; with --debug, also what they say."""
    for file in evidence(folder):
        console.say(f"  see {file}")
        if debugging():
            console.say_lines(last_lines(file))


def print_no_front(folder: Path) -> None:
    """Why a study has no front."""
    records = read_records(folder)
    failed = [record for record in records if record.state == "failed"]
    broken = dict.fromkeys(bound for record in records for bound in record.broken)
    if broken and not failed:
        console.say(f"No trial keeps to {' and '.join(broken)}, so there is no front.")
        return
    if not failed:
        lost = bool(read_missing(folder))
        again = f": restore them with {resume_command(folder)}" if lost else ""
        console.say(f"No trial has finished{again}.")
        return
    first = failed[0]
    text = f"No trial gives a front: {len(failed)} failed, trial {first.number}: {first.reason}"
    console.say(text)
    _print_evidence(folder / first.folder)


def print_front(folder: Path) -> None:
    """The front of a study as a table, and where its report lies."""
    records, objectives = read_records(folder), read_settings(folder).objectives
    lost = gone(folder, records)
    console.print(front_table(records, objectives, lost))
    for warning in filter(None, (gone_in_words(lost), missing_in_words(read_missing(folder)))):
        console.say(warning)
    console.say(f"Report: {folder / 'report.html'}")
