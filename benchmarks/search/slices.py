"""What slices of shared weights are worth beyond their scores::

    python -m benchmarks.search.slices starts [--seeds 2]
    python -m benchmarks.search.slices ratios [--designs 32]
    python -m benchmarks.search.slices record

The first two take the network that `benchmarks.search.shared` trains, with its options `--steps`
and `--out`. `starts` trains the unpruned front of the recorded table from the weights that the
record began with, and from slices for fewer epochs. `ratios` prunes the slices at the recorded
ratios, and compares their scores, without any fine-tuning, with what the pruned designs came to;
`record` shows how well these are known from the unpruned designs alone. Times are CPU time. What is
done is kept; an interrupted run resumes.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel

from benchmarks.search.record import CPU
from benchmarks.search.shared import data_in, task_for, unpruned
from benchmarks.search.table import Design, Table
from compress import plan_pruning, recalibrate, replay
from detectors.files import write_atomically
from launch.decisions.shared_weights import rank_correlation
from launch.files import SPEEDS
from launch.pareto import front
from launch.trial.meter import LocalMeter, score
from launch.trial.shared_weights import SharedStages
from launch.trial.stages import GRADIENT_BATCHES, Stages
from launch.trial.store import Artefact, Store
from launch.trial.teachers import load_teacher
from launch.trial.training import training_loader

STARTS = (("as recorded", 6), ("slices", 4), ("slices", 3))
"""From what the front is trained, and for how many epochs. The shared training of 1,200 steps is
another epoch and a half for each of the 64 designs, so that four from slices cost less than six."""


LEARNT = 0.05
"""The least AP_small of an unpruned design of which a share that is left says anything."""


class Reached(BaseModel):
    """What a training, or a pruned slice, came to, and the CPU seconds that it took."""

    ap_small: float
    seconds: float


@dataclass(frozen=True)
class Slices:
    """The designs of the recorded table with the weights that they share."""

    table: Table
    shared: SharedStages
    model: Artefact
    out: Path

    @classmethod
    def of(cls, steps: int, out: Path) -> Slices:
        table, data = Table.read(), data_in(out)
        shared = SharedStages(
            task_for(table, steps), data, Store(out / "stages"), CPU, load_teacher
        )
        return cls(table, shared, shared.train()[0], out)

    def trained(self, design: Design, start: str, epochs: int, seed: int) -> Reached:
        """An unpruned design after its training."""
        config = self.table.config(design)
        config = config.changed(train=config.train.changed(epochs=epochs), seed=seed)
        file = self.out / "starts" / f"{start}-{config.digest()}.json"
        if not file.exists():
            ancestor = self.model.folder if start == "slices" else None
            store = Store(self.out / "stages")
            meter = LocalMeter(self.shared.data, CPU, self.out / SPEEDS)
            stages = Stages(
                config, self.shared.data, store, CPU, meter, load_teacher, ancestor=ancestor
            )
            begun = time.process_time()
            dense = stages.train()
            seconds = time.process_time() - begun
            found = Reached(ap_small=stages.evaluate(dense).ap_small or 0.0, seconds=seconds)
            _write(file, found)
        return Reached.model_validate_json(file.read_text())

    def pruned(self, design: Design) -> Reached:
        """The slices of a pruned design, without any fine-tuning."""
        config = self.table.config(design)
        file = self.out / "ratios" / f"{config.digest()}.json"
        if not file.exists():
            begun, data = time.process_time(), self.shared.data
            detector = self.shared.detector(self.model, config)
            loader = training_loader(config, data, config.train, CPU)
            plan = plan_pruning(
                detector,
                config.compress.removal,
                batches=lambda: itertools.islice(loader.epoch(0), GRADIENT_BATCHES),
                seed=config.seed,
            )
            replay(detector, plan)
            recalibrate(detector, self.shared.statistics(config)).eval()
            most, engine = config.measure.max_detections, config.measure.metrics
            found = score(detector, data.val, CPU, most, engine, False, data.cache)
            seconds = time.process_time() - begun
            _write(file, Reached(ap_small=found.ap_small or 0.0, seconds=seconds))
        return Reached.model_validate_json(file.read_text())


def starts(slices: Slices, seeds: int) -> Iterator[str]:
    """The front of unpruned designs from both starts, as Markdown."""
    table = slices.table
    designs = list(unpruned(table).values())
    members = [designs[k] for k in front([design.point for design in designs])]
    heads = [f"{start}, {epochs} epochs" for start, epochs in STARTS]
    yield f"| FPS | recorded | {' | '.join(heads)} |"
    yield "|---:|---:|" + "---:|" * len(STARTS)
    found: list[list[Reached]] = [[] for _ in STARTS]
    for design in members:
        cells = []
        for (start, epochs), reached in zip(STARTS, found, strict=True):
            own = [slices.trained(design, start, epochs, seed) for seed in range(seeds)]
            reached += own
            cells.append(f"{statistics.fmean(r.ap_small for r in own):.3f}")
        yield f"| {design.fps:.0f} | {design.ap_small:.3f} | {' | '.join(cells)} |"
    means = [f"{statistics.fmean(r.ap_small for r in own):.3f}" for own in found]
    times = [f"{statistics.fmean(r.seconds for r in own):.1f} s" for own in found]
    yield f"| mean | {statistics.fmean(d.ap_small for d in members):.3f} | {' | '.join(means)} |"
    yield f"| CPU time | | {' | '.join(times)} |"


def ratios(slices: Slices, count: int) -> Iterator[str]:
    """How far the scores of pruned slices agree with the record, as Markdown."""
    table, known = slices.table, unpruned(slices.table)
    chosen = set(random.Random(0).sample(sorted(d.parent for d in known.values()), count))
    pairs = {
        ratio: [(design, slices.pruned(design)) for design in designs if design.parent in chosen]
        for ratio, designs in by_ratio(table).items()
    }
    yield "| ratio | designs | score | recorded | rank correlation | CPU time |"
    yield "|---:|---:|---:|---:|---:|---:|"
    for ratio, found in [*pairs.items(), ("all", [p for x in pairs.values() for p in x])]:
        own = [reached.ap_small for _, reached in found]
        true = [design.ap_small for design, _ in found]
        means = f"{statistics.fmean(own):.3f} | {statistics.fmean(true):.3f}"
        agree = _agreement(own, true)
        took = statistics.fmean(reached.seconds for _, reached in found)
        yield f"| {ratio} | {len(found)} | {means} | {agree} | {took:.1f} s |"


def record(table: Table) -> Iterator[str]:
    """How well the AP_small of unpruned designs tells that of the pruned ones, as Markdown; over
    all ratios, times the share that a ratio leaves in the median."""
    whole = {design.parent: design.ap_small for design in unpruned(table).values()}
    expected, true = [], []
    yield "| ratio | designs | rank correlation | AP_small left |"
    yield "|---:|---:|---:|---:|"
    for ratio, designs in by_ratio(table).items():
        pairs = [(whole[design.parent], design.ap_small) for design in designs]
        left = statistics.median(own / parent for parent, own in pairs if parent >= LEARNT)
        agree = _agreement(*zip(*pairs, strict=True))
        yield f"| {ratio} | {len(pairs)} | {agree} | {left:.2f} |"
        expected += [left * parent for parent, _ in pairs]
        true += [own for _, own in pairs]
    yield f"| all | {len(true)} | {_agreement(expected, true)} | |"


def by_ratio(table: Table) -> dict[float, list[Design]]:
    """The recorded pruned designs by their ratio, the smallest first."""
    found: dict[float, list[Design]] = {}
    for design in table.designs:
        if design.result.compact is not None:
            found.setdefault(design.params["compress.pruning.importance.ratio"], []).append(design)
    return dict(sorted(found.items()))


def _agreement(found: Sequence[float], true: Sequence[float]) -> str:
    agree = rank_correlation(list(zip(found, true, strict=True)))
    return "-" if agree is None else f"{agree:.2f}"


def _write(file: Path, found: Reached) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, found.model_dump_json())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("starts", "ratios", "record"))
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--out", type=Path, default=Path("runs/shared"))
    parser.add_argument("--seeds", type=int, default=2, help="of starts")
    parser.add_argument("--designs", type=int, default=32, help="unpruned ones of ratios")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for line in _lines(arguments):
        print(line, flush=True)


def _lines(asked: argparse.Namespace) -> Iterator[str]:
    if asked.what == "record":
        return record(Table.read())
    slices = Slices.of(asked.steps, asked.out)
    return starts(slices, asked.seeds) if asked.what == "starts" else ratios(slices, asked.designs)


if __name__ == "__main__":
    main()
