"""The spaces that ship: what they hold of the papers, and that what they draw can be built."""

from __future__ import annotations

from collections.abc import Iterator

import optuna
import pytest
from pydantic import ValidationError

from searchspace import Space, TrialConfig, load_space, papers

MOBILE = [
    "ssdmnetv1", "ssdmnetv1_size512", "ssdmnetv1_early", "ssdmnetv1_s1l6", "ssdmnetv1_s1l4",
    "ssdmnetv1_s1l0", "ssdmnetv1_s1l4_fmap1", "ssdmnetv1_s1l0_fmap1", "ssdmnetv1_s2l4-6",
    "ssdmnetv1_s2l0-6", "ssdmnetv1_s1l0_dualpath19_c", "ssdmnetv1_s1l0_dualpath19_10_c",
    "ssdmnetv1_s1l0_dualpath19_10_s",
]  # fmt: skip
HELD = {"mobile": MOBILE}
"""The papers' systems of each space; those that differ in priors alone are there once."""

REFUSED = 0.3
"""The largest share of random draws that may not go together."""


def draws(space: Space, count: int, seed: int = 0) -> Iterator[TrialConfig | None]:
    """Random configurations; None for one that was refused."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for _ in range(count):
        try:
            yield space.suggest(study.ask())
        except ValidationError:
            yield None


@pytest.mark.parametrize("name", HELD)
def test_the_papers_systems_are_in_the_space(name: str) -> None:
    space = load_space(name)
    found = space.papers()
    assert sorted(found) == sorted(HELD[name])
    for system, config in found.items():
        theirs = papers[system].trial.detector
        assert config.detector.backbone == theirs.backbone
        assert config.detector.neck == theirs.neck
        assert config.detector.input_size == theirs.input_size
        assert config.detector.width == theirs.width
        assert space.holds(config)


@pytest.mark.parametrize("name", HELD)
def test_few_random_draws_are_refused(name: str) -> None:
    configs = list(draws(load_space(name), 200))
    assert configs.count(None) < REFUSED * len(configs)
