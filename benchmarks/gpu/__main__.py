"""Everything about Sparrow's speed on a GPU, in eight minutes::

    python -m benchmarks.gpu [--minutes 8] [--out FOLDER] [--data FOLDER] [--device cuda] [--brief]

Parts, the more important first: training steps of each family; training from files against
torchvision's; frames per second in every form; evaluation; a search whose trials share the GPU;
`pytest -m gpu`; loading of data; whether CPU and GPU agree. Each runs in its own process, which is
ended when its time is up, so that an error, a lost GPU context or a hanging part affects only that
part. Each case is written as soon as it is known, and after every part `results.json` and
`results.md`, which is printed at the end. `--part` selects parts. The exit status is 1 if a part
failed. Nothing is downloaded.

`--device cpu --brief` takes tiny sizes and shows within two minutes that everything runs.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.gpu.agreement import agreement
from benchmarks.gpu.data import data, evaluation
from benchmarks.gpu.fps import fps
from benchmarks.gpu.loops import loops
from benchmarks.gpu.machine import machine
from benchmarks.gpu.search import search
from benchmarks.gpu.setting import ERROR, Part, Row, Setting
from benchmarks.gpu.steps import steps
from benchmarks.gpu.tables import markdown
from benchmarks.gpu.tests import tests
from detectors.data.shapes import ShapesConfig, generate_shapes

PARTS: dict[str, tuple[Part, float]] = {
    "steps": (steps, 0.22),
    "loops": (loops, 0.22),
    "fps": (fps, 0.18),
    "evaluation": (evaluation, 0.06),
    "search": (search, 0.12),
    "tests": (tests, 0.10),
    "data": (data, 0.05),
    "agreement": (agreement, 0.05),
}
"""Parts in the order in which they run, with the share of the time that each may take. Unused time
is passed on to the following parts."""

SOFT = 0.85
"""Share of its time after which a part starts nothing new; at the end of its time it is killed."""

GRACE = 5
"""Seconds that a part has to clean up when it is ended, which count towards its time."""

PACKED = Path(".gpu/data/bccd")
"""Real images, on machines to which they were copied with the project."""

LAST_LINES = 20
RESULTS, TABLES = "results.json", "results.md"


def main() -> int:
    arguments = _arguments()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("torch finds no GPU: give --device cpu to run on the CPU.")
        return 1
    if arguments.inside:
        return _run_inside(arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    arguments.data = _data(arguments)
    found: dict[str, Row] = {}
    facts = machine(torch.device(arguments.device))
    ends = time.monotonic() + 60 * arguments.minutes
    wanted = arguments.part or list(PARTS)
    for place, name in enumerate(wanted):
        later = sum(PARTS[other][1] for other in wanted[place:])
        limit = (ends - time.monotonic()) * PARTS[name][1] / later
        found[name] = _run_part(name, limit, arguments)
        text = json.dumps({"machine": facts, "parts": found}, indent=1)
        (arguments.out / RESULTS).write_text(text, encoding="utf-8")
        tables = markdown(facts, found)
        (arguments.out / TABLES).write_text(f"{tables}\n", encoding="utf-8")
        print(_in_words(name, found[name]), flush=True)
    print(f"\n{tables}\n\nAll of it: {arguments.out / RESULTS}")
    return int(any(any(_failures(part)) for part in found.values()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="$OUT/gpu, or runs/gpu if OUT is not set")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--data", type=Path, help=f"COCO folder; {PACKED}, or generated shapes")
    parser.add_argument("--brief", action="store_true")
    parser.add_argument("--part", choices=list(PARTS), action="append")
    parser.add_argument("--inside", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.out = arguments.out or Path(os.environ.get("OUT", "runs")) / "gpu"
    return arguments


def _data(arguments: argparse.Namespace) -> Path:
    """The requested data; else real images if there are any, else generated ones."""
    if arguments.data:
        return arguments.data
    if PACKED.is_dir() and not arguments.brief:
        return PACKED
    few = (
        ShapesConfig(train_images=8, val_images=6, size=128) if arguments.brief else ShapesConfig()
    )
    return generate_shapes(arguments.out / "shapes", few)


def _run_part(name: str, limit: float, arguments: argparse.Namespace) -> Row:
    """Run a part in its own process, and end it and its children when its time is up."""
    began, rows = time.monotonic(), _rows_file(arguments.out, name)
    rows.unlink(missing_ok=True)
    log = arguments.out / f"{name}.log"
    command = [
        sys.executable, "-m", "benchmarks.gpu", "--part", name, "--inside", str(limit),
        "--device", arguments.device, "--data", str(arguments.data), "--out", str(arguments.out),
        *(["--brief"] if arguments.brief else []),
    ]  # fmt: skip
    with log.open("w") as written:
        process = subprocess.Popen(
            command, stdout=written, stderr=subprocess.STDOUT, start_new_session=True
        )
        error = ended(process, limit - GRACE)
    if error is not None:
        last = log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        error = "\n".join([*last, error])
    lines = rows.read_text().splitlines() if rows.exists() else []
    return {
        "limit": limit,
        "seconds": time.monotonic() - began,
        ERROR: error,
        "rows": [json.loads(line) for line in lines],
    }


def ended(process: subprocess.Popen, limit: float) -> str | None:
    """Wait for a part; returns why it did not end by itself, None if it did."""
    try:
        status = process.wait(max(limit, 1))
    except subprocess.TimeoutExpired:
        _end(process)
        return f"its {limit:.0f} s were over"
    except BaseException:
        _end(process)
        raise
    return f"its process ended with status {status}" if status else None


def _end(process: subprocess.Popen) -> None:
    """Interrupt a part with its children, and kill those that remain."""
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _run_inside(arguments: argparse.Namespace) -> int:
    """The part itself; each row is written as soon as it is available."""
    (name,) = arguments.part
    setting = Setting(
        device=torch.device(arguments.device),
        data=arguments.data,
        out=arguments.out,
        brief=arguments.brief,
        until=time.monotonic() + SOFT * (arguments.inside - GRACE),
    )
    with _rows_file(arguments.out, name).open("a") as file:
        for row in PARTS[name][0](setting):
            file.write(f"{json.dumps(row)}\n")
            file.flush()
    return 0


def _rows_file(out: Path, name: str) -> Path:
    return out / f"{name}.jsonl"


def _failures(part: Row) -> Iterator[str]:
    """The tracebacks of a part and of its cases."""
    yield from filter(None, (part[ERROR], *(row.get(ERROR) for row in part["rows"])))


def _in_words(name: str, part: Row) -> str:
    failed = len(list(_failures(part)))
    words = f", {failed} failed" if failed else ""
    return f"{name}: {len(part['rows'])} rows in {part['seconds']:.0f} s{words}"


if __name__ == "__main__":
    sys.exit(main())
