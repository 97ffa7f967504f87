"""Measure the detectors of this bundle on this device: python BUNDLE [--out measured.json]

Needs Python 3.9 or newer, NumPy, and ONNX Runtime or OpenVINO. What it writes is for
`sparrow report RUN --measured measured.json` on the machine where the study lies.
"""

# `sparrow bundle` copies this file into each bundle as __main__.py, with turns.py beside it. It
# imports neither Sparrow nor PyTorch. Seconds are written as they were read: Sparrow computes the
# figures from them.

from __future__ import annotations

import argparse
import functools
import hashlib
import hmac
import itertools
import json
import math
import os
import platform
import sys
import tempfile
import time
import zipfile
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import Any, Callable, Iterator, Sequence

import numpy as np
from turns import (  # pyrefly: ignore[missing-import] (beside this file in a bundle)
    UNPACKED,
    Effort,
    reference_runs,
    take_turns,
    warm_up,
)

FORMAT = 1
TOGETHER = 8
"""Detectors that are in memory at the same time, and are measured in turns with each other."""

CPUS = {"onnxruntime": "CPUExecutionProvider", "openvino": "CPU"}
"""By runtime, what it calls the CPU."""

Load = Callable[[Path], Callable[[Any], Any]]
"""From the file of a model to a call of it with images [N, 3, H, W], float32 in 0..1."""


def main() -> None:
    given = options()
    place = Path(__file__).resolve().parent
    if place.is_dir():
        measure(place, given)
        return
    with tempfile.TemporaryDirectory(prefix=f"{UNPACKED}{os.getpid()}-") as folder:
        with zipfile.ZipFile(place) as archive:
            archive.extractall(folder)
        measure(Path(folder), given)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        usage="python BUNDLE [options]", description="Measure the detectors of this bundle."
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("measured.json"), help="default: measured.json")
    add("--runtime", choices=list(CPUS), help="default: onnxruntime if it is installed")
    add(
        "--on",
        metavar="NAME",
        help="execution provider of ONNX Runtime, such as CUDAExecutionProvider, or device of "
        "OpenVINO, such as GPU; default: the CPU",
    )
    add("--threads", type=positive, default=1, help="CPU threads; default: 1")
    add("--seconds", type=positive, default=10, help="for each detector; default: 10")
    add("--name", help="what this device is called in reports")
    return parser.parse_args()


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("give a whole number from 1")
    return value


def measure(folder: Path, given: argparse.Namespace) -> None:
    """Measure what lies in a folder, and write the result."""
    bundle = read_bundle(folder)
    runtime = installed([given.runtime] if given.runtime else list(CPUS))
    on = given.on or CPUS[runtime]
    load, version = (onnx_runtime if runtime == "onnxruntime" else open_vino)(on, given.threads)
    fit = [member for member in bundle["members"] if runtime in member["runtimes"]]
    if not fit:
        sys.exit(f"error: {runtime} can run none of the detectors: choose another with --runtime")
    effort = Effort(bundle["runs"], bundle["passes"], given.seconds, interval=math.inf)
    groups = []
    for start in range(0, len(fit), TOGETHER):
        members = fit[start : start + TOGETHER]
        print(f"detectors {start + 1} to {start + len(members)} of {len(fit)}", file=sys.stderr)
        groups.append(measured(folder, bundle, members, load, effort))
    result = {
        "format": FORMAT,
        "bundle": digest_of(folder / "bundle.json"),
        "device": given.name or device_name(on if on != CPUS[runtime] else ""),
        "cpu": on == CPUS[runtime],
        "cores": os.cpu_count() or 1,
        "threads": given.threads,
        "runtime": runtime,
        "version": version,
        "on": on,
        "groups": groups,
    }
    signed = json.dumps(result, sort_keys=True).encode()
    result["digest"] = hmac.new(bytes.fromhex(bundle["key"]), signed, "sha256").hexdigest()
    given.out.write_text(json.dumps(result, sort_keys=True), encoding="utf-8")
    left = len(bundle["members"]) - len(fit)
    if left:
        print(f"{left} left out: they cannot be run by {runtime}", file=sys.stderr)
    print(
        f"{given.out}: {len(fit)} detectors; "
        f"now: sparrow report RUN --measured {quote(str(given.out))}"
    )


def read_bundle(folder: Path) -> Any:
    """What the bundle says of itself, once its files are found to be whole."""
    bundle = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    for holder in (bundle["reference"], *bundle["members"]):
        for name, digest in holder["files"].items():
            if not (folder / name).is_file() or digest_of(folder / name) != digest:
                sys.exit(f"error: {name} is damaged or missing: copy the bundle again")
    return bundle


def digest_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def measured(
    folder: Path, bundle: Any, members: Sequence[Any], load: Load, effort: Effort
) -> dict[str, Any]:
    """The seconds of some detectors, each between blocks of the reference, in turns."""
    reference = call_of(folder, bundle["reference"], load)
    calls = [call_of(folder, member, load) for member in members]
    first = warm_up(reference)
    warmed = [warm_up(call) for call in calls]
    plans = [effort.affords(warm.seconds) for warm in warmed]
    spans = [runs * warm.seconds for (runs, _), warm in zip(plans, warmed)]
    turns = [(reference, reference_runs(first, spans[:1]))]
    for k, (call, (runs, _)) in enumerate(zip(calls, plans)):
        turns += [(call, runs), (reference, reference_runs(first, spans[k : k + 2]))]
    before = core_times()
    blocks = take_turns(turns, min(passes for _, passes in plans))
    return {
        "before": before,
        "after": core_times(),
        "members": [
            {"number": member["number"], "files": member["files"], "warm_up": asdict(warm)}
            for member, warm in zip(members, warmed)
        ],
        "blocks": blocks,
    }


def call_of(folder: Path, holder: Any, load: Load) -> Callable[[], float]:
    """Times one call of a model with the next batch of its images."""
    images = np.load(folder / holder["images"]).astype(np.float32) / 255
    size = holder["batch"]
    places = np.arange(len(images) + -len(images) % size) % len(images)
    batches = [np.ascontiguousarray(images[part]) for part in places.reshape(-1, size)]
    return functools.partial(timed, load(folder / holder["model"]), itertools.cycle(batches))


def timed(run: Callable[[Any], Any], batches: Iterator[Any]) -> float:
    batch = next(batches)
    start = time.perf_counter()
    run(batch)
    return time.perf_counter() - start


def core_times() -> dict[str, Any] | None:
    """The use of this machine's cores so far, for Sparrow to see whether others computed."""
    try:
        line = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
        ticks = os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return None
    return {"line": line, "ticks": ticks, "moment": time.monotonic(), "own": time.process_time()}


def installed(names: Sequence[str]) -> str:
    """The first of some runtimes that is installed."""
    for name in names:
        try:
            __import__(name)
        except ImportError:
            continue
        return name
    sys.exit(f"error: not installed: {' or '.join(names)}; pip install {names[0]}")


def onnx_runtime(on: str, threads: int) -> tuple[Load, str]:
    import onnxruntime

    if on not in onnxruntime.get_available_providers():
        sys.exit(f"error: --on {on}: there are {', '.join(onnxruntime.get_available_providers())}")
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    providers = list(dict.fromkeys([on, CPUS["onnxruntime"]]))

    def load(model: Path) -> Callable[[Any], Any]:
        session = onnxruntime.InferenceSession(str(model), settings, providers=providers)
        if session.get_providers()[0] != on:
            sys.exit(f"error: --on {on}: it does not start on this device")
        name = session.get_inputs()[0].name
        return lambda batch: session.run(None, {name: batch})

    return load, onnxruntime.__version__


def open_vino(on: str, threads: int) -> tuple[Load, str]:
    import openvino

    core = openvino.Core()
    if on.split(".")[0] not in {name.split(".")[0] for name in core.available_devices}:
        sys.exit(f"error: --on {on}: there are {', '.join(core.available_devices)}")
    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    if on == CPUS["openvino"]:
        settings["INFERENCE_NUM_THREADS"] = str(threads)

    def load(model: Path) -> Callable[[Any], Any]:
        compiled = core.compile_model(core.read_model(model), on, settings)
        return lambda batch: compiled(batch, share_inputs=True)

    return load, openvino.__version__.split("-")[0]


def device_name(accelerator: str) -> str:
    """The name of the board or the processor, and of what else computes."""
    name = platform.processor() or platform.machine()
    for file, start in (("/proc/device-tree/model", ""), ("/proc/cpuinfo", "model name")):
        try:
            lines = Path(file).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        found = [line.split(":")[-1].strip(" \0") for line in lines if line.startswith(start)]
        if found and found[0]:
            name = found[0]
            break
    return f"{name}, {accelerator}" if accelerator else name


if __name__ == "__main__":
    main()
