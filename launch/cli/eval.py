"""`sparrow eval`: a model's figures, errors by kind and thresholds on annotated images."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from detectors.data.node_cache import NodeCache
from detectors.data.reading import read_split
from detectors.evaluate import detect_split
from detectors.evaluation.report import Evaluation
from detectors.models import Model
from detectors.thresholds import write_thresholds
from launch.cli.from_fields import with_options
from launch.cli.models import find_model
from launch.cli.options import DeviceOption, FolderOrFile, ModelName, Options, OutFolder, PrintJson
from launch.cli.terminal import console, figure_table
from launch.figures import FIGURES, show
from launch.files import EVALUATION_CSV, EVALUATION_HTML, EVALUATION_JSON
from launch.report.evaluation import summary, write_evaluation
from launch.study.data_options import CacheOptions
from launch.study.options import Option
from launch.trial.run import pick_device
from searchspace.words import counted

IN_TERMINAL = ("ap", "ap50", "ap_small")
"""The figures of a class that a terminal has room for."""


class EvalOptions(Options):
    """What is chosen and what is written."""

    precision: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Choose the smallest threshold of each class with at least this precision, "
        "such as 0.9; by default that with the best F1.",
    )
    out: Annotated[OutFolder | None, Option("FOLDER")] = Field(
        default=None,
        description=f"Write {EVALUATION_HTML}, {EVALUATION_JSON} and the curves as "
        f"{EVALUATION_CSV} into this folder.",
    )


@with_options
def eval_command(
    name: ModelName,
    place: FolderOrFile,
    options: EvalOptions,
    data: CacheOptions,
    where: DeviceOption,
    as_json: PrintJson = False,
) -> None:
    """Thresholds are kept beside the model where they were chosen on a validation split."""
    images, validates = place.scored()
    model = find_model(name, pick_device(where.device))
    split = read_split(images, **data.reading)
    cache = NodeCache.of_gb(data.cache_gb)
    results = detect_split(model.detector, split, model.device, cache)
    evaluation = Evaluation.of(split, results, options.precision)
    kept = None
    if validates:
        kept = write_thresholds(model.path, evaluation.thresholds)
    if options.out is not None:
        write_evaluation(evaluation, options.out, f"Evaluation of {model.path}")
    if as_json:
        console.say_json(
            {
                "model": str(model.path),
                "form": str(model.form),
                **evaluation.model_dump(mode="json"),
            }
        )
        return
    _print(model, evaluation)
    if split.skipped:
        console.say(split.dropped_in_words())
    if kept is not None:
        console.say(f"Thresholds ({evaluation.thresholds}): {kept}; sparrow predict uses them")
    if options.out is not None:
        console.say(f"Report: {options.out / EVALUATION_HTML}")


def _print(model: Model, evaluation: Evaluation) -> None:
    images, objects = counted(evaluation.images, "image"), counted(evaluation.objects, "object")
    console.say(f"{model.path} ({model.form}) on {images} with {objects}")
    figures = figure_table("Figure", "Value", "95 % interval")
    for row in summary(evaluation.metrics):
        figures.add_row(*row)
    errors = figure_table("Error", "Number", "Gain in AP50")
    found = evaluation.errors
    totals = {"false positives": found.false_positives, "false negatives": found.false_negatives}
    for kind, cost in {**found.kinds, **totals}.items():
        errors.add_row(kind, str(cost.count), f"{cost.ap50:.3f}")
    labels = (FIGURES[figure].label for figure in IN_TERMINAL)
    classes = figure_table("Class", *labels, "Threshold", "Precision", "Recall", "F1")
    for name, one in evaluation.metrics.classes.items():
        chosen = evaluation.thresholds.classes[name]
        values = (chosen.score, chosen.precision, chosen.recall, chosen.f1)
        shown = [*(getattr(one, figure) for figure in IN_TERMINAL), *values]
        classes.add_row(name, *(show("ap", value) for value in shown))
    for table in (figures, errors, classes):
        console.print(table)
    without = [n for n, chosen in evaluation.thresholds.classes.items() if chosen.score is None]
    if without:
        goal = evaluation.thresholds.least_precision
        why = "nothing of them is found" if goal is None else f"none has a precision of {goal:g}"
        console.say(f"Classes without a threshold, as {why}: {', '.join(without)}")
