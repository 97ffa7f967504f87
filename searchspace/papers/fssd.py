"""FSSD with its ablations, and MFSSD.

By default the paper starts FSSD from a trained SSD, with the fusion module at twice the rate and
for half as many iterations on VOC: the systems `..._from_ssd`. All that SSD does not have by the
same name and shape learns at twice the rate: the fusion, the pyramid and parts of the head. The
other systems start from ImageNet, which the paper compares with it, but for those from scratch.

For COCO the paper gives 1e-3 for 280,000 iterations, divided by 10 at 360,000 and 400,000
(FSSD512: 320,000 and 360,000), which is read as drops at 280,000 and 360,000 (320,000) and an end
at the last number. From SSD it gives 120,000 in all; when the rate falls in it is not printed, and
the shares are those of the whole training. How long FSSD300* and FSSD512*, from COCO's detectors
(`..._from_coco`), are trained on VOC is not printed either: as long as from ImageNet.

How MFSSD was pruned and fine-tuned is not printed but for the parameters left: it is slimmed to
these in one round, and fine-tuned for 20 epochs at half the rate.
"""

from __future__ import annotations

from typing import Literal

from searchspace.backbones import VGG16
from searchspace.compression import CompressConfig, Slimming
from searchspace.necks import Step
from searchspace.necks.fusion import Fuse, Source
from searchspace.necks.growth import Extend, Growth
from searchspace.papers.ssd import (
    AUGMENT,
    BOXES300,
    BOXES300_MORE,
    BOXES512,
    COCO_RECIPE,
    RECIPE,
    voc_system,
)
from searchspace.papers.system import (
    COCO_IMAGES,
    GTX_1080_TI,
    VOC_IMAGES,
    PaperSystem,
    Published,
    in_iterations,
)
from searchspace.priors import Ratios
from searchspace.schedules import RateFactors, Steps
from searchspace.training import TrainConfig

_FSSD = "FSSD paper: VOC07 test; COCO test-dev with its 81-class model"
_ABLATION = "FSSD paper, ablation: VOC07 test"
_MFSSD = "MFSSD paper: VOC07 test; COCO test-dev with its 81-class model"

_EXTRAS = Extend(
    block="bottleneck", norm=False, grow=(Growth(channels=512, stride=1), Growth(channels=256))
)
"""conv6_1 to conv7_2, padded so that conv7_2 has 10x10 cells at 300 pixels, as the paper says."""

_STRIDED = (Growth(channels=512), Growth(channels=256), Growth(channels=256))
_UNPADDED = Growth(channels=256, stride=1, padding=0)
_PYRAMID300 = (*_STRIDED, _UNPADDED, _UNPADDED)
_PYRAMID512 = (
    *_STRIDED, Growth(channels=256), Growth(channels=256), Growth(channels=256, kernel=4, stride=1)
)  # fmt: skip


def pyramid(
    form: Literal["a", "b", "c"], grow: tuple[Growth, ...] = _PYRAMID300, norm: bool = False
) -> Extend:
    """The pyramid on the fused map, in the paper's three forms.

    In (a) the fused map is level 0; in (b) a convolution turns it into level 0; in (c) every
    convolution is preceded by a bottleneck with half its channels, a width that the paper does not
    specify.
    """
    if form == "a":
        return Extend(block="conv", norm=norm, grow=grow)
    first = Growth(channels=512, stride=1)
    return Extend(
        block="conv" if form == "b" else "bottleneck",
        norm=norm,
        replaces=True,
        grow=(first, *grow),
    )


def _fuse(
    *levels: int, at: int = 0, how: Literal["concat", "sum"] = "concat", norm: bool = True
) -> Fuse:
    sources = tuple(Source(level=level, channels=256) for level in levels)
    return Fuse(sources=sources, at=at, how=how, norm=norm)


def _fssd(
    published: Published,
    fuse: Fuse,
    form: Literal["a", "b", "c"] = "b",
    taps: tuple[str, ...] = ("conv4_3", "fc7"),
    extras: tuple[Step, ...] = (_EXTRAS,),
    boxes: tuple[Ratios, ...] = BOXES300,
) -> PaperSystem:
    return voc_system(published, VGG16(taps=taps), (*extras, fuse, pyramid(form)), boxes)


def _ablation(voc_map: float) -> Published:
    return Published(_ABLATION, voc_map=voc_map)


_FROM_CONV3 = ("conv3_3", "conv4_3", "fc7")
_CONV4_FC7_CONV7 = _fuse(0, 1, 3)

_RATIO_2_1_1 = Fuse(
    sources=(
        Source(level=0, channels=512),
        Source(level=1, channels=256),
        Source(level=2, channels=256),
    ),
    norm_sources=True,
)
_MFSSD_RECIPE = TrainConfig(
    epochs=300,
    batch_size=32,
    learning_rate=4e-3,
    weight_decay=5e-4,
    schedule=Steps(milestones=(1 / 2, 2 / 3, 5 / 6)),
    warmup_epochs=5,
    weights="imagenet",
    augment=AUGMENT,
)
"""For VOC and for COCO. The paper gives a learning rate of 0.4, with which the loss diverges, and
no batch size or epochs."""


def _mfssd(published: Published, norm: bool, pruning: Slimming | None = None) -> PaperSystem:
    system = voc_system(
        published,
        VGG16(taps=("conv4_3", "conv5_3", "fc7"), norm=norm),
        (_RATIO_2_1_1, pyramid("b", norm=True)),
        BOXES300_MORE,
        train=_MFSSD_RECIPE,
        coco=None,
    )
    if pruning is None:
        return system
    trial = system.trial.model_copy(update={"compress": CompressConfig(pruning=pruning)})
    return PaperSystem(trial, published)


def _from(name: str, start: str, published: Published) -> PaperSystem:
    """A system of `_FROM_IMAGENET` with other `train.weights`."""
    system = _FROM_IMAGENET[name]
    trial = system.trial.changed(train=RECIPE.changed(weights=start))
    return PaperSystem(trial, published, (system.coco or RECIPE).changed(weights=start))


def _from_ssd(name: str, ssd: str, published: Published) -> PaperSystem:
    """A system of `_FROM_IMAGENET` that starts from a trained SSD."""
    system = _FROM_IMAGENET[name]
    recipe = RECIPE.changed(rates=RateFactors(new=2), weights=ssd)
    voc = in_iterations(recipe, 40_000, 50_000, 60_000, images=VOC_IMAGES)
    on_coco = recipe.changed(weights=f"{ssd}@coco")
    coco = in_iterations(on_coco, 84_000, 108_000, 120_000, images=COCO_IMAGES)
    return PaperSystem(system.trial.changed(train=voc), published, coco)


_FROM_IMAGENET: dict[str, PaperSystem] = {
    "fssd300": _fssd(
        Published(
            _FSSD, 0.271, 0.087, 65.8, GTX_1080_TI, 0.477, 0.278, 0.292, 0.422,
            ar_small=0.159, ar_medium=0.442, ar_large=0.586, voc_map=0.788,
        ),
        _CONV4_FC7_CONV7,
    ),
    "fssd300_11620": _fssd(
        Published(
            "FSSD retrained in the MFSSD paper: VOC07 test",
            fps=60.8, hardware=GTX_1080_TI, voc_map=0.786, params=34_132_960,
        ),
        _CONV4_FC7_CONV7,
        boxes=BOXES300_MORE,
    ),
    "fssd512": voc_system(
        Published(
            _FSSD, 0.318, 0.142, 35.7, GTX_1080_TI, 0.528, 0.335, 0.351, 0.450,
            ar_small=0.223, ar_medium=0.499, ar_large=0.620, voc_map=0.809,
        ),
        VGG16(),
        (_EXTRAS, _CONV4_FC7_CONV7, pyramid("b", _PYRAMID512)),
        BOXES512,
        input_size=512,
        coco=in_iterations(COCO_RECIPE, 280_000, 320_000, 360_000, images=COCO_IMAGES),
    ),
    "fssd300_abl_c3c7_concat_bn_b": _fssd(
        _ablation(0.788), _fuse(0, 1, 2, 4, at=1), taps=_FROM_CONV3
    ),
    "fssd300_abl_c4c7_concat_bn_b": _fssd(_ablation(0.788), _CONV4_FC7_CONV7),
    "fssd300_abl_c4fc7_concat_bn_b": _fssd(_ablation(0.786), _fuse(0, 1), extras=()),
    "fssd300_abl_c3c7_concat_nobn_b": _fssd(
        _ablation(0.781), _fuse(0, 1, 2, 4, at=1, norm=False), taps=_FROM_CONV3
    ),
    "fssd300_abl_c3c7_sum_bn_b": _fssd(
        _ablation(0.763), _fuse(0, 1, 2, 4, at=1, how="sum"), taps=_FROM_CONV3
    ),
    "fssd300_abl_c4c7_concat_bn_a": _fssd(_ablation(0.782), _CONV4_FC7_CONV7, "a"),
    "fssd300_abl_c4c7_concat_bn_c": _fssd(_ablation(0.784), _CONV4_FC7_CONV7, "c"),
}  # fmt: skip

_DEFAULT_START = "FSSD paper's default start; see {} for the figures"
_ABLATED = "fssd300_abl_c3c7_concat_bn_b"

OTHER_STARTS: dict[str, PaperSystem] = {
    "fssd300_from_ssd": _from_ssd(
        "fssd300", "ssd300_vgg16", Published(_DEFAULT_START.format("fssd300"))
    ),
    "fssd512_from_ssd": _from_ssd(
        "fssd512", "ssd512_vgg16", Published(_DEFAULT_START.format("fssd512"))
    ),
    f"{_ABLATED}_from_ssd": _from_ssd(_ABLATED, "ssd300_vgg16", _ablation(0.786)),
    f"{_ABLATED}_scratch": _from(_ABLATED, "none", _ablation(0.727)),
    "fssd300s": _from(
        "fssd300", "none", Published("FSSD paper, FSSD300S: VOC07 test", voc_map=0.727)
    ),
    "fssd300_from_coco": _from(
        "fssd300",
        "fssd300@coco",
        Published("FSSD paper, FSSD300*: VOC07 test, after COCO", voc_map=0.827),
    ),
    "fssd512_from_coco": _from(
        "fssd512",
        "fssd512@coco",
        Published("FSSD paper, FSSD512*: VOC07 test, after COCO", voc_map=0.845),
    ),
}
"""Systems that differ from others in their start and its recipe alone."""

FSSD: dict[str, PaperSystem] = {**_FROM_IMAGENET, **OTHER_STARTS}

MFSSD: dict[str, PaperSystem] = {
    "mfssd": _mfssd(
        Published(
            _MFSSD, 0.294, 0.121, 59.5, GTX_1080_TI, 0.498, 0.306, 0.335, 0.441,
            ar_small=0.187, ar_medium=0.481, ar_large=0.597, voc_map=0.804, params=33_709_664,
        ),
        norm=False,
    ),
    "mfssd_bn": _mfssd(Published(_MFSSD, voc_map=0.812, params=33_713_888), norm=True),
    "mfssd_pruned": _mfssd(
        Published(
            _MFSSD, fps=79.5, hardware=GTX_1080_TI, voc_map=0.799, params=22_785_625
        ),
        norm=True,
        pruning=Slimming(sparsity=1e-4, target="params", ratio=0.324),
    ),
}  # fmt: skip
