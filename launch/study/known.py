"""Results that are known before a search begins: of an earlier study, or from a CSV file."""

from __future__ import annotations

from optuna.trial import FixedTrial
from pydantic import BaseModel, ConfigDict

from launch.records import Param
from searchspace import Space, TrialConfig


class KnownResult(BaseModel):
    """One result.

    Attributes:
        params: the parameters that draw its configuration from the space of the search.
        figures: its objectives, and whatever constraints need, by name.
    """

    model_config = ConfigDict(frozen=True)

    params: dict[str, Param]
    figures: dict[str, float]

    def figure(self, name: str) -> float:
        return self.figures[name]

    def config(self, space: Space) -> TrialConfig:
        return space.suggest(FixedTrial(self.params))


class KnownResults(BaseModel):
    """What one source gives.

    Attributes:
        source: the study's folder or the CSV file.
        left_out: how many of its finished trials the sampler is not told of.
        why: what was wrong with the first of these.
        fingerprint: of the data behind the results, if known.
        device: what they were measured on, if known.
    """

    model_config = ConfigDict(frozen=True)

    source: str
    results: tuple[KnownResult, ...]
    left_out: int = 0
    why: str | None = None
    fingerprint: str | None = None
    device: str | None = None

    def in_words(self, fingerprint: str) -> str:
        """What a reader must know of it; `fingerprint` is that of the search's own data."""
        text = f"{self.source}: {len(self.results)} known results told to the sampler"
        if self.left_out:
            text += f", {self.left_out} left out ({self.why})"
        if self.fingerprint is None:
            return f"{text}; of data unknown"
        same = self.fingerprint == fingerprint
        return f"{text}; of {'the same' if same else 'other'} data, measured on {self.device}"
