"""The contract of every early-stopping rule, and of the one in docs/extending.md."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from launch.decisions.early_stopping import EarlyStopping
from launch.decisions.rules import RULES
from launch.searches import search
from launch.study.opening import open_study
from launch.study.settings import read_settings
from launch.study.study import Study
from searchspace import Space, TrainConfig, load_plugins, plugins
from searchspace.plugins import PluginError
from tests.documents import example
from tests.launch.conftest import shapes_folder, space, space_file
from tests.launch.made_up import cost, metrics, result, settings_for

__all__ = ["shapes_folder", "space", "space_file"]


@pytest.fixture
def own_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of the example, loaded; its rule is gone after the test."""
    file = tmp_path / "example_of_a_rule.py"
    file.write_text(example("An early-stopping rule"), encoding="utf-8")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(plugins, "_loaded", {})
    before = dict(RULES._members)
    load_plugins([file])
    yield file
    del sys.modules[file.stem]
    RULES._members = before
    RULES._adapter = None


def kinds() -> list[str]:
    """All rules, and the example's."""
    return [*RULES.by_kind, "below_median"]


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_a_rule_decides_by_points_alone(own_rule: Path, kind: str, objectives: int) -> None:
    rule = RULES.by_kind[kind](budgets=(2, 4))
    source = random.Random(objectives)
    for _ in range(20):
        count = source.randint(1, 12)
        points = [tuple(source.randint(0, 5) for _ in range(objectives)) for _ in range(count)]
        rung = dict(enumerate(points))
        going = [rule.survives(rung, trial) for trial in rung]
        assert {type(answer) for answer in going} == {bool}
        # Some trial continues, decided by points and not by the order of arrival.
        assert any(going)
        turned = dict(reversed(rung.items()))
        assert [rule.survives(turned, trial) for trial in rung] == going
        alone = max(rung, key=rung.__getitem__)
        assert rule.survives({alone: rung[alone]}, alone)


@pytest.mark.parametrize("kind", kinds())
def test_second_chances_are_for_stopped_trials_that_would_survive_now(
    own_rule: Path, kind: str
) -> None:
    rule = RULES.by_kind[kind](budgets=(2, 4))
    source = random.Random(0)
    rungs = {b: {t: (source.random(), source.random()) for t in range(12)} for b in (2, 4)}
    stopped = {t: source.choice((2, 4)) for t in range(0, 12, 2)}
    again = rule.second_chances(rungs, stopped)
    assert len(set(again)) == len(again)
    assert set(again) <= stopped.keys()
    assert all(rule.survives(rungs[stopped[t]], t) for t in again)
    assert rule.second_chances(rungs, {}) == ()


@pytest.mark.parametrize("kind", kinds())
def test_a_rule_is_stored_with_its_kind_and_built_from_it(
    own_rule: Path, kind: str, space: Space
) -> None:
    rule = RULES.by_kind[kind].usual(TrainConfig(epochs=8, warmup_epochs=1))
    assert rule.budgets == (2, 4)
    settings = settings_for(space, trials=1, early_stopping=rule)
    again = type(settings).model_validate_json(settings.model_dump_json())
    assert again.early_stopping == rule
    assert type(again.early_stopping) is type(rule)
    assert "2 and 4 epochs" in rule.in_words()
    with pytest.raises(ValueError, match="ascending epochs"):
        type(rule)(budgets=(4, 2))


@pytest.mark.parametrize("kind", kinds())
def test_a_study_by_any_rule_comes_to_its_end(
    own_rule: Path, kind: str, space: Space, tmp_path: Path
) -> None:
    rule = RULES.by_kind[kind](budgets=(2,))
    settings = settings_for(
        space.fix("train.epochs", 8), trials=6, papers=False, sampler="random", early_stopping=rule
    )
    with open_study(tmp_path / "study", settings) as study:
        played = 0
        while play_next(study):
            played += 1
            assert played < 20, "without end"
        states = [record.state for record in study.records]
        assert len(states) == 6
        assert set(states) == {"finished", "stopped"}
        assert states[0] == "finished"


def play_next(study: Study) -> bool:
    """One trial as a driver runs it; each is worse than the one before it."""
    record = study.propose()
    if record is None:
        return False
    number, score = record.number, 0.5 / (record.number + 1)
    assert study.note_prediction(number, cost(50 - record.number), seconds=1)
    for rung in study.rungs(record):
        if not study.note_rung(number, rung, metrics(score), seconds=1):
            return True
    study.end(number, result(record, score, 50 - record.number))
    return True


def test_the_example_stops_those_below_the_median(own_rule: Path) -> None:
    rule = RULES.by_kind["below_median"](budgets=(1,))
    rung = {0: (1.0, 9.0), 1: (2.0, 2.0), 2: (3.0, 3.0), 3: (1.0, 1.0)}
    assert [rule.survives(rung, trial) for trial in rung] == [True, True, True, False]
    assert all(rule.survives({0: rung[0], 3: rung[3]}, trial) for trial in (0, 3))


def test_a_search_takes_the_example_by_its_name(
    own_rule: Path, space: Space, shapes_folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("launch.drivers.local.LocalDriver.run", lambda *_: None)
    out = tmp_path / "study"
    search(
        space.fix("train.epochs", 8), shapes_folder, out, driver="local",
        early_stopping="below_median",
    )  # fmt: skip
    rule = read_settings(out).early_stopping
    assert isinstance(rule, EarlyStopping)
    assert (rule.kind, rule.budgets, rule.least) == ("below_median", (2, 4), 3)
    with pytest.raises(ValueError, match="early_stopping 'gone': choose from halving, below_med"):
        search(space, shapes_folder, tmp_path / "s", driver="local", early_stopping="gone")
    own_rule.unlink()
    plugins._loaded.clear()
    with pytest.raises(PluginError):
        read_settings(out)
