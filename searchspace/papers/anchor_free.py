"""YOLOX and GFL, and the runs of Manaiev (2022) on them.

The thesis trains them for person and car on 25,000 images of COCO, and does not say for how long.
Its runs have two classes and the frameworks' own recipes; `yolox_tiny`, `yolox_s`, `gfl_r50` and
`gfl_r101` are the same systems with COCO's 80 classes.

YOLOX's images are letterboxed and augmented as in its repository: YOLOX-tiny without mixup and with
a narrower range of mosaic scales. What differs: colours change as in SSD, not in HSV; pixels are
RGB and normalised by ImageNet's mean and deviation, as in YOLOX's first release, not BGR from 0 to
255; a mosaic is turned about the input's centre, its images are not cut off before that, and an
object of which less than a quarter is left is dropped.

GFL's images keep their aspect ratio. Its code resizes the shorter side to 800 pixels and the longer
one to at most 1333, and pads with the mean colour to multiples of 32. Here the input has one size,
800x1280, on which images are letterboxed, with grey: upright ones become smaller, and so do those
longer than 1.6 times their height. GFL-R101's scales change by batches, not images, and with the
longer side.
"""

from __future__ import annotations

from typing import Literal

from searchspace.augmentation import Augment, CopyPaste, MultiScale
from searchspace.backbones import CSPDarknet, ResNet
from searchspace.detector import DetectorConfig
from searchspace.distillation import ChannelWise, Distillation
from searchspace.heads import Distributions, Points
from searchspace.necks import Aggregate, Pyramid
from searchspace.necks.growth import Extend, Growth
from searchspace.papers.system import PaperSystem, Published
from searchspace.schedules import Cosine, Steps
from searchspace.training import Frozen, SmallObjects, TrainConfig
from searchspace.trial import TrialConfig

_THESIS = "Manaiev 2022: person and car of COCO val2017"
_YOLOX_THESIS = f"{_THESIS}; its tables disagree about which YOLOX is which"

_TINY_PIXELS, _SMALL_PIXELS = 416, 640
_YOLOX_WIDTHS = {_TINY_PIXELS: 0.375, _SMALL_PIXELS: 0.5}
"""Input size -> width."""

_YOLOX_RECIPE = TrainConfig(
    epochs=300,
    batch_size=64,
    learning_rate=0.01,
    nesterov=True,
    weight_decay=5e-4,
    schedule=Cosine(floor=0.05),
    warmup_epochs=5,
    plain_epochs=15,
    ema=0.9998,
    augment=Augment(
        mosaic=1,
        mosaic_rotation=10,
        mosaic_shear=2,
        mosaic_translation=0.1,
        photometric=1,
        zoom_out=0,
        crop=0,
    ),
)
_YOLOX_SIZES = {_TINY_PIXELS: (320, 640), _SMALL_PIXELS: (480, 800)}
"""Input size -> the smallest and the largest size in training."""

_YOLOX_AUGMENT = {
    _TINY_PIXELS: {"mosaic_scale": (0.5, 1.5)},
    _SMALL_PIXELS: {"mosaic_scale": (0.1, 2.0), "mixup": 1.0, "mixup_scale": (0.5, 1.5)},
}
"""Input size -> what the two have differently in their augmentation."""

_GFL_RECIPE = TrainConfig(
    epochs=12,
    batch_size=16,
    learning_rate=0.01,
    weight_decay=1e-4,
    schedule=Steps(milestones=(8 / 12, 11 / 12)),
    warmup_steps=500,
    weights="imagenet",
    frozen=Frozen(rows=3, statistics=True),
    augment=Augment(photometric=0, zoom_out=0, crop=0, min_side=0),
)
_PASTED = CopyPaste(copies=1, pastes=1)
_WEIGHTED = SmallObjects(weight=0.95, offset=0.05)
"""1 - 0.95 * IoU^2 instead of 1 - IoU^2, and likewise for GIoU."""


def _yolox(
    published: Published,
    input_size: int = _TINY_PIXELS,
    num_classes: int = 2,
    teacher: str | None = None,
    **recipe: object,
) -> PaperSystem:
    head = Points()
    for_ap = head.postprocess.model_copy(update={"score_threshold": 0.001, "candidates": 5000})
    detector = DetectorConfig(
        input_size=input_size,
        resize="letterbox",
        num_classes=num_classes,
        width=_YOLOX_WIDTHS[input_size],
        backbone=CSPDarknet(),
        neck=(Aggregate(),),
        head=head.model_copy(update={"postprocess": for_ap}),
    )
    smallest, largest = (side / input_size for side in _YOLOX_SIZES[input_size])
    # Objects below a pixel are dropped.
    own = {**_YOLOX_AUGMENT[input_size], "min_side": 1 / input_size}
    recipe |= {
        "multi_scale": MultiScale(smallest=smallest, largest=largest),
        "augment": _YOLOX_RECIPE.augment.changed(**own),
    }
    recipe |= _taught(teacher)
    train = _YOLOX_RECIPE.model_copy(update=recipe)
    return PaperSystem(TrialConfig(detector=detector, train=train), published)


def _gfl(
    published: Published,
    depth: Literal[50, 101] = 50,
    num_classes: int = 2,
    teacher: str | None = None,
    **recipe: object,
) -> PaperSystem:
    coarse = Extend(block="plain", norm=False, grow=(Growth(channels=256),) * 2)
    detector = DetectorConfig(
        input_size=(800, 1280),
        resize="letterbox",
        num_classes=num_classes,
        backbone=ResNet(depth=depth),
        neck=(Pyramid(), coarse),
        head=Distributions(strides=(8, 16, 32, 64, 128)),
    )
    if depth == 101:
        recipe |= {
            "epochs": 24,
            "schedule": Steps(milestones=(16 / 24, 22 / 24)),
            # The shorter side; otherwise 800 pixels.
            "multi_scale": MultiScale(smallest=480 / 800),
        }
    recipe |= _taught(teacher)
    train = _GFL_RECIPE.model_copy(update=recipe)
    return PaperSystem(TrialConfig(detector=detector, train=train), published)


def _taught(teacher: str | None) -> dict[str, Distillation]:
    """Channel-wise distillation of the class logits; the thesis does not specify where and how."""
    return {} if teacher is None else {"distillation": ChannelWise(teacher=teacher)}


def _row(*coco: float, source: str = _THESIS) -> Published:
    """A row of the thesis: AP, small, medium, large; AR, small, medium, large."""
    ap, small, medium, large, ar, ar_small, ar_medium, ar_large = coco
    return Published(
        source, ap, small, ap_medium=medium, ap_large=large,
        ar=ar, ar_small=ar_small, ar_medium=ar_medium, ar_large=ar_large,
    )  # fmt: skip


_ON_COCO = {
    "yolox_tiny": _yolox(
        Published("YOLOX's repository, with 80 classes", params=5_060_000), num_classes=80
    ),
    "yolox_s": _yolox(
        Published("YOLOX's repository, with 80 classes", params=9_000_000),
        _SMALL_PIXELS,
        num_classes=80,
    ),
    "gfl_r50": _gfl(Published("GFL with 80 classes; no figures"), num_classes=80),
    "gfl_r101": _gfl(Published("GFL with 80 classes; no figures"), 101, num_classes=80),
}

_YOLOX_RUNS = {
    "yolox_tiny_baseline": _yolox(
        _row(.327, .164, .442, .591, .436, .265, .560, .714, source=_YOLOX_THESIS)
    ),
    "yolox_tiny_copy_paste": _yolox(
        _row(.322, .168, .429, .555, .443, .283, .555, .710, source=_YOLOX_THESIS),
        copy_paste=_PASTED,
    ),
    "yolox_tiny_weighted": _yolox(
        _row(.339, .173, .465, .599, .450, .276, .579, .729, source=_YOLOX_THESIS),
        small_objects=_WEIGHTED,
    ),
    "yolox_s_teacher": _yolox(
        _row(.423, .285, .547, .617, .546, .414, .648, .746, source=_YOLOX_THESIS), _SMALL_PIXELS
    ),
    "yolox_tiny_distilled": _yolox(
        _row(
            .008, .007, .009, .011, .042, .023, .052, .083,
            source=f"{_YOLOX_THESIS}; this run collapsed",
        ),
        teacher="yolox_s_teacher",
    ),
}  # fmt: skip

_GFL_RUNS = {
    "gfl_r50_baseline": _gfl(_row(.288, .170, .393, .398, .455, .322, .565, .619)),
    "gfl_r50_copy_paste": _gfl(
        _row(.271, .165, .370, .360, .453, .324, .561, .608), copy_paste=_PASTED
    ),
    "gfl_r50_weighted": _gfl(
        _row(.284, .172, .382, .393, .458, .329, .563, .620), small_objects=_WEIGHTED
    ),
    "gfl_r101_teacher": _gfl(_row(.536, .389, .654, .732, .661, .531, .764, .856), 101),
    "gfl_r101_teacher_copy_paste": _gfl(
        _row(.520, .369, .641, .715, .659, .528, .763, .852), 101, copy_paste=_PASTED
    ),
    "gfl_r50_distil_1": _gfl(
        _row(.345, .200, .457, .524, .487, .344, .600, .690), teacher="gfl_r101_teacher"
    ),
    "gfl_r50_distil_2": _gfl(
        _row(.347, .210, .456, .511, .495, .358, .603, .684),
        teacher="gfl_r101_teacher_copy_paste",
        copy_paste=_PASTED,
    ),
    "gfl_r50_distil_3": _gfl(
        _row(.355, .219, .453, .531, .498, .366, .597, .688),
        teacher="gfl_r101_teacher",
        copy_paste=_PASTED,
    ),
}  # fmt: skip
"""Distillation I, II and III: teacher and student on original data, both on augmented data, the
student only on augmented data. The thesis attributes the gain of III to the setting of II."""

THESIS_RUNS: dict[str, PaperSystem] = {**_YOLOX_RUNS, **_GFL_RUNS}
ANCHOR_FREE: dict[str, PaperSystem] = {**_ON_COCO, **THESIS_RUNS}
