"""What a command is given and cannot use is one sentence, before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from searchspace import TrialConfig
from tests.launch.conftest import Run


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "gpu", "meta", "cpu:x", "mps", ""])
def test_a_device_that_is_not_there_is_one_sentence(
    device: str, run: Run, shapes_folder: Path, tmp_path: Path, tiny: TrialConfig
) -> None:
    if device.startswith("cuda") and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    file = tmp_path / "trial.json"
    file.write_text(tiny.model_dump_json())
    commands = [
        ("trial", file, "--data", shapes_folder, "--out", tmp_path / "t"),
        ("search", "--data", shapes_folder, "--driver", "local", "--out", tmp_path / "s"),
        ("search", "--data", shapes_folder, "--out", tmp_path / "s"),
        ("fps", file),
    ]
    for command in commands:
        status, text = run(*command, "--device", device)
        assert status in (1, 2)
        assert "device" in text
        assert "Traceback" not in text
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("place", ["a file", "below a file", "too long a name", "read-only"])
def test_places_that_cannot_be_written_are_one_sentence(
    place: str, run: Run, shapes_folder: Path, tmp_path: Path, tiny: TrialConfig, space_file: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    out = {
        "a file": file,
        "below a file": file / "r",
        "too long a name": tmp_path / ("x" * 300),
        "read-only": Path("/proc/r"),
    }[place]
    config = tmp_path / "trial.json"
    config.write_text(tiny.model_dump_json())
    local = ("--driver", "local", "--device", "cpu", "--space", space_file)
    commands = [
        ("trial", config, "--data", shapes_folder, "--device", "cpu", "--out", out),
        ("search", "--data", shapes_folder, *local, "--out", out),
        ("data", "shapes", out),
        # A picture, which may replace a file but no folder.
        ("data", "preview", "--data", shapes_folder, "--out", tmp_path if out == file else out),
    ]
    for command in commands:
        status, text = run(*command)
        assert status == 2, command  # as it is an argument that is wrong
        assert "Traceback" not in text
        # Of a folder that cannot be made, the system may name a part.
        assert str(command[-1])[:6] in text
        assert len(text.strip().splitlines()) <= 3, text
    assert file.read_text() == "in the way"


@pytest.mark.parametrize(
    "option", [("--address", "auto"), ("--cpus-per-trial", 2), ("--gpus-per-trial", 1)]
)
def test_the_local_driver_rejects_options_of_ray(
    option: tuple[str, object], run: Run, shapes_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "s"
    status, text = run(
        "search", "--data", shapes_folder, "--driver", "local", "--out", out, *option
    )
    assert status == 2
    assert "only the driver ray has this option" in text
    assert not out.exists()
