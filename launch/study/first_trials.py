"""The trials that a search runs before it draws any: the baseline, and some papers' systems; or
given trials, which are run alone."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

from detectors.describe import describe
from launch.decisions.budget import Means
from launch.decisions.papers_first import Candidate, has_room, in_order, published, room, time_left
from launch.records import Origin, TrialRecord
from launch.study.needs import is_ready
from searchspace import DetectorConfig, Space, TrialConfig, papers
from searchspace.given import GivenTrials

PACED = 50
"""Finished trials from which is learnt how long others take."""


class FirstTrials:
    """The baseline, then papers' systems, as many as `launch.decisions.papers_first` allows.

    Attributes:
        alone: whether nothing else is run after them.
        waiting: whether one of them cannot run before another has ended.
        origins: origin of each of them by the digest of its configuration, also of papers' systems
            for which there is no room.
    """

    alone = False
    waiting = False

    def __init__(self, space: Space, with_papers: bool) -> None:
        self._baseline = space.baseline()
        named = space.systems() if with_papers else {}
        self._names = {config: names for config, names in named.items() if config != self._baseline}
        self._digests = {config.digest(): config for config in self._names}
        self.origins: dict[str, Origin] = dict.fromkeys(self._digests, "paper")
        self._first = self._baseline.digest()
        self.origins[self._first] = "baseline"

    def next(
        self, tried: Mapping[str, TrialRecord], means: Means
    ) -> tuple[TrialConfig, Origin] | None:
        """The next of them that has not run and fits the budget; None if it is time to draw.

        Args:
            tried: the study's trials by the digest of what the space drew.
            means: of the search.
        """
        if self._first not in tried:
            return self._baseline, "baseline"
        there = (tried[digest] for digest in self._digests if digest in tried)
        run = [record for record in there if record.origin == "paper"]
        if len(run) == len(self._names) or not has_room(means.trials, means.spent, len(run)):
            return None
        left = [self._digests[digest] for digest in self._ordered if digest not in tried]
        most = _most_macs(tried.values(), run, means.seconds)
        if most is None:
            # The dearest could take most of the time, so it waits until the pace is known.
            left = sorted(left[: room(means.trials) - len(run)], key=_macs)
            most = math.inf
        return next(((config, "paper") for config in left if _macs(config) <= most), None)

    @functools.cached_property
    def _ordered(self) -> list[str]:
        """The digests of papers' systems in the order in which they run. Computed only if one may
        run: it builds each of them, without values."""
        configs, digests = list(self._names), list(self._digests)
        candidates = [
            Candidate(_macs(config), published([papers[name] for name in self._names[config]]))
            for config in configs
        ]
        return [digests[index] for index in in_order(candidates, _macs(self._baseline))]


class GivenFirst:
    """Given trials, each after those whose detectors it needs; otherwise like `FirstTrials`."""

    alone = True

    def __init__(self, space: GivenTrials) -> None:
        self._space = space
        self._configs = {config.digest(): config for config in space.configs.values()}
        self.origins: dict[str, Origin] = dict.fromkeys(self._configs, "given")
        self.waiting = False

    def next(
        self, tried: Mapping[str, TrialRecord], means: Means
    ) -> tuple[TrialConfig, Origin] | None:
        left = [config for digest, config in self._configs.items() if digest not in tried]
        ready = [config for config in left if is_ready(self._space, config, tried.values())]
        self.waiting = bool(left) and not ready
        return (ready[0], "given") if ready else None


def first_trials(space: Space, with_papers: bool) -> FirstTrials | GivenFirst:
    """The trials that a study runs first, or alone."""
    return GivenFirst(space) if isinstance(space, GivenTrials) else FirstTrials(space, with_papers)


def _most_macs(
    records: Iterable[TrialRecord], run: Sequence[TrialRecord], seconds: float | None
) -> float | None:
    """The multiply-accumulates for which a further paper's system may have time; None while that is
    not known.

    A trial is expected to take as long for each of them as the first ones that finished.

    Args:
        records, run: all trials, and papers' systems among them.
        seconds: of device time in all; None without a limit.
    """
    if seconds is None:
        return math.inf
    ended = (record for record in records if record.state == "finished")
    finished = list(itertools.islice(ended, PACED))
    if not finished:
        return None
    pace = sum(r.seconds for r in finished) / sum(_macs(r.config) for r in finished)
    taken = sum(r.seconds if r.ending else max(r.seconds, pace * _macs(r.config)) for r in run)
    return time_left(seconds, taken) / max(pace, 1e-30)


def _macs(config: TrialConfig) -> float:
    """The multiply-accumulates of a detector, less the share that its pruning is to remove,
    whatever that is a share of."""
    kept = 1 - config.compress.removal.ratio if config.compress.prunes else 1.0
    return kept * _unpruned_macs(config.detector)


@functools.cache
def _unpruned_macs(detector: DetectorConfig) -> int:
    return describe(detector).macs
