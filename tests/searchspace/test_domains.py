from __future__ import annotations

import json
import math
import re

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FixedTrial

from searchspace.domains import Choice, Domain, Fixed, FloatRange, IntRange

DOMAINS: list[tuple[Domain, float, str]] = [
    (Choice("a", "b"), 2, "{a, b}"),
    (Choice((), (6,), (4, 6)), 3, "{[], [6], [4, 6]}"),
    (Choice(0.25, 0.5, 1.0), 3, "{0.25, 0.5, 1.0}"),
    (IntRange(2, 8, step=3), 3, "2..8 step 3"),
    (IntRange(1, 64, log=True), 64, "1..64"),
    (FloatRange(0.1, 0.8), math.inf, "0.1..0.8"),
    (FloatRange(1e-5, 1e-3, log=True), math.inf, "1e-05..0.001 log"),
    (FloatRange(0.5, 0.5), 1, "0.5..0.5"),
    (Fixed((1, 2)), 1, "[1, 2]"),
]
IDS = [str(domain) for domain, _, _ in DOMAINS]


@pytest.mark.parametrize(("domain", "size", "text"), DOMAINS, ids=IDS)
def test_a_domain_has_a_size_and_a_text(domain: Domain, size: float, text: str) -> None:
    assert domain.size() == size
    assert str(domain) == text


@pytest.mark.parametrize("domain", [domain for domain, _, _ in DOMAINS], ids=IDS)
def test_what_is_suggested_goes_back_to_the_parameter_it_came_from(domain: Domain) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        trial = study.ask()
        value = domain.suggest(trial, "x")
        param = domain.param(value)
        assert trial.params == ({} if isinstance(domain, Fixed) else {"x": param})
        assert domain.nearest(value) == value
        assert domain.suggest(FixedTrial({"x": param}), "x") == value


def test_sequences_are_json_text_to_optuna_and_all_else_is_itself() -> None:
    choice = Choice((4, 6), "a", 0.5, None, ((2, 3), (2,)))
    assert [choice.param(option) for option in choice.options] == [
        "[4, 6]",
        "a",
        0.5,
        None,
        "[[2, 3], [2]]",
    ]
    assert json.loads(choice.param((4, 6))) == [4, 6]
    assert choice.suggest(FixedTrial({"x": "[4, 6]"}), "x") == (4, 6)


@pytest.mark.parametrize(
    ("domain", "value", "message"),
    [
        (Choice("a", "b"), "c", "'c' is not one of ['a', 'b']"),
        (Choice(0, 1), True, "True is not one of [0, 1]"),
        (Choice((6,)), [6], "[6] is not one of [(6,)]"),
        (IntRange(2, 8, step=3), 4, "4 is not in 2..8 step 3"),
        (IntRange(2, 8), 9, "9 is not in 2..8"),
        (IntRange(2, 8), 2.5, "2.5 is not in 2..8"),
        (IntRange(2, 8), "3", "'3' is not in 2..8"),
        (FloatRange(0.1, 0.8), 0.81, "0.81 is not in 0.1..0.8"),
        (FloatRange(0.1, 0.8), math.nan, "nan is not in 0.1..0.8"),
        (FloatRange(0.0, 1.0), True, "True is not in 0..1"),
        (Fixed(3), 4, "4 is not 3, the only value here"),
    ],
)
def test_a_value_outside_has_no_parameter(domain: Domain, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        domain.param(value)


@pytest.mark.parametrize(
    ("domain", "value", "nearest"),
    [
        (Choice(160, 224, 300), 230, 224),
        (Choice(160, 224, 300), 1000, 300),
        (Choice("a", "b"), "c", "a"),
        (Choice((), (6,)), (4,), ()),
        (Choice((), (6,)), (6,), (6,)),
        (IntRange(2, 8, step=3), 4, 5),
        (IntRange(2, 8, step=3), -1, 2),
        (IntRange(2, 8, step=3), 99, 8),
        (IntRange(2, 64, log=True), 5e-324, 2),
        (FloatRange(2, 64, log=True), 1e308, 64),
        (FloatRange(0.1, 0.8), 0.9, 0.8),
        (FloatRange(0.1, 0.8), 0, 0.1),
        (FloatRange(0.1, 0.8), 0.3, 0.3),
        (Fixed("a"), "b", "a"),
    ],
)
def test_nearest(domain: Domain, value: object, nearest: object) -> None:
    assert domain.nearest(value) == nearest


@given(st.floats(-1e6, 1e6), st.sampled_from(DOMAINS[2:8]))
def test_the_nearest_value_is_inside_and_no_other_is_nearer(
    value: float, row: tuple[Domain, float, str]
) -> None:
    domain = row[0]
    nearest = domain.nearest(value)
    domain.param(nearest)
    if isinstance(domain, Choice):
        others = domain.options
    elif isinstance(domain, IntRange):
        others = tuple(range(domain.low, domain.high + 1, domain.step))
    else:
        others = (domain.low, domain.high)
    assert all(abs(nearest - value) <= abs(other - value) for other in others)


@pytest.mark.parametrize(
    ("domain", "arguments"),
    [
        (Choice, {}),
        (IntRange, {"low": 5, "high": 4}),
        (IntRange, {"low": 1, "high": 8, "step": 2}),
        (IntRange, {"low": 1, "high": 8, "step": 0}),
        (IntRange, {"low": 1, "high": 8, "step": -1}),
        (IntRange, {"low": 0, "high": 8, "log": True}),
        (IntRange, {"low": 2, "high": 8, "step": 2, "log": True}),
        (FloatRange, {"low": 2.0, "high": 1.0}),
        (FloatRange, {"low": 0.0, "high": 1.0, "log": True}),
        (FloatRange, {"low": math.nan, "high": 1.0}),
        (FloatRange, {"low": 0.0, "high": math.inf}),
    ],
    ids=str,
)
def test_empty_domains_are_rejected(domain: type[Domain], arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"not a range of|needs at least one option"):
        domain(**arguments)
