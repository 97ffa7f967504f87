"""A study in a PostgreSQL database that several drivers share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from launch.study.settings import StudySettings
from tests.launch.study.sharing import settings_of
from tests.postgres import server


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    with server() as found:
        yield found


@pytest.fixture
def settings(address: str, request: pytest.FixtureRequest) -> StudySettings:
    return settings_of(address, request.node.name)
