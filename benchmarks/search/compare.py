"""Compare search methods, by replaying them over the recorded benchmark::

    python -m benchmarks.search.compare [--trials 100] [--seeds 20] [--jobs 2]
        [--slow | --ways NAME ...]

Random, plain TPE and NSGA-II are Optuna's own with nothing around them, MOASHA is Syne Tune's
(skipped if not installed: `pip install ".[benchmarks]"`). The others are the study of `sparrow
search`: by default, with Gaussian processes, only with `--slow` or by name; and with TPE, with each
of its features switched on or off. Time is simulated from recorded durations. Prints two tables in
Markdown, and writes `docs/search.png` if everything in it was compared. It takes eight minutes on
two cores, with `--slow` more than an hour.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import statistics
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import optuna
import plotly.graph_objects as go
from optuna.samplers import NSGAIISampler, RandomSampler, TPESampler

from benchmarks.figures import write_png
from benchmarks.search.replay import Moment, Replay
from benchmarks.search.strategies import Plain, ours
from benchmarks.search.table import Table
from launch.decisions.halving import Halving

T = TypeVar("T")

PLAIN = {
    "random": lambda seed: RandomSampler(seed=seed),
    "plain TPE": lambda seed: TPESampler(seed=seed),
    "plain NSGA-II": lambda seed: NSGAIISampler(seed=seed, population_size=16),
}
MOASHA = "Syne Tune's MOASHA"
HALVING = Halving(budgets=(1, 2, 3))
LADDER = (0.2, 0.4, 0.6)
TPE = {"sampler": "tpe"}
HALVED = {**TPE, "early_stopping": HALVING}
SLOW: dict[str, dict[str, Any]] = {
    "study": {},
    "study + halving": {"early_stopping": HALVING},
}
"""The default study, whose searches take one to three minutes of a core each."""

STUDIES: dict[str, dict[str, Any]] = {
    **SLOW,
    "study, TPE": TPE,
    "study, TPE, no papers first": {**TPE, "papers": False},
    "study, TPE, stages not shared": TPE,
    "study, random": {"sampler": "random"},
    "study, NSGA-II": {"sampler": "nsga2"},
    "study, TPE + ladder": {**TPE, "ladder": LADDER},
    "study, TPE + gate": {**TPE, "gate": True},
    "study, TPE + halving": HALVED,
    "study, TPE + halving, reported as pruned": {
        **TPE,
        "early_stopping": HALVING,
        "stopped_as": "pruned",
    },
    "study, TPE + ladder, halving": {**TPE, "ladder": LADDER, "early_stopping": HALVING},
    "study, TPE + all": {**TPE, "ladder": LADDER, "gate": True, "early_stopping": HALVING},
    "study, random + halving, stages not shared": {
        "sampler": "random",
        "papers": False,
        "early_stopping": Halving(budgets=(1, 3)),
    },
}
NOT_SHARED = {name for name in STUDIES if name.endswith("stages not shared")}
"""Studies whose trials train every detector by themselves."""

BASELINES = ("random", "plain TPE")
SHOWN = {
    "random": "#7f7f7f",
    "plain TPE": "#1f77b4",
    "plain NSGA-II": "#2ca02c",
    "study, TPE": "#ff7f0e",
    "study": "#9467bd",
    "study + halving": "#d62728",
}
"""The searches in the figure, with their colours."""

FIGURE = Path("docs/search.png")


@dataclass(frozen=True)
class Search:
    """One replayed search.

    Attributes:
        moments: its state at each result of a trial.
        seconds: total time of its workers.
        lost: share of the table's optimal designs that it ended early.
    """

    moments: tuple[Moment, ...]
    seconds: float
    lost: float

    def hypervolume_at(self, seconds: float) -> float:
        """Its share of the table's hypervolume after this device time."""
        known = [m.hypervolume for m in self.moments if m.device_seconds <= seconds]
        return known[-1] if known else 0.0

    def seconds_to(self, hypervolume: float) -> float | None:
        """The device time in which it reached a hypervolume; None if it did not."""
        reached = (m.device_seconds for m in self.moments if m.hypervolume >= hypervolume)
        return next(reached, None)


def replay(name: str, seed: int, trials: int, workers: int) -> Search:
    """One search of a name and seed."""
    table = _table()
    if name in PLAIN:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        done = Replay(table, Plain(table, PLAIN[name](seed), trials), shares=False).run(workers)
    elif name == MOASHA:
        # Optional, and slow to import.
        from benchmarks.search.syne import SyneTune

        done = Replay(table, SyneTune(table, seed, trials), shares=False).run(workers)
    else:
        shares = name not in NOT_SHARED
        with (
            tempfile.TemporaryDirectory() as folder,
            ours(table, Path(folder) / "study", seed, trials, **STUDIES[name]) as study,
        ):
            done = Replay(table, study, shares).run(workers)
    ended = {design.key for design in done.lost.values()}
    optimal = table.optimal()
    lost = sum(design.key in ended for design in optimal) / len(optimal)
    return Search(tuple(done.moments), done.worked, lost)


@functools.cache
def _table() -> Table:
    """The recorded table, read once in each process."""
    return Table.read()


def side_by_side(
    run: Callable[[str, int], T], names: Sequence[str], seeds: int, processes: int
) -> dict[str, list[T]]:
    """The results of `run` for each name and seed, in parallel processes."""
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        jobs = {name: [pool.submit(run, name, seed) for seed in range(seeds)] for name in names}
        return {name: [job.result() for job in runs] for name, runs in jobs.items()}


def median(values: Sequence[float]) -> str:
    """Median and quartiles as text for the tables."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def speeds(searches: dict[str, list[Search]]) -> str:
    """The hypervolume of each search at its end and before, as Markdown."""
    budget = statistics.median(s.seconds for s in searches["random"])
    goals = {
        b: statistics.median(s.moments[-1].hypervolume for s in searches[b]) for b in BASELINES
    }
    heads = ("", "device time", "hypervolume at the end", "at 1/5 of random's time", "at 1/3")
    lines = [f"| {' | '.join((*heads, *(f'time to the end of {b}' for b in goals)))} |"]
    lines.append("|---|" + "---:|" * (len(heads) - 1 + len(goals)))
    for name, runs in searches.items():
        cells = [
            name,
            f"{statistics.median(s.seconds for s in runs) / budget:.2f}",
            median([s.moments[-1].hypervolume for s in runs]),
            median([s.hypervolume_at(budget / 5) for s in runs]),
            median([s.hypervolume_at(budget / 3) for s in runs]),
        ]
        for baseline, goal in goals.items():
            own = statistics.median(s.seconds for s in searches[baseline])
            reached = [t for s in runs if (t := s.seconds_to(goal)) is not None]
            share = f"{statistics.median(reached) / own:.2f}" if reached else "-"
            cells.append(f"{share} ({len(reached)} of {len(runs)})")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def losses(searches: dict[str, list[Search]]) -> str:
    """The share of the truly optimal designs that were ended early, as Markdown."""
    lines = ["| | optimal designs ended early | results |", "|---|---:|---:|"]
    for name, runs in searches.items():
        if any(s.lost for s in runs):
            lost = statistics.fmean(s.lost for s in runs)
            results = statistics.fmean(len(s.moments) for s in runs)
            lines.append(f"| {name} | {lost:.1%} | {results:.0f} |")
    return "\n".join(lines)


def figure(searches: dict[str, list[Search]]) -> go.Figure:
    """Hypervolume against device time: medians over the seeds, and quartiles as bands."""
    budget = statistics.median(s.seconds for s in searches["random"])
    shares = [k / 100 for k in range(2, 131)]
    drawn = go.Figure()
    for name, color in SHOWN.items():
        runs = searches[name]
        spread = [
            statistics.quantiles([s.hypervolume_at(share * budget) for s in runs], n=4)
            for share in shares
        ]
        low, middle, high = (list(values) for values in zip(*spread, strict=True))
        drawn.add_scatter(
            x=[*shares, *reversed(shares)], y=[*high, *reversed(low)], fill="toself",
            fillcolor=color, opacity=0.15, line_width=0, showlegend=False, hoverinfo="skip",
        )  # fmt: skip
        drawn.add_scatter(x=shares, y=middle, name=name, line_color=color)
    drawn.update_xaxes(title="device time, random's whole search = 1", range=[0, 1.3])
    drawn.update_yaxes(title="hypervolume, whole table = 1", range=[0.3, 1.0])
    drawn.update_layout(legend={"x": 0.62, "y": 0.08}, margin={"t": 20, "r": 20})
    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--workers", type=int, default=4, help="of a simulated search")
    parser.add_argument("--jobs", type=int, default=2, help="parallel processes")
    ways = [*PLAIN, *([MOASHA] if importlib.util.find_spec("syne_tune") else []), *STUDIES]
    parser.add_argument("--ways", nargs="+", choices=ways, help="only these and the baselines")
    parser.add_argument("--slow", action="store_true", help="also the default study")
    arguments = parser.parse_args()
    usual = ways if arguments.slow else [way for way in ways if way not in SLOW]
    names = list(dict.fromkeys((*BASELINES, *(arguments.ways or usual))))
    run = functools.partial(replay, trials=arguments.trials, workers=arguments.workers)
    searches = side_by_side(run, names, arguments.seeds, arguments.jobs)
    print(speeds(searches), losses(searches), sep="\n\n")
    if SHOWN.keys() <= searches.keys():
        write_png(figure(searches), FIGURE)


if __name__ == "__main__":
    main()
