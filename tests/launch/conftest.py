"""A tiny data set and a tiny trial, for tests that run the real thing in seconds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from detectors.data.readers import DataSource
from detectors.data.shapes import ShapesConfig, generate_shapes
from detectors.quiet import threads
from launch.cli import main as cli
from launch.cli import terminal
from launch.trial.data import TrialData
from launch.trial.remote_study import RemoteStudy
from searchspace import CompressConfig, Space, TrialConfig, load_space
from tests.conftest import Become

Run = Callable[..., tuple[int, str]]
Node = Callable[[str], RemoteStudy]

TINY_SPACE = """
[detector]
input_size = { choice = [64, 96] }
num_classes = 4
width = 0.25
[detector.backbone.mobilenet_v1]
eliminated_strides = { choice = [[], [6]] }
[detector.head.multibox.priors.scaled]
cells = { choice = [2.0, 2.8] }
[train]
epochs = 1
batch_size = 8
optimizer = "adamw"
[train.copy_paste]
copies = { choice = [0, 1] }
[train.small_objects]
weight = 1.0
[compress.pruning.slimming]
finetune_epochs = 1
ratio = { choice = [0.3, 0.5] }
sparsity = 1e-4
[compress.pruning.slimming.distillation]
kind = "none"
[measure]
runtime = "eager"
runs = 5
passes = 1
"""


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small only lose by a second thread, and by far on a busy machine."""
    with threads(1):
        yield


@pytest.fixture(scope="session")
def shapes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "shapes"
    return generate_shapes(folder, ShapesConfig(train_images=16, val_images=8, size=128))


@pytest.fixture(scope="session")
def shapes(shapes_folder: Path) -> TrialData:
    return TrialData.read(DataSource.from_folder(shapes_folder))


@pytest.fixture(scope="session")
def space_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("space") / "tiny.toml"
    file.write_text(TINY_SPACE)
    return file


@pytest.fixture(scope="session")
def space(space_file: Path) -> Space:
    return load_space(space_file)


@pytest.fixture
def tiny(space: Space) -> TrialConfig:
    """The smallest trial: 64 pixels, one epoch, unpruned and not trained on."""
    baseline = space.baseline()
    detector = baseline.detector.model_copy(update={"input_size": 64})
    return baseline.changed(detector=detector, compress=CompressConfig())


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `sparrow ARGUMENTS`; gives the exit status and all that was printed."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(terminal.console, "width", 200)

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["sparrow", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out + captured.err

    return run


@pytest.fixture(autouse=True, scope="session")
def impatient() -> Iterator[None]:
    """No long warm-up where the machine is busy and latencies do not settle."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("detectors.timing.turns.MOST_CALLS", 11)
        yield


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB, of which 56 KiB are free."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        (folder / "ballast").write_bytes(bytes(4 * 2**20 - 56 * 1024))
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "bucket" / "study"


@pytest.fixture
def node(place: Path, become_node: Become) -> Node:
    """The study at an address as a node of that name has it, which this process is from then on."""

    def become(name: str) -> RemoteStudy:
        become_node(name)
        return RemoteStudy.at(f"file://{place}")

    return become
