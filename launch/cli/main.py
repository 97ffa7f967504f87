"""The command line: `sparrow search | trial | ladder | describe | space | fps | export | ...`."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from detectors.training.train import TrainingFailed
from launch.cli import data as cli_data
from launch.cli import option_types
from launch.cli.describe import description
from launch.cli.export import export_command
from launch.cli.fps import fps_command
from launch.cli.names import find_system, read_trial
from launch.cli.options import (
    Annotations,
    Data,
    Device,
    Images,
    ResultFolder,
    TrialFile,
    Weights,
    data_source,
    needed_source,
    parse_ratios,
)
from launch.cli.search import print_front, print_no_front, search_command
from launch.cli.space import space_tree, spaces_table
from launch.cli.terminal import Commands, console, show_error
from launch.report import ladder_table
from launch.report.epochs import epochs_in_words
from launch.searches import report
from launch.study.failures import SearchStopped, broken_place, os_error_in_words
from launch.trial.initial_weights import trial_with_weights
from launch.trial.ladder import ladder, ladder_control
from launch.trial.result import TrialResult
from launch.trial.run import run_trial
from searchspace import load_space
from searchspace.reading import in_words

app = typer.Typer(
    cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False
)
app.add_typer(cli_data.app, name="data")
app.command("search")(search_command)
app.command("export")(export_command)
app.command("fps")(fps_command)


@app.command("trial")
def trial_command(
    config: TrialFile,
    data: Data = None,
    train_images: Images = None,
    train_annotations: Annotations = None,
    val_images: Images = None,
    val_annotations: Annotations = None,
    out: ResultFolder = None,
    device: Device = None,
    weights: Weights = None,
) -> None:
    """Run one trial without Ray: train, prune, fine-tune, evaluate, measure."""
    trial, given = trial_with_weights(read_trial(config), weights)
    source = needed_source(
        data_source(data, (train_images, train_annotations, val_images, val_annotations))
    )
    folder = out or Path("runs/trials") / f"{config.stem}-{trial.digest()}"
    progress = sys.stderr.isatty()
    result = run_trial(trial, source, folder, device=device, progress=progress, weights=given)
    _print_result(result)
    console.say(f"Artefacts: {folder}")


@app.command("ladder")
def ladder_command(
    config: TrialFile,
    ratios: Annotated[
        str, typer.Option(help="What goes, such as 0.3,0.5,0.7; the trial must prune.")
    ],
    data: Data = None,
    train_images: Images = None,
    train_annotations: Annotations = None,
    val_images: Images = None,
    val_annotations: Annotations = None,
    out: ResultFolder = None,
    device: Device = None,
    weights: Weights = None,
) -> None:
    """Train a detector once, and prune and fine-tune it at several ratios."""
    trial, given = trial_with_weights(read_trial(config), weights)
    rungs = parse_ratios("--ratios", ratios)
    source = needed_source(
        data_source(data, (train_images, train_annotations, val_images, val_annotations))
    )
    folder = out or Path("runs/ladders") / f"{config.stem}-{trial.digest()}"
    progress = sys.stderr.isatty()
    common = {"device": device, "progress": progress, "weights": given}
    results = ladder(trial, rungs, source, folder, **common)
    control = ladder_control(trial, source, folder, **common)
    console.print(ladder_table(results, control))
    console.say(f"Artefacts: {folder}")


@app.command("describe")
def describe_command(
    system: Annotated[
        str,
        typer.Argument(
            parser=option_types.text,
            metavar="SYSTEM",
            help="A paper's system, such as mfssd_bn, a trial as JSON, or a detector's folder.",
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
        typer.Argument(
            parser=option_types.text,
            metavar="NAME|FILE",
            help="A named space or a TOML file; all named spaces without one.",
        ),
    ] = None,
) -> None:
    """Show what a space searches, as a tree with its size; or how large all named spaces are."""
    console.print(spaces_table() if name is None else space_tree(load_space(name)))


@app.command("report")
def report_command(
    folder: Annotated[
        Path,
        typer.Argument(parser=option_types.in_folder, metavar="FOLDER", help="Folder of a study."),
    ],
) -> None:
    """Rebuild front and report of a study from what is stored."""
    front = report(folder)
    print_front(folder)
    if not front.members:
        print_no_front(folder)
        raise typer.Exit(1)


def main() -> None:
    """The command `sparrow`: what a user can get wrong ends in a message, not in a traceback."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    try:
        app()
    except ValidationError as error:
        _fail(f"{error.title}: {in_words(error)}")
    except (ValueError, SearchStopped, TrainingFailed) as error:
        _fail(str(error))
    except OSError as error:
        _fail(os_error_in_words(error))
    except Exception as error:
        broken = broken_place(error)
        if broken is None:
            raise
        _fail(broken)


def _fail(message: str) -> None:
    show_error(message)
    sys.exit(1)


def _print_result(result: TrialResult) -> None:
    epochs = result.config.epochs
    final = "pruned" if result.config.compress.prunes else "trained on"
    outcomes = {
        f"dense, {epochs[0]} epochs": result.dense,
        f"{final}, {epochs_in_words(epochs)} epochs": result.compact,
    }
    for name, outcome in outcomes.items():
        if outcome is None:
            continue
        m, c = outcome.metrics, outcome.cost
        figures = ((k, getattr(m, k)) for k in ("ap", "ap50", "ap_small", "ar_small"))
        shown = ", ".join(f"{k} {'-' if v is None else f'{v:.3f}'}" for k, v in figures)
        console.say(
            f"{name}: {shown}, {c.fps:.1f} FPS, {c.params:,} parameters, {c.macs / 1e6:.0f} MMAC"
        )
        for label, scores in m.classes.items():
            if scores.ap is not None:
                console.say(f"  {label}: ap {scores.ap:.3f}, ap50 {scores.ap50:.3f}")
    if result.quantised:
        console.say(f"int8: {result.quantised}")
        if result.quantised.poor:
            console.say("warning: int8 finds other things than the detector it was made from")


if __name__ == "__main__":
    main()
