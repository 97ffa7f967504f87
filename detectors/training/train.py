"""The one training loop: training, fine-tuning and distillation differ in their terms only."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from detectors.activity import Advance, active
from detectors.data.loader import Batch, TrainingLoader
from detectors.detector import Detector
from detectors.group import ALONE, Group, Share
from detectors.training.losses import TrainingFailed
from detectors.training.notice import NOTICE
from detectors.training.run import Run, Term
from searchspace.training import TrainConfig

__all__ = ["OnEpoch", "OnSnapshot", "Snapshots", "Term", "TrainingFailed", "fit"]

OnEpoch = Callable[[int, dict[str, float]], None]
"""Called after each epoch with the number of finished epochs and the epoch's mean losses."""

OnSnapshot = Callable[[int, Detector], None]
"""Called with the number of finished epochs and a copy of the detector as it would be if training
ended now."""


class Snapshots(NamedTuple):
    """The numbers of epochs after which a training calls a function with a snapshot.

    An exception from it ends the training, which can be resumed from its checkpoint. If training
    resumes exactly at one of these epochs, the call is repeated.
    """

    after: Collection[int]
    call: OnSnapshot


def fit(
    detector: Detector,
    loader: TrainingLoader,
    config: TrainConfig,
    terms: Sequence[Term] = (),
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    progress: bool = False,
    snapshots: Snapshots | None = None,
) -> Detector:
    """Train in place, on the detector's device: linear warm-up, then `config.schedule`; weight
    decay on weights only.

    With `config.ema`, the detector ends with the average of its weights. No step waits for the
    device: losses are read every 50 steps and before anything is saved or shown.

    Where `torch.distributed` has a group, its processes train the detector together, each on its
    share of every batch: all of them call this with the same arguments. Batch norms, losses and
    steps are those of the whole batches, and start and end with the weights of the first process,
    which alone reads and writes the checkpoint and calls functions.

    Args:
        loader: gives the same batches for the same epoch, so that a resumed training equals one
            that was never interrupted.
        terms: losses in addition to the detection loss.
        progress: show a bar of each epoch on a terminal.
        checkpoint: file written after each epoch, within an epoch every minute or so (see
            `detectors.training.run.KEPT_EVERY`), and after the step in which this process, or
            another one of its group, is given notice that it has to end. If it exists, training
            resumes from it. An unreadable one is logged as a warning, and training starts over.

    Raises:
        KeyboardInterrupt: `NOTICE` was given to a process of the group while it took steps.
        TrainingFailed: a loss or a gradient is not finite.
        ValueError: the detector cannot be trained at a size of `config.multi_scale`, or a batch has
            fewer images than the group has processes.
        WorkerLost: another process of the group does not answer.
    """
    share = _divided(loader)
    if not share.group.leads:
        checkpoint, on_epoch, progress, snapshots = None, None, False, None
    if checkpoint:
        # Not later: storage that has gone meanwhile would be covered by folders of other storage.
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
    run = Run(detector, loader, config, terms, share)
    first = run.restore(checkpoint) if checkpoint and checkpoint.exists() else 0
    first = run.agree(first)
    if snapshots and first in snapshots.after:
        snapshots.call(first, run.snapshot())
    for epoch in range(first, config.epochs):
        with NOTICE.heeding():
            with active(f"epoch {epoch + 1}/{config.epochs}", len(loader), progress) as advance:
                if run.begun:
                    advance(run.begun)
                batches = _taken(loader.epoch(epoch, run.begun), advance, share.group)
                means = run.epoch(batches, epoch, checkpoint)
            if checkpoint:
                run.save(checkpoint, epoch + (means is not None))
            ends = share.group.any(NOTICE.given)
        if on_epoch and means is not None:
            on_epoch(epoch + 1, means)
        if ends or NOTICE.given:
            raise KeyboardInterrupt
        if snapshots and epoch + 1 in snapshots.after:
            snapshots.call(epoch + 1, run.snapshot())
    if first < config.epochs:
        run.network.end()
    if run.average:
        detector.load_state_dict(run.average.module.state_dict())
    return detector.eval()


def _divided(loader: TrainingLoader) -> Share:
    """This process's share of every batch, of which the loader gives no more from now on."""
    group = Group.current()
    if group.size == 1:
        return ALONE
    share = Share(group, loader.batch_size)
    loader.divide(share)
    return share


def _taken(batches: Iterator[Batch], advance: Advance, group: Group) -> Iterator[Batch]:
    """Batches, each of which is counted once its step was given to the device; no more of them, on
    any worker, once one of the group was given notice."""
    while True:
        batch = _next(batches)
        # All workers take the same steps, so that they ask each other before each.
        if group.any(NOTICE.given) or batch is None:
            return
        yield batch
        advance(1)


def _next(batches: Iterator[Batch]) -> Batch | None:
    try:
        return next(batches, None)
    except RuntimeError:
        # Who ends all processes of a machine has ended those that prepare batches, too.
        if NOTICE.given:
            return None
        raise
