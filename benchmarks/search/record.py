"""Record the result of every design in the benchmark's space, each trained once::

    python -m benchmarks.search.record [--jobs 2] [--out runs/recorded]

Trains all designs of `grid.toml` on generated shapes, scores the dense detectors after each epoch,
then measures every distinct architecture while nothing else runs, and writes `recorded.parquet` in
this folder. Takes about an hour of one core; an interrupted run resumes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean

import torch
from pydantic import BaseModel
from rich.progress import track

from benchmarks.search.table import SPACE, Design, Seconds, every, write
from detectors.data.shapes import ShapesConfig, generate_shapes
from detectors.detector import Detector
from detectors.evaluate import Metrics
from detectors.files import write_atomically
from detectors.timing.cost import Cost
from detectors.timing.measure import speed_key
from launch.files import DETECTOR, SPEEDS
from launch.trial.data import TrialData
from launch.trial.meter import LocalMeter
from launch.trial.result import Outcome, TrialResult
from launch.trial.stages import Stages
from launch.trial.store import Store
from launch.trial.teachers import load_teacher
from searchspace import Space, TrialConfig, load_space
from searchspace.compression import Unpruned

SHAPES = ShapesConfig(train_images=128, val_images=128, size=128, seed=5)
CPU = torch.device("cpu")
BARE = {"timing": None, "circumstances": None, "memory": None}
"""Fields of a cost that are not recorded: not figures, and most of its size."""


class Trained(BaseModel):
    """A design before its speed is known.

    Attributes:
        train, snapshot, compress, evaluate: seconds of this core, see `Seconds`.
        dense, compact: metrics of the detectors; `folders` has their folders.
    """

    config: TrialConfig
    parent: str
    curve: tuple[float, ...]
    train: float
    snapshot: float
    compress: float = 0.0
    evaluate: float
    dense: Metrics
    compact: Metrics | None = None
    removed_share: float = 0.0
    folders: tuple[Path, ...]


class Recorder:
    """Trains designs one after the other, and records their CPU time."""

    def __init__(self, data: TrialData, out: Path) -> None:
        self.data = data
        self.out = out
        self.store = Store(out / "stages")
        self.meter = LocalMeter(data, CPU, self.store.folder / SPEEDS)

    def family(self, configs: Sequence[TrialConfig]) -> None:
        """Record an unpruned design, which comes first, and all its pruned ones."""
        dense = self._once(configs[0], None)
        for config in configs[1:]:
            self._once(config, dense)

    def _once(self, config: TrialConfig, dense: Trained | None) -> Trained:
        file = trained_file(self.out, config)
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            made = self._prune(config, dense) if dense else self._train(config)
            write_atomically(file, made.model_dump_json(indent=1))
        return Trained.model_validate_json(file.read_text())

    def _train(self, config: TrialConfig) -> Trained:
        watch = _Watch(config.train.epochs)
        stages = self._stages(config, watch)
        watch.begin()
        dense = stages.train()
        begun = time.process_time()
        metrics = stages.evaluate(dense)
        return Trained(
            config=config,
            parent=dense.key,
            curve=watch.curve,
            train=watch.training,
            snapshot=fmean(watch.snapshots),
            evaluate=time.process_time() - begun,
            dense=metrics,
            folders=(dense.folder / DETECTOR,),
        )

    def _prune(self, config: TrialConfig, dense: Trained) -> Trained:
        stages = self._stages(config, _Watch(config.train.epochs))
        parent, begun = stages.train(), time.process_time()
        plan, pruned = stages.prune(parent)
        compact = stages.finetune(parent, plan, pruned)
        compressed = time.process_time()
        changes = {
            "config": config,
            "compress": compressed - begun,
            "compact": stages.evaluate(compact),
            "evaluate": dense.evaluate + time.process_time() - compressed,
            "removed_share": plan.share,
            "folders": (*dense.folders, compact.folder / DETECTOR),
        }
        return dense.model_copy(update=changes)

    def _stages(self, config: TrialConfig, watch: _Watch) -> Stages:
        rungs = tuple(range(1, config.train.epochs + 1))
        return Stages(
            config, self.data, self.store, CPU, self.meter, load_teacher,
            watch.at_epoch, rungs=rungs, on_rung=watch.at_rung,
        )  # fmt: skip


class Speeds:
    """The costs of architectures; each is measured once, while nothing else runs."""

    def __init__(self, data: TrialData, folder: Path) -> None:
        self._meter = LocalMeter(data, CPU, folder)
        self._known: dict[str, Cost] = {}
        self.seconds: list[float] = []

    def of(self, folder: Path, config: TrialConfig) -> Cost:
        """The cost of a saved detector."""
        detector = Detector.load(folder)
        what = speed_key(detector, config.deployment, CPU)
        # In this space, priors differ in size only, not in number.
        del what["detector"]["head"]["priors"]
        key = json.dumps(what, sort_keys=True)
        if key not in self._known:
            begun = time.monotonic()
            self._known[key] = self._meter.measure(detector, config.deployment)
            self.seconds.append(time.monotonic() - begun)
        return self._known[key].model_copy(update=BARE)


def measured(space: Space, trained: Sequence[Trained], speeds: Speeds) -> Iterator[Design]:
    """The designs with their speeds.

    A pruned design keeps the same share of every layer, so the cost predicted before training is
    the final one.
    """
    costs = [[speeds.of(f, t.config) for f in t.folders] for t in track(trained, "Measuring")]
    measuring = fmean(speeds.seconds)
    for design, found in zip(trained, costs, strict=True):
        compact = design.compact and Outcome(metrics=design.compact, cost=found[-1])
        yield Design(
            params=space.to_params(design.config),
            parent=design.parent,
            curve=design.curve,
            seconds=Seconds(
                predict=measuring,
                train=design.train,
                snapshot=design.snapshot,
                compress=design.compress,
                score=design.evaluate + measuring * len(found),
            ),
            result=TrialResult(
                config=design.config,
                dense=Outcome(metrics=design.dense, cost=found[0]),
                compact=compact,
                removed_share=design.removed_share,
                seconds=0.0,
                predicted=found[-1],
                trained=design.parent,
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
        """AP_small by epoch; raises KeyError if the training was not seen from its start."""
        return tuple(self._scores[epoch] for epoch in range(1, self._epochs + 1))

    @property
    def training(self) -> float:
        return sum(self._steps)


def families(space: Space) -> list[list[TrialConfig]]:
    """Groups of configurations that differ only in pruning, the unpruned one first."""
    by_parent = defaultdict(list)
    for config in every(space):
        by_parent[config.detector, config.train].append(config)
    unpruned = Unpruned()
    return [sorted(f, key=lambda c: c.compress.pruning != unpruned) for f in by_parent.values()]


def trained_file(out: Path, config: TrialConfig) -> Path:
    return out / "designs" / f"{config.digest()}.json"


def record_family(shapes: Path, out: Path, configs: Sequence[TrialConfig]) -> None:
    """The work of one process."""
    torch.set_num_threads(1)
    Recorder(TrialData.of(shapes), out).family(configs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/recorded"))
    arguments = parser.parse_args()
    space, out = load_space(SPACE), arguments.out
    shapes = generate_shapes(out / "shapes", SHAPES)
    work = families(space)
    with ProcessPoolExecutor(arguments.jobs, get_context("spawn")) as pool:
        jobs = [pool.submit(record_family, shapes, out, configs) for configs in work]
        for job in track(as_completed(jobs), "Training", total=len(jobs)):
            job.result()
    files = [trained_file(out, config) for configs in work for config in configs]
    trained = [Trained.model_validate_json(file.read_text()) for file in files]
    write(measured(space, trained, Speeds(TrialData.of(shapes), out / SPEEDS)))


if __name__ == "__main__":
    main()
