"""What becomes of a trial whose process was lost, by what Ray says of the loss."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.tune.experiment import Trial
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from detectors.training.notice import GRACE, NOTICE
from launch.drivers.kernel_kills import begin_again
from launch.study.failures import Failure
from launch.trial.copies import fetch_trial, send_trial
from launch.trial.data import TrialError
from searchspace import TrialConfig

PREEMPTED = "SIGTERM"
LOW_MEMORY = "running low on memory"
"""Words of Ray by which a process was given notice, or was killed by Ray's memory monitor."""

TITLES = ("ray::ImplicitFunc", "ray::RayTrainWorker")
"""How Ray names the processes in which Tune runs trials, and the workers of those that have
several."""


class EndsWithCheckpoint:
    """Tune's process of a trial: on SIGTERM, it ends when its training has written a checkpoint."""

    def setup(self, config: dict[str, Any]) -> None:
        heed_sigterm()
        super().setup(config)  # pyrefly: ignore[missing-attribute] (Tune mixes it into its class)


def heed_sigterm() -> None:
    """Let a training of this process end with its step before SIGTERM does what it did so far."""
    if threading.current_thread() is not threading.main_thread():
        return
    end = signal.getsignal(signal.SIGTERM)

    def heed(number: int, frame: Any) -> None:
        if NOTICE.pending:
            return
        if NOTICE.give():
            NOTICE.wait(GRACE)
        if callable(end):
            end(number, frame)

    signal.signal(signal.SIGTERM, heed)


def give_notice(trials: Iterable[Trial]) -> None:
    """Let trials end with a checkpoint; returns when they have ended, or `GRACE` is over."""
    pids: dict[str, list[int]] = {}
    for trial in trials:
        where = trial.temporary_state.location  # of its last report
        if where.pid is not None and where.hostname is not None:
            pids.setdefault(where.hostname, []).append(where.pid)
    terminate_everywhere(pids)


def terminate_everywhere(pids: Mapping[str, Sequence[int]]) -> None:
    """Do what `terminate` does for processes of nodes, by address."""
    here = ray.util.get_node_ip_address()
    elsewhere = {address: found for address, found in pids.items() if address != here}
    # Other nodes first, as this waits. Without any, Ray is asked nothing: it may be ending, too.
    asked = _terminate_elsewhere(elsewhere) if elsewhere else []
    terminate(pids.get(here, ()))
    if asked:
        ray.wait(asked, num_returns=len(asked), timeout=GRACE)


def _terminate_elsewhere(pids: Mapping[str, Sequence[int]]) -> list[ray.ObjectRef]:
    """Let processes of nodes, by address, end; the results are there when they have."""
    nodes = {node["NodeManagerAddress"]: node["NodeID"] for node in ray.nodes() if node["Alive"]}
    places = {
        ip: NodeAffinitySchedulingStrategy(nodes[ip], soft=False) for ip in pids if ip in nodes
    }
    call = ray.remote(num_cpus=0)(terminate)
    return [call.options(scheduling_strategy=p).remote(pids[ip]) for ip, p in places.items()]


def terminate(pids: Sequence[int]) -> None:
    """Send SIGTERM to those of the processes that run a trial, and wait until they have ended, or
    `GRACE` is over."""
    running = []
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            shown = "".join(process.cmdline())
            if any(title in shown for title in TITLES):
                process.terminate()
                running.append(process)
    psutil.wait_procs(running, GRACE)


def last_words(trial: Trial) -> str:
    """What Ray said of the last loss of a trial's process; empty if it said nothing."""
    file = trial.error_file
    text = Path(file).read_text(errors="replace") if file and Path(file).exists() else ""
    return text.rpartition("\nFailure # ")[2]


def after_low_memory(given: Mapping[str, Any]) -> Failure | None:
    """Let a trial that Ray's memory monitor killed begin again with its batches in more parts; or
    its failure, if it ran out of memory before or they cannot be divided further.

    Args:
        given: Tune's configuration of the trial, see `StudySearcher.suggest`.
    """
    config, folder = TrialConfig.model_validate_json(given["config"]), Path(given["folder"])
    fetch_trial(folder)
    try:
        begin_again(config, folder, "Ray's memory monitor killed its process")
    except TrialError as error:
        return Failure(str(error), "design")
    send_trial(folder)
    return None
