"""How fast training, data, evaluation and the start of a trial are, against what others do::

    python -m benchmarks.throughput [--device cuda] [--quick] [--minutes N] [--data FOLDER]
        [--page FILE]

Contenders take turns; figures are medians with their range. On a CPU, ratios are of CPU time, so
that others on the machine count little. `--page docs/performance.md` writes the page. With
`--check`, ratios are compared with those that `--keep` wrote to `benchmarks/ratios.json` (`make
bench`): the exit status is 1 if one is less than its share of `LEAST`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.throughput.cases import cases, measured
from benchmarks.throughput.others import data_alone, metrics_alone, start_of_a_trial
from benchmarks.throughput.page import page
from benchmarks.throughput.turns import repeated
from detectors.data.readers import DataSource
from detectors.data.reading import read_source
from detectors.timing.measure import hardware_name

RATIOS = Path(__file__).parent.parent / "ratios.json"

LEAST = 0.7
"""Share of a committed ratio that a new one must reach: others that compute on the same cores move
ratios by a tenth or two."""

ROUNDS, QUICK_ROUNDS = 5, 2

MINUTES = 5.0
"""Of each system, after which no further round begins; the first two are always taken."""

METRIC_IMAGES, QUICK_IMAGES = 5000, 300


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cpu")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/bccd"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of each system's rounds")
    parser.add_argument("--page", type=Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache  # images are decoded anew, and nothing is left behind
        found = _found(arguments)
    print(json.dumps(found, indent=1))
    if arguments.page:
        arguments.page.write_text(page(found), encoding="utf-8")
    ratios = ratios_of(found)
    if arguments.keep:
        RATIOS.write_text(f"{json.dumps(ratios, indent=1)}\n", encoding="utf-8")
    return int(arguments.check and not held(ratios, json.loads(RATIOS.read_text("utf-8"))))


def _found(arguments: argparse.Namespace) -> dict[str, Any]:
    device, quick = torch.device(arguments.device), arguments.quick
    split = read_source(DataSource.from_folder(arguments.data))[0]
    rounds = QUICK_ROUNDS if quick else ROUNDS
    found: dict[str, Any] = {
        "machine": {
            "device": hardware_name(device),
            "cpu": hardware_name(torch.device("cpu")),
            "cores": len(os.sched_getaffinity(0)),
            "torch": torch.__version__,
            "load": os.getloadavg()[0],
            "form": f"{device.type}, {'quick' if quick else 'whole'}, {rounds} rounds",
        },
        "start": start_of_a_trial(),
        "data": data_alone(split, rounds, batch=16),
        "metrics": metrics_alone(repeated(split, QUICK_IMAGES if quick else METRIC_IMAGES), rounds),
        "training": [],
    }
    for case in cases(device, quick):
        until = time.monotonic() + 60 * arguments.minutes
        found["training"] += measured(case, split, device, rounds, until)
    return found


def ratios_of(found: dict[str, Any]) -> dict[str, float]:
    """What `--check` compares: how many times as fast ours is than the other, by name."""
    ratios = {f"data, {name}": one["ratio"] for name, one in found["data"].items()}
    ratios["metrics"] = found["metrics"]["ratio"]
    for row in found["training"]:
        for label, value in row.get("ratio", {}).items():
            ratios[f"training of {row['system']}, {label}"] = value
    return ratios


def held(ratios: dict[str, float], committed: dict[str, float]) -> bool:
    """Whether all committed ratios are reached; prints each."""
    fell = False
    for name, before in committed.items():
        now = ratios.get(name, 0.0)
        below = now < LEAST * before
        fell |= below
        print(f"{name}: {now:.2f}, committed {before:.2f}{', which fell' if below else ''}")
    return not fell


if __name__ == "__main__":
    sys.exit(main())
