"""MDSSD on VGG16 and ResNet-101.

The widths inside its fusion blocks are not published. Reading D, in which all blocks have the same
structure with 256 channels, represents the system; A, B and C are other readings of the text. Nor
is the recipe, which is in an appendix that is not at hand: it is SSD's, for VOC and for COCO. What
the letter says of scores per prediction level is not at hand either: all levels are scored
together.
"""

from __future__ import annotations

from dataclasses import replace

from searchspace.backbones import VGG16, ResNet
from searchspace.detector import DetectorConfig
from searchspace.necks.deconvolution import Deconvolve, FusionBlock
from searchspace.necks.growth import Extend
from searchspace.papers.ssd import (
    COCO_RECIPE,
    COCO_SIZES,
    EXTRAS300,
    EXTRAS512,
    RECIPE,
    VOC300_SIZES,
    VOC300_STEPS,
    VOC512_SIZES,
    VOC512_STEPS,
    ratios,
    ssd_head,
)
from searchspace.papers.system import PaperSystem, Published
from searchspace.priors import ListedPriors
from searchspace.trial import TrialConfig

_LETTER = "MDSSD letter"
_CHANNELS = (256, 512, 1024)
_READINGS = {
    "A": tuple((c, c, c) for c in _CHANNELS),
    "B": ((256, 256, 256),) * 3,
    "C": ((256, 256, 256), (256, 256, 512), (512, 512, 1024)),
    "D": ((256, 256, 256),) * 3,
}
"""Channels of the transposed convolutions of the three blocks."""


def _fusion(reading: str) -> Deconvolve:
    """The fusion of levels 0, 1, 2 with the levels three steps coarser, at an eighth of the
    size."""
    return Deconvolve(
        blocks=tuple(
            FusionBlock(
                level=level,
                source=level + 3,
                deconv_channels=widths,
                sum_channels=256 if reading == "D" else channels,
                channels=channels,
            )
            for level, (widths, channels) in enumerate(
                zip(_READINGS[reading], _CHANNELS, strict=True)
            )
        )
    )


_HEADS = {
    300: ListedPriors(
        sizes=(15, *VOC300_SIZES), steps=(4, *VOC300_STEPS), ratios=ratios(4, 4, 6, 6, 6, 4, 4)
    ),
    320: ListedPriors(
        sizes=(16, 32, 64, 118.4, 172.8, 227.2, 281.6, 336),
        steps=(4, 8, 16, 32, 64, 320 / 3, 320),
        ratios=ratios(4, 4, 6, 6, 6, 4, 4),
    ),
    512: ListedPriors(
        sizes=(17.92, *VOC512_SIZES),
        steps=(4, *VOC512_STEPS),
        ratios=ratios(4, 4, 6, 6, 6, 6, 4, 4),
    ),
}
"""SSD's priors for VOC with an additional finest level of half the size; scaled for 320 pixels."""

COCO_SIZES_MDSSD: dict[int, tuple[float, ...]] = {
    300: (10.5, *COCO_SIZES[300]),
    320: (11.2, 22.4, 48, 105.6, 163.2, 220.8, 278.4, 336),
    512: (10.24, *COCO_SIZES[512]),
}
"""The sizes for COCO, by input size."""

_VGG16 = VGG16(taps=("conv3_3", "conv4_3", "fc7"))
_RESNET101 = ResNet(depth=101, last_stage="dilated", taps=("res2", "res3", "res5"))


def _mdssd(
    input_size: int,
    published: Published,
    reading: str = "D",
    backbone: VGG16 | ResNet = _VGG16,
) -> PaperSystem:
    extras: Extend = EXTRAS512 if input_size == 512 else EXTRAS300
    detector = DetectorConfig(
        input_size=input_size,
        num_classes=20,
        backbone=backbone,
        neck=(extras, _fusion(reading)),
        head=ssd_head(_HEADS[input_size]),
    )
    return PaperSystem(TrialConfig(detector=detector, train=RECIPE), published, COCO_RECIPE)


_ANOTHER = Published(f"another reading of the {_LETTER}; see mdssd300 and mdssd512 for its figures")

MDSSD: dict[str, PaperSystem] = {
    "mdssd300": _mdssd(
        300,
        Published(
            f"{_LETTER}: VOC07 test; speed, COCO test-dev with its 81-class model as listed in the "
            "MFSSD paper",
            0.268, 0.108, 38.5, None, 0.459, 0.277, 0.275, 0.408,
            ar_small=0.158, ar_medium=0.423, ar_large=0.563, voc_map=0.786,
        ),
    ),
    "mdssd512": _mdssd(
        512,
        Published(f"{_LETTER}: TT100K; COCO test-dev", ap_small=0.139, tt100k_map=0.776),
    ),
    **{
        f"mdssd{input_size}_reading{reading}": replace(
            _mdssd(input_size, _ANOTHER, reading), reading_of=f"mdssd{input_size}"
        )
        for reading in "ABC"
        for input_size in (300, 512)
    },
    "mdssd320_r101": _mdssd(
        320, Published(f"{_LETTER}, MDSSD320*: VOC07 test", voc_map=0.791), backbone=_RESNET101
    ),
    "mdssd512_r101": _mdssd(
        512, Published(f"{_LETTER}, MDSSD512*: VOC07 test", voc_map=0.810), backbone=_RESNET101
    ),
}  # fmt: skip
