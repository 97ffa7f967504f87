"""What a device without Sparrow sends back: seconds of the detectors of a bundle, and the speeds
that follow from them."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field

from detectors.timing.measure import speed
from detectors.timing.paired import Timing, timing_of
from detectors.timing.state import Circumstances, CoreTimes, DeviceState, Disturbance
from detectors.timing.turns import WarmUp
from detectors.timing.verdict import doubt
from searchspace.digests import sha256
from searchspace.errors import InputError
from searchspace.reading import parse_model, read_json

Device = Literal["onnxruntime", "openvino"]
"""What runs detectors there."""


class Held(BaseModel):
    """A model in a bundle, and what it is timed on.

    Attributes:
        model: the name of its file.
        files: SHA-256 of its files by name.
        images: the name of a file of NumPy with uint8 [M, 3, H, W].
        batch: images in a call.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    files: dict[str, str]
    images: str
    batch: int = 1


class HeldMember(Held):
    """A trial's detector in a bundle.

    Attributes:
        number: of the trial.
        precision: what its layers are computed in.
        runtimes: what can run it.
    """

    number: int
    precision: Literal["float32", "int8"]
    runtimes: tuple[Device, ...]


class Bundle(BaseModel):
    """What a bundle says of itself, in `bundle.json`.

    Attributes:
        key: 32 random bytes in hex, with which a device signs what it sends back.
        study: name of the study's folder.
        runs, passes: the most calls in a block, and the most blocks.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    key: str
    study: str
    runs: int
    passes: int
    reference: Held
    members: tuple[HeldMember, ...]


class _Times(BaseModel):
    model_config = ConfigDict(frozen=True)

    line: str
    ticks: int = Field(gt=0)
    moment: float
    own: float

    def core_times(self) -> CoreTimes | None:
        """None where the device's system does not count what `CoreTimes` needs."""
        try:
            return CoreTimes.read(self.line, self.ticks, self.moment, self.own)
        except ValueError:
            return None


class _Member(BaseModel):
    model_config = ConfigDict(frozen=True)

    number: int
    files: dict[str, str]
    warm_up: WarmUp


class _Group(BaseModel):
    """Detectors that were measured in turns.

    Attributes:
        blocks: seconds by call, pass and run: the reference, then each member and the reference.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    before: _Times | None
    after: _Times | None
    members: tuple[_Member, ...] = Field(min_length=1)
    blocks: tuple[tuple[tuple[float, ...], ...], ...]

    @property
    def disturbance(self) -> Disturbance | None:
        before, after = (times and times.core_times() for times in (self.before, self.after))
        return before.until(after) if before and after else None

    def timings(self) -> Iterator[Timing]:
        for k, member in enumerate(self.members):
            before, whole, after = self.blocks[2 * k : 2 * k + 3]
            yield timing_of(before, whole, after, member.warm_up)


class Returned(BaseModel):
    """What a device sent back.

    Attributes:
        bundle: SHA-256 of the `bundle.json` that it measured.
        device, cores, threads: where; `cpu` says whether the CPU computed, and not what `on` names.
        runtime, version, on: what ran the detectors, and on what.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1]
    bundle: str
    device: str
    cpu: bool
    cores: int = Field(ge=1)
    threads: int = Field(ge=1)
    runtime: Device
    version: str
    on: str
    groups: tuple[_Group, ...]

    @classmethod
    def read(cls, file: Path, bundles: Path) -> tuple[Self, Bundle]:
        """What is in a file, and the bundle that it was measured with.

        Args:
            bundles: the folder where a study keeps what it knows of its bundles.

        Raises:
            InputError: it was measured with no bundle of the study, or was changed afterwards.
        """
        tree = read_json(file)
        fix = "give the file that a bundle of sparrow bundle wrote on the device"
        signature = tree.pop("digest", None) if isinstance(tree, dict) else None
        found = parse_model(file, tree, cls, fix)
        manifest = bundles / f"{found.bundle}.json"
        if not found.bundle.isalnum() or not manifest.is_file():
            raise InputError(
                f"{file}: it was measured with a bundle that is not of this study; give the study "
                "that sparrow bundle was called with"
            )
        if sha256(manifest) != found.bundle:
            raise InputError(f"{manifest}: it was changed; write a new bundle and measure again")
        bundle = parse_model(manifest, read_json(manifest), Bundle, "write a new bundle")
        if not _signed(tree, bundle.key, signature) or not found._is_of(bundle):
            raise InputError(
                f"{file}: it is not as the device wrote it: copy it again, or measure again"
            )
        return found, bundle

    def _is_of(self, bundle: Bundle) -> bool:
        """Whether the models that were measured are those of the bundle."""
        files = {member.number: member.files for member in bundle.members}
        return all(
            files.get(member.number) == member.files and len(group.blocks) == 2 * n + 1
            for group in self.groups
            for n in [len(group.members)]
            for member in group.members
        )

    def speeds(self, bundle: Bundle) -> dict[int, dict[str, Any]]:
        """By the number of its trial, the fields of each detector's `Cost` that say how fast it is
        there."""
        held = {member.number: member for member in bundle.members}
        timed = [
            (held[member.number], timing, group.disturbance)
            for group in self.groups
            for member, timing in zip(group.members, group.timings(), strict=True)
        ]
        nominal = min((timing.best_ms for _, timing, _ in timed), default=0.0)
        return {
            member.number: {
                **speed(timing, nominal, member.batch),
                **self._setting(member),
                **self._verdict(timing, disturbance),
            }
            for member, timing, disturbance in timed
        }

    def _setting(self, member: HeldMember) -> Mapping[str, Any]:
        return {
            "device": self.device,
            "threads": self.threads if self.cpu else None,
            "runtime": self.runtime,
            "precision": member.precision,
            "batch": member.batch,
            "candidates": None,
            "memory": None,
            "energy": None,
        }

    def _verdict(self, timing: Timing, disturbance: Disturbance | None) -> Mapping[str, Any]:
        device = torch.device("cpu" if self.cpu else "cuda")
        reason = doubt(timing, disturbance, device, self.threads, self.cores)
        unknown = DeviceState()
        state = Circumstances(before=unknown, after=unknown, disturbance=disturbance)
        return {"circumstances": state, "trusted": reason is None, "doubt": reason}


def _signed(tree: Any, key: str, signature: object) -> bool:
    """Whether a key signed the content of a file."""
    text = json.dumps(tree, sort_keys=True).encode()
    right = hmac.new(bytes.fromhex(key), text, hashlib.sha256).hexdigest()
    return isinstance(signature, str) and hmac.compare_digest(signature, right)
