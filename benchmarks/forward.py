"""How fast is our SSD300-VGG16 compared with torchvision's?::

    python -m benchmarks.forward [--quick] [--threads 1] [--seconds 150] [--no-compile]

Both have the same random weights, with background logits raised until about 300 boxes per image
pass the threshold, as in a trained network. torchvision's `ssd300_vgg16` runs unchanged in float32,
ours in every form available on this machine. All are timed in turns: the network alone, and from
images to boxes; then post-processing alone, with 300 and with 200,000 candidates per image. Speeds
are multiples of torchvision's in the same turn, medians over the turns. It takes about five minutes
on one idle core, or one to two with `--quick`: no compiled forms, small batches, few turns.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torchvision.models.detection import ssd300_vgg16
from torchvision.models.detection.ssd import SSD
from torchvision.ops import box_convert

from detectors.detector import Detector
from detectors.features import Predictions
from detectors.quiet import measuring, threads
from detectors.runtimes import RuntimeUnavailable, available, deploy
from detectors.timing.blocks import Call, timed
from detectors.timing.measure import hardware_name
from detectors.weights.torchvision import load_ssd300
from launch.trial.run import pick_device
from searchspace import DetectorConfig
from searchspace.papers import on_coco

SIDE = 300
TYPICAL, EVERYTHING = 300, 200_000
"""Candidates per image for post-processing: of a trained network, of an untrained one."""

MOST_TURNS = 25
POSTPROCESS_SECONDS = 5.0
"""For each number of candidates and size of batch."""

TIMES = "\N{MULTIPLICATION SIGN}"
REFERENCE = "torchvision, eager float32"

console = Console()


@dataclass(frozen=True)
class Speed:
    """Median milliseconds of a call, and its speed as a multiple of torchvision's.

    Attributes:
        turns: number of turns.
    """

    ms: float
    ratio: float
    turns: int

    def __str__(self) -> str:
        return f"{self.ms:.1f} ms  {self.ratio:.2f}{TIMES}"


def torchvision_ssd(images: Tensor) -> SSD:
    """torchvision's SSD with random weights, and logits spread and shifted as if trained."""
    torch.manual_seed(0)
    ssd = ssd300_vgg16(weights=None, weights_backbone=None).eval()
    convs = ssd.head.classification_head.module_list
    for conv in convs:
        conv.weight.data *= 2 / raw_outputs(ssd, images)["cls_logits"].std()
    logits = raw_outputs(ssd, images)["cls_logits"]
    shift = background(logits, TYPICAL, ssd.score_thresh)
    for conv in convs:
        conv.bias.data.view(-1, logits.shape[-1])[:, 0] += shift
    return ssd


def raw_outputs(ssd: SSD, images: Tensor) -> dict[str, Tensor]:
    """torchvision's network alone, for images [N, 3, S, S], with its normalisation."""
    prepare = ssd.transform
    mean, std = (
        images.new_tensor(x)[:, None, None] for x in (prepare.image_mean, prepare.image_std)
    )
    return ssd.head(list(ssd.backbone((images - mean) / std).values()))


def background(logits: Tensor, candidates: int, threshold: float) -> float:
    """The shift of the background's logits with which `candidates` scores per image pass."""
    low, high = -30.0, 30.0
    for _ in range(40):
        middle = (low + high) / 2
        passing = int((shifted(logits, middle).softmax(-1)[..., 1:] > threshold).sum())
        low, high = (middle, high) if passing > candidates * len(logits) else (low, middle)
    return high


def shifted(logits: Tensor, by: float) -> Tensor:
    return torch.cat((logits[..., :1] + by, logits[..., 1:]), -1)


def our_ssd(theirs: SSD) -> Detector:
    """Our detector with the same weights, classes and post-processing."""
    fields = on_coco("ssd300_vgg16").detector.model_dump()
    fields |= {"num_classes": 90, "pixels": "caffe"}
    fields["head"]["postprocess"] |= {
        "score_threshold": theirs.score_thresh,
        "nms_iou": theirs.nms_thresh,
        "detections": theirs.detections_per_img,
    }
    ours = Detector(DetectorConfig.model_validate(fields)).eval()
    load_ssd300(ours, theirs.state_dict())
    return ours


def forward_calls(
    theirs: SSD, ours: Detector, batch: Tensor, compiled: bool
) -> dict[str, tuple[Call, Call]]:
    """By name: a network alone, and from images to boxes; torchvision's first."""
    images, device = list(batch), batch.device
    calls = {REFERENCE: (lambda: raw_outputs(theirs, batch), lambda: theirs(images))}
    for form, reason in available(device).items():
        if reason or (form.runtime == "compile" and not compiled):
            continue
        try:
            deployed = deploy(ours, *form, device, calibration=batch[:2])
            deployed.network(batch)
        except RuntimeUnavailable as error:
            console.print(f"{form}: {error}", markup=False)
            continue
        calls[f"ours, {form.runtime} {form.precision}"] = (
            lambda deployed=deployed: deployed.network(batch),
            lambda deployed=deployed: deployed.detect(batch),
        )
    return calls


def postprocess_calls(
    theirs: SSD, ours: Detector, batch: Tensor, candidates: int
) -> dict[str, tuple[Call]]:
    """torchvision's post-processing and ours, on the same raw predictions."""
    outputs = raw_outputs(theirs, batch)
    logits = outputs["cls_logits"]
    outputs["cls_logits"] = shifted(logits, background(logits, candidates, theirs.score_thresh))
    predictions = Predictions(outputs["bbox_regression"], outputs["cls_logits"])
    anchors = [box_convert(ours.head.priors, "cxcywh", "xyxy") * SIDE] * len(batch)
    sizes = [(SIDE, SIDE)] * len(batch)
    return {
        REFERENCE: (lambda: theirs.postprocess_detections(outputs, anchors, sizes),),
        "ours": (lambda: ours.head.detections(predictions),),
    }


def speeds(
    calls: dict[str, tuple[Call, ...]], seconds: float, device: torch.device
) -> dict[str, tuple[Speed, ...]]:
    """Time all calls in turns, relative to torchvision's call at the same position.

    There are as many turns as fit into the seconds, at least one.
    """
    flat = [call for some in calls.values() for call in some]
    turns: list[list[float]] = []
    while not turns or (
        len(turns) < MOST_TURNS and sum(map(sum, turns)) + sum(turns[-1]) < seconds
    ):
        turns.append([timed(call, device) for call in flat])
    taken, width = list(zip(*turns, strict=True)), len(calls[REFERENCE])
    found = [_speed(own, taken[place % width]) for place, own in enumerate(taken)]
    return {name: tuple(found[width * k : width * (k + 1)]) for k, name in enumerate(calls)}


def _speed(own: Sequence[float], theirs: Sequence[float]) -> Speed:
    ratios = [b / a for a, b in zip(own, theirs, strict=True)]
    return Speed(1000 * statistics.median(own), statistics.median(ratios), len(own))


def table(title: str, headings: Sequence[str], rows: dict[str, Sequence[Speed]]) -> Table:
    counted = [f"{h}\n({s.turns} turns)" for h, s in zip(headings, rows[REFERENCE], strict=True)]
    made = Table("", *counted, title=title, header_style="bold")
    for name, row in rows.items():
        made.add_row(name, *map(str, row))
    return made


def merged(parts: Sequence[dict[str, tuple[Speed, ...]]]) -> dict[str, tuple[Speed, ...]]:
    """Columns side by side."""
    return {name: sum((part[name] for part in parts), ()) for name in parts[0]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=150, help="for forward passes")
    parser.add_argument("--device")
    arguments = parser.parse_args()
    device = pick_device(arguments.device)
    batches = (1, 2) if arguments.quick else (1, 8)
    seconds = 30.0 if arguments.quick else arguments.seconds
    compiled = not (arguments.quick or arguments.no_compile)
    forward, behind = [], []
    with threads(arguments.threads), torch.inference_mode(), measuring(device):
        images = torch.rand(max(batches), 3, SIDE, SIDE).to(device)
        theirs = torchvision_ssd(images[:2].cpu()).to(device)
        ours = our_ssd(theirs).to(device)
        for size in batches:
            batch, share = images[:size], seconds * size / sum(batches)
            calls = forward_calls(theirs, ours, batch, compiled)
            forward.append(speeds(calls, share, device))
            for candidates in (TYPICAL, EVERYTHING):
                calls = postprocess_calls(theirs, ours, batch, candidates)
                behind.append(speeds(calls, POSTPROCESS_SECONDS, device))
    where = f"{hardware_name(device)}, {arguments.threads} thread(s), torch {torch.__version__}"
    headings = [f"{what}, batch {n}" for n in batches for what in ("network", "images to boxes")]
    console.print(table(f"SSD300-VGG16 on {where}", headings, merged(forward)))
    headings = [f"{c:,} candidates, batch {n}" for n in batches for c in (TYPICAL, EVERYTHING)]
    console.print(table("Post-processing alone", headings, merged(behind)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
