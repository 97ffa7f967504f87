"""The benchmark of annotations of COCO's size, with few images."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.annotations import main, measure, write


def test_a_made_up_file_is_sound(tmp_path: Path) -> None:
    assert measure(write(tmp_path / "data", 50)) == (50, 363)


def test_the_command_prints_what_it_took(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--images", "20"])
    printed = capsys.readouterr().out
    assert "MB of annotations" in printed
    assert "20 images, 145 objects: " in printed
