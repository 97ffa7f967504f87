from __future__ import annotations

import logging

import pytest

ROOMS = ("searchspace", "detectors", "compress", "launch")


@pytest.fixture(autouse=True)
def own_logs(caplog: pytest.LogCaptureFixture) -> None:
    """Warnings of ours are seen, whatever a library did to the loggers that it found."""
    logging.disable(logging.NOTSET)
    caplog.set_level(logging.WARNING)
    for name, logger in logging.root.manager.loggerDict.items():
        if name.split(".")[0] in ROOMS and isinstance(logger, logging.Logger):
            logger.disabled = False
            logger.propagate = True
