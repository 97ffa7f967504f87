"""`docs/performance.md`, written from the figures of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.throughput.others import A_DETECTIONS, FAST
from benchmarks.throughput.theirs import NEAR
from detectors.evaluation.coco import REFEREE

Row = Mapping[str, Any]

INTRODUCTION = """# Performance

Written by `python -m benchmarks.throughput --page docs/performance.md`; do not edit it. Contenders
take turns on the same machine, figures are medians over the rounds. On a CPU, ratios are of CPU
time, because others compute on the same cores; figures by the clock are then lower than on an idle
machine. `make bench` compares the ratios of the short form with committed ones."""

OF_TRAINING = """Whole epochs from files on disk: decoding, augmentation, steps. torchvision's
reference loop decodes and augments each image in processes, as many as there are cores; ours reads
the node's cache of decoded images, which the first round, not counted, has filled."""


def page(found: Row) -> str:
    lines = [INTRODUCTION, "", _machine(found["machine"]), "", "## Training", "", OF_TRAINING, ""]
    rows = found["training"]
    lines += _table(_training(rows))
    lines += ["", *_ratios(rows), *_compiling(rows), "", "## Where the time of a step goes", ""]
    lines += _table(_parts(rows))
    lines += [
        "", "`waiting` is the share of the time that a loop takes longer than its steps alone.",
        "", "## Data alone", "", "Images per second of one CPU core, 300x300, from decoded images.",
        "", *_table(_data(found["data"])),
        "", "## COCO's metrics", "", _metrics(found["metrics"]),
        "", "## Start of a trial", "", _start(found["start"]), "",
    ]  # fmt: skip
    return "\n".join(lines)


def _machine(machine: Row) -> str:
    return (
        f"Machine: {machine['device']}, {machine['cores']} cores of {machine['cpu']}, PyTorch "
        f"{machine['torch']}; {machine['form']}; load average {machine['load']:.1f} at the start."
    )


def _training(rows: Sequence[Row]) -> Iterator[dict[str, str]]:
    for row in rows:
        if "trained by" in row:
            yield {
                "System": f"{row['system']}, {row['input']}",
                "Trained by": row["trained by"],
                "Images/s": f"{row['images/s']:.3g}",
                "Range": f"{row['least']:.3g} to {row['most']:.3g}",
                "Per CPU second": f"{row.get('images per CPU second', float('nan')):.3g}",
            }


def _ratios(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        for label, value in row.get("ratio", {}).items():
            name, near = NEAR[row["system"]]
            yield (
                f"- {row['system']}, {label}: {value:.2f} times as fast as torchvision's {name} "
                f"({near})"
            )


def _compiling(rows: Sequence[Row]) -> Iterator[str]:
    told = [f"- {row['system']}: {row['compiling']}" for row in rows if "compiling" in row]
    if told:
        yield from ("", "Compiled steps (`train.compile`):", "", *told)


def _parts(rows: Sequence[Row]) -> Iterator[dict[str, str]]:
    for row in rows:
        if "parts" in row:
            yield {
                "System": f"{row['system']}, {row['input']}, {row['precision']}",
                **{part: f"{share:.1%}" for part, share in row["parts"].items()},
                "waiting": f"{row['waiting']:.1%}",
                "TFLOP/s": f"{row['TFLOP/s']:.3g}",
                "of a product of matrices": f"{row['of the peak']:.0%}",
            }


def _data(found: Row) -> Iterator[dict[str, str]]:
    for recipe, one in found.items():
        yield {
            "Augmentation": recipe,
            "torchvision": f"{one['torchvision']:.0f}",
            "Sparrow": f"{one['Sparrow']:.0f}",
            "Ratio": f"{one['ratio']:.1f}",
        }


def _metrics(found: Row) -> str:
    return (
        f"{found['images']} images with {A_DETECTIONS} detections each: {REFEREE} takes "
        f"{found[REFEREE]:.2f} CPU seconds, {FAST} {found[FAST]:.3f}, {found['ratio']:.0f} times "
        "less."
    )


def _start(found: Row) -> str:
    return (
        "A trial that trains one step on two images and measures as briefly as possible takes "
        f"{found['first']:.1f} CPU seconds as the first of its process, then {found['second']:.1f} "
        f"and {found['third']:.1f}."
    )


def _table(rows: Iterator[dict[str, str]]) -> list[str]:
    told = list(rows)
    if not told:
        return ["Not measured in this form."]
    headings = list(told[0])
    lines = [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    return lines + [f"| {' | '.join(row.values())} |" for row in told]
