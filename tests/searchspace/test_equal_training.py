"""Pruned and unpruned designs of a space are trained for as many epochs."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from pydantic import ValidationError

from searchspace import Space, TrialConfig, load_space, papers, space_names
from searchspace.compression import Slimming, Unpruned
from searchspace.domains import Fixed

NONE = "compress.pruning.none.finetune_epochs"


@pytest.fixture
def loaded(tmp_path: Path):
    def load(text: str) -> Space:
        file = tmp_path / "own.toml"
        file.write_text(text)
        return load_space(file)

    return load


def finetuned(space: Space) -> dict[str, str]:
    """The epochs of the second part of the training in a space, by the kind of pruning."""
    return {
        path.split(".")[2]: str(domain)
        for path, domain in space.domains.items()
        if path.endswith("finetune_epochs")
    }


@pytest.mark.parametrize("name", space_names())
def test_every_design_of_a_named_space_has_the_same_total(name: str) -> None:
    space = load_space(name)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = []
    while len({config.compress.pruning.kind for config in drawn}) < 2 or len(drawn) < 20:
        try:
            drawn.append(space.suggest(study.ask()))
        except ValidationError:
            continue
    planned = [space.baseline(), *space.papers().values()]
    [epochs] = {config.epochs for config in (*drawn, *planned)}
    assert epochs[1] > 0
    assert space.baseline().compress.pruning.kind == "none"
    rates = {config.compress.pruning.finetune_rate for config in (*drawn, *planned)}
    assert len(rates) == 1
    assert all(space.holds(config) for config in (*drawn, *planned))


def test_a_papers_system_as_published_is_not_trained_on() -> None:
    unpruned = [s.trial for s in papers.values() if not s.trial.compress.prunes]
    assert len(unpruned) > 50
    assert {trial.compress.pruning.finetune_epochs for trial in unpruned} == {0}


def test_one_statement_holds_for_a_whole_space(loaded) -> None:
    ways = '[compress.pruning]\nkind = { choice = ["none", "slimming", "importance"] }\n'
    said = f"{ways}[compress.pruning.importance]\nfinetune_epochs = 3\nfinetune_rate = 0.1\n"
    assert finetuned(loaded(said)) == {"importance": "3", "slimming": "3", "none": "3"}
    space = loaded(said)
    assert space.baseline().compress.pruning == Unpruned(finetune_epochs=3, finetune_rate=0.1)
    assert loaded(f'extends = "papers"\n{said}').baseline().epochs == (232, 3)
    # Of nothing said, what a pruned design has by itself.
    assert loaded(ways).baseline().epochs[1] == Slimming().finetune_epochs


@pytest.mark.parametrize(
    ("searched", "most"),
    [("{ choice = [4, 0, 2] }", 4), ("{ low = 2, high = 10, step = 4 }", 10)],
)
def test_unpruned_designs_have_the_most_that_a_pruned_one_may_have(
    loaded, searched: str, most: int
) -> None:
    space = loaded(f"[compress.pruning.slimming]\nfinetune_epochs = {searched}\n")
    assert space.domains[NONE] == Fixed(most)
    assert space.baseline().epochs[1] == most


def test_domains_given_by_a_space_are_kept(loaded) -> None:
    space = loaded(
        "[compress.pruning.none]\nfinetune_epochs = 1\n"
        "[compress.pruning.slimming]\nfinetune_epochs = 2\n"
        "[compress.pruning.importance]\nfinetune_epochs = 5\n"
    )
    assert finetuned(space) == {"none": "1", "slimming": "2", "importance": "5"}


def test_a_space_without_pruned_or_without_unpruned_designs_needs_no_control(loaded) -> None:
    unpruned = loaded('[compress.pruning]\nkind = "none"\n')
    assert unpruned.baseline().epochs[1] == 0
    pruned = loaded('[compress.pruning]\nkind = "importance"\n')
    assert NONE not in pruned.domains


def test_a_space_that_was_stored_before_reads_as_before() -> None:
    dumped = load_space("quick").dump()
    assert Space.restore(dumped).baseline().epochs == (4, 2)
    for field in ("epochs", "rate"):
        del dumped["domains"][f"compress.pruning.none.finetune_{field}"]
    assert Space.restore(dumped).baseline().epochs == (4, 0)


def test_a_trial_without_the_field_reads_as_before() -> None:
    config = TrialConfig.model_validate({"compress": {"pruning": {"kind": "none"}}})
    assert config.compress.pruning.finetune_epochs == 0
    assert config.compress.leaves_dense
    trained_on = {"compress": {"pruning": {"kind": "none", "finetune_epochs": 2}}}
    config = TrialConfig.model_validate(trained_on)
    assert not config.compress.leaves_dense
    assert not config.compress.prunes
