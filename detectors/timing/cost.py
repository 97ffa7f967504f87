"""`Cost`: size, speed, memory and energy of a detector, and how they were measured."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict

from detectors.timing.energy import Energy
from detectors.timing.memory import Memory
from detectors.timing.paired import Timing
from detectors.timing.state import Circumstances


class Cost(BaseModel):
    """Size, speed, memory and energy of a detector, and how they were measured.

    Times are from image tensor to boxes, NMS included, in turns with the reference network
    (`detectors.timing.reference`). `fps` and `latency_ms` are normalised: the ratio of the two
    latencies times the nominal latency of the reference on this kind of hardware, so that a
    drifting machine, or another one of the same kind, gives the same figures. Raw figures are in
    `timing`.

    Attributes:
        fps: images per second.
        latency_ms: latency of a batch in milliseconds.
        spread: (slowest - fastest) / fastest of the passes' raw medians.
        params, macs: see `detectors.describe`.
        device, threads: where it was measured; threads are None on a GPU.
        fps_low, fps_high: 95 % interval of `fps`; None if there were too few passes.
        raw_fps: images per second by the median of all calls, not normalised.
        network_fps: normalised images per second of the network alone, as often given in papers.
        nominal_ms: the reference's nominal latency that `fps` is normalised with.
        trusted, doubt: whether the machine was quiet enough, and if not, why.
        runtime, precision, batch, input_size, candidates: the measured form; the size is (height,
            width) in pixels.
        image_size, inputs: of images that are cut into tiles, the size that was timed (height,
            width), in pixels, and the mean number of inputs of such an image; `macs` are those of
            all of them.
        memory: peak memory of a call.
        energy: energy of a call, if it can be read.
        own: figures that modules of users compute, by name.
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
    image_size: tuple[int, int] | None = None
    inputs: float = 1
    memory: Memory | None = None
    energy: Energy | None = None
    timing: Timing | None = None
    circumstances: Circumstances | None = None
    own: dict[str, float | None] = {}

    @property
    def width(self) -> float:
        """Relative width of the interval of `fps`; infinite if there is none."""
        width = None if self.timing is None else self.timing.whole.width
        return math.inf if width is None else width

    @property
    def latency_p99(self) -> float | None:
        """99th percentile of the latency in milliseconds, normalised as `latency_ms` is."""
        if self.timing is None:
            return None
        latency = self.timing.whole.latency
        return self.latency_ms * latency.p99 / latency.p50

    @property
    def memory_mb(self) -> float | None:
        """Peak memory of a call in 10^6 bytes; `Memory.how` says what was counted."""
        return None if self.memory is None else self.memory.megabytes

    @property
    def energy_mj(self) -> float | None:
        """Energy per image in millijoules; `Energy.how` says what was counted."""
        read = None if self.energy is None else self.energy.millijoules
        return None if read is None else read / self.batch
