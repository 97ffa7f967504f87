"""The papers' systems, each a full trial configuration with its published figures."""

from __future__ import annotations

from dataclasses import dataclass

from searchspace.backbones import MobileNetV1
from searchspace.detector import DetectorConfig
from searchspace.heads import ListedPriors, Multibox, Postprocess
from searchspace.trial import TrainConfig, TrialConfig

STRIDE_ELIMINATION = "stride elimination and dual path, SSD-MobileNetV1, COCO val2017"


@dataclass(frozen=True)
class Published:
    """Figures as a paper prints them; AP as a fraction, None where it prints none."""

    source: str
    ap: float | None = None
    ap_small: float | None = None
    fps: float | None = None
    hardware: str | None = None


@dataclass(frozen=True)
class PaperSystem:
    """A system of a paper: how to train and build it, and what was reported."""

    trial: TrialConfig
    published: Published


def _mobilenet(
    eliminated: tuple[int, ...], sizes: tuple[float, ...], steps: tuple[float, ...]
) -> TrialConfig:
    """SSD-MobileNetV1 at 300 pixels with the recipe of the stride-elimination paper."""
    priors = ListedPriors(sizes=sizes, steps=steps)
    postprocess = Postprocess(score_threshold=0.01, nms_iou=0.6, detections=100)
    return TrialConfig(
        detector=DetectorConfig(
            backbone=MobileNetV1(eliminated_strides=eliminated),
            head=Multibox(priors=priors, postprocess=postprocess),
        ),
        train=TrainConfig(epochs=100, batch_size=32, learning_rate=1e-3, weight_decay=1e-4),
    )


_BASE_SIZES = (45, 90, 135, 180, 225, 270, 315)
_BASE_STEPS = (16, 32, 64, 100, 150, 300)
_FINE_SIZES = (10, 45, 90, 135, 180, 225, 270)
_FINE_STEPS = (8, 16, 32, 64, 100, 150)


def _published(ap: float, ap_small: float, milliseconds: float) -> Published:
    return Published(
        STRIDE_ELIMINATION, ap, ap_small, 1000 / milliseconds, "GTX 1080 Ti, network alone"
    )


papers: dict[str, PaperSystem] = {
    "ssdmnetv1": PaperSystem(
        _mobilenet((), _BASE_SIZES, _BASE_STEPS), _published(0.188, 0.018, 6.9)
    ),
    "ssdmnetv1_s1l6": PaperSystem(
        _mobilenet((6,), _FINE_SIZES, _FINE_STEPS), _published(0.186, 0.057, 6.9)
    ),
    "ssdmnetv1_s1l4": PaperSystem(
        _mobilenet((4,), _FINE_SIZES, _FINE_STEPS), _published(0.183, 0.065, 7.8)
    ),
    "ssdmnetv1_s1l0": PaperSystem(
        _mobilenet((0,), _FINE_SIZES, _FINE_STEPS), _published(0.196, 0.078, 10.4)
    ),
}
