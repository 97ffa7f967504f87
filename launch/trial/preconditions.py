"""Checks of a configuration or a space against the data before anything is trained.

`FAULTS` is the table: each entry returns what is wrong with a configuration on some data, or None.
A trial must pass all of them. For a space, every option is checked separately: one that works in no
configuration is refused.
"""

from __future__ import annotations

import functools
import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from compress import Plan, check_pruning, replay
from detectors.data.samples import check_sources
from detectors.data.transforms import CLOSEST_CROP, least_side
from detectors.declared import check_declared
from detectors.describe import skeleton
from detectors.dry_run import norms_of_one_cell
from detectors.evaluation.coco import AREAS
from detectors.training.multi_scale import InputSizes
from launch.figures import FIGURES
from launch.trial.data import TrialData, TrialError
from launch.trial.initial_weights import check_saved_start
from launch.trial.teachers import LoadTeacher, check_teachers, load_teacher
from searchspace import Space, TrialConfig
from searchspace.domains import Choice, Domain, Fixed, options
from searchspace.errors import InputError
from searchspace.geometry import Canvas
from searchspace.initial_weights import check_start
from searchspace.reading import in_words, shown
from searchspace.words import counted

Fault = Callable[[TrialConfig, TrialData], str | None]
"""Returns what is wrong with a configuration on data, with the field and the fix, or None."""

SIZES = {
    "any": "",
    "very tiny": " below 8x8 pixels",
    "tiny": " below 16x16 pixels",
    "small": " below 32x32 pixels",
    "medium": " between 32x32 and 96x96 pixels",
    "large": " above 96x96 pixels",
}
"""The objects that a figure needs, by their size, in words."""

DRAWS = 25
"""Configurations that are tried before an option counts as unusable."""


def check_fits(
    config: TrialConfig,
    data: TrialData,
    load_teacher: LoadTeacher = load_teacher,
    plan: Plan | None = None,
) -> None:
    """Raise `TrialError` if a configuration does not fit the data, its teachers, or the channels
    that the detector does not have."""
    check_objects(data)
    for fault in (*FAULTS, _declaration, _pruning):
        if found := fault(config, data):
            raise TrialError(found)
    if plan is not None:
        _check_plan(config, plan)
    check_teachers(config, data.classes, load_teacher)
    check_saved_start(config, data.classes, load_teacher, plan)


def _check_plan(config: TrialConfig, plan: Plan) -> None:
    if config.compress.prunes:
        raise TrialError(
            f"compress.pruning {config.compress.pruning.kind}: channels of the detector were "
            "removed already, and no more can be: set compress.pruning.kind to none"
        )
    if found := _message(lambda: replay(skeleton(config.detector), plan)):
        raise TrialError(found)


def check_objects(data: TrialData, figures: Sequence[str] = ()) -> None:
    """Raise `TrialError` if the validation data leave all scores, or one of `figures`,
    undefined."""
    objects = [a for found in data.val.annotations.values() for a in found if a.scored]
    rows = [FIGURES[name] for name in figures]
    if not objects:
        score = next((row.label for row in rows if row.objects), "AP")
        raise TrialError(
            f"the validation data have no objects that are scored, so {score} is undefined: add "
            "images with objects that are neither marked as difficult nor ignore regions"
        )
    for row in rows:
        if row.objects is None:
            continue
        size = SIZES[row.objects]
        least, most = AREAS.get(row.objects.replace(" ", "_"), AREAS["all"])
        if not any(least <= a.area <= most for a in objects):
            raise TrialError(
                f"the validation data have no objects{size}, so {row.label} is undefined: add "
                f"images with {row.objects} objects, or choose other objectives"
            )


def check_space(space: Space, data: TrialData) -> None:
    """Raise `TrialError` if an option of a space works in no configuration on the data.

    Combinations of options are not checked: a trial that draws two incompatible ones is refused
    then. Nor is what needs each detector to be run, such as pruning; the trial checks it.
    """
    judge = functools.partial(_wrong, data=data, load=functools.cache(load_teacher))
    if found := _hopeless(space, {}, judge):
        raise TrialError(f"no configuration of the space {space.name} works on these data: {found}")
    for path, domain in space.searched():
        for option in _ends(domain):
            if found := _hopeless(space, {path: domain.param(option)}, judge):
                raise TrialError(
                    f"space {space.name}, {path} = {shown(option)}: {found}; or remove this option "
                    "from the space"
                )


def _hopeless(
    space: Space, forced: Mapping[str, Any], judge: Callable[[TrialConfig], str | None]
) -> str | None:
    """What is wrong with the last of several configurations with forced parameters; None if one of
    them works."""
    found = None
    for seed in range(DRAWS):
        try:
            found = judge(space.suggest(_Draw(forced, seed)))
        except ValidationError as error:
            found = found or in_words(error)
        else:
            if found is None:
                return None
    return found


def _wrong(config: TrialConfig, data: TrialData, load: LoadTeacher) -> str | None:
    for fault in FAULTS:
        if found := fault(config, data):
            return found
    try:
        check_teachers(config, data.classes, load)
        check_saved_start(config, data.classes, load)
    except TrialError as error:
        return str(error)
    return None


def _ends(domain: Domain) -> Sequence[Any]:
    """The options of a choice, or the ends of a range."""
    return options(domain) if isinstance(domain, Choice | Fixed) else (domain.low, domain.high)


class _Draw:
    """A random draw, in the role of an Optuna trial, with some parameters forced.

    A parameter that exists under one kind only is reached by forcing that kind.
    """

    def __init__(self, forced: Mapping[str, Any], seed: int) -> None:
        self._forced: dict[str, Any] = {**dict(_kinds(forced)), **forced}
        self._random = random.Random(seed)

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
        found = self._forced.get(name, _FREE)
        return self._random.choice(choices) if found is _FREE or found not in choices else found

    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int:
        return self._forced.get(name, self._random.randrange(low, high + 1, step))

    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> float:
        return self._forced.get(name, self._random.uniform(low, high))


_FREE = object()


def _kinds(forced: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The kinds that paths require: `backbone.kind` is `resnet` for `backbone.resnet.depth`."""
    for path in forced:
        names = path.split(".")
        for depth in range(1, len(names)):
            yield f"{'.'.join(names[:depth])}.kind", names[depth]


def _classes(config: TrialConfig, data: TrialData) -> str | None:
    if config.detector.num_classes == data.train.num_classes:
        return None
    unused = data.unused_classes
    note = f", or remove {' and '.join(unused)}, of which there is no object" if unused else ""
    return (
        f"detector.num_classes is {config.detector.num_classes}, but the data have "
        f"{counted(data.train.num_classes, 'category')} ({', '.join(data.classes)}): set it to "
        f"{data.train.num_classes}{note}"
    )


def _pasting(config: TrialConfig, data: TrialData) -> str | None:
    return _message(lambda: check_sources(data.train, config.train.copy_paste))


def _weights(config: TrialConfig, data: TrialData) -> str | None:
    return _message(lambda: check_start(config.train.weights, config.detector))


def _input_sizes(config: TrialConfig, data: TrialData) -> str | None:
    sizes = config.train.multi_scale
    if not sizes.active:
        return None
    return _message(lambda: InputSizes(skeleton(config.detector), sizes))


def _batch_norm(config: TrialConfig, data: TrialData) -> str | None:
    """A batch norm in training needs at least two values per channel."""
    if config.train.batch_size > 1:
        return None
    detector = skeleton(config.detector).train()
    detector.backbone.freeze(config.train.frozen)
    names = norms_of_one_cell(detector)
    if not names:
        return None
    return (
        f"train.batch_size is 1, but the batch norm {names[0]} gets a map of 1x1 and so a single "
        "value per channel, and it needs two: set train.batch_size to 2 or more, or raise "
        "detector.input_size"
    )


def _sizes_of_objects(config: TrialConfig, data: TrialData) -> str | None:
    """Objects that are too small at the input size are not trained on."""
    sides = list(_shorter_sides(data, config.detector.canvas))
    enlarged = CLOSEST_CROP if config.train.augment.crop else 1.0
    if config.train.augment.mosaic:
        enlarged = max(enlarged, config.train.augment.mosaic_scale[1])
    if config.train.augment.mosaic and config.train.augment.mixup:
        enlarged = max(enlarged, config.train.augment.mixup_scale[1])
    least = least_side(config.train.augment, config.detector.canvas)
    if not sides or max(sides) * enlarged >= least:
        return None
    return (
        f"detector.input_size {shown(config.detector.input_size)}: all {len(sides)} training "
        f"objects are below {least:g} px there (median {statistics.median(sides):.2g}), so "
        "there is nothing to train on: raise it, or cut the images by detector.tiles"
    )


def _shorter_sides(data: TrialData, canvas: Canvas) -> Iterator[float]:
    """The shorter side of each training object, in pixels of the network's input."""
    for image in data.train.images:
        part = canvas.part((image.height, image.width))
        down, across = (new / own for new, own in zip(canvas.content(part), part, strict=True))
        for item in data.train.annotations[image.id]:
            x1, y1, x2, y2 = item.box
            if not item.iscrowd:
                yield min((x2 - x1) * across, (y2 - y1) * down)


def _declaration(config: TrialConfig, data: TrialData) -> str | None:
    """Modules of a user's own may not return what their configurations declare."""
    return _message(lambda: check_declared(config.detector))


def _pruning(config: TrialConfig, data: TrialData) -> str | None:
    if not config.compress.prunes:
        return None
    return _message(lambda: check_pruning(config.detector, config.compress.removal))


def _message(check: Callable[[], object]) -> str | None:
    """The message of the InputError that a check raises, if any."""
    try:
        check()
    except InputError as error:
        return str(error)
    return None


FAULTS: tuple[Fault, ...] = (
    _classes,
    _pasting,
    _weights,
    _input_sizes,
    _batch_norm,
    _sizes_of_objects,
)
"""The checks of a trial and of every option of a space; a trial's pruning is checked as well."""
