"""Known results: from an earlier study or a CSV file, before a search begins."""

from __future__ import annotations

from optuna.trial import FixedTrial
from pydantic import BaseModel, ConfigDict

from launch.records import Param
from searchspace import Space, TrialConfig


class KnownResult(BaseModel):
    """One result.

    Attributes:
        params: the parameters that draw its configuration from the space of the search.
        figures: its objectives and the figures of constraints, by name.
    """

    model_config = ConfigDict(frozen=True)

    params: dict[str, Param]
    figures: dict[str, float]

    def figure(self, name: str) -> float:
        return self.figures[name]

    def config(self, space: Space) -> TrialConfig:
        return space.suggest(FixedTrial(self.params))


class KnownResults(BaseModel):
    """The results of one source.

    Attributes:
        source: the study's folder or the CSV file.
        left_out: number of its finished trials that are not reported to the sampler.
        why: the reason for the first of these.
        fingerprint: fingerprint of the data of the results, if known.
        device: the device that they were measured on, if known.
    """

    model_config = ConfigDict(frozen=True)

    source: str
    results: tuple[KnownResult, ...]
    left_out: int = 0
    why: str | None = None
    fingerprint: str | None = None
    device: str | None = None

    def in_words(self, fingerprint: str) -> str:
        """A description for readers; `fingerprint` is that of the search's own data."""
        text = f"{self.source}: {len(self.results)} known results reported to the sampler"
        if self.left_out:
            text += f", {self.left_out} left out ({self.why})"
        if self.fingerprint is None:
            return f"{text}; on unknown data"
        same = self.fingerprint == fingerprint
        return f"{text}; on {'the same' if same else 'other'} data, measured on {self.device}"
