"""One detector's weights at several input sizes."""

from __future__ import annotations

import torch
from torch import Tensor

from detectors.detector import Detector
from detectors.features import size_of
from detectors.narrow import narrow
from searchspace.augmentation import MultiScale
from searchspace.errors import InputError
from searchspace.geometry import InputSize


class InputSizes:
    """Detectors of several input sizes that share their weights.

    Attributes:
        detectors: by input size; the detector itself is one of them.

    Raises:
        ValueError: there is no other size, or the detector would have different layers at one.
    """

    def __init__(self, detector: Detector, config: MultiScale) -> None:
        own = detector.config.input_size
        sizes = config.sizes(own) if config.active else (own,)
        self.detectors = {s: detector if s == own else at_input_size(detector, s) for s in sizes}
        self._by_size = {d.config.size: d for d in self.detectors.values()}

    def of(self, images: Tensor) -> Detector:
        """The detector that images [N, 3, H, W] are trained with."""
        return self._by_size[size_of(images)]


def at_input_size(detector: Detector, size: InputSize) -> Detector:
    """A detector for inputs of another size that shares all tensors, pruned or not.

    Training one trains the other, batch statistics included, as long as neither is moved to
    another device. Modules have the detector's current modes. Priors keep their sizes in pixels.

    Raises:
        ValueError: at that size, the detector would have different layers.
    """
    tensors = detector.state_dict(keep_vars=True)
    try:
        with torch.random.fork_rng(devices=[]):  # initial weights are drawn, then replaced
            twin = Detector(detector.config.at_input_size(size), detector.classes)
        _check_kernels(twin, tensors)
        narrow(twin, {name: tuple(tensor.shape) for name, tensor in tensors.items()})
    except ValueError as error:  # of the configuration, its levels, or `narrow`
        raise InputError(
            f"train.multi_scale: at an input size of {size} instead of "
            f"{detector.config.input_size} pixels, the detector would have different layers: "
            f"choose smallest and largest closer to 1 ({error})"
        ) from None
    twin.to(detector.device)
    for one, other in zip(twin.modules(), detector.modules(), strict=True):
        one.training = other.training  # frozen modules may be in eval mode during training
    for name, tensor in tensors.items():
        owner, _, leaf = name.rpartition(".")
        setattr(twin.get_submodule(owner), leaf, tensor)
    return twin


def _check_kernels(twin: Detector, tensors: dict[str, Tensor]) -> None:
    """Raise `ValueError` if maps of another size need other kernels, as MDSSD's deconvolutions
    may."""
    for name, tensor in twin.state_dict().items():
        if name in tensors and tensor.shape[2:] != tensors[name].shape[2:]:
            wanted, own = list(tensor.shape[2:]), list(tensors[name].shape[2:])
            raise InputError(f"{name} would have a kernel of {wanted}, not {own}")
