"""The choices that the papers explore, and where a space has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from searchspace.domains import Domain, holds, options
from searchspace.space import Space

BACKBONE = "detector.backbone"
_FUSED = "detector.neck.fused"
_PRIORS = "detector.head.multibox.priors"
_SLIMMING, _IMPORTANCE = "compress.pruning.slimming", "compress.pruning.importance"


@dataclass(frozen=True)
class PaperChoice:
    """A choice that papers explore.

    Attributes:
        values: by the path of each field that it is made of, the papers' values, or the ends of
            their range.
    """

    name: str
    values: Mapping[str, tuple[Any, ...]]

    def domains(self, space: Space) -> dict[str, Domain]:
        """The domain of each of its fields that the space has; `Fixed` if it is not searched."""
        fields = dict(space.fields())
        return {path: fields[path] for path in self.values if path in fields}

    def missing(self, space: Space) -> Iterator[str]:
        """The papers' values that a space lacks, of all fields but those of other backbones."""
        domains, backbones = self.domains(space), options(dict(space.fields())[f"{BACKBONE}.kind"])
        for path, values in self.values.items():
            owner, _, rest = path.removeprefix(f"{BACKBONE}.").partition(".")
            if path.startswith(BACKBONE) and rest and owner not in backbones:
                continue
            lacked = [v for v in values if path not in domains or not holds(domains[path], v)]
            yield from (f"{path} = {value!r}" for value in lacked)


_CELLS = (0.625, 4.8)
"""The smallest and the largest prior of a level in its cells: 10 pixels on cells of 16
(SSD-MobileNetV1 with a prior of 10 pixels), 76.8 on 16 (SSD512)."""


def _taught(owner: str) -> dict[str, tuple[Any, ...]]:
    """The distillation of a training or of a fine-tuning."""
    return {
        f"{owner}.distillation.kind": ("none", "channel_wise"),
        f"{owner}.distillation.channel_wise.temperature": (1.0, 8.0),
    }


CHOICES: tuple[PaperChoice, ...] = (
    PaperChoice(
        "layers fused and their channel ratios",
        {
            "detector.neck.kind": ("fused",),
            f"{BACKBONE}.vgg16.taps": (
                ("conv4_3", "fc7"),
                ("conv3_3", "conv4_3", "fc7"),
                ("conv4_3", "conv5_3", "fc7"),
            ),
            f"{BACKBONE}.mobilenet_v1.taps": (
                ("layer11", "layer13"),
                ("layer5", "layer11", "layer13"),
            ),
            f"{_FUSED}.further.kind": ("none", "grown"),
            f"{_FUSED}.at": (0, 1),
            f"{_FUSED}.how.kind": ("concat", "sum"),
            f"{_FUSED}.how.concat.ratio.kind": ("even", "emphasis"),
            f"{_FUSED}.how.concat.ratio.emphasis.source": (0,),
            f"{_FUSED}.how.concat.ratio.emphasis.factor": (2,),
        },
    ),
    PaperChoice(
        "eliminated strides",
        {
            f"{BACKBONE}.mobilenet_v1.eliminated_strides": ((), (6,), (4,), (0,), (4, 6), (0, 6)),
            f"{BACKBONE}.vgg16.eliminated_strides": ((), (2,)),
        },
    ),
    PaperChoice(
        "dual path",
        {
            "detector.neck.ssd.dual_path.kind": ("none", "concat", "split"),
            "detector.neck.ssd.dual_path.concat.grown": (False, True),
        },
    ),
    PaperChoice(
        "prior sizes",
        {
            f"{_PRIORS}.kind": ("scaled", "levelled"),
            f"{_PRIORS}.scaled.cells": _CELLS,
            **{
                f"{_PRIORS}.levelled.{level}.cells": _CELLS
                for level in ("first", "second", "third", "coarser")
            },
        },
    ),
    PaperChoice(
        "pruning ratio",
        {
            "compress.pruning.kind": ("none", "slimming"),
            f"{_SLIMMING}.ratio": (0.324,),
            f"{_IMPORTANCE}.ratio": (0.324,),
        },
    ),
    PaperChoice(
        "distillation temperature",
        {**_taught("train"), **_taught(_SLIMMING), **_taught(_IMPORTANCE)},
    ),
    PaperChoice("loss weight of small objects", {"train.small_objects.weight": (0.95, 1.0)}),
    PaperChoice("copies of small objects", {"train.copy_paste.copies": (0, 1)}),
)
