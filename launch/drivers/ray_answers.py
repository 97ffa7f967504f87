"""The driver's answers to its trials, which wait for them in other processes, on any node."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

MOST_WAITING = 100_000
"""Trials that may wait at once."""


@dataclass(frozen=True)
class Answers:
    """A handle of the actor that passes answers on, for the driver and for all trials.

    Nothing is kept: a search that is started again has a new actor, and its trials ask again.
    """

    actor: Any

    @classmethod
    @contextmanager
    def passed_on(cls) -> Iterator[Answers]:
        """The actor, on this node and with this process; it ends with the context."""
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        # Ray's types of actors do not know `options`.
        actor: Any = _Answers
        handle = actor.options(scheduling_strategy=here, max_concurrency=MOST_WAITING).remote()
        try:
            yield cls(handle)
        finally:
            ray.kill(handle)

    def give(self, question: str, answer: str) -> None:
        """Answer a question, by its unique name."""
        self.actor.give.remote(question, answer)

    def take(self, question: str) -> str:
        """The answer to a question, as soon as it is given."""
        return ray.get(self.actor.take.remote(question))


@ray.remote(num_cpus=0)
class _Answers:
    def __init__(self) -> None:
        self._given: defaultdict[str, asyncio.Future[str]] = defaultdict(asyncio.Future)

    async def give(self, question: str, answer: str) -> None:
        self._given[question].set_result(answer)

    async def take(self, question: str) -> str:
        try:
            return await self._given[question]
        finally:
            del self._given[question]
