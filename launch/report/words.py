"""Configurations and figures as people read them. Plain text: whoever shows it escapes it."""

from __future__ import annotations

from pathlib import Path

from launch.decisions.budget import Outlook
from launch.figures import TIMES
from searchspace import CompressConfig, TrainConfig, TrialConfig
from searchspace.backbones import VGG16, Backbone, CSPDarknet, MobileNetV1, ResNet
from searchspace.compression import ImportancePruning, Int8, Unpruned
from searchspace.distillation import PARENT, ChannelWise, Distillation, Logits, NoDistillation
from searchspace.heads import (
    Distributions,
    Head,
    LevelledPriors,
    ListedPriors,
    Multibox,
    Points,
    ScaledPriors,
)
from searchspace.necks import Aggregate, Pyramid, Step
from searchspace.necks.deconvolution import Deconvolve
from searchspace.necks.dual_path import Join, Split
from searchspace.necks.fusion import Fuse
from searchspace.schedules import Cosine, Steps
from searchspace.training import CopyPaste

PRUNED = {
    "channels": "",
    "params": " of the parameters",
    "macs": " of the MACs",
    "latency": " of the time",
}
CRITERIA = {"l2": "L2 norm", "taylor": "Taylor expansion", "lamp": "LAMP", "random": "chance"}


LOCATIONS = {"classes": "class logits", "maps": "maps", "both": "class logits and maps"}
"""What a teacher shows, by the location of channel-wise distillation."""


def describe_in_words(config: TrialConfig) -> str:
    """What is particular about a configuration, e.g. `width 0.25, 160 px, S1L6, pruned 40 %`."""
    detector = config.detector
    parts = [
        f"width {detector.width:g}",
        f"{on_axes(detector.input_size)} px",
        *_backbone(detector.backbone),
    ]
    parts += [words for step in detector.neck if (words := _step(step))]
    parts.append(_head(detector.head))
    return ", ".join([*parts, *_training(config.train), *_compression(config.compress)])


def on_axes(number: float | tuple[float, float]) -> str:
    """One number for both axes, or one for each: `300` or `800×1280`."""
    numbers = number if isinstance(number, tuple) else (number,)
    return TIMES.join(f"{x:g}" for x in numbers)


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
    if isinstance(backbone, CSPDarknet):
        parts.append(f"CSPDarknet of depth {backbone.depth:g}")
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
        case Pyramid(channels=channels):
            return f"pyramid of {channels} channels"
        case Aggregate(channels=channels):
            return f"two-way pyramid from {channels} channels"
    return ""


def _head(head: Head) -> str:
    match head:
        case Points():
            return "YOLOX's head"
        case Distributions():
            return "GFL's head"
        case Multibox(priors=ScaledPriors(cells=cells)):
            return f"priors of {cells:g} cells"
        case Multibox(priors=LevelledPriors() as priors):
            rules = (priors.first, priors.second, priors.third, priors.coarser)
            return f"priors of {', '.join(f'{rule.cells:g}' for rule in rules)} cells"
        case Multibox(priors=ListedPriors(sizes=sizes)):
            return f"listed priors from {sizes[0]:g} px"


def _training(train: TrainConfig) -> list[str]:
    parts = [*_copy_paste(train.copy_paste), *_recipe(train)]
    if train.small_objects.weight != 1:
        where = " in the input" if train.small_objects.by == "input" else ""
        parts.append(f"small objects{where} weigh {train.small_objects.weight:.2g}")
    return parts + _teaching(train.distillation)


def _copy_paste(config: CopyPaste) -> list[str]:
    """How often, of how many pastes, and cut by what, unless that is the usual."""
    if not config.active:
        return []
    stock = CopyPaste()
    parts = [f"copy-paste {config.copies}{TIMES}"] if config.copies else []
    if config.probability:
        parts.append(f"online copy-paste {100 * config.probability:.0f} %")
    if config.pastes > 1:
        parts.append(f"{config.pastes} pastes an object")
    if config.source != stock.source:
        parts.append(f"pasted by {config.source}")
    if config.max_area != stock.max_area:
        parts.append(f"pasted below {config.max_area:g} px\N{SUPERSCRIPT TWO}")
    if (config.scale_jitter, config.rotation) != (stock.scale_jitter, stock.rotation):
        parts.append(
            f"paste jitter {100 * config.scale_jitter:.0f} %, {config.rotation:g}\N{DEGREE SIGN}"
        )
    return parts


def _recipe(train: TrainConfig) -> list[str]:
    parts = []
    if train.augment.mosaic:
        plain = f" but for {train.plain_epochs} epochs" if train.plain_epochs else ""
        parts.append(f"mosaic {100 * train.augment.mosaic:.0f} %{plain}")
    if train.ema:
        parts.append(f"EMA {train.ema:g}")
    scales = train.multi_scale
    if scales.active:
        parts.append(f"input sizes {scales.smallest:.3g} to {scales.largest:.3g}{TIMES}")
    match train.schedule:
        case Steps(milestones=milestones):
            shares = ", ".join(f"{100 * share:.0f}" for share in milestones)
            parts.append(f"rate falls at {shares} %")
        case Cosine(floor=floor) if floor:
            parts.append(f"rate falls to {100 * floor:.2g} %")
    return parts


def _compression(compress: CompressConfig) -> list[str]:
    pruning = compress.pruning
    if isinstance(pruning, Unpruned):
        return _quantisation(compress)
    words = f"pruned {100 * pruning.ratio:.0f} %{PRUNED[pruning.target]}"
    if isinstance(pruning, ImportancePruning):
        words += f" by {CRITERIA[pruning.criterion]}"
    return [words, *_teaching(pruning.distillation), *_quantisation(compress)]


def _quantisation(compress: CompressConfig) -> list[str]:
    quantisation = compress.quantisation
    return [f"int8 by {quantisation.runtime}"] if isinstance(quantisation, Int8) else []


def _teaching(distillation: Distillation) -> list[str]:
    """Who teaches what; of a saved detector the end of its path."""
    match distillation:
        case NoDistillation():
            return []
        case ChannelWise(location=location):
            lesson = LOCATIONS[location]
        case Logits():
            lesson = "class probabilities"
    parent = distillation.teacher == PARENT
    teacher = "its parent" if parent else "/".join(Path(distillation.teacher).parts[-2:])
    weight, temperature = distillation.weight, distillation.temperature
    return [f"taught by {teacher} ({lesson}, weight {weight:.2g}, temperature {temperature:.2g})"]


def show_seconds(seconds: float) -> str:
    """A duration in its two largest units."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def outlook_in_words(outlook: Outlook) -> str:
    """What is left of a search's budget, what is expected of it, and what ends it."""
    left = [_trials(outlook.trials_left)]
    if outlook.minutes_left is not None:
        left.append(f"{outlook.minutes_left:.1f} minutes")
    if outlook.device_hours_left is not None:
        left.append(f"{outlook.device_hours_left:.3g} device-hours")
    text = f"left: {', '.join(left)}"
    if not outlook.seconds:
        return text
    more, time = _trials(outlook.more_trials, "more "), show_seconds(outlook.seconds)
    return f"{text}; expected: {more} in about {time}, then {outlook.ends_by} are spent"


def _trials(count: int, which: str = "") -> str:
    return f"{count} {which}trial{'' if count == 1 else 's'}"
