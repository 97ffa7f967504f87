"""Configurations and figures as people read them. Plain text: whoever shows it escapes it."""

from __future__ import annotations

import math

from searchspace import CompressConfig, TrainConfig, TrialConfig
from searchspace.backbones import VGG16, Backbone, MobileNetV1, ResNet
from searchspace.compression import Slimming
from searchspace.heads import ScaledPriors
from searchspace.necks import Deconvolve, Fuse, Join, Split, Step

MISSING = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"

LABELS = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "AP_small",
    "ap_medium": "AP_medium",
    "ap_large": "AP_large",
    "ar_small": "AR_small",
    "fps": "FPS",
    "latency_ms": "Latency, ms",
    "params": "Params",
    "macs": "MACs",
}
"""Metrics and costs by name, as a heading shows them."""

COLUMNS = ("ap_small", "ap", "fps", "params", "macs")
"""The figures of a trial that a table has room for."""

RATIOS = ("fps", "latency_ms", "params", "macs")
"""Figures whose change is told as a factor; that of all others is a difference."""


def describe_in_words(config: TrialConfig) -> str:
    """What is particular about a configuration, e.g. `width 0.25, 160 px, S1L6, pruned 40 %`."""
    detector = config.detector
    parts = [
        f"width {detector.width:g}",
        f"{detector.input_size} px",
        *_backbone(detector.backbone),
    ]
    parts += [words for step in detector.neck if (words := _step(step))]
    priors = detector.head.priors
    if isinstance(priors, ScaledPriors):
        parts.append(f"priors of {priors.cells:g} cells")
    else:
        parts.append(f"listed priors from {priors.sizes[0]:g} px")
    return ", ".join([*parts, *_training(config.train), *_compression(config.compress)])


def _backbone(backbone: Backbone) -> list[str]:
    """Its kind unless it is MobileNetV1, and what was changed of it."""
    parts = []
    if isinstance(backbone, VGG16):
        parts.append("VGG16 with batch norm" if backbone.norm else "VGG16")
    if isinstance(backbone, ResNet):
        parts.append(f"ResNet-{backbone.depth}")
        if backbone.last_stage == "dilated":
            parts.append("last stage dilated")
    if isinstance(backbone, MobileNetV1) and backbone.activation == "relu6":
        parts.append("ReLU6")
    if eliminated := backbone.eliminated_strides:
        parts.append(f"S{len(eliminated)}L{'-'.join(map(str, eliminated))}")
    if backbone.taps != type(backbone).model_fields["taps"].default:
        parts.append(f"taps {'+'.join(backbone.taps)}")
    return parts


def _step(step: Step) -> str:
    """A step of the neck; nothing of norms and growth, which nearly every neck has."""
    match step:
        case Fuse(sources=sources, how=how):
            channels = ":".join(str(source.channels) for source in sources)
            return f"{'sum' if how == 'sum' else 'concatenation'} of {channels} channels"
        case Deconvolve(blocks=blocks):
            pairs = "+".join(f"{block.source}-{block.level}" for block in blocks)
            return f"deconvolution of levels {pairs}"
        case Join(level=level):
            return f"second path joined at level {level}"
        case Split():
            return "growth from the second path"
    return ""


def _training(train: TrainConfig) -> list[str]:
    parts = []
    if train.copy_paste.copies:
        parts.append(f"copy-paste {train.copy_paste.copies}{TIMES}")
    if train.small_objects.weight != 1:
        where = " in the input" if train.small_objects.by == "input" else ""
        parts.append(f"small objects{where} weigh {train.small_objects.weight:.2g}")
    return parts


def _compression(compress: CompressConfig) -> list[str]:
    if isinstance(compress.pruning, Slimming):
        return [f"pruned {100 * compress.pruning.ratio:.0f} %"]
    return []


def show(name: str, value: float | None) -> str:
    """A metric or cost in the digits that mean something; a dash where there is none."""
    if value is None:
        return MISSING
    if name in ("params", "macs"):
        return _count(value)
    if name == "fps":
        return f"{value:.1f}"
    return f"{value:.2f}" if name == "latency_ms" else f"{value:.3f}"


def show_change(name: str, before: float | None, after: float | None) -> str:
    """How a figure changed: a factor for costs, a signed difference for metrics."""
    if before is None or after is None:
        return MISSING
    return factor(after, before) if name in RATIOS else f"{after - before:+.3f}"


def factor(value: float, base: float) -> str:
    """`value` as a multiple of a `base` above 0."""
    return f"{value / base:.2f}{TIMES}"


def show_seconds(seconds: float) -> str:
    """A duration in its two largest units."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _count(value: float) -> str:
    """Three significant digits and the unit."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        # Half a last digit below the unit, rounding would reach it: 999,996 is 1.00 M.
        if value >= 0.9995 * size:
            digits = max(0, 2 - math.floor(math.log10(max(1, value / size))))
            return f"{value / size:.{digits}f} {unit}"
    return f"{value:.0f}"
