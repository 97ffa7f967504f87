"""`Cost`: what a detector costs, and what that figure rests on."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from detectors.timing.energy import Energy
from detectors.timing.memory import Memory
from detectors.timing.paired import Timing
from detectors.timing.state import Circumstances


class Cost(BaseModel):
    """What a detector costs.

    What is timed goes from image tensor to boxes, NMS included, in turns with the reference network
    (`detectors.timing.reference`). `fps` and `latency_ms` are normalised: the ratio of the two
    latencies times the nominal latency of the reference on this kind of hardware, so a machine that
    drifts, or another one of its kind, gives the same figures. Raw figures are in `timing`.

    Attributes:
        fps: images a second.
        latency_ms: of a batch, in milliseconds.
        spread: (slowest - fastest) / fastest of the passes' raw medians.
        params, macs: see `detectors.describe`.
        device, threads: what it was measured on; threads are None on a GPU.
        fps_low, fps_high: 95 % interval of `fps`; None where the passes are too few.
        raw_fps: images a second by the median of all calls, as the machine was.
        network_fps: normalised images a second of the network alone, as papers often give them.
        nominal_ms: the reference's nominal latency that `fps` rests on.
        trusted, doubt: whether the machine was quiet enough to tell, and why not.
        runtime, precision, batch, input_size, candidates: what was measured; the size is height and
            width in pixels.
        memory: the most that a call takes.
        energy: what a call draws, where that can be read.
    """

    model_config = ConfigDict(frozen=True)

    fps: float
    latency_ms: float
    spread: float
    params: int
    macs: int
    device: str
    threads: int | None
    fps_low: float | None = None
    fps_high: float | None = None
    raw_fps: float | None = None
    network_fps: float | None = None
    nominal_ms: float | None = None
    trusted: bool = False
    doubt: str | None = "measured before measurements were judged"
    runtime: str = "eager"
    precision: str = "float32"
    batch: int = 1
    input_size: tuple[int, int] | None = None
    candidates: int | None = None
    memory: Memory | None = None
    energy: Energy | None = None
    timing: Timing | None = None
    circumstances: Circumstances | None = None

    @property
    def latency_p99(self) -> float | None:
        """99 % of the calls take no longer, in milliseconds, normalised as `latency_ms` is."""
        if self.timing is None:
            return None
        latency = self.timing.whole.latency
        return self.latency_ms * latency.p99 / latency.p50

    @property
    def memory_mb(self) -> float | None:
        """The most that a call takes, in 10^6 bytes; see `Memory` for what was counted."""
        return self.memory and self.memory.megabytes

    @property
    def energy_mj(self) -> float | None:
        """What an image draws, in millijoules; see `Energy` for what was counted."""
        read = self.energy and self.energy.millijoules
        return read and read / self.batch
