"""Folding of batch norms into the convolutions before them, for deployment."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.nn.utils.fusion import fuse_conv_bn_eval

from detectors.detector import Detector
from detectors.dry_run import dry_run, once_per_shape


def folded(detector: Detector) -> Detector:
    """A copy in eval mode whose convolutions include the batch norms after them.

    Branches that can be one convolution (RepVGG, MobileOne) become one. Its detections equal the
    original's up to rounding; it cannot be trained or pruned.
    """
    copied = copy.deepcopy(detector).eval()
    for module in list(copied.modules()):
        if callable(merge := getattr(module, "reparameterize", None)):  # timm's name for it
            merge()
    modules = list(copied.named_modules())
    convs = {name: layer for name, layer in modules if isinstance(layer, nn.Conv2d)}
    norms = {name: layer for name, layer in modules if isinstance(layer, nn.BatchNorm2d)}
    for name, before in _pairs(copied).items():
        owner, _, child = name.rpartition(".")
        norm, conv = norms[name], convs[before]
        together = fuse_conv_bn_eval(conv, norm)
        conv.weight, conv.bias = together.weight, together.bias
        setattr(copied.get_submodule(owner), child, _what_is_left(norm))
    return copied


@once_per_shape
def _pairs(detector: Detector) -> dict[str, str]:
    """The names of batch norms and convolutions that can be one layer."""
    names = {module: name for name, module in detector.named_modules()}
    return {names[norm]: names[conv] for norm, conv in _found(detector)}


def _found(detector: Detector) -> Iterator[tuple[nn.BatchNorm2d, nn.Conv2d]]:
    """Each batch norm that reads one convolution's output, which nothing else reads.

    Found in the history of gradients of a run on shapes: whoever reads an output leads back to it.
    """
    makers: dict[Node | None, nn.Conv2d] = {}
    made = Counter[nn.Conv2d]()
    read: dict[nn.BatchNorm2d, list[Node | None]] = {}

    def after(conv: nn.Conv2d, given: Any, output: Tensor) -> None:
        makers[output.grad_fn] = conv
        made[conv] += 1

    def before(norm: nn.BatchNorm2d, given: tuple[Tensor]) -> None:
        read.setdefault(norm, []).append(given[0].grad_fn)

    hooks = [
        layer.register_forward_hook(after)
        if isinstance(layer, nn.Conv2d)
        else layer.register_forward_pre_hook(before)
        for layer in detector.modules()
        if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)
    ]
    predictions = dry_run(detector, hooks).predictions
    made_of = [getattr(predictions, field.name) for field in fields(predictions)]
    readers = _readers([x.grad_fn for x in made_of if x is not None])
    for norm, nodes in read.items():
        convs = {makers.get(node) for node in nodes}
        alone = all(readers[node] == 1 for node in nodes)
        conv = convs.pop()
        if conv and not convs and alone and made[conv] == len(nodes):
            yield norm, conv


def _readers(ends: list[Node | None]) -> Counter[Node | None]:
    """How often the output of each step of a computation is read, up to its ends."""
    readers = Counter[Node | None]()
    seen, ahead = set(ends), list(ends)
    while ahead:
        node = ahead.pop()
        for before, _ in node.next_functions if node else ():
            readers[before] += 1
            if before not in seen:
                seen.add(before)
                ahead.append(before)
    return readers


def _what_is_left(norm: nn.BatchNorm2d) -> nn.Module:
    """What a layer does after its normalisation: timm's have an activation in them."""
    after = [getattr(norm, name, None) for name in ("drop", "act")]
    return nn.Sequential(*(layer for layer in after if layer is not None))
