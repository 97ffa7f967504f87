"""How configurations are named, whatever fields are added to them."""

from __future__ import annotations

from typing import Annotated

from searchspace import CompressConfig, TrialConfig
from searchspace.compression import Slimming
from searchspace.config import Added, Config


class Part(Config):
    old: int = 1
    new: Annotated[int, Added()] = 2


class Whole(Config):
    part: Part = Part()
    parts: tuple[Part, ...] = (Part(), Part(new=3))
    later: Annotated[Part, Added()] = Part()


def test_an_added_field_is_left_out_of_names_at_its_default() -> None:
    assert Whole().cause() == {"part": {"old": 1}, "parts": [{"old": 1}, {"old": 1, "new": 3}]}
    assert Whole(later=Part(old=5)).cause("parts") == {"part": {"old": 1}, "later": {"old": 5}}
    assert Whole.model_validate(Whole().cause()) == Whole()


def test_names_of_configurations_stay_what_they_were() -> None:
    """Trials and stages on disk are found by them: mark a new field as `Added`."""
    slimmed = TrialConfig(compress=CompressConfig(pruning=Slimming()))
    assert (TrialConfig().digest(), slimmed.digest()) == ("893a07dcd0effd55", "76d4f0fcbee96cc4")
