"""Frames per second in every form that is available on the device, and why the others are not.

A detector's forms are measured in turns. Forms that are quick to build come first, for all
detectors and batch sizes; forms that compile follow while the part's time lasts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch

from benchmarks.gpu.setting import (
    ERROR,
    NOT_TRIED,
    QUICK,
    TABLE,
    Row,
    Setting,
    finished,
    random_detector,
    tried,
)
from compress import calibration_images
from detectors.detector import Detector
from detectors.runtimes import Deployed, Form, available
from detectors.runtimes.deployment import deploy_as
from detectors.timing.cost import Cost
from detectors.timing.measure import Candidate, measure_together
from searchspace.measuring import MeasureConfig

SYSTEMS = ("ssd300_vgg16", "ssdmnetv1_s1l4", "yolox_tiny")
BATCHES, BRIEF_BATCHES = (1, 8), (1, 2)
BRIEF = ("eager", "channels_last")
"""Runtimes of the brief form, in float32."""

COMPILING = ("tensorrt", "compile")
"""Runtimes that are slow to build, the more useful first."""

FAST, SLOW = {"passes": 9, "seconds": 4.0}, {"passes": 1, "runs": 2, "seconds": 0.1}
"""Changes to the default measurement: a shorter one, and one for `--brief`."""

CALIBRATION = 8


@dataclass
class _Subject:
    """A detector, the forms of it that were built, and how long each took."""

    name: str
    detector: Detector
    images: torch.Tensor
    deployed: dict[Form, Deployed] = field(default_factory=dict)
    seconds: dict[Form, float] = field(default_factory=dict)


def fps(setting: Setting) -> Iterator[Row]:
    """A row for each detector in each form and size of batch."""
    subjects, there = list(_subjects(setting)), available(setting.device)
    if setting.brief:
        there |= {f: "skipped with --brief" for f in there if not _brief(f)}
    yield from (_row("all", form) | {"note": why} for form, why in there.items() if why)
    batches = BRIEF_BATCHES if setting.brief else BATCHES
    forms = [form for form, why in there.items() if why is None]
    quick = [form for form in forms if form.runtime not in COMPILING]
    for subject in subjects:
        yield from _built(subject, quick, setting)
    for batch in batches:
        for subject in subjects:
            yield from _measured(subject, quick, batch, setting)
    slow = [form for runtime in COMPILING for form in forms if form.runtime == runtime]
    for form in sorted(slow, key=lambda form: form.precision != "float16"):
        for subject in subjects:
            if setting.left < 2 * max(subject.seconds.values(), default=0):
                yield _row(subject.name, form) | NOT_TRIED
                continue
            yield from _built(subject, [form], setting)
            for batch in batches:
                yield from _measured(subject, [form], batch, setting)


def _brief(form: Form) -> bool:
    return form.runtime in BRIEF and form.precision == "float32"


def _row(name: str, form: Form, batch: int | None = None) -> Row:
    row: Row = {TABLE: "Frames per second", "system": name, "form": str(form)}
    return row if batch is None else row | {"batch": batch}


def _subjects(setting: Setting) -> Iterator[_Subject]:
    for name, config in setting.trials(SYSTEMS, (QUICK,)).items():
        images = calibration_images(setting.splits.val, CALIBRATION, config.detector.canvas)
        yield _Subject(name, random_detector(config).eval(), images)


def _built(subject: _Subject, forms: Sequence[Form], setting: Setting) -> Iterator[Row]:
    """Build forms of a detector; yields rows for those that fail."""

    def build(form: Form) -> Row:
        start = time.perf_counter()
        config = MeasureConfig(runtime=form.runtime, precision=form.precision)
        deployed = deploy_as(config, subject.detector, setting.device, subject.images)
        subject.seconds[form] = finished(setting.device) - start
        subject.deployed[form] = deployed
        return {}

    rows = (tried(_row(subject.name, form), partial(build, form)) for form in forms)
    yield from (row for row in rows if ERROR in row)


def _measured(
    subject: _Subject, forms: Sequence[Form], batch: int, setting: Setting
) -> Iterator[Row]:
    """Measure the built forms of a detector in turns."""
    built = {form: subject.deployed[form] for form in forms if form in subject.deployed}
    if setting.left <= 0:
        yield from (_row(subject.name, form, batch) | NOT_TRIED for form in built)
        return
    zeros = torch.zeros(batch, 3, *subject.detector.config.size, device=setting.device)

    def run(form: Form) -> Row:
        built[form].network(zeros)
        return {}

    # A runtime that compiles does so for each batch size, and may fail for one.
    rows = {form: tried(_row(subject.name, form, batch), partial(run, form)) for form in built}
    yield from (row for row in rows.values() if ERROR in row)
    ready = [form for form, row in rows.items() if ERROR not in row]
    if not ready:
        return
    candidates = [Candidate(subject.detector, subject.images, built[form]) for form in ready]
    config = MeasureConfig(batch=batch, **(SLOW if setting.brief else FAST))
    measure = partial(measure_together, candidates, config, setting.device)
    found = tried({}, lambda: dict(zip(ready, measure(), strict=True)))
    for form in ready:
        figures = found if ERROR in found else _figures(found[form], subject.seconds[form])
        yield rows[form] | figures


def _figures(cost: Cost, built: float) -> Row:
    whole, network = cost.timing.whole, cost.timing.network
    return {
        "FPS": cost.fps,
        "raw FPS": cost.raw_fps,
        "network FPS": cost.network_fps,
        "p50 ms": whole.latency.p50,
        "p99 ms": whole.latency.p99,
        "network ms": network.latency.p50,
        "reference ms": cost.timing.reference.p50,
        "width": whole.width,
        "MB": cost.memory.megabytes,
        "mJ": cost.energy_mj,
        "built in s": built,
        "doubt": cost.doubt,
        "state": cost.circumstances.after.model_dump(),
    }
