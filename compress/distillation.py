"""Distillation: losses that pull a detector's outputs towards those of a trained one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from detectors.detector import Detector
from detectors.dry_run import dry_run
from detectors.features import Outputs, resized, size_of
from detectors.group import divisor
from detectors.training.shared_weights import Lesson
from detectors.training.train import Term
from searchspace.detector import DetectorConfig
from searchspace.distillation import ChannelWise, Distillation, Logits
from searchspace.errors import InputError
from searchspace.geometry import Level, shown
from searchspace.heads import HEADS

LOCATIONS = {"classes": ("classes",), "maps": ("maps",), "both": ("classes", "maps")}


def distillation_term(config: ChannelWise | Logits, student: Detector, teacher: Detector) -> Term:
    """The loss term by which `student` learns from `teacher`.

    The teacher is frozen and set to eval mode. A term with parameters of its own is a module, which
    `fit` trains along with the detector.

    Raises:
        ValueError: teacher and student have nothing that can be compared.
    """
    check_distillation(config, student.config, teacher.config)
    if isinstance(config, Logits):
        return logit_term(config, Teacher(teacher))
    return ChannelWiseTerm(config, student, Teacher(teacher))


def check_distillation(
    config: Distillation, student: DetectorConfig, teacher: DetectorConfig
) -> None:
    """Raise ValueError if teacher and student have nothing that can be compared."""
    if isinstance(config, ChannelWise) and not level_pairs(student.levels(), teacher.levels()):
        ours, theirs = (
            ", ".join(shown(level.size) for level in levels)
            for levels in (student.levels(), teacher.levels())
        )
        raise InputError(
            f"channel_wise compares maps of similar size, but the student's are {ours} and the "
            f"teacher's {theirs}: choose another teacher"
        )
    if isinstance(config, Logits):
        _check_logits(student, teacher)


def check_classes(teacher: Detector, classes: Sequence[str]) -> None:
    """Raise ValueError if `teacher` was trained for other classes, or in another order.

    If the teacher does not name its classes, only their number is compared.
    """
    known, wanted = teacher.classes, ", ".join(classes)
    if known and known != tuple(classes):
        raise InputError(
            f"it was trained for {', '.join(known)}, but the data have {wanted}: choose a teacher "
            "of the same classes in the same order"
        )
    if teacher.config.num_classes != len(classes):
        raise InputError(
            f"it was trained for {teacher.config.num_classes} classes, but the data have "
            f"{len(classes)} ({wanted}): choose a teacher of the same classes"
        )


class Teacher:
    """A trained detector that is only used for inference.

    It is not a module, so that a loss that holds one neither trains nor saves it.
    """

    def __init__(self, detector: Detector) -> None:
        self.detector = detector.eval().requires_grad_(False)

    def __call__(self, images: Tensor) -> Outputs:
        """Its outputs for images [N, 3, H, W] in 0..1, resized if its input size differs.

        They have no gradient, but can be used in computations that do.
        """
        detector = self.detector.to(images.device)
        with torch.no_grad():
            # Already on a canvas: a letterboxed teacher must not place them on another.
            return detector.outputs(resized(images, detector.config.size, antialias=True))


class ChannelWiseTerm(nn.Module):
    """Channel-wise distillation on each location that the configuration names.

    Levels are paired by `level_pairs`. If a pair differs in channels, a 1x1 convolution of this
    module maps the student's to the teacher's; if it differs in size, the teacher's map is resized.
    Class logits are compared as maps, with one channel per logit of a cell.
    """

    def __init__(self, config: ChannelWise, student: Detector, teacher: Teacher) -> None:
        super().__init__()
        self.config = config
        self.teacher = teacher
        self.pairs = level_pairs(student.config.levels(), teacher.detector.config.levels())
        ours, theirs = _channels(student), _channels(teacher.detector)
        self.alignments = nn.ModuleDict(
            {
                location: nn.ModuleList(
                    _alignment(ours[location][s], theirs[location][t]) for s, t in self.pairs
                )
                for location in LOCATIONS[config.location]
            }
        )

    def forward(self, detector: Detector, images: Tensor, outputs: Outputs) -> dict[str, Tensor]:
        ours = _located(detector, outputs)
        theirs = _located(self.teacher.detector, self.teacher(images))
        return {
            f"distilled_{location}": self._loss(ours[location], theirs[location], alignments)
            for location, alignments in self.alignments.items()
            if isinstance(alignments, nn.ModuleList)
        }

    def _loss(self, ours: list[Tensor], theirs: list[Tensor], alignments: nn.ModuleList) -> Tensor:
        """The weighted sum over all pairs of levels."""
        divergences = [
            channel_divergence(
                align(ours[s]), resized(theirs[t], size_of(ours[s])), self.config.temperature
            )
            for (s, t), align in zip(self.pairs, alignments, strict=True)
        ]
        return self.config.weight * torch.stack(divergences).sum()


def logit_term(config: Logits, teacher: Teacher) -> Term:
    """Distillation of the class probabilities of each prior."""

    def term(detector: Detector, images: Tensor, outputs: Outputs) -> dict[str, Tensor]:
        ours, theirs = outputs.predictions.classes, teacher(images).predictions.classes
        divergence = class_divergence(ours, theirs, config.temperature)
        return {"distilled_classes": config.weight * divergence}

    return term


def channel_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Kullback-Leibler divergence of each channel's distribution over positions (Shu et al., 2021).

    t^2 / (N C) * sum over n, c, i of p_T (log p_T - log p_S), where p is the softmax of x / t over
    the H W positions of a channel.

    Args:
        student, teacher: [N, C, H, W].
    """
    ours, theirs = (
        (maps.float().flatten(2) / temperature).log_softmax(-1) for maps in (student, teacher)
    )
    total = functional.kl_div(ours, theirs, reduction="sum", log_target=True)
    return temperature**2 * total / (student.shape[0] * student.shape[1])


def class_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Kullback-Leibler divergence of softened class probabilities (Hinton et al., 2015, section 2).

    t^2 times the sum over all priors, divided by the number of priors that the teacher expects to
    be objects (at least 1), just as the detection loss is divided by the number of positives.

    Args:
        student, teacher: logits, background first, [N, P, 1 + num_classes].
    """
    ours, theirs = ((x.float() / temperature).log_softmax(-1) for x in (student, teacher))
    total = functional.kl_div(ours, theirs, reduction="sum", log_target=True)
    objects = divisor((1 - teacher.float().softmax(-1)[..., 0]).sum())
    return temperature**2 * total / objects


def in_place(config: ChannelWise) -> Lesson:
    """The lesson of designs that share weights: channel-wise distillation of the class logits from
    the largest, on the pairs of levels with as many boxes per cell. No gradient reaches it."""

    def lesson(
        student: Detector, ours: Outputs, teacher: Detector, theirs: Outputs
    ) -> dict[str, Tensor]:
        own, taught = class_maps(student.config, ours), class_maps(teacher.config, theirs)
        divergences = [
            channel_divergence(
                own[s], resized(taught[t].detach(), size_of(own[s])), config.temperature
            )
            for s, t in level_pairs(student.config.levels(), teacher.config.levels())
            if own[s].shape[1] == taught[t].shape[1]
        ]
        if not divergences:
            return {}
        return {"distilled_classes": config.weight * torch.stack(divergences).sum()}

    return lesson


def level_pairs(student: Sequence[Level], teacher: Sequence[Level]) -> list[tuple[int, int]]:
    """Pairs (student level, teacher level) that are compared.

    Each level of the student is paired with the teacher's level whose number of cells is closest by
    ratio, the finer one if two are equally close. A level of the student that differs from all by a
    factor of 4 or more (2 on each axis) is left out.
    """
    pairs = []
    for index, level in enumerate(student):
        ratios = [_ratio(level.cells, other.cells) for other in teacher]
        nearest = min(range(len(teacher)), key=lambda i: (ratios[i], -teacher[i].cells))
        if ratios[nearest] < 4:
            pairs.append((index, nearest))
    return pairs


def _ratio(a: int, b: int) -> float:
    return max(a, b) / min(a, b)


def class_maps(config: DetectorConfig, outputs: Outputs) -> list[Tensor]:
    """Class logits [N, P, K] as one map [N, B * K, H, W] a level, B being its boxes per cell."""
    cells = [maps.shape[-2:] for maps in outputs.maps]
    boxes = [priors.boxes_per_cell for priors in config.priors()]
    counts = [h * w * b for (h, w), b in zip(cells, boxes, strict=True)]
    levels = outputs.predictions.classes.split(counts, 1)
    return [
        logits.unflatten(1, (h, w, b)).flatten(3).permute(0, 3, 1, 2)
        for logits, (h, w), b in zip(levels, cells, boxes, strict=True)
    ]


def _located(detector: Detector, outputs: Outputs) -> dict[str, list[Tensor]]:
    return {"classes": class_maps(detector.config, outputs), "maps": outputs.maps}


def _channels(detector: Detector) -> dict[str, list[int]]:
    """Channels of each level at each location, found by running the network, as it may be
    pruned."""
    outputs = dry_run(detector)
    return {name: [x.shape[1] for x in maps] for name, maps in _located(detector, outputs).items()}


def _alignment(channels: int, wanted: int) -> nn.Module:
    return nn.Identity() if channels == wanted else nn.Conv2d(channels, wanted, 1)


def _check_logits(student: DetectorConfig, teacher: DetectorConfig) -> None:
    instead = "; channel_wise compares any two detectors"
    for owner, config in (("student", student), ("teacher", teacher)):
        if not config.head.softmax:
            having = " or ".join(kind for kind, head in HEADS.by_kind.items() if head.softmax)
            raise InputError(
                f"logits need heads of kind {having}, but the {owner}'s is "
                f"{config.head.kind}{instead}"
            )
    ours, theirs = _priors(student), _priors(teacher)
    if ours != theirs:
        raise InputError(
            f"logits are compared prior by prior, but the student has {ours} priors on its levels "
            f"and the teacher {theirs}{instead}"
        )


def _priors(config: DetectorConfig) -> list[int]:
    levels = zip(config.levels(), config.priors(), strict=True)
    return [level.cells * priors.boxes_per_cell for level, priors in levels]
