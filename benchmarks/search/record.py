"""Record what comes of every design of the benchmark's space, each trained once::

    python -m benchmarks.search.record [--jobs 2] [--out runs/recorded]

Trains all designs of `grid.toml` on generated shapes, scores the dense detectors after each epoch,
and writes `recorded.parquet` beside this file. Takes about an hour of one core's time; an
interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean

import torch
from rich.progress import track

from benchmarks.search.table import SPACE, Design, Seconds, every, write
from detectors.cost import Cost
from detectors.data.shapes import ShapesConfig, generate_shapes
from detectors.evaluate import Metrics
from launch.files import write_atomically
from launch.inputs import TrialData
from launch.meter import LocalMeter
from launch.stages import Stages
from launch.store import Artefact, Store
from launch.teachers import load_teacher
from launch.trial import SPEEDS, Outcome, TrialResult
from searchspace import Space, TrialConfig, load_space
from searchspace.compression import Unpruned

SHAPES = ShapesConfig(train_images=128, val_images=128, size=128, seed=5)
CPU = torch.device("cpu")
TIMINGS = {"timing": None, "circumstances": None, "memory": None}
"""What of a cost is left out: none of its figures, and most of its size."""


class Recorder:
    """Runs the stages of designs one after the other, and notes what each takes of this core."""

    def __init__(self, space: Space, data: TrialData, out: Path) -> None:
        self.space = space
        self.data = data
        self.out = out
        self.store = Store(out / "stages")
        self.meter = LocalMeter(data, CPU, self.store.folder / SPEEDS)

    def family(self, configs: Sequence[TrialConfig]) -> None:
        """Record a detector and all that is pruned out of it; the unpruned design comes first."""
        parent = self._design(configs[0], None)
        for config in configs[1:]:
            self._design(config, parent)

    def _design(self, config: TrialConfig, parent: Design | None) -> Design:
        file = self.out / "designs" / f"{config.digest()}.json"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, self._run(config, parent).model_dump_json(indent=1))
        return Design.model_validate_json(file.read_text())

    def _run(self, config: TrialConfig, parent: Design | None) -> Design:
        watch = _Watch(config.train.epochs)
        stages = Stages(
            config, self.data, self.store, CPU, self.meter, load_teacher,
            watch.at_epoch, rungs=tuple(range(1, config.train.epochs + 1)), on_rung=watch.at_rung,
        )  # fmt: skip
        begun = time.process_time()
        predicted = stages.predict()
        predicting = time.process_time() - begun
        watch.begin()
        dense = stages.train()
        scored = time.process_time()
        outcome = _outcome(stages, dense)
        scoring = time.process_time() - scored
        compact, share, compressing = None, 0.0, 0.0
        if parent is not None:
            begun = time.process_time()
            plan, pruned = stages.prune(dense)
            final = stages.finetune(dense, plan, pruned)
            compressing, scored = time.process_time() - begun, time.process_time()
            compact, share = _outcome(stages, final), plan.share
            scoring = parent.seconds.score + time.process_time() - scored
        return Design(
            params=self.space.to_params(config),
            parent=dense.key,
            curve=parent.curve if parent else watch.curve,
            seconds=Seconds(
                predict=predicting,
                train=parent.seconds.train if parent else watch.training,
                snapshot=parent.seconds.snapshot if parent else fmean(watch.snapshots),
                compress=compressing,
                score=scoring,
            ),
            result=TrialResult(
                config=config,
                dense=outcome,
                compact=compact,
                removed_share=share,
                seconds=0.0,
                predicted=_bare(predicted),
            ),
        )


class _Watch:
    """Curve and times of a training, by its epochs and the scoring between them."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._ends = 0.0
        self._scores: dict[int, float] = {}
        self._steps: list[float] = []
        self.snapshots: list[float] = []

    def begin(self) -> None:
        self._ends = time.process_time()

    def at_epoch(self, name: str, epochs: int, losses: dict[str, float]) -> None:
        if name == "dense":
            self._steps.append(time.process_time() - self._ends)
            self._ends = time.process_time()

    def at_rung(self, epochs: int, metrics: Metrics) -> None:
        self._scores[epochs] = metrics.ap_small
        self.snapshots.append(time.process_time() - self._ends)
        self._ends = time.process_time()

    @property
    def curve(self) -> tuple[float, ...]:
        """AP_small by epoch; raises KeyError where the training was not seen from its beginning."""
        return tuple(self._scores[epoch] for epoch in range(1, self._epochs + 1))

    @property
    def training(self) -> float:
        return sum(self._steps)


def _outcome(stages: Stages, model: Artefact) -> Outcome:
    return Outcome(metrics=stages.evaluate(model), cost=_bare(stages.measure(model)))


def _bare(cost: Cost) -> Cost:
    return cost.model_copy(update=TIMINGS)


def families(space: Space) -> list[list[TrialConfig]]:
    """Configurations that differ in their pruning alone, the unpruned one of each first."""
    by_parent = defaultdict(list)
    for config in every(space):
        by_parent[config.detector, config.train].append(config)
    unpruned = Unpruned()
    return [sorted(f, key=lambda c: c.compress.pruning != unpruned) for f in by_parent.values()]


def record_family(space: Space, shapes: Path, out: Path, configs: Sequence[TrialConfig]) -> None:
    """The work of one process."""
    torch.set_num_threads(1)
    Recorder(space, TrialData.of(shapes), out).family(configs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/recorded"))
    arguments = parser.parse_args()
    space = load_space(SPACE)
    shapes = generate_shapes(arguments.out / "shapes", SHAPES)
    work = families(space)
    with ProcessPoolExecutor(arguments.jobs, get_context("spawn")) as pool:
        jobs = [pool.submit(record_family, space, shapes, arguments.out, f) for f in work]
        for job in track(as_completed(jobs), "Recording", total=len(jobs)):
            job.result()
    recorder = arguments.out / "designs"
    names = [f"{config.digest()}.json" for family in work for config in family]
    write(Design.model_validate_json((recorder / name).read_text()) for name in names)


if __name__ == "__main__":
    main()
