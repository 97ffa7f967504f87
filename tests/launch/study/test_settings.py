"""The settings of a study as its folder keeps them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from launch.files import FORMAT, SETTINGS
from launch.study.settings import StudyError, read_settings
from searchspace import Space
from tests.launch.made_up import settings_for


@pytest.mark.parametrize(("format", "words"), [(None, "without a format"), (99, "of format 99")])
def test_a_study_of_another_format_is_refused_by_name(
    format: int | None, words: str, space: Space, tmp_path: Path
) -> None:
    file = tmp_path / SETTINGS
    file.write_text(settings_for(space, trials=1).model_dump_json())
    assert read_settings(tmp_path).format == FORMAT
    tree = json.loads(file.read_text())
    file.write_text(json.dumps({**tree, "format": format, "unknown": 1}))
    with pytest.raises(StudyError, match=rf"study\.json: a study {words}.*format {FORMAT}: go"):
        read_settings(tmp_path)
