"""A real Ray of several nodes on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import ray
from ray.cluster_utils import Cluster

import launch.drivers.ray_tune  # noqa: F401 (its variables: nodes would have the lowest priority)
from launch.drivers import ray_losses
from searchspace import Space
from tests.launch.drivers.started import PATIENCE


@pytest.fixture
def two_nodes() -> Iterator[str]:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    ray.init(cluster.address, log_to_driver=False)
    try:
        yield cluster.address
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(scope="module")
def three_nodes() -> Iterator[Cluster]:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    ray.init(cluster.address, log_to_driver=False)
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture
def plain(space: Space) -> Space:
    """Trials of six epochs with two steps each, unpruned, and one more epoch."""
    return space.fix("compress.pruning.kind", "none").fix("train.epochs", 6)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials that are given notice are waited for, however busy the machine is."""
    monkeypatch.setattr(ray_losses, "GRACE", PATIENCE)
