"""The recorded benchmark: the result of every design in a small space, each trained once."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pyarrow as pa
import pyarrow.parquet as pq
from optuna.trial import FixedTrial
from pydantic import BaseModel, ConfigDict

from detectors.evaluate import Metrics
from launch.figures import DEFAULT, heights
from launch.pareto import front, hypervolume
from launch.trial.result import TrialResult
from searchspace import Space, TrialConfig, load_space

HERE = Path(__file__).parent
SPACE = HERE / "grid.toml"
RECORDED = HERE / "recorded.parquet"

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Seconds(BaseModel):
    """Durations of the stages of a design, in seconds of one core.

    Attributes:
        predict: measuring the design before training.
        train: training the dense detector, without scoring snapshots.
        snapshot: scoring one snapshot.
        compress: pruning and fine-tuning; 0 without pruning.
        score: evaluating and measuring its detectors.
    """

    model_config = ConfigDict(frozen=True)

    predict: float
    train: float
    snapshot: float
    compress: float
    score: float


class Design(BaseModel):
    """One design of the space with its recorded result.

    Attributes:
        params: the parameters that draw it from the space.
        parent: name of the training of its dense detector, which designs may share.
        curve: AP_small of the dense detector after each epoch.
        result: the trial's result, without its timings.
    """

    model_config = ConfigDict(frozen=True)

    params: dict[str, bool | int | float | str | None]
    parent: str
    curve: tuple[float, ...]
    seconds: Seconds
    result: TrialResult

    @property
    def key(self) -> str:
        """A key that is unique in its table."""
        return json.dumps(self.params, sort_keys=True)

    @property
    def ap_small(self) -> float:
        return self.result.figure("ap_small")

    @property
    def fps(self) -> float:
        return self.result.figure("fps")

    def metrics_at(self, epochs: int) -> Metrics:
        """The metrics of a snapshot of the dense detector; only AP_small is the snapshot's."""
        known = self.result.dense.metrics
        return known.model_copy(update={"ap_small": self.curve[epochs - 1]})

    @property
    def point(self) -> tuple[float, ...]:
        """The objectives of a search: AP_small, and the logarithm of FPS."""
        return heights(DEFAULT, (self.ap_small, self.fps))


class Table:
    """All designs of a space, by configuration."""

    def __init__(self, space: Space, designs: Iterable[Design]) -> None:
        self.space = space
        self.designs = tuple(designs)
        self._by_digest = {self.config(d).digest(): d for d in self.designs}
        self._floor = heights(DEFAULT, (0.0, min(d.fps for d in self.designs)))
        self._whole = hypervolume([d.point for d in self.designs], self._floor)

    @classmethod
    def read(cls, file: Path = RECORDED, space: Space | None = None) -> Table:
        """Read a table from a file; by default the one in the repository."""
        return cls(space or load_space(SPACE), map(_from_row, pq.read_table(file).to_pylist()))

    def config(self, design: Design) -> TrialConfig:
        return self.space.suggest(FixedTrial(design.params))

    def find(self, config: TrialConfig) -> Design:
        """The design of a configuration; raises KeyError if it was not recorded."""
        return self._by_digest[config.digest()]

    def hypervolume(self, designs: Iterable[Design]) -> float:
        """Hypervolume of some designs, as a share of that of all; the reference point is AP_small 0
        at the slowest one's FPS."""
        return hypervolume([d.point for d in designs], self._floor) / self._whole

    def optimal(self) -> tuple[Design, ...]:
        """The front of all designs."""
        return tuple(self.designs[k] for k in front([d.point for d in self.designs]))


def write(designs: Iterable[Design], file: Path = RECORDED) -> None:
    """Write designs as a Parquet file, with the two objectives as separate columns."""
    pq.write_table(pa.Table.from_pylist([_to_row(d) for d in designs]), file, compression="zstd")


def every(space: Space) -> Iterator[TrialConfig]:
    """Every configuration of a space whose domains are all finite, each once."""
    drawn: dict[str, TrialConfig] = {}

    def draw(trial: optuna.Trial) -> float:
        config = space.suggest(trial)
        drawn[config.digest()] = config
        return 0.0

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(sampler=optuna.samplers.BruteForceSampler(seed=0))
    study.optimize(draw)
    yield from drawn.values()


def _to_row(design: Design) -> dict[str, Any]:
    row = design.model_dump(mode="json", exclude={"result", "seconds"})
    seconds = {f"{name}_seconds": value for name, value in design.seconds.model_dump().items()}
    return {
        **row,
        "params": json.dumps(design.params),
        "ap_small": design.ap_small,
        "fps": design.fps,
        **seconds,
        "result": design.result.model_dump_json(),
    }


def _from_row(row: dict[str, Any]) -> Design:
    return Design(
        params=json.loads(row["params"]),
        parent=row["parent"],
        curve=row["curve"],
        seconds=Seconds(**{name: row[f"{name}_seconds"] for name in Seconds.model_fields}),
        result=TrialResult(**{"trained": row["parent"], **json.loads(row["result"])}),
    )
