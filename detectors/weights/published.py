"""Files of published ImageNet weights: in the user's folder, in a cache, or downloaded."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path
from pickle import UnpicklingError
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models import (
    ResNet50_Weights,
    ResNet101_Weights,
    VGG16_BN_Weights,
    VGG16_Weights,
    WeightsEnum,
)

from searchspace.backbones import VGG16, Backbone, MobileNetV1, ResNet, Timm
from searchspace.digests import sha256
from searchspace.errors import InputError

State = Mapping[str, Tensor]

MOBILENET_V1 = "mobilenetv1_100.ra4_e3600_r224_in1k"
"""timm's name of the weights of MobileNetV1 at width 1."""

HUB_FILE = "model.safetensors"
"""The file name of a network on Hugging Face."""

HUB, CACHE = "torch's hub/checkpoints folder", "Hugging Face's cache"

SECONDS = 15
"""A server that does not answer within this time counts as unreachable."""

WITHOUT = "start from random weights with --weights none (train.weights 'none')"


class WeightsUnavailable(InputError):
    """Published weights that are not available here; the message says how to proceed."""


@dataclass(frozen=True)
class Published:
    """One file of published weights.

    Attributes:
        name: name of the file in the user's folder.
        source: torchvision's weights; None for those of timm.
    """

    name: str
    source: WeightsEnum | None = None

    @classmethod
    def of(cls, backbone: Backbone) -> Published:
        """The weights of a backbone; raises `TypeError` if none are published."""
        return published(backbone)

    @classmethod
    def by_timm(cls, name: str) -> Published:
        """Weights of timm, by their name with its tag."""
        return cls(f"{name}.safetensors")

    @classmethod
    def by_torchvision(cls, source: WeightsEnum) -> Published:
        return cls(Path(source.url).name, source)

    def load(self, given: Path | None) -> State:
        """The weights with their library's names.

        Args:
            given: the file or its folder; None for the library's cache, which is filled by a
                download.

        Raises:
            WeightsUnavailable: they are missing, cannot be downloaded or are damaged.
        """
        if given is not None:
            return _read(self.find(given))
        if self.source is None:
            return _from_timm(self.hub_name)
        return self._from_torchvision(self.source)

    def make_sure(self, given: Path | None) -> None:
        """Download the file if needed; raises `WeightsUnavailable` if it is not available."""
        if given is not None:
            self.find(given)
        elif not self._is_cached():
            if self.source is None:
                _knock(self.hub_name)
            self.load(None)

    def find(self, given: Path) -> Path:
        """The file `given`, or the file in the folder `given`; raises `WeightsUnavailable`."""
        file = given / self.name if given.is_dir() else given
        if file.is_file() and file.name == self.name:
            return file
        raise WeightsUnavailable(
            f"--weights {given}: there is no {self.name}: put it there, or {WITHOUT}"
        )

    @property
    def hub_name(self) -> str:
        """timm's name of its own weights."""
        return self.name.removesuffix(".safetensors")

    def _is_cached(self) -> bool:
        if self.source:
            return (Path(torch.hub.get_dir()) / "checkpoints" / self.name).is_file()
        return _cached_by_timm(self.hub_name) is not None

    def _from_torchvision(self, source: WeightsEnum) -> State:
        # torch.hub says what it downloads on standard output, which belongs to results.
        said = redirect_stdout(sys.stderr)
        with _explained(source.url, self.name, HUB), _impatient(), said:
            return source.get_state_dict(progress=False, check_hash=True)


@singledispatch
def published(backbone: Backbone) -> Published:
    """The weights of a backbone that has some; each kind registers its own.

    Raises:
        TypeError: it has none.
    """
    raise TypeError(f"no weights are published for {backbone.family}")


@published.register
def _(backbone: VGG16) -> Published:
    weights = VGG16_BN_Weights if backbone.norm else VGG16_Weights
    return Published.by_torchvision(weights.IMAGENET1K_V1)


@published.register
def _(backbone: ResNet) -> Published:
    weights = {50: ResNet50_Weights, 101: ResNet101_Weights}[backbone.depth]
    return Published.by_torchvision(weights.IMAGENET1K_V1)


@published.register
def _(backbone: MobileNetV1) -> Published:
    return Published.by_timm(MOBILENET_V1)


@published.register
def _(backbone: Timm) -> Published:
    if backbone.weights is None:
        raise TypeError(f"no weights are published for {backbone.family}")
    return Published.by_timm(backbone.weights)


def _from_timm(name: str) -> State:
    import timm  # here, because no other trial needs it

    if cached := _cached_by_timm(name):
        return _read(cached)  # timm would ask the hub for a newer version
    with _explained(f"timm's {name}", f"{name}.safetensors", CACHE):
        return timm.create_model(name, pretrained=True).state_dict()


def _cached_by_timm(name: str) -> Path | None:
    import huggingface_hub

    cached = huggingface_hub.try_to_load_from_cache(_repository(name), HUB_FILE)
    return Path(cached) if isinstance(cached, str) else None


def _repository(name: str) -> str:
    """The place of a timm model's weights on its hub."""
    import timm

    found = timm.get_pretrained_cfg(name)
    if found is None or not found.hf_hub_id:
        raise WeightsUnavailable(f"timm {timm.__version__} has no weights of {name}: {WITHOUT}")
    return found.hf_hub_id


def _knock(name: str) -> None:
    """Raise `WeightsUnavailable` if the hub does not answer: its client would try for a minute."""
    import huggingface_hub

    url = huggingface_hub.hf_hub_url(_repository(name), HUB_FILE)
    with _explained(f"timm's {name}", f"{name}.safetensors", CACHE), suppress(HTTPError):
        # Any answer will do: the client handles the rest.
        urlopen(Request(url, method="HEAD"), timeout=SECONDS).close()


def read_state(file: Path) -> State:
    """The tensors of a file, by name.

    Raises:
        WeightsUnavailable: it is missing, damaged, or holds something else.
    """
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, SafetensorError, EOFError, UnpicklingError) as error:
        raise WeightsUnavailable(f"{file}: cannot be read as weights ({error})") from None
    if not (isinstance(state, Mapping) and all(isinstance(t, Tensor) for t in state.values())):
        raise WeightsUnavailable(
            f"{file}: holds something other than tensors by name; write it with "
            "torch.save(detector.state_dict(), file)"
        )
    return state


def _read(file: Path) -> State:
    """The tensors of a published file, whose name may end in the first digits of its SHA-256."""
    digits = re.search(r"-([0-9a-f]{8,})$", file.stem)
    if digits and not (found := sha256(file)).startswith(digits[1]):
        raise WeightsUnavailable(
            f"{file}: damaged: its SHA-256 begins with {found[:8]}, not {digits[1]}; download it "
            "again"
        )
    return read_state(file)


@contextmanager
def _explained(what: str, name: str, cache: str) -> Iterator[None]:
    """Turn a failed download into `WeightsUnavailable`, which says what to do."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise WeightsUnavailable(
            f"train.weights 'imagenet': {what} cannot be downloaded "
            f"({getattr(error, 'reason', error)}): put it into {cache} or, as {name}, into a "
            f"folder that --weights names, or {WITHOUT}"
        ) from None


@contextmanager
def _impatient() -> Iterator[None]:
    """Set a timeout for connections."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
