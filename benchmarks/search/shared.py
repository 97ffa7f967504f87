"""What shared weights are worth on the recorded benchmark::

    python -m benchmarks.search.shared [--steps 800] [--out runs/shared] [--seeds 5]

Trains one network for the 64 unpruned designs of `grid.toml` on the recorded images, scores each
with it, and compares the scores with what the designs came to when each was trained by itself: rank
correlation, and the hypervolume of the first designs in the order in which the scores propose them.
Then replays searches with and without them. An interrupted run resumes. Takes some minutes of one
core.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from benchmarks.search.compare import PLAIN, Search, median
from benchmarks.search.record import SHAPES
from benchmarks.search.replay import Replay
from benchmarks.search.strategies import Plain, ours, settings_for
from benchmarks.search.table import Design, Table
from detectors.data.shapes import generate_shapes
from launch.decisions.shared_weights import Guide, rank_correlation
from launch.searches.shared_weights import designs_of
from launch.trial.data import TrialData
from launch.trial.shared_scores import SharedScores, SharedTask
from launch.trial.shared_weights import run_shared

FIRST = (8, 12, 16)
"""Numbers of designs whose hypervolume is shown."""

DRAWS = 500
"""Random orders of the designs that the scores' order is compared with."""

SHARES = (Fraction(1, 8), Fraction(1, 5), Fraction(1, 3))
"""Of the device time of a random search, at which searches are compared."""

SEARCHES: dict[str, dict[str, Any]] = {"study": {}, "study, TPE": {"sampler": "tpe"}}


def unpruned(table: Table) -> dict[Any, Design]:
    """The recorded designs without pruning, by their detector."""
    dense = (design for design in table.designs if design.result.compact is None)
    return {table.config(design).detector: design for design in dense}


def scores_of(table: Table, steps: int, out: Path) -> tuple[SharedScores, float]:
    """The scores of all designs with shared weights, and the CPU seconds that this process took."""
    task, data, begun = task_for(table, steps), data_in(out), time.process_time()
    scores = SharedScores.model_validate_json(
        run_shared(task.model_dump_json(), data, out / "stages")
    )
    return scores, time.process_time() - begun


def task_for(table: Table, steps: int) -> SharedTask:
    """Shared weights of all unpruned designs."""
    space = table.space
    designs = tuple(designs_of(space, settings_for(space, 0, 100)))
    return SharedTask(baseline=space.baseline(), designs=designs, steps=steps, device="cpu")


def data_in(out: Path) -> TrialData:
    """The recorded images."""
    return TrialData.of(generate_shapes(out / "shapes", SHAPES))


def in_order(table: Table, scores: SharedScores) -> Iterator[Design]:
    """The unpruned designs in the order in which the scores propose them."""
    known = unpruned(table)
    stock = known[table.space.baseline().detector].result.dense.cost.macs
    guide = Guide(scores, ("ap_small", "fps"), (), stock)
    return (known[score.config.detector] for score in guide.order)


def orders(table: Table, scores: SharedScores) -> str:
    """How good the first designs are, as Markdown."""
    every, ordered = list(unpruned(table).values()), list(in_order(table, scores))
    whole = table.hypervolume(every)
    chance = random.Random(0)

    def share(designs: Sequence[Design]) -> float:
        return table.hypervolume(designs) / whole

    lines = ["| first designs | by the scores | at random |", "|---|---:|---:|"]
    for count in FIRST:
        drawn = [share(chance.sample(every, count)) for _ in range(DRAWS)]
        lines.append(f"| {count} | {share(ordered[:count]):.3f} | {median(drawn)} |")
    return "\n".join(lines)


def correlation(table: Table, scores: SharedScores) -> float | None:
    """The rank correlation of the scores with the recorded AP_small."""
    known = unpruned(table)
    pairs = ((score.metrics.ap_small, score.config.detector) for score in scores.scores)
    return rank_correlation([(x or 0.0, known[detector].ap_small) for x, detector in pairs])


def search(table: Table, name: str, seed: int, scores: SharedScores | None, cost: float) -> Search:
    """One replayed search of a hundred trials.

    Args:
        cost: seconds of device time that the scores took.
    """
    if name in PLAIN:
        done = Replay(table, Plain(table, PLAIN[name](seed), 100), shares=False).run()
    else:
        with (
            tempfile.TemporaryDirectory() as folder,
            ours(table, Path(folder) / "study", seed, 100, **SEARCHES[name]) as study,
        ):
            if scores is not None:
                study.guide_by(scores)
            done = Replay(table, study, worked=cost if scores else 0.0).run()
    return Search(tuple(done.moments), done.worked, 0.0)


def searches(
    table: Table, names: Sequence[str], seeds: int, scores: SharedScores, cost: float
) -> str:
    """Searches with and without the scores, as Markdown."""
    plain = [search(table, "random", seed, None, 0.0) for seed in range(seeds)]
    budget = statistics.median(run.seconds for run in plain)
    goal = statistics.median(run.moments[-1].hypervolume for run in plain)
    heads = ("", *(f"at {share} of random's time" for share in SHARES), "time to the end of random")
    lines = [f"| {' | '.join(heads)} |", "|---|" + "---:|" * (len(heads) - 1)]
    for name in names:
        for guided in (None, scores):
            runs = [search(table, name, seed, guided, cost) for seed in range(seeds)]
            found = [[r.hypervolume_at(budget * float(x)) for r in runs] for x in SHARES]
            reached = [t for r in runs if (t := r.seconds_to(goal)) is not None]
            took = f"{statistics.median(reached) / budget:.2f}" if reached else "-"
            cells = [f"{name}{', shared weights' if guided else ''}", *map(median, found)]
            lines.append(f"| {' | '.join(cells)} | {took} ({len(reached)} of {seeds}) |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--out", type=Path, default=Path("runs/shared"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--searches", nargs="+", choices=SEARCHES, default=["study, TPE"])
    parser.add_argument(
        "--cost", type=float, help="seconds of the scores, if an earlier run has them"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table = Table.read()
    scores, took = scores_of(table, arguments.steps, arguments.out)
    seconds = arguments.cost or took
    alone = sum(design.seconds.train for design in unpruned(table).values())
    print(
        f"{scores.steps} steps; training and scoring took {seconds:.0f} s of CPU time, "
        f"{seconds / alone:.0%} of the trainings of all {len(unpruned(table))} designs; "
        f"rank correlation {correlation(table, scores):.2f}"
    )
    print(orders(table, scores))
    print(searches(table, arguments.searches, arguments.seeds, scores, seconds))


if __name__ == "__main__":
    main()
