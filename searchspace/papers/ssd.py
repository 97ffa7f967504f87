"""SSD300 and SSD512 on VGG16, and the parts shared by the systems built on them.

Augmentation, post-processing and initial weights are those of SSD's Caffe code (Liu et al., 2016).
What differs from it: images are RGB and always resized by antialiased bilinear interpolation.
Brightness is multiplied by up to an eighth either way, not shifted by up to 32 of 255; hues turn
by up to 18 degrees, not 36; and channels change places in one case of two, not never. A crop's
minimal overlap is drawn until a crop is found, not among the crops that were found. Weights and
biases have one rate, not biases twice that of weights.
"""

from __future__ import annotations

from searchspace.augmentation import Augment
from searchspace.backbones import VGG16
from searchspace.detector import DetectorConfig
from searchspace.heads import Multibox, Postprocess
from searchspace.necks import Step
from searchspace.necks.growth import Extend, Growth, L2Norm
from searchspace.papers.system import (
    COCO_IMAGES,
    GTX_1080_TI,
    VOC_IMAGES,
    PaperSystem,
    Published,
    in_iterations,
)
from searchspace.priors import ListedPriors, Ratios
from searchspace.training import TrainConfig
from searchspace.trial import TrialConfig

VOC300_SIZES = (30, 60, 111, 162, 213, 264, 315)
VOC300_STEPS = (8, 16, 32, 64, 100, 300)
VOC512_SIZES = (35.84, 76.8, 153.6, 230.4, 307.2, 384, 460.8, 537.6)
VOC512_STEPS = (8, 16, 32, 64, 128, 256, 512)

COCO_SIZES: dict[int, tuple[float, ...]] = {
    300: (21, 45, 99, 153, 207, 261, 315),
    512: (20.48, 51.2, 133.12, 215.04, 296.96, 378.88, 460.8, 542.72),
}
"""SSD's sizes for COCO, by input size."""

_RATIOS = {4: (2,), 6: (2, 3)}

EXTRAS300 = Extend(
    block="bottleneck",
    norm=False,
    grow=(
        Growth(channels=512),
        Growth(channels=256),
        Growth(channels=256, stride=1, padding=0),
        Growth(channels=256, stride=1, padding=0),
    ),
)
EXTRAS512 = Extend(
    block="bottleneck",
    norm=False,
    grow=(
        Growth(channels=512),
        *(Growth(channels=256),) * 3,
        Growth(channels=256, kernel=4, stride=1),
    ),
)

AUGMENT = Augment(photometric=1, crop=1, min_side=0)
"""SSD's own rates: each change of colours and the zoom out in one case of two, each overlap of a
crop in one of seven, no object too small."""

POSTPROCESS = Postprocess(candidates=None, class_candidates=400, detections=200)
_RECIPE = TrainConfig(
    batch_size=32,
    learning_rate=1e-3,
    weight_decay=5e-4,
    warmup_epochs=0,
    weights="imagenet",
    augment=AUGMENT,
)
RECIPE = in_iterations(_RECIPE, 80_000, 100_000, 120_000, images=VOC_IMAGES)
"""For VOC, as in the FSSD paper."""
COCO_RECIPE = in_iterations(_RECIPE, 280_000, 360_000, 400_000, images=COCO_IMAGES)


def ratios(*boxes: int) -> tuple[Ratios, ...]:
    """The aspect ratios of levels with 4 or 6 boxes per cell."""
    return tuple(_RATIOS[count] for count in boxes)


BOXES300 = ratios(4, 6, 6, 6, 4, 4)
BOXES300_MORE = ratios(6, 6, 6, 6, 4, 4)
BOXES512 = ratios(4, 6, 6, 6, 6, 4, 4)
BOXES512_MORE = ratios(6, 6, 6, 6, 6, 4, 4)


def voc_head(input_size: int, boxes: tuple[Ratios, ...]) -> Multibox:
    """SSD's head with its priors for VOC, at 300 or 512 pixels."""
    sizes, steps = {300: (VOC300_SIZES, VOC300_STEPS), 512: (VOC512_SIZES, VOC512_STEPS)}[
        input_size
    ]
    return ssd_head(ListedPriors(sizes=sizes, steps=steps, ratios=boxes))


def ssd_head(priors: ListedPriors) -> Multibox:
    """SSD's head with these priors."""
    return Multibox(priors=priors, postprocess=POSTPROCESS, initial="xavier")


def voc_system(
    published: Published,
    backbone: VGG16,
    neck: tuple[Step, ...],
    boxes: tuple[Ratios, ...],
    input_size: int = 300,
    train: TrainConfig = RECIPE,
    coco: TrainConfig | None = COCO_RECIPE,
) -> PaperSystem:
    """A system on VGG16 for the 20 classes of VOC, with its recipes for VOC and for COCO."""
    detector = DetectorConfig(
        input_size=input_size,
        num_classes=20,
        backbone=backbone,
        neck=neck,
        head=voc_head(input_size, boxes),
    )
    return PaperSystem(TrialConfig(detector=detector, train=train), published, coco)


_IN_FSSD = "SSD in the FSSD paper: VOC07 test; COCO test-dev with its 81-class model"
_IN_MFSSD = "SSD retrained in the MFSSD paper: VOC07 test"
_NECK300, _NECK512 = (L2Norm(), EXTRAS300), (L2Norm(), EXTRAS512)

SSD: dict[str, PaperSystem] = {
    "ssd300_vgg16": voc_system(
        Published(_IN_FSSD, 0.251, 0.066, fps=85, hardware=GTX_1080_TI, voc_map=0.772),
        VGG16(),
        _NECK300,
        BOXES300,
    ),
    "ssd300_vgg16_11620": voc_system(
        Published(_IN_MFSSD, fps=70.8, hardware=GTX_1080_TI, voc_map=0.777),
        VGG16(),
        _NECK300,
        BOXES300_MORE,
    ),
    "ssd512_vgg16": voc_system(
        Published(_IN_FSSD, 0.288, 0.109, fps=19, hardware="GTX Titan X", voc_map=0.785),
        VGG16(),
        _NECK512,
        BOXES512,
        input_size=512,
    ),
    "ssd512_vgg16_32756": voc_system(
        Published("SSD512 with 6 boxes on its finest level; no paper reports figures"),
        VGG16(),
        _NECK512,
        BOXES512_MORE,
        input_size=512,
    ),
}
