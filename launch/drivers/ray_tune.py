"""Ray Tune as the driver: it provides processes, placement and retries; the study decides."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import ray
from ray import tune
from ray.tune.logger import JsonLoggerCallback

from launch.drivers.driver import Driver, Say, Work
from launch.drivers.gpu_share import AUTO, gpu_memory, share_for_text, share_of_each
from launch.drivers.ray_address import check_address, starts_here
from launch.drivers.ray_answers import Answers
from launch.drivers.ray_group import NEXT_TO_NOTHING, run_group
from launch.drivers.ray_losses import EndsWithCheckpoint
from launch.drivers.ray_meter import TargetMeter, check_target, result_of
from launch.drivers.ray_searcher import RETRIES, StudySearcher
from launch.drivers.ray_start import connected, logged_to, nodes_of_cluster
from launch.drivers.ray_watch import HangGuard
from launch.drivers.ray_worker import run_on_worker
from launch.drivers.reservation import Reservation, Workers, of_this_machine
from launch.drivers.travel import arrived
from launch.figures import FigureName
from launch.files import RAY, RAY_LOG, SPEEDS
from launch.study.resource_options import MOST_PER_GPU
from launch.study.study import Study
from launch.trial.copies import here, portable
from launch.trial.data import TrialData
from launch.trial.run import check_for_ray
from launch.trial.teachers import PackedDetector, named_detectors, teachers_in
from searchspace import load_plugins
from searchspace.errors import InputError


@dataclass(frozen=True)
class RayTune(Driver):
    """Trials in parallel Ray processes, on this machine or a cluster.

    All nodes must see the study's folder under the same path, or reach its storage. Ray's log is in
    its `ray.log`.

    Attributes:
        cpus_per_trial: CPUs reserved for a trial; None for one for each of its workers.
        gpus_per_trial: GPUs reserved for a trial, may be a fraction; None for one for each of its
            workers if trials run on GPUs, else none.
        trials_per_gpu: in place of that, the number of trials that share a GPU, or `auto`: each
            reserves what its training needs of the memory. A trial that takes more than its share
            runs out of memory, and the others go on.
        workers_per_trial: processes that train a trial together, among which is shared out what is
            reserved for it; None for one for each of its GPUs, and one without any.
        memory_per_trial: main memory reserved for a trial, in GB.
        resources_per_trial: custom resources reserved for a trial, each as NAME=AMOUNT.
        max_concurrent: the most trials at once; None for as many as there is room for.
        address: address of a running cluster; None starts Ray on this machine.
        measure_on: resource of the nodes that score and measure detectors; None to measure where
            they were trained.

    Raises:
        ValueError: Ray does not support such an amount.
    """

    name: ClassVar[str] = "ray"

    cpus_per_trial: float | None = None
    gpus_per_trial: float | None = None
    trials_per_gpu: str | None = None
    address: str | None = None
    measure_on: str | None = None
    workers_per_trial: int | None = None
    memory_per_trial: float | None = None
    resources_per_trial: tuple[str, ...] | None = None
    max_concurrent: int | None = None

    def __post_init__(self) -> None:
        if self.trials_per_gpu is not None and self.gpus_per_trial is not None:
            raise InputError(
                f"--trials-per-gpu {self.trials_per_gpu}: there is --gpus-per-trial "
                f"{self.gpus_per_trial:g} already; give one of them"
            )
        if self.count > 1 and self.trials_per_gpu is not None:
            raise InputError(
                f"--trials-per-gpu {self.trials_per_gpu}: each of the {self.count} workers of a "
                "trial needs a GPU of its own; give one of the options"
            )
        _ = self.reserved  # it checks the amounts

    @property
    def count(self) -> int:
        """The workers of a trial."""
        return self.workers_per_trial or max(1, int(self.gpus_per_trial or 0))

    @property
    def reserved(self) -> Reservation:
        """What a trial reserves."""
        cpus = self.count if self.cpus_per_trial is None else self.cpus_per_trial
        custom = (text.split("=") for text in self.resources_per_trial or ())
        further = {
            "memory": 1e9 * (self.memory_per_trial or 0),
            **{name: float(amount) for name, amount in custom},
        }
        return Reservation("a trial", "--{}-per-trial", self.count, cpus, self._gpus, further)

    @property
    def group(self) -> Workers:
        """The workers of a trial, with what each of them reserves."""
        return self.reserved.workers

    @property
    def _gpus(self) -> float:
        """GPUs of a trial, or the least with `auto`."""
        if self.trials_per_gpu is not None:
            most = MOST_PER_GPU if self.trials_per_gpu == AUTO else int(self.trials_per_gpu)
            return share_of_each(most)
        return self.gpus_per_trial or 0

    @property
    def here(self) -> bool:
        return self.address is None and self.measure_on is None

    def on(self, device: str | None) -> RayTune:
        picked = check_for_ray(device, elsewhere=not starts_here(self.address))
        check_address(self.address)
        if self.trials_per_gpu is not None:
            if picked.type != "cuda":
                raise InputError(
                    f"--trials-per-gpu {self.trials_per_gpu}: the trials run on the CPU, of which "
                    "--cpus-per-trial sets what each gets; leave it out"
                )
            return self
        if self.gpus_per_trial is not None:
            return self
        return replace(self, gpus_per_trial=float(self.count * (picked.type == "cuda")))

    @contextlib.contextmanager
    def ready(self, figures: Sequence[FigureName], trial_timeout: float | None) -> Iterator[None]:
        with connected(self.address):
            self.check(figures)
            yield

    def alone(self, work: Work, task: str, study: Study, data: TrialData) -> str:
        """In a process of Ray, with all the CPUs of one node that trials could have, and a GPU if
        trials have any."""
        group, own = self.group, {"CPU", "GPU", "memory"}
        each, most = group.each, max(map(group.on_node, nodes_of_cluster()))
        asked = _alone.options(
            num_cpus=each["CPU"] * most,
            num_gpus=1 if "GPU" in each else 0,
            resources={name: amount for name, amount in each.items() if name not in own},
        )
        load = teachers_in(study.settings.teachers)
        teachers = {name: PackedDetector.of(load(name)) for name in study.settings.teachers}
        stages = portable(study.stages)
        return result_of(asked.remote(work, load_plugins(), task, data, stages, teachers))

    def run(self, study: Study, data: TrialData, say: Say = lambda words: None) -> None:
        study.workers = self.workers()
        with logged_to(study.folder / RAY_LOG), Answers.passed_on() as answers:
            searcher = StudySearcher(study, answers, self._most())
            guard = HangGuard(searcher.number, searcher.limits, say)
            searcher.overruns = guard.overruns
            with guard.watching():
                _tuner(study, data, self, searcher, guard).fit()
        unfinished = any(record.state == "running" for record in study.records)
        if unfinished and not study.stopped_by:
            raise KeyboardInterrupt

    def bundle_of(self) -> Callable[[dict[str, Any]], tune.PlacementGroupFactory]:
        """A function from Tune's configuration of a trial to what the trial reserves."""
        memory = gpu_memory() if self.trials_per_gpu == AUTO else None

        def bundle(given: dict[str, Any]) -> tune.PlacementGroupFactory:
            needs = dict(self.group.each) if self.count == 1 else NEXT_TO_NOTHING
            if memory is not None:
                folders = tuple(given["detectors"].items())
                needs = needs | {"GPU": share_for_text(given["config"], memory, folders)}
            return tune.PlacementGroupFactory([needs])

        return bundle

    def cores(self) -> float | None:
        return self.group.each["CPU"]

    def places(self) -> int:
        have = of_this_machine()
        needed = {name: have.get(name, amount) for name, amount in self.group.each.items()}
        return max(1, self._at_once(self.group.on_node(needed)))

    def workers(self) -> int:
        """The number of trials that run at once in the cluster."""
        return self._at_once(self.group.room(nodes_of_cluster()))

    def _at_once(self, workers: int) -> int:
        """The number of trials with so many workers, as far as they may run at once."""
        trials = workers // self.count
        return trials if self.max_concurrent is None else min(trials, self.max_concurrent)

    def _most(self) -> int | None:
        """The most trials that Tune may begin; None for as many as it finds room for."""
        # Ray Train finds room for workers, and without a limit, all trials would wait for it.
        return self.max_concurrent if self.count == 1 else self.workers()

    def check(self, figures: Sequence[FigureName]) -> None:
        """Raise ValueError if no node can run a trial, or measure the figures."""
        self.reserved.check(nodes_of_cluster())
        if self.measure_on:
            check_target(self.measure_on, figures)


@ray.remote(max_retries=0)
def _alone(
    work: Work,
    plugins: tuple[str, ...],
    task: str,
    data: TrialData,
    stages: str,
    teachers: Mapping[str, PackedDetector],
) -> str:
    load_plugins(arrived(plugins))
    return work(task, data.here(), here(stages), lambda name: teachers[name].unpack())


def _tuner(
    study: Study,
    data: TrialData,
    driver: RayTune,
    searcher: StudySearcher,
    guard: HangGuard,
) -> tune.Tuner:
    target, speeds = driver.measure_on, portable(study.stages / SPEEDS)
    meter = TargetMeter.on(target, data, speeds) if target else None
    load = teachers_in(study.settings.teachers)
    teachers = {name: PackedDetector.of(load(name)) for name in named_detectors(study.space)}
    alone = driver.count == 1
    # Parameters are put into Ray's object store once; workers of a node share the arrays.
    trainable = tune.with_resources(
        tune.with_parameters(
            run_on_worker if alone else run_group,
            **({} if alone else {"workers": driver.group}),
            answers=searcher.answers,
            data=data,
            teachers=teachers,
            device=study.settings.resources.device,
            meter=meter,
            weights=study.settings.start.weights,
            plugins=load_plugins(),
            capped=driver.trials_per_gpu is not None,
        ),
        driver.bundle_of(),
    )
    vars(trainable)["__mixins__"] = (EndsWithCheckpoint,)
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=-1,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            storage_path=str(study.folder.resolve()),
            name=RAY,
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            callbacks=[JsonLoggerCallback(), guard],
            verbose=0,
        ),
    )
