"""A study at whose front somebody has looked; it takes seconds, so that all modules share it."""

from __future__ import annotations

from pathlib import Path

import pytest

from launch.trial.data import TrialData
from searchspace import Space
from tests.launch.report.never_trained import Made, made


@pytest.fixture(scope="session")
def looked(
    tmp_path_factory: pytest.TempPathFactory,
    space: Space,
    shapes_folder: Path,
    shapes: TrialData,
) -> Made:
    study = made(tmp_path_factory.mktemp("study"), space, shapes_folder, shapes)
    assert study.look() == {}
    return study
