"""Heads, and their priors or points."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field

from searchspace.config import Added, Config
from searchspace.domains import Fixed
from searchspace.geometry import Level, Size, shown
from searchspace.priors import (
    PRIOR_RULES,
    LevelPriors,
    ListedPriors,
    Positive,
    PriorRule,
    even_step,
)
from searchspace.registry import Registry


class LevelPoints(Config):
    """The points of one level: one in the middle of each cell.

    Attributes:
        step: distance of points, in pixels of the network's input; (vertical, horizontal) if they
            differ.
    """

    step: Positive | tuple[Positive, Positive]

    @property
    def boxes_per_cell(self) -> int:
        return 1


class Postprocess(Config):
    """From scores to detections (SSD, section 3.1; evaluated on COCO with at most 100).

    Attributes:
        candidates: the most boxes per image that enter NMS; None for no limit.
        level_candidates: the most of them from one level; None for no limit.
        class_candidates: the most of them of one class; None for no limit. SSD's Caffe code has 400
            of each class, and no limit per image.
        detections: the most boxes per image that are kept.
    """

    score_threshold: float = Field(default=0.01, ge=0, lt=1)
    candidates: int | None = Field(default=400, ge=1)
    level_candidates: int | None = Field(default=None, ge=1)
    class_candidates: Annotated[int | None, Added(), Field(ge=1)] = None
    nms_iou: float = Field(default=0.45, gt=0, le=1)
    detections: int = Field(default=100, ge=1)

    def keeping(self, detections: int) -> Postprocess:
        """With at least as many detections kept, and four candidates for each of them, as NMS
        removes most."""
        if detections <= self.detections:
            return self
        limits = ("candidates", "level_candidates", "class_candidates")
        given = {name: getattr(self, name) for name in limits}
        raised = {name: max(n, 4 * detections) for name, n in given.items() if n is not None}
        return self.changed(detections=detections, **raised)


class Head(Config, ABC):
    """Predicts from every cell of every level, with priors or points.

    A head is two classes. Its configuration, a subclass of this one, is registered with
    `@HEADS.register` and defines its priors or points. Its module, a subclass of
    `detectors.heads.DenseHead`, is decorated with `@builds(...)` of `detectors.building`; it is
    called with the whole `DetectorConfig`, whose `head` is this, whose `levels()` are the maps
    and whose `num_classes` are the classes without background.

    Attributes:
        kind: the name of the head in files; a `Literal` with itself as default.
        postprocess: from scores to detections.
        softmax: whether the scores of a prior's classes and background add up to 1, which
            distillation of logits needs.
    """

    kind: str
    softmax: ClassVar[bool] = False
    postprocess: Postprocess = Postprocess()

    @abstractmethod
    def for_levels(
        self, levels: tuple[Level, ...], size: Size
    ) -> tuple[LevelPriors, ...] | tuple[LevelPoints, ...]:
        """The default boxes or points of each level, for an input of `size` pixels.

        Args:
            levels: the maps that the head reads, finest first: channels and cells.
            size: height and width of the input.

        Raises:
            ValueError: the head cannot read these maps; the message says why, and how to fix it.
        """

    def for_cells(self, changes: tuple[float, ...]) -> Self:
        """The head for another input size, whose cells are larger by these factors, level by level;
        by default the same head."""
        return self


class Multibox(Head):
    """SSD's head: on each level one 3x3 convolution for boxes, one for softmax classes.

    A search draws priors by a rule only, as lists apply to one number of levels. A space that names
    no kind has one rule for all levels.

    Attributes:
        priors: sizes and shapes of the default boxes.
        initial: `small`: weights of deviation 0.01, with which all classes are equally likely
            whatever the scale of the maps. `xavier`: uniform by the number of inputs and outputs,
            as in SSD.
    """

    kind: Literal["multibox"] = "multibox"
    softmax: ClassVar[bool] = True
    priors: Annotated[PriorRule, PRIOR_RULES, Fixed("scaled")] = ListedPriors()
    initial: Annotated[Literal["small", "xavier"], Added()] = "small"

    def for_levels(self, levels: tuple[Level, ...], size: Size) -> tuple[LevelPriors, ...]:
        return self.priors.for_levels(levels, size)

    def for_cells(self, changes: tuple[float, ...]) -> Self:
        return self.model_copy(update={"priors": self.priors.for_cells(changes)})

    def in_words(self) -> str:
        return self.priors.in_words()


class PointHead(Head):
    """The base of heads that predict one box at each point.

    Attributes:
        strides: distance of the points of each level in pixels; by default points are spread
            evenly over the input.
        channels: channels of the towers' convolutions, multiplied by the detector's width.
    """

    strides: tuple[Positive, ...] | None = None
    channels: int = Field(default=256, ge=8)

    def for_levels(self, levels: tuple[Level, ...], size: Size) -> tuple[LevelPoints, ...]:
        """The points of each level, for an input of `size` pixels; raises ValueError if `strides`
        are for another number of levels."""
        if self.strides is None:
            return tuple(LevelPoints(step=even_step(level, size)) for level in levels)
        if len(self.strides) != len(levels):
            maps = ", ".join(shown(level.size) for level in levels)
            raise ValueError(
                f"strides {list(self.strides)} are for {len(self.strides)} levels, but the maps "
                f"are {maps}: list {len(levels)} strides, or remove them"
            )
        return tuple(LevelPoints(step=stride) for stride in self.strides)


class Points(PointHead):
    """YOLOX's head: on each level a tower for classes and one for the box and its objectness.

    Every level has its own weights.

    Attributes:
        depth: number of 3x3 convolutions in a tower.
    """

    kind: Literal["points"] = "points"
    depth: int = Field(default=2, ge=1)
    postprocess: Postprocess = Postprocess(candidates=1000, nms_iou=0.65)

    def in_words(self) -> str:
        return "YOLOX's head"


class Distributions(PointHead):
    """GFL's head: a box's sides as distributions over their distance from the point.

    All levels share the towers and output layers; each has its own scale of the sides.

    Attributes:
        depth: number of 3x3 convolutions in a tower.
        bins: number of bins of a side's distribution, at 0, 1, 2, ... strides from the point.
    """

    kind: Literal["distributions"] = "distributions"
    depth: int = Field(default=4, ge=1)
    bins: int = Field(default=17, ge=2)
    postprocess: Postprocess = Postprocess(
        score_threshold=0.05, candidates=5000, level_candidates=1000, nms_iou=0.6
    )

    def in_words(self) -> str:
        return "GFL's head"

    def for_levels(self, levels: tuple[Level, ...], size: Size) -> tuple[LevelPoints, ...]:
        channels = [level.channels for level in levels]
        if len(set(channels)) > 1:
            raise ValueError(
                f"head distributions: all levels share one tower, but the maps have {channels} "
                "channels: end the neck with a step pyramid, and extend it with as many channels"
            )
        return super().for_levels(levels, size)


HEADS = Registry[Head]("head", Multibox, Points, Distributions)
