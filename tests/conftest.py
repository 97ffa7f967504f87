from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.clock import Clock

Become = Callable[[str], Path]
ROOMS = ("searchspace", "detectors", "compress", "launch")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """The CPU, and the GPU if there is one: what runs on a GPU is run on the CPU as well."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU is usable here")
    return torch.device(request.param)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Pauses between attempts take no time."""
    clock = Clock()
    monkeypatch.setattr("detectors.patience.time", clock)
    return clock


@pytest.fixture(autouse=True)
def own_logs(caplog: pytest.LogCaptureFixture) -> None:
    """Warnings of ours are seen, whatever a library did to the loggers that it found."""
    logging.disable(logging.NOTSET)
    caplog.set_level(logging.WARNING)
    for name, logger in logging.root.manager.loggerDict.items():
        if name.split(".")[0] in ROOMS and isinstance(logger, logging.Logger):
            logger.disabled = False
            logger.propagate = True


@pytest.fixture(autouse=True)
def own_node(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks and speeds of this test and its processes alone, whatever else the machine computes."""
    folder = str(tmp_path_factory.mktemp("node"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
    monkeypatch.setenv("XDG_CACHE_HOME", folder)


@pytest.fixture
def become_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Become:
    """This process is a node of that name from then on, with a cache of its own."""

    def become(name: str) -> Path:
        cache = tmp_path / name
        cache.mkdir(exist_ok=True)
        monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
        return cache

    return become
