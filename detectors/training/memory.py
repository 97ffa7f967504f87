"""The memory that a training needs, found without computing it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from detectors.data.loader import Batch, TrainingLoader
from detectors.describe import skeleton
from detectors.detector import Detector
from detectors.training.backends import autocast_type
from detectors.training.run import Run, Term
from searchspace.augmentation import MultiScale
from searchspace.detector import DetectorConfig
from searchspace.training import TrainConfig

OBJECTS = 32
"""Objects of each image of the batch that is tried; they take little beside activations."""

GRAIN = 512
"""Bytes of which PyTorch allocates a multiple on a GPU."""


class Allocations(TorchDispatchMode):
    """Sums the memory of tensors that are made within it, while they live.

    Attributes:
        now: bytes of those that live.
        peak: the most there were at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self._note(value.untyped_storage())
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        size = -(-storage.nbytes() // GRAIN) * GRAIN
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, size)

    def _forget(self, size: int) -> None:
        self.now -= size


Terms = Callable[[Detector], Sequence[Term]]
"""Makes the further terms of a training's loss for the detector that is trained."""


def no_terms(student: Detector) -> Sequence[Term]:
    return ()


def training_memory(
    detector: DetectorConfig,
    recipe: TrainConfig,
    device: torch.device,
    terms: Terms = no_terms,
) -> int:
    """Bytes that tensors take at the peak of a training: weights, gradients, the optimiser's state,
    averages, activations and losses.

    Two steps are taken on tensors without content, with the code of the training itself; on any
    machine, within seconds. What is not seen: workspaces of libraries within one operation, and
    some 0.5 GB that a process has of a GPU before its first tensor.

    Args:
        device: on which it will train, which decides what `precision = "auto"` computes in.
        terms: of a teacher, say, which `blank` makes.
    """
    detector, recipe = _at_largest(detector, recipe)
    computed = str(autocast_type(recipe.precision, skeleton(detector), device))
    # Such tensors cannot be copied with their module; an average is as large as the detector.
    plain = recipe.changed(precision=computed.removeprefix("torch."), ema=None)
    with FakeTensorMode(), Allocations() as seen:
        network = take_steps(blank, detector, plain, terms)
        average = sum(t.nbytes for t in network.state_dict().values()) if recipe.ema else 0
    return seen.peak + average


def take_steps(
    build: Callable[[DetectorConfig], Detector],
    detector: DetectorConfig,
    recipe: TrainConfig,
    terms: Terms = no_terms,
) -> Detector:
    """Two steps of a training on blank images, at its largest input size; returns the detector.

    Args:
        build: makes a detector, on the device for training.
    """
    detector, recipe = _at_largest(detector, recipe.changed(compile="off"))
    network, loader = build(detector), cast(TrainingLoader, _Alike())
    further = terms(network)
    for term in further:
        if isinstance(term, nn.Module) and isinstance(network.mean, FakeTensor):
            _keep_tensors(term)
    run = Run(network, loader, recipe, further)
    batch = _batch(detector, recipe.batch_size)
    for _ in range(2):
        run.step(batch, plain=True)
    return network


def _at_largest(
    detector: DetectorConfig, recipe: TrainConfig
) -> tuple[DetectorConfig, TrainConfig]:
    """Both for a training at the largest of its input sizes alone."""
    if not recipe.multi_scale.active:
        return detector, recipe
    largest = recipe.multi_scale.sizes(detector.input_size)[-1]
    return detector.at_input_size(largest), recipe.changed(multi_scale=MultiScale())


def blank(detector: DetectorConfig) -> Detector:
    """A detector of tensors without content, for the terms of `training_memory`."""
    network = skeleton(detector)
    _give_tensors(network)
    return network


def _give_tensors(network: nn.Module) -> None:
    """Tensors without content, but of a device, for those of a network's shapes."""
    for module in network.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                tensor = _like(parameter)
                module._parameters[name] = nn.Parameter(tensor, parameter.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = _like(buffer)
    _keep_tensors(network)


def _keep_tensors(module: nn.Module) -> None:
    """Modules cannot convert such tensors; these are where and as a training wants them."""
    vars(module)["_apply"] = lambda convert, recurse=True: module


def _like(tensor: Tensor) -> Tensor:
    order = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
    return torch.empty(tensor.shape, dtype=tensor.dtype, memory_format=order)


class _Alike:
    """Stands for a loader, of which a training asks its length."""

    def __len__(self) -> int:
        return 1


def _batch(detector: DetectorConfig, count: int) -> Batch:
    images = torch.zeros(count, 3, *detector.size, dtype=torch.uint8)
    target = {"boxes": torch.zeros(OBJECTS, 4), "labels": torch.ones(OBJECTS, dtype=torch.long)}
    return Batch(images, [target] * count)
