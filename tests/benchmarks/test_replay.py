"""The replay keeps the clock, trains what is shared once, and counts what is found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from benchmarks.search.replay import Replay
from benchmarks.search.strategies import ours, undecided
from benchmarks.search.table import SPACE, Design, Seconds, Table, every, write
from detectors.evaluate import Metrics
from detectors.timing.cost import Cost
from launch.decisions.halving import Halving
from launch.records import TrialRecord
from launch.trial.result import Outcome, TrialResult
from searchspace import Space, TrialConfig, load_space

EPOCHS = 6
SECONDS = Seconds(predict=1, train=60, snapshot=2, compress=0, score=4)


@pytest.fixture(scope="module")
def space() -> Space:
    narrow = load_space(SPACE).fix("detector.input_size", 96).fix("detector.width", 0.25)
    return narrow.fix("detector.head.multibox.priors.scaled.cells", 2.0)


def design(space: Space, config: TrialConfig, ap_small: float, fps: float) -> Design:
    names = dict.fromkeys(Metrics.model_fields, ap_small) | {
        "small_objects": 9,
        "classes": {},
        "own": {},
        "by_size": {},
        "max_detections": 100,
        "intervals": {},
    }
    cost = Cost(fps=fps, latency_ms=1 / fps, spread=0, params=9, macs=9, device="none", threads=1)
    outcome = Outcome(metrics=Metrics(**names), cost=cost)
    pruned = config.compress.pruning.kind != "none"
    return Design(
        params=space.to_params(config),
        parent=config.detector.model_dump_json(),
        curve=[ap_small * (epoch + 1) / EPOCHS for epoch in range(EPOCHS)],
        seconds=SECONDS.model_copy(update={"compress": 10.0 * pruned}),
        result=TrialResult(
            config=config,
            dense=outcome,
            compact=outcome if pruned else None,
            removed_share=0.0,
            seconds=0.0,
            predicted=cost,
            trained="",
        ),
    )


@pytest.fixture(scope="module")
def table(space: Space) -> Table:
    """Designs that are the better the fewer strides they have, and the faster the more go."""
    designs = []
    for config in every(space):
        strides = config.detector.backbone.eliminated_strides
        ratio = getattr(config.compress.pruning, "ratio", 0.0)
        score = 0.2 + 0.1 * len(strides) + 0.01 * len(config.detector.backbone.taps) - 0.1 * ratio
        designs.append(design(space, config, score, 100 * (1 + ratio) / (1 + len(strides))))
    return Table(space, designs)


class Script:
    """Proposes given trials, and ends them at given rungs."""

    def __init__(
        self,
        configs: Sequence[TrialConfig],
        rungs: tuple[int, ...] = (),
        stops: Mapping[int, int] | None = None,
    ) -> None:
        self._configs = list(enumerate(configs))
        self._rungs = rungs
        self._stops = stops or {}
        self.workers = 1
        self.waits = False
        self.ended: list[tuple[int, float]] = []

    def propose(self) -> TrialRecord | None:
        return undecided(*self._configs.pop(0), {}) if self._configs else None

    def note_prediction(self, number: int, cost: Cost, seconds: float) -> bool:
        return self._stops.get(number) != 0

    def rungs(self, record: TrialRecord) -> tuple[int, ...]:
        return self._rungs

    def note_rung(self, number: int, epochs: int, metrics: Metrics, seconds: float) -> bool:
        return self._stops.get(number) != epochs

    def end(self, number: int, outcome: TrialResult) -> None:
        self.ended.append((number, outcome.seconds))


def family(table: Table) -> list[TrialConfig]:
    """An unpruned design, and two that are pruned out of it."""
    first = table.designs[0].parent
    kin = [d for d in table.designs if d.parent == first]
    kin.sort(key=lambda d: d.seconds.compress)
    return [table.config(d) for d in kin[:3]]


def test_a_detector_that_trials_share_is_trained_once(table: Table) -> None:
    script = Script(family(table))
    done = Replay(table, script).run(workers=1)
    assert script.ended == [(0, 1 + 60 + 4), (1, 1 + 10 + 4), (2, 1 + 10 + 4)]
    assert done.worked == 95
    apart = Replay(table, Script(family(table)), shares=False).run(workers=1)
    assert apart.worked == 95 + 2 * 60


def test_trials_end_in_the_order_of_time(table: Table) -> None:
    dense, pruned, _ = family(table)
    script = Script([pruned, dense])
    Replay(table, script, shares=False).run(workers=2)
    assert [number for number, _ in script.ended] == [1, 0]


def test_a_stopped_trial_costs_what_it_had_and_leaves_its_epochs(table: Table) -> None:
    dense, pruned, _ = family(table)
    done = Replay(table, Script([dense, pruned], rungs=(2, 4), stops={0: 2})).run(workers=1)
    # Two of six epochs and a snapshot; then the other four, with a snapshot between.
    assert done.worked == (1 + 20 + 2) + (1 + 20 + 2 + 20 + 10 + 4)
    assert list(done.lost) == [0]
    assert [moment.finished for moment in done.moments] == [1]


def test_a_trial_ended_before_training_costs_its_prediction(table: Table) -> None:
    done = Replay(table, Script(family(table)[:1], stops={0: 0})).run(workers=1)
    assert (done.worked, done.moments, list(done.lost)) == (1, [], [0])


def test_all_designs_have_the_whole_hypervolume(table: Table) -> None:
    done = Replay(table, Script([table.config(d) for d in table.designs])).run(workers=3)
    shares = [moment.hypervolume for moment in done.moments]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    assert 0 < shares[0] < 1


@pytest.mark.parametrize(
    "devices",
    [
        {},
        pytest.param({"ladder": (0.2, 0.4)}, marks=pytest.mark.slow),
        pytest.param({"early_stopping": Halving(budgets=(1, 3))}, marks=pytest.mark.slow),
    ],
)
def test_a_study_is_replayed_to_its_last_trial(devices: dict, table: Table, tmp_path: Path) -> None:
    with ours(table, tmp_path / "study", seed=0, trials=12, **devices) as study:
        done = Replay(table, study).run(workers=2)
    assert len(done.found) + len(done.lost) == 12
    assert len({d.key for d in done.found}) == len(done.found)
    assert done.moments[-1].hypervolume > 0.5
    if "ladder" in devices:
        parents = {d.parent for d in done.found}
        assert len(parents) < len(done.found) - 3


def test_syne_tunes_halving_is_replayed_to_its_last_trial(table: Table) -> None:
    pytest.importorskip("syne_tune", reason='pip install ".[benchmarks]"')
    from benchmarks.search.syne import SyneTune

    done = Replay(table, SyneTune(table, seed=0, trials=40), shares=False).run(workers=2)
    assert len(done.found) + len(done.lost) == 40
    assert len(done.lost) > 5
    whole = SECONDS.predict + SECONDS.train + SECONDS.score
    assert done.worked < 40 * whole


def test_a_table_outlives_its_file(table: Table, tmp_path: Path) -> None:
    file = tmp_path / "recorded.parquet"
    write(table.designs, file)
    again = Table.read(file, table.space)
    assert again.designs == table.designs
    assert again.find(table.config(table.designs[3])) == table.designs[3]
