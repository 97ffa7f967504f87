"""Searches on a real Ray that measure on nodes of another kind than those that train."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
import torch
from ray.cluster_utils import Cluster

from detectors.timing.energy import energy_readable
from launch.searches import search
from launch.study.opening import read_records
from searchspace import Space

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]


@pytest.fixture
def trainer_and_target(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Folders of a node that trains, and of one that has no CPU for it: the target."""
    folders = tmp_path / "trainer", tmp_path / "target"
    for folder in folders:
        folder.mkdir()
    trainer, target = (
        {"XDG_RUNTIME_DIR": str(folder), "XDG_CACHE_HOME": str(folder)} for folder in folders
    )
    head = {"num_cpus": 1, "env_vars": trainer}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(num_cpus=0, resources={"target": 1}, env_vars=target)
    ray.init(cluster.address, log_to_driver=False)
    try:
        yield folders
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_detectors_are_measured_on_the_target_wherever_they_were_trained(
    trainer_and_target: tuple[Path, Path], space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    study = tmp_path / "study"
    search(space, shapes_folder, study, trials=2, device="cpu", measure_on="target")
    records = read_records(study)
    assert [r.state for r in records] == ["finished"] * 2
    assert all(r.result.predicted.fps > 0 for r in records)
    trainer, target = ({p.name for p in f.glob("sparrow*")} for f in trainer_and_target)
    # Whoever trains takes the locks of its node, whoever measures notes its reference there, too.
    assert trainer == {"sparrow"}
    assert target == {"sparrow", f"sparrow-{platform.node()}"}


def test_errors_on_the_target_are_raised_here(
    trainer_and_target: tuple[Path, Path], space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    study, missing = tmp_path / "study", space.fix("measure.runtime", "cudagraphs")
    search(missing, shapes_folder, study, trials=1, device="cpu", measure_on="target")
    (record,) = read_records(study)
    assert record.state == "failed"
    assert record.reason == "cudagraphs float32: CUDA graphs need a CUDA device"
    assert not (study / record.folder / "dense").exists()


@pytest.mark.usefixtures("two_nodes")
def test_a_target_that_no_node_has_is_refused_before_anything_is_trained(
    space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="no node has the resource 'jetson' to measure on"):
        search(space, shapes_folder, tmp_path / "study", trials=1, measure_on="jetson")
    assert not (tmp_path / "study").exists()


@pytest.mark.skipif(energy_readable(torch.device("cpu")), reason="this machine's energy is read")
def test_a_target_that_cannot_read_what_is_asked_for_is_refused(
    trainer_and_target: tuple[Path, Path], space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    aims = ("ap_small", "energy_mj")
    with pytest.raises(ValueError, match="energy_mj on nodes with 'target': "):
        search(space, shapes_folder, tmp_path / "study", measure_on="target", objectives=aims)
    assert not (tmp_path / "study").exists()
