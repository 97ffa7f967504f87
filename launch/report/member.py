"""A page for each trial of a front, in the study's folder `members`: what it is, what it does, and
how to go on with it.

They are files of their own, so that the report stays one small file whatever the front has, and
each can be sent alone: pictures are embedded small, and lie beside the page in full.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from detectors.data.source import DataSource
from detectors.describe import Layer
from detectors.evaluation.errors_by_kind import WORDS
from detectors.files import write_atomically
from detectors.timing.cost import Cost
from launch.figures import FIGURES, MISSING, show
from launch.files import MEMBERS, REPORT_HTML
from launch.records import TrialRecord
from launch.report.certainty import show_within
from launch.report.diagram import backbone_drawing, neck_drawing
from launch.report.epochs import epochs_in_words, slope_in_words
from launch.report.evaluation import CURVE, OF_CLASSES, lines, summary
from launch.report.looks import (
    Layers,
    Picture,
    built_network,
    looks_folder,
    read_layers,
    read_look,
)
from launch.report.rising import slope
from launch.report.speed import LATENCIES, SPEEDS, latency_cells, speed_cells
from launch.report.study import StudyView
from launch.report.templates import environment
from launch.report.thumbnails import embedded
from launch.study.settings import StudySettings
from searchspace.errors import InputError
from searchspace.words import TIMES, command

SMALL = (960, 400)
"""The most pixels of an embedded picture."""

INTERRUPTED = "the report was interrupted; sparrow report goes on"
"""Why a page has no more, where nothing else is known."""

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]
"""Headings, and rows whose first cell is their name."""


@dataclass(frozen=True)
class Setting:
    """What a page says of the study.

    Attributes:
        title: its title.
        data: the options of commands that name its data.
        why: why the trial was not looked at closely; of no use where it was.
    """

    title: str
    data: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Shown:
    """A picture on a page.

    Attributes:
        source: the small one as a data URI.
        file: the full one, from the page.
    """

    source: str
    file: str
    caption: str


def page_of(record: TrialRecord) -> str:
    """The page of a trial, as a path in the study's folder."""
    return f"{MEMBERS}/{record.number:04d}.html"


def write_pages(
    study: Path, view: StudyView, settings: StudySettings, unseen: Mapping[int, str]
) -> None:
    """Write the page of each trial of a front, and remove those of trials that have left it.

    Args:
        study: its folder; commands on the pages use it as given here.
        unseen: by number, why a trial was not looked at.
    """
    data = _data_arguments(settings)
    current = {study / page_of(record) for record in view.front}
    for page in (study / MEMBERS).glob("*.html"):
        if page not in current:
            page.unlink(missing_ok=True)  # Another report may have removed it.
    for record in view.front:
        how = Setting(settings.title, data, unseen.get(record.number, INTERRUPTED))
        write_atomically(study / page_of(record), _page(study, view, record, how))


def _page(study: Path, view: StudyView, record: TrialRecord, how: Setting) -> str:
    kept = looks_folder(study, record)
    layers, look = read_layers(kept), read_look(kept)
    config = record.config.detector
    network = layers or built_network(kept, config)
    template = environment().get_template("member.html")
    return template.render(
        title=f"Trial {record.number}",
        study=how.title,
        back=f"../{REPORT_HTML}#trial-{record.number}",
        record=record,
        result=record.finished,
        words=view.in_words(record),
        objectives=[
            f"{FIGURES[name].label} {show_within(record.finished.final, name)}"
            for name in view.objectives
        ],
        epochs=epochs_in_words(record.epochs),
        curve=slope_in_words(slope(record)),
        backbone=backbone_drawing(config, network.layers),
        neck=neck_drawing(config, network.composition),
        is_pruned_shown=layers is not None or not record.config.compress.prunes,
        layers=_layer_table(network.layers, layers, record),
        timed_on=layers.device if layers else "",
        speeds=_speed_table(_measured(record)),
        doubts=[
            f"? {name}: not trusted, as {cost.doubt}."
            for name, cost in _measured(record).items()
            if not cost.trusted
        ],
        summary=summary(record.finished.final.metrics),
        classes=_class_table(record),
        look=look,
        lines=lines(look.curves) if look else [],
        size=CURVE,
        error_words=WORDS,
        ap50=show("ap50", look.errors.ap50) if look else "",
        differs=list(_pictures(kept, look.differs)) if look else [],
        worst=list(_pictures(kept, look.worst)) if look else [],
        why=how.why,
        commands=_commands(study, record, how.data),
        python=_python(study, record),
        config=record.config.model_dump_json(indent=2),
    )


def _layer_table(known: Sequence[Layer], timed: Layers | None, record: TrialRecord) -> Table:
    headings = ("Layer", "Output", "Parameters", "MACs", "Time, ms", "Share")
    times = timed.milliseconds if timed else {}
    total = sum(times.values())
    rows: list[tuple[str, ...]] = []
    for layer in known:
        name = f"{layer.part}.{layer.name}"
        outputs = dict.fromkeys(TIMES.join(map(str, shape)) for shape in layer.outputs)
        sizes = _sizes(layer.params, layer.macs)
        rows.append((name, ", ".join(outputs), *sizes, *_time(times.get(name), total)))
    cost = record.finished.final.cost
    sums = (cost.params, cost.macs)
    if timed is None and record.config.compress.prunes:
        sums = (sum(layer.params for layer in known), sum(layer.macs for layer in known))
    rows.append(("total", "", *_sizes(*sums), *_time(total if timed else None, total)))
    return headings, rows


def _sizes(params: int, macs: int) -> tuple[str, str]:
    return f"{params:,}", f"{macs:,}"


def _time(milliseconds: float | None, total: float) -> tuple[str, str]:
    if milliseconds is None or not total:
        return MISSING, MISSING
    return f"{milliseconds:.3f}", f"{100 * milliseconds / total:.0f} %"


def _measured(record: TrialRecord) -> dict[str, Cost]:
    """Every measurement of a trial: before training, of the dense and of the final detector."""
    result = record.finished
    found = {} if result.is_reported else {"before training": result.predicted}
    found["dense"] = result.dense.cost
    if result.compact is not None:
        found["pruned" if record.config.compress.prunes else "trained on"] = result.compact.cost
    return found


def _speed_table(measured: Mapping[str, Cost]) -> Table:
    headings = ("Detector", "Form", *SPEEDS, *LATENCIES, FIGURES["energy_mj"].heading)
    return headings, [(name, *_speed_row(cost)) for name, cost in measured.items()]


def _speed_row(cost: Cost) -> tuple[str, ...]:
    batch = f", batch {cost.batch}" if cost.batch > 1 else ""
    return (
        f"{cost.runtime} {cost.precision}{batch}",
        *speed_cells(cost),
        *latency_cells(cost),
        show("energy_mj", cost.energy_mj),
    )


def _class_table(record: TrialRecord) -> Table:
    classes = record.finished.final.metrics.classes
    headings: tuple[str, ...] = (
        "Class",
        *(name.replace("ap", "AP", 1) for name in OF_CLASSES[:-1]),
        "VOC AP",
    )
    rows: list[tuple[str, ...]] = [
        (name, *(show("ap", getattr(one, figure)) for figure in OF_CLASSES))
        for name, one in classes.items()
    ]
    return headings, rows


def _pictures(kept: Path, pictures: Sequence[Picture]) -> Iterator[Shown]:
    for one in pictures:
        try:
            with Image.open(kept / one.file) as image:
                source = embedded(image.convert("RGB"), SMALL)
        except OSError:
            continue  # It was deleted; the words alone say little.
        yield Shown(source, f"{kept.name}/{one.file}", f"{one.image}: {one.words}")


def _commands(study: Path, record: TrialRecord, data: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """What to do with a trial, and the command for it."""
    model, other = f"{study}:{record.number}", "RUN:NUMBER"
    return (
        ("Draw its detections on images", command("predict", model, "IMAGES", "--out", "drawn")),
        (
            "Score it, and choose thresholds",
            command("eval", model, *data, "--out", "evaluation"),
        ),
        ("Train it on, for long", command("train", model, *data, "--epochs", 100)),
        ("Compare it with another trial", command("compare", model, other, *data)),
        ("Measure its speed beside another one's", command("fps", model, other)),
        ("Export it, compared with PyTorch first", command("export", model, "--to", "onnx")),
    )


def _python(study: Path, record: TrialRecord) -> str:
    return (
        "from launch import load_front\n\n"
        f"front = load_front({os.fspath(study)!r})\n"
        f"[member] = [m for m in front.members if m.number == {record.number}]\n"
        'found = member.predict("image.jpg")  # boxes, scores and classes\n'
        "detector = member.load()  # the module, or what the runtime runs"
    )


def _data_arguments(settings: StudySettings) -> tuple[str, ...]:
    """The options that name the study's data; with a word in capitals where they are not known."""
    unknown = ("--data", "FOLDER")
    if (source := settings.known_source) is None:
        return unknown
    share = source.val.cut.val_share if source.val.cut else None
    cut = ("--val-share", f"{share:g}") if share else ()
    if source.val.fetched is not None:
        return "--data", source.val.fetched.address, *cut
    for place in (source.place, source.place.parent):
        try:
            found = DataSource.from_folder(place, share)
        except (InputError, OSError):
            continue
        if found == source:
            return "--data", os.fspath(place), *cut
    return unknown
