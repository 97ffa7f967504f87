"""Processes for tests of locks and of files that several processes share.

`process` makes forks of a clean server. A fork of the test runner itself inherits its connection to
the runner's parent, and could close it.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess

FORK = multiprocessing.get_context("fork")
"""Forks of the test runner itself, which need not import everything again."""

CLEAN = multiprocessing.get_context("forkserver")
CLEAN.set_forkserver_preload(["detectors.data.node_cache", "detectors.timing.store"])


def process(target: Callable[..., None], *arguments: object) -> BaseProcess:
    """A process, not started yet, with this one's environment, hence its folders of the node.

    Args:
        target: a function of a module, as it goes by its name.
    """
    shared = (dict(os.environ), target, arguments)
    return CLEAN.Process(target=_run, args=shared, daemon=True)


def _run(
    environment: Mapping[str, str], target: Callable[..., None], arguments: tuple[object, ...]
) -> None:
    os.environ.update(environment)
    target(*arguments)
