"""Stride elimination and dual path, on SSD-MobileNetV1 and SSD-VGG16.

All start from ImageNet weights, as in the paper. Its weights of MobileNetV1 are not published; the
available ones (timm's) were trained with ReLU6 and pixels from -1 to 1, so the systems on
MobileNetV1 use these. Their first epoch is a linear warm-up, which the paper does not print.

The augmentation is SSD's at the rates of the paper's code: a zoom out with probability 0.6, and
objects below 1 % of the input's side are dropped. What differs from SSD in colours and crops is
said in `searchspace.papers.ssd`. How many boxes of a class enter NMS is not known, so it is SSD's
number; at most 100 remain per image, as COCO counts, not per class. The head's initial weights are
not known either: they are small.
"""

from __future__ import annotations

from searchspace.augmentation import Augment
from searchspace.backbones import VGG16, MobileNetV1
from searchspace.detector import DetectorConfig
from searchspace.heads import Multibox
from searchspace.necks import Step
from searchspace.necks.dual_path import Join, Split
from searchspace.necks.growth import Extend, Growth, L2Norm
from searchspace.papers.ssd import (
    BOXES300_MORE,
    EXTRAS300,
    POSTPROCESS,
    VOC300_SIZES,
    VOC300_STEPS,
    ratios,
)
from searchspace.papers.system import GTX_1080_TI, PaperSystem, Published
from searchspace.priors import ListedPriors, Ratios
from searchspace.training import TrainConfig
from searchspace.trial import TrialConfig

_SOURCE = "stride elimination and dual path paper: COCO val2017"
_POSTPROCESS = POSTPROCESS.changed(nms_iou=0.6, detections=100)
_AUGMENT = Augment(photometric=1, zoom_out=0.6, crop=1)


def _published(*coco: float, milliseconds: float | None = None) -> Published:
    """A row of the paper: AP, small, medium, large, AR small, medium, large; all in percent."""
    shares = (round(percent / 100, 5) for percent in coco)  # 1.8 / 100 is not quite 0.018
    ap, ap_small, ap_medium, ap_large, ar_small, ar_medium, ar_large = shares
    return Published(
        _SOURCE,
        ap,
        ap_small=ap_small,
        ap_medium=ap_medium,
        ap_large=ap_large,
        ar_small=ar_small,
        ar_medium=ar_medium,
        ar_large=ar_large,
        fps=None if milliseconds is None else 1000 / milliseconds,
        hardware=None if milliseconds is None else f"{GTX_1080_TI}, network alone",
    )


def _small_only(
    ap_small: float, ar_small: float, fps: float | None = None, hardware: str | None = None
) -> Published:
    return Published(_SOURCE, ap_small=ap_small, ar_small=ar_small, fps=fps, hardware=hardware)


# ---- SSD-MobileNetV1

_BASE = ListedPriors(
    sizes=(45, 90, 135, 180, 225, 270, 315),
    steps=(16, 32, 64, 100, 150, 300),
    ratios=ratios(6, 6, 6, 6, 6, 4),
)


def _base_with(**changes: object) -> ListedPriors:
    return _BASE.changed(**changes)


_YAML_BOXES = ratios(6, 6, 6, 6, 4, 4)
_FINE_SIZES = (10, 45, 90, 135, 180, 225, 270)
_FINE = _base_with(sizes=_FINE_SIZES, steps=(8, 16, 32, 64, 100, 150))
_FMAP1 = _base_with(sizes=_FINE_SIZES, steps=(8, 16, 32, 64, 100, 300))
_FINEST = _base_with(sizes=(5, 10, 45, 90, 135, 180, 225), steps=(4, 8, 16, 32, 64, 100))

_EXTRAS = Extend()
_EXTRAS_TO_1X1 = Extend(grow=(*_EXTRAS.grow[:-1], Growth(channels=128, padding=0)))
_SSD: tuple[Step, ...] = (L2Norm(), _EXTRAS)
_SSD_TO_1X1: tuple[Step, ...] = (L2Norm(), _EXTRAS_TO_1X1)
_JOIN_19 = Join(level=1, side=0, feeds_growth=True)
_JOIN_10 = Join(level=2, side=1)


def _mobilenet(
    published: Published,
    eliminated: tuple[int, ...] = (),
    priors: ListedPriors = _BASE,
    neck: tuple[Step, ...] = _SSD,
    input_size: int = 300,
    batch_size: int = 32,
    taps: tuple[str, ...] = ("layer11", "layer13"),
    second_path: bool = False,
) -> PaperSystem:
    detector = DetectorConfig(
        input_size=input_size,
        pixels="inception",
        backbone=MobileNetV1(
            taps=taps,
            eliminated_strides=eliminated,
            second_path=second_path,
            activation="relu6",
        ),
        neck=neck,
        head=Multibox(priors=priors, postprocess=_POSTPROCESS),
    )
    recipe = TrainConfig(
        epochs=100,
        batch_size=batch_size,
        learning_rate=1e-3,
        weight_decay=1e-4,
        weights="imagenet",
        augment=_AUGMENT,
    )
    return PaperSystem(TrialConfig(detector=detector, train=recipe), published)


def _dual_path(
    published: Published, neck: tuple[Step, ...], priors: ListedPriors = _FMAP1
) -> PaperSystem:
    return _mobilenet(published, (0,), priors, neck, batch_size=24, second_path=True)


_MOBILENETS = {
    "ssdmnetv1": _mobilenet(_published(18.8, 1.8, 19.1, 36.3, 6.4, 36.7, 58.5, milliseconds=6.9)),
    "ssdmnetv1_yaml": _mobilenet(
        Published(f"{_SOURCE}; as released, with 4 boxes on level 4"),
        priors=_base_with(ratios=_YAML_BOXES),
    ),
    "ssdmnetv1_size512": _mobilenet(
        _small_only(0.063, 0.145, fps=1000 / 6.9, hardware=f"{GTX_1080_TI}, network alone"),
        priors=ListedPriors(
            sizes=(45, 133, 215, 297, 379, 461, 543),
            steps=(16, 32, 64, 128, 256, 512),
            ratios=_YAML_BOXES,
        ),
        input_size=512,
    ),
    "ssdmnetv1_early": _mobilenet(
        _small_only(0.021, 0.082),
        priors=ListedPriors(
            sizes=(10, *_BASE.sizes), steps=(8, *_BASE.steps), ratios=ratios(6, 6, 6, 6, 6, 4, 4)
        ),
        taps=("layer5", "layer11", "layer13"),
    ),
    "ssdmnetv1_anchor10": _mobilenet(
        _small_only(0.021, 0.066),
        priors=_base_with(sizes=(10, *_BASE.sizes[1:]), ratios=_YAML_BOXES),
    ),
    "ssdmnetv1_s1l6": _mobilenet(
        _published(18.6, 5.7, 22.6, 28.3, 15.5, 41.6, 51.3, milliseconds=6.9), (6,), _FINE
    ),
    "ssdmnetv1_s1l4": _mobilenet(
        _published(18.3, 6.5, 23.1, 27.6, 16.2, 41.9, 51.3, milliseconds=7.8), (4,), _FINE
    ),
    "ssdmnetv1_s1l0": _mobilenet(
        _published(19.6, 7.8, 25.2, 27.7, 20.3, 46.8, 51.6, milliseconds=10.4),
        (0,),
        _FINE,
        batch_size=24,
    ),
    "ssdmnetv1_s1l4_fmap1": _mobilenet(
        _published(19.2, 6.0, 23.5, 28.6, 19.4, 45.1, 52.6),
        (4,),
        _base_with(sizes=(*_FINE_SIZES[:-1], 315), steps=_FMAP1.steps),
        _SSD_TO_1X1,
    ),
    "ssdmnetv1_s1l0_fmap1": _mobilenet(
        _published(19.6, 7.9, 25.2, 28.6, 20.5, 46.7, 53.3),
        (0,),
        _FMAP1,
        _SSD_TO_1X1,
        batch_size=24,
    ),
    "ssdmnetv1_s2l4-6": _mobilenet(
        Published(f"{_SOURCE}; computation only"), (4, 6), _FINEST, batch_size=16
    ),
    "ssdmnetv1_s2l0-6": _mobilenet(
        Published(f"{_SOURCE}; shown in a figure as S2L0-5"), (0, 6), _FINEST, batch_size=16
    ),
    "ssdmnetv1_s1l0_dualpath19_c": _dual_path(
        _published(19.8, 7.7, 25.1, 29.8, 19.9, 46.8, 53.4), (L2Norm(), _JOIN_19, _EXTRAS_TO_1X1)
    ),
    "ssdmnetv1_s1l0_dualpath19_10_c": _dual_path(
        _published(20.7, 7.7, 26.4, 30.1, 20.8, 47.5, 55.2),
        (L2Norm(), _JOIN_19, _EXTRAS_TO_1X1, _JOIN_10),
    ),
    "ssdmnetv1_s1l0_dualpath19_10_s": _dual_path(
        _published(20.7, 8.2, 25.0, 30.8, 21.2, 46.3, 54.4, milliseconds=12.1),
        (L2Norm(), Split(side=1), _EXTRAS),
        _base_with(
            sizes=(10, *_BASE.sizes[:1], *_BASE.sizes[2:]), steps=(8, 16, 64, 100, 150, 300)
        ),
    ),
}

# ---- SSD-VGG16

_EXTRAS_STRIDED = EXTRAS300.model_copy(
    update={"grow": (Growth(channels=512), *(Growth(channels=256),) * 3)}
)


_VGG16 = VGG16()


def _vgg(
    published: Published,
    sizes: tuple[float, ...],
    steps: tuple[float, ...],
    backbone: VGG16 = _VGG16,
    neck: tuple[Step, ...] = (L2Norm(), EXTRAS300),
    boxes: tuple[Ratios, ...] = BOXES300_MORE,
    batch_size: int = 16,
) -> PaperSystem:
    priors = ListedPriors(sizes=sizes, steps=steps, ratios=boxes)
    recipe = TrainConfig(
        epochs=60,
        batch_size=batch_size,
        learning_rate=4e-3,
        weight_decay=1e-4,
        warmup_epochs=5,
        weights="imagenet",
        augment=_AUGMENT,
    )
    detector = DetectorConfig(
        backbone=backbone, neck=neck, head=Multibox(priors=priors, postprocess=_POSTPROCESS)
    )
    return PaperSystem(TrialConfig(detector=detector, train=recipe), published)


_VGGS = {
    "ssd_vgg16_003": _vgg(
        _published(24.6, 6.9, 27.9, 40.3, 16.0, 51.3, 63.8, milliseconds=12.1),
        VOC300_SIZES,
        VOC300_STEPS,
        batch_size=32,
    ),
    "ssd_vgg16_s1l2": _vgg(
        _published(23.7, 11.2, 27.3, 33.4, 28.0, 50.5, 57.1, milliseconds=31.5),
        (15, *VOC300_SIZES[:-1]),
        (4, 8, 16, 32, 64, 100),
        VGG16(eliminated_strides=(2,)),
        (L2Norm(), _EXTRAS_STRIDED),
    ),
    "ssd_vgg16_s1l2_dualpath": _vgg(
        _published(28.5, 13.7, 31.4, 41.3, 30.4, 53.9, 63.4),
        (15, 30, *VOC300_SIZES[2:]),
        (4, 8, 32, 64, 100, 300),
        VGG16(eliminated_strides=(2,), second_path=True),
        (L2Norm(), Split(side=1), EXTRAS300),
    ),
}

STRIDE_ELIMINATION: dict[str, PaperSystem] = {**_MOBILENETS, **_VGGS}
