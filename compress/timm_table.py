"""Makes `searchspace/backbones/timm.json`: what timm's feature extractors put out.

    python -m compress.timm_table

A configuration has to know channels and sizes of maps, pixels of weights and whether channels may
be removed before torch or timm are loaded. All of it is found here with the installed timm: sizes
by running every model on shapes, removable channels by removing half of them from one model of each
make. It takes about an hour on one core.
"""

from __future__ import annotations

import copy
import json
import re
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from compress.channels import ChannelGraph
from compress.plan import remove
from detectors.detector import PIXELS, Detector
from searchspace.backbones import Timm, timm_models
from searchspace.backbones.timm_models import forget
from searchspace.detector import DetectorConfig
from searchspace.heads import Multibox
from searchspace.priors import ScaledPriors

TABLE = Path(timm_models.__file__).with_name("timm.json")

MULTIPLES = (1, 2, 4, 8, 16, 32, 64)
"""What an input's sides may have to be multiples of."""

PATIENCE = 20.0
"""Seconds of CPU time that removing channels of one model may take."""

NOT_FOLLOWED = "torch-pruning does not follow its channels"

FAR = 192
"""Pixels of an input's side that all models can be run at, at least."""


class Refused(ValueError):
    """A model that cannot be a backbone; the message says why."""


def extractor(name: str) -> nn.Module:
    """timm's feature extractor of a model, without values.

    Raises:
        Refused: timm has none, or it is no convolutional network of any size of image.
    """
    try:
        with torch.device("meta"):
            net = timm.create_model(name, features_only=True).eval()
    except Exception as error:  # each family has its own one for what it cannot do
        raise Refused("timm makes no feature extractor of it") from error
    if not any(isinstance(layer, nn.BatchNorm2d) for layer in net.modules()):
        raise Refused("it has no batch norm")
    return net


def maps_of(net: nn.Module, size: tuple[int, int]) -> list[tuple[int, ...]]:
    """Channels, height and width of each map for an image of some height and width."""
    with torch.no_grad():
        made: list[Tensor] = net(torch.empty(1, 3, *size, device="meta"))
    return [tuple(x.shape[1:]) for x in made]


class Sides:
    """By map, the offset that makes its side `(side of the image + offset) // reduction`.

    Convolutions and poolings divide and round one after the other; all of it together is one
    division with an offset. Each is found by halving the interval that it can lie in.

    Attributes:
        multiple: what the sides of an image have to be multiples of.
    """

    def __init__(self, net: Any) -> None:
        """Raises `Refused`: it takes one size of images only, or its maps follow no such rule."""
        self.net = net
        self.reductions: list[int] = net.feature_info.reduction()
        self.bounds = [(-4 * r, 4 * r) for r in self.reductions]
        for self.multiple in MULTIPLES:
            pixels = (FAR + self.multiple, FAR), (FAR + 3 * self.multiple, FAR - self.multiple)
            try:
                seen = [maps_of(net, size) for size in pixels]
            except Exception:  # each family has its own one for sizes that do not fit
                continue
            break
        else:
            raise Refused("it takes images of one size only")
        self.shapes = seen[0]
        if any(len(x) != 3 for x in self.shapes):
            raise Refused("what it puts out are no maps")
        if [x[0] for x in self.shapes] != net.feature_info.channels():
            raise Refused("its maps have the channels last")
        for size, made in zip(pixels, seen, strict=True):
            self._narrow(size, made)

    def offsets(self) -> list[int]:
        """Raises `Refused`: the maps follow no such rule."""
        while cuts := [cut for k in range(len(self.bounds)) if (cut := self._cut(k))]:
            _, k, middle = max(cuts)
            side = FAR + -middle % self.reductions[k]
            size = side, side + self.multiple
            self._narrow(size, maps_of(self.net, size))
        return [low if low == high else min(max(low, 0), high) for low, high in self.bounds]

    def _narrow(self, size: tuple[int, int], made: list[tuple[int, ...]]) -> None:
        for k, reduction in enumerate(self.reductions):
            for side, pixels in zip(made[k][1:], size, strict=True):
                low, high = self.bounds[k]
                least = side * reduction - pixels
                self.bounds[k] = max(low, least), min(high, least + reduction - 1)
            if self.bounds[k][0] > self.bounds[k][1]:
                raise Refused("the sides of its maps follow no rule")

    def _cut(self, index: int) -> tuple[int, int, int] | None:
        """Where a size can halve an interval of offsets: its width, whose it is, the cut."""
        low, high = self.bounds[index]
        step = self.multiple
        middle = (low + high + step) // (2 * step) * step
        cut = middle if low < middle <= high else high // step * step
        return (high - low, index, cut) if low < cut <= high else None


def facts(name: str) -> dict[str, Any]:
    """What a configuration has to know of a model, pruning apart.

    Raises:
        Refused: it cannot be a backbone.
    """
    net: Any = extractor(name)
    sides = Sides(net)
    if len(set(sides.reductions)) < 2:
        raise Refused("all of its maps have one size")
    channels = net.feature_info.channels()
    rows = zip(channels, sides.reductions, sides.offsets(), strict=True)
    found: dict[str, Any] = {"maps": [list(row) for row in rows]}
    if first := net.feature_info.out_indices[0]:
        found["first"] = first
    if sides.multiple > 1:
        found["multiple"] = sides.multiple
    return found


def tags(name: str) -> dict[str, str]:
    """A model's pretrained weights that timm can fetch, the default ones first, by their pixels."""
    whole = timm.models.get_arch_pretrained_cfgs(name)
    own = {full.partition(".")[2]: cfg for full, cfg in whole.items()}
    default = timm.get_pretrained_cfg(name)
    found = {}
    for tag in sorted(own, key=lambda tag: default is None or tag != default.tag):
        cfg = own[tag]
        pixels = [kind for kind, of in PIXELS.items() if of == (tuple(cfg.mean), tuple(cfg.std))]
        if cfg.hf_hub_id and pixels:
            found[tag] = pixels[0]
    return found


def why_whole(config: Timm) -> str:
    """Why channels of a model cannot be removed; empty where half of all that may go can.

    Channels that put out nothing are removed from a detector: its predictions have to stay.
    """
    head = Multibox(priors=ScaledPriors())
    detector = with_noise(
        Detector(DetectorConfig(input_size=128, num_classes=1, backbone=config, neck=(), head=head))
    )
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE)
        graph = ChannelGraph(detector)
        removed = {
            root: torch.randperm(graph.count(root))[::2].sort().values.tolist()
            for root in graph.groups
            if root.startswith("backbone.") and graph.count(root) > 1
        }
        for root, gone in removed.items():
            silence(graph, root, gone)
        narrower = copy.deepcopy(detector)
        remove(ChannelGraph(narrower), removed)
        again = Detector(detector.config).load_tensors(narrower.state_dict())
        image = torch.rand(1, 3, 128, 128)
        with torch.no_grad():
            wanted, found = detector.predict(image).boxes, again.predict(image).boxes
    except ValueError as error:
        return str(error).partition(": ")[2] if "no rule" in str(error) else NOT_FOLLOWED
    except Exception:  # torch-pruning has another one for everything that it cannot follow
        return NOT_FOLLOWED
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    if not removed:
        return "all of its channels depend on each other"
    return "" if torch.allclose(wanted, found, rtol=1e-3, atol=1e-4) else NOT_FOLLOWED


def give_up(*_: object) -> None:
    """Of a signal: torch-pruning takes hours for some networks."""
    raise TimeoutError


def with_noise(detector: Detector) -> Detector:
    """The detector in eval mode, with batch norms that do something."""
    for layer in detector.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.5, 0.5)
    return detector.eval()


@torch.no_grad()
def silence(graph: ChannelGraph, root: str, channels: Sequence[int]) -> None:
    """Make channels of a convolution, and all that goes with them, put out zeros."""
    for dependency, indices in graph.group(root, channels):
        layer = dependency.layer
        norm = isinstance(layer, nn.BatchNorm2d)
        if norm or (isinstance(layer, nn.Conv2d) and graph.makes(dependency)):
            layer.weight[indices] = 0
            if layer.bias is not None:
                layer.bias[indices] = 0


def make_of(name: str) -> str:
    """What a model has in common with others that differ from it in depth and width."""
    name = re.sub(r"\d+", "", name)
    sizes = r"_(nano|pico|tiny|small|base|medium|large|xx?s|xx?l|[a-h]|s|m|l|x|e[sml])(?=_|$)"
    return re.sub(r"_+", "_", re.sub(sizes, "", name)).strip("_")


def whole(models: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Why channels of models cannot be removed, for those of which that is so."""
    signal.signal(signal.SIGVTALRM, give_up)
    makes: dict[str, list[str]] = {}
    for name in models:
        makes.setdefault(make_of(name), []).append(name)
    found = {}
    for names in makes.values():
        smallest = min(names, key=lambda name: sum(row[0] for row in models[name]["maps"]))
        strides = sorted({row[1] for row in models[smallest]["maps"]})[-2:]
        if reason := why_whole(Timm(name=smallest, taps=strides)):
            found |= dict.fromkeys(names, reason)
    return found


def main() -> None:
    """Write the table; pruning needs its first part to be there."""
    models: dict[str, dict[str, Any]] = {}
    refused: dict[str, list[str]] = {}
    for name in sorted(timm.list_models()):
        try:
            models[name] = facts(name) | {"tags": tags(name)}
        except Refused as error:
            refused.setdefault(str(error), []).append(name)
    write(models, refused)
    for name, reason in whole(models).items():
        models[name]["whole"] = reason
    write(models, refused)


def write(models: Mapping[str, Mapping[str, Any]], refused: Mapping[str, list[str]]) -> None:
    """Write the table, a line for each model."""
    parts = [f' "timm": {json.dumps(timm.__version__)}']
    for name, facts_of in (("models", models), ("refused", refused)):
        lines = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in facts_of.items())
        parts.append(f' "{name}": {{\n{lines}\n }}')
    TABLE.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
    forget()


if __name__ == "__main__":
    main()
