"""What is trained side by side, and the figures of it."""

from __future__ import annotations

import functools
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from benchmarks.throughput.ours import Ours
from benchmarks.throughput.theirs import NEAR, Theirs
from benchmarks.throughput.turns import Rates, Turn, in_turns, matmul_peak, ratio, repeated
from detectors.data.dataset import Dataset
from detectors.training.compiling import Figures
from searchspace import papers
from searchspace.geometry import InputSize

OURS, THEIRS, ALONE = "Sparrow", "torchvision", "Sparrow, steps alone"
BEST, COMPILED = "best", "compiled"

Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A system that is trained, and how.

    Attributes:
        batches: of an epoch.
        precisions: in each of which ours and torchvision's are trained, with the same batch.
        best: if given, the batch of each at its best: reduced precision, and for ours the
            precision that a trial takes.
        size: an input smaller than the paper's, where that is too much for the device.
        compiled: whether ours is trained with compiled steps, too, in the last precision.
    """

    system: str
    batch: int
    batches: int
    precisions: tuple[str, ...]
    best: int | None = None
    size: InputSize | None = None
    compiled: bool = False


SYSTEMS = ("ssd300_vgg16", "ssdmnetv1_s1l0", "gfl_r50", "yolox_s")
GPU_CASES = (
    Case("ssd300_vgg16", 32, 40, ("float32", "bfloat16"), best=64),
    Case("ssdmnetv1_s1l0", 24, 40, ("bfloat16",)),
    Case("yolox_s", 32, 20, ("bfloat16",)),
    Case("gfl_r50", 8, 10, ("bfloat16",)),
)
CPU_CASES = (
    Case("ssd300_vgg16", 2, 1, ("float32", "bfloat16")),
    Case("ssdmnetv1_s1l0", 4, 2, ("float32",)),
    Case("yolox_s", 2, 1, ("float32",), size=224),
    Case("gfl_r50", 2, 1, ("float32",), size=256),
)
QUICK_CASES = (
    Case("ssd300_vgg16", 1, 1, ("float32",)),
    Case("ssdmnetv1_s1l0", 4, 1, ("float32",)),
)
TINY_CASES = (Case("ssdmnetv1_s1l0", 2, 1, ("float32",)),)
"""Only to see that everything runs."""


def cases(device: torch.device, quick: bool) -> tuple[Case, ...]:
    """Those of a form of the benchmark, without precisions that the device would emulate: a step
    takes it many times as long then."""
    if quick:
        return QUICK_CASES
    if device.type == "cuda":
        return tuple(replace(case, compiled=True) for case in GPU_CASES)
    native = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    precisions = {"float32", "bfloat16"} if native else {"float32"}
    return tuple(
        replace(
            case, precisions=tuple(p for p in case.precisions if p in precisions), compiled=True
        )
        for case in CPU_CASES
    )


def measured(
    case: Case, split: Dataset, device: torch.device, rounds: int, until: float = float("inf")
) -> Iterator[Row]:
    """The figures of a case: a row for each contender, then one of where our time goes.

    Args:
        until: by `time.monotonic`, when no further round begins.
    """
    ours, compiled, turns = _contenders(case, split, device)
    found = in_turns(turns, rounds, device, until)
    common = {"system": case.system, "input": _input(case)}
    for name, rates in found.items():
        yield common | {"trained by": name} | _figures(rates, device)
    yield common | _ratios(case, found, device)
    if compiled:
        yield common | _compiling(compiled, found, case)
    if time.monotonic() < until:
        yield common | _time(ours, found, case, device)


def _contenders(
    case: Case, split: Dataset, device: torch.device
) -> tuple[Ours, Ours | None, dict[str, Turn]]:
    """Our training in the last precision, the same with compiled steps, and all that are measured
    by name."""
    cores = len(os.sched_getaffinity(0))
    config = papers[case.system].trial
    if case.size is not None:
        config = config.changed(detector=config.detector.changed(input_size=case.size))
    make = functools.partial(Ours, config, device=device)
    turns: dict[str, Turn] = {}

    def add(batch: int, precision: str, ours: str, label: str) -> Ours:
        images = repeated(split, batch * case.batches)
        near = NEAR.get(case.system)
        if near:
            # Models of the SSD family have an input size of their own.
            size = None if near[0].startswith("ssd") else config.detector.size
            computed = getattr(torch, precision)
            theirs = Theirs(near[0], images, batch, computed, device, cores, size)
            turns[f"{THEIRS}, {label}"] = theirs.turn
        made = make(split=images, batch=batch, precision=ours)
        turns[f"{OURS}, {label}"] = made.turn
        return made

    for precision in case.precisions:
        last = add(case.batch, precision, precision, precision)
    images = repeated(split, case.batch * case.batches)
    alone = make(split=images, batch=case.batch, precision=case.precisions[-1], steps=case.batches)
    turns[ALONE] = alone.turn
    compiled = None
    if case.compiled:
        last_precision = case.precisions[-1]
        compiled = make(split=images, batch=case.batch, precision=last_precision, compile="on")
        turns[f"{OURS}, {COMPILED}"] = compiled.turn
    if case.best:
        add(case.best, "bfloat16", "auto", BEST)
    return last, compiled, turns


def _input(case: Case) -> str:
    detector = papers[case.system].trial.detector
    if case.size is not None:
        detector = detector.changed(input_size=case.size)
    return "x".join(map(str, detector.size))


def _figures(rates: Rates, device: torch.device) -> Row:
    """Images per second by the clock, with their range; on a CPU also by its time."""
    found = {"images/s": statistics.median(rates.clock)}
    found |= {"least": min(rates.clock), "most": max(rates.clock)}
    if device.type == "cpu":
        found["images per CPU second"] = statistics.median(rates.cpu)
    return found


def _ratios(case: Case, found: dict[str, Rates], device: torch.device) -> Row:
    """How many times as fast as torchvision's ours is, by what is equal."""
    labels = (*case.precisions, BEST)
    pairs = {label: (f"{THEIRS}, {label}", f"{OURS}, {label}") for label in labels}
    if case.compiled:
        pairs[COMPILED] = (f"{THEIRS}, {case.precisions[-1]}", f"{OURS}, {COMPILED}")
    return {
        "ratio": {
            label: ratio(found[theirs].of(device), found[ours].of(device))
            for label, (theirs, ours) in pairs.items()
            if theirs in found
        }
    }


def _compiling(compiled: Ours, found: dict[str, Rates], case: Case) -> Row:
    """What compiled steps cost and save, by the clock, and from how many steps on that pays."""
    choice = compiled.run.network.choice
    if not choice or not choice.compiled:
        return {"compiling": str(choice)}
    plain = case.batch / statistics.median(found[f"{OURS}, {case.precisions[-1]}"].clock)
    step = case.batch / statistics.median(found[f"{OURS}, {COMPILED}"].clock)
    figures = Figures(plain=plain, compiled=step, compiling=choice.seconds)
    saved = plain - step
    pays = f"pays from {choice.seconds / saved:.0f} steps on" if saved > 0 else "never pays"
    return {"compiling": f"{pays}: a step takes {figures}"}


def _time(ours: Ours, found: dict[str, Rates], case: Case, device: torch.device) -> Row:
    """Where the time of our training goes, and how much of the device it uses."""
    precision = case.precisions[-1]
    loop, alone = found[f"{OURS}, {precision}"], found[ALONE]
    seconds = ours.parts()
    flops = ours.flop * statistics.median(loop.clock)
    peak = matmul_peak(device, getattr(torch, precision))
    return {
        "precision": precision,
        "waiting": max(0.0, 1 - ratio(alone.of(device), loop.of(device))),
        "parts": {part: spent / sum(seconds.values()) for part, spent in seconds.items()},
        "TFLOP/s": flops / 1e12,
        "peak TFLOP/s": peak / 1e12,
        "of the peak": flops / peak,
    }
