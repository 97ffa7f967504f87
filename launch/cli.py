"""The command line: `sparrow search | trial | ladder | describe | space | fps | export | ...`."""

from __future__ import annotations

import difflib
import sys
import warnings
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from detectors.data.coco import DataSource, Split
from detectors.data.shapes import generate_shapes
from detectors.train import TrainingFailed
from launch import cli_data
from launch.budget import Outlook
from launch.cli_options import Annotations, Data, Images, SkipBad, console
from launch.constraints import constraints_from, parse_count
from launch.describing import description
from launch.export_command import export_command
from launch.fps_command import fps_command
from launch.halving import Halving
from launch.ladders import ladder
from launch.objectives import DEFAULT, SENSES, Figure
from launch.records import TrialRecord
from launch.report import (
    Front,
    describe_in_words,
    front_table,
    ladder_table,
    outlook_in_words,
    with_name,
)
from launch.samplers import SamplerName
from launch.searches import Driver, report, resume, search
from launch.space_tree import space_tree, spaces_table
from launch.study import OnEnd, read_records, read_settings
from launch.systems import find_system, in_words, read_trial
from launch.told import StoppedAs
from launch.trial import TrialResult, run_trial
from searchspace import load_space

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
app.add_typer(cli_data.app, name="data")
app.command("export")(export_command)
app.command("fps")(fps_command)

TRIALS = 20
SHAPES_FOLDER = Path("runs/shapes")
SHAPES_MINUTES = 7.5
"""Limit of a search on generated shapes that names none."""

Device = Annotated[str | None, typer.Option(help="cpu or cuda; a GPU is taken if there is one.")]
Count = Annotated[
    float | None,
    typer.Option(parser=parse_count, metavar="COUNT", help="The front keeps to it; k, M, G."),
]
Bound = Annotated[float | None, typer.Option(help="The front keeps to it.")]
DriverName = Annotated[Driver, typer.Option(help="ray runs trials side by side.")]


@app.command("search")
def search_command(
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
    out: Annotated[Path | None, typer.Option(help="Folder of the study.")] = None,
    resume_from: Annotated[
        Path | None, typer.Option("--resume", help="Go on with the study there.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    driver: DriverName = "ray",
    cpus_per_trial: Annotated[float, typer.Option(min=1)] = 1,
    gpus_per_trial: Annotated[float | None, typer.Option(min=0)] = None,
    address: Annotated[str | None, typer.Option(help="Of a running Ray cluster.")] = None,
    measure_on: Annotated[
        str | None, typer.Option(help="Ray resource of the nodes that are the target device.")
    ] = None,
    device: Device = None,
    skip_bad: SkipBad = False,
    papers: Annotated[
        bool, typer.Option("--papers/--no-papers", help="Begin with the papers' systems.")
    ] = True,
    sampler: Annotated[SamplerName, typer.Option(help="What proposes configurations.")] = "tpe",
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
    max_params: Count = None,
    max_macs: Count = None,
    ladder: Annotated[
        str | None,
        typer.Option(help="Prune the best trained detectors at these ratios: 0.3,0.5."),
    ] = None,
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
        StoppedAs, typer.Option(help="How the sampler is told of stopped trials.")
    ] = "pruned",
) -> None:
    """Search a space on a data set; without --data, on generated shapes."""
    paths = (train_images, train_annotations, val_images, val_annotations)
    folder = resume_from or out or Path("runs") / f"{space}-{datetime.now():%Y%m%d-%H%M%S}"
    workers = {
        "driver": driver,
        "cpus_per_trial": cpus_per_trial,
        "gpus_per_trial": gpus_per_trial,
        "address": address,
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
            "max_params": max_params,
            "max_macs": max_macs,
        }
    )
    try:
        if resume_from:
            own = (data, *paths, out, device, measure_on, skip_bad, minutes, constraints, ladder)
            if any((*own, warm_start, device_hours, objective, gate, halving, rungs)):
                raise ValueError("--resume: data, device and limits are those of the study")
            aims = read_settings(resume_from).objectives
            front = resume(resume_from, trials=trials, on_end=_print_end(aims), **workers)
        else:
            source, aims = _source(data, paths), _objectives(objective)
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
                papers=papers,
                sampler=sampler,
                objectives=aims,
                constraints=constraints,
                gate=gate,
                halving=_halving(halving, rungs),
                stopped_as=stopped_as,
                ladder=_ratios("--ladder", ladder) if ladder else (),
                warm_start=warm_start or (),
                on_known=_print_known,
                on_end=_print_end(aims),
                **workers,
            )
    except KeyboardInterrupt:
        console.print(f"\nInterrupted. Go on with: sparrow search --resume {folder}")
        raise typer.Exit(130) from None
    _print_front(folder, front)


@app.command("trial")
def trial_command(
    config: Annotated[Path, typer.Argument(help="A trial configuration as JSON.")],
    data: Data = None,
    train_images: Images = None,
    train_annotations: Annotations = None,
    val_images: Images = None,
    val_annotations: Annotations = None,
    out: Annotated[Path | None, typer.Option(help="Folder of its artefacts.")] = None,
    device: Device = None,
) -> None:
    """Run one trial without Ray: train, prune, fine-tune, evaluate, measure."""
    trial = read_trial(config)
    source = _needed(_source(data, (train_images, train_annotations, val_images, val_annotations)))
    folder = out or Path("runs/trials") / f"{config.stem}-{trial.digest()}"
    result = run_trial(trial, source, folder, device=device, progress=sys.stderr.isatty())
    _print_result(result)
    console.print(f"Artefacts: {folder}")


@app.command("ladder")
def ladder_command(
    config: Annotated[Path, typer.Argument(help="A trial that prunes, as JSON.")],
    ratios: Annotated[str, typer.Option(help="What goes, such as 0.3,0.5,0.7.")],
    data: Data = None,
    train_images: Images = None,
    train_annotations: Annotations = None,
    val_images: Images = None,
    val_annotations: Annotations = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the rungs.")] = None,
    device: Device = None,
) -> None:
    """Train a detector once, and prune and fine-tune it at several ratios."""
    trial, rungs = read_trial(config), _ratios("--ratios", ratios)
    source = _needed(_source(data, (train_images, train_annotations, val_images, val_annotations)))
    folder = out or Path("runs/ladders") / f"{config.stem}-{trial.digest()}"
    results = ladder(trial, rungs, source, folder, device=device, progress=sys.stderr.isatty())
    console.print(ladder_table(results))
    console.print(f"Artefacts: {folder}")


@app.command("describe")
def describe_command(
    system: Annotated[
        str,
        typer.Argument(
            help="A paper's system, such as mfssd_bn, a trial as JSON, or a detector's folder."
        ),
    ],
) -> None:
    """Show a detector layer by layer: shapes, parameters, MACs, priors."""
    detector, published = find_system(system)
    console.print(description(detector, published))


@app.command("space")
def space_command(
    name: Annotated[
        str | None,
        typer.Argument(help="A named space or a TOML file; all named spaces without one."),
    ] = None,
) -> None:
    """Show what a space searches, as a tree with its size; or how large all named spaces are."""
    console.print(space_tree(load_space(name)) if name else spaces_table())


@app.command("report")
def report_command(
    folder: Annotated[Path, typer.Argument(help="Folder of a study.")],
) -> None:
    """Rebuild front and report of a study from what is stored."""
    _print_front(folder, report(folder))


def main() -> None:
    """The command `sparrow`: what a user can get wrong ends in a message, not in a traceback."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    try:
        app()
    except ValidationError as error:
        _fail(f"{error.title}: {in_words(error)}")
    except (ValueError, FileExistsError, TrainingFailed) as error:
        _fail(str(error))


def _fail(message: str) -> None:
    Console(stderr=True).print(f"error: {message}", markup=False, highlight=False, soft_wrap=True)
    sys.exit(1)


def _source(data: Path | None, paths: tuple[Path | None, ...]) -> DataSource | None:
    """The data that the options name; None where they name none."""
    if data and any(paths):
        raise ValueError("--data and explicit paths exclude each other")
    if data:
        return DataSource.from_folder(data)
    if not any(paths):
        return None
    if not all(paths):
        raise ValueError(
            "give all of --train-images, --train-annotations, --val-images, --val-annotations"
        )
    train_images, train_annotations, val_images, val_annotations = paths
    return DataSource(Split(train_images, train_annotations), Split(val_images, val_annotations))


def _needed(source: DataSource | None) -> DataSource:
    if source is None:
        raise ValueError("give --data, or the four paths of images and annotations")
    return source


def _ratios(option: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{option} {text}: give numbers, such as 0.3,0.5,0.7") from None


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


def _print_known(words: str) -> None:
    console.print(words, markup=False, highlight=False)


def _print_end(objectives: Sequence[Figure]) -> OnEnd:
    def print_end(record: TrialRecord, outlook: Outlook) -> None:
        _print_trial(record, objectives)
        console.print(f"  {outlook_in_words(outlook)}", highlight=False)

    return print_end


def _print_trial(record: TrialRecord, objectives: Sequence[Figure]) -> None:
    words = describe_in_words(record.config)
    if record.result is None:
        why = record.reason or f"not {', not '.join(record.broken)}"
        console.print(f"trial {record.number} {record.state}: {why} ({words})", markup=False)
        return
    figures = ", ".join(with_name(name, record.result.figure(name)) for name in objectives)
    console.print(
        f"trial {record.number}: {figures}, {record.seconds:.0f} s ({words})",
        highlight=False,
    )


def _print_front(folder: Path, front: Front) -> None:
    console.print(front_table(read_records(folder), read_settings(folder).objectives))
    console.print(f"Report: {folder / 'report.html'}", soft_wrap=True)


def _print_result(result: TrialResult) -> None:
    outcomes = {"dense": result.dense, "compact": result.compact}
    for name, outcome in outcomes.items():
        if outcome is None:
            continue
        m, c = outcome.metrics, outcome.cost
        figures = ((k, getattr(m, k)) for k in ("ap", "ap50", "ap_small", "ar_small"))
        shown = ", ".join(f"{k} {'-' if v is None else f'{v:.3f}'}" for k, v in figures)
        console.print(
            f"{name}: {shown}, {c.fps:.1f} FPS, {c.params:,} parameters, {c.macs / 1e6:.0f} MMAC",
            highlight=False,
        )
        for label, scores in m.classes.items():
            if scores.ap is not None:
                console.print(
                    f"  {label}: ap {scores.ap:.3f}, ap50 {scores.ap50:.3f}", markup=False
                )


if __name__ == "__main__":
    main()
