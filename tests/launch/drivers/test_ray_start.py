"""The Ray that a search starts for itself, and what a search that cannot start leaves: nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import ray
from ray._private.services import psutil
from ray.cluster_utils import Cluster

from launch.drivers import ray_start
from launch.drivers.ray_address import Found, RayAddressError
from launch.drivers.ray_start import MARK, SOCKET_LENGTH, RayStartError, connected, own_folder
from launch.drivers.ray_tune import RayTune
from launch.searches import resume, search
from launch.study.opening import open_study
from launch.study.settings import StudyError
from searchspace import Space
from tests.launch.made_up import settings_for

LONGEST_SOCKET = "session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"


def test_a_folder_too_deep_for_sockets_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("slurm_jobdir_" * 7)
    deep.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(deep))
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    folder = own_folder()
    try:
        assert len(os.fsencode(folder / LONGEST_SOCKET)) <= SOCKET_LENGTH
        assert folder.stat().st_mode & 0o777 == 0o700
    finally:
        folder.rmdir()


def test_no_folder_for_sockets_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", full)
    with pytest.raises(RayStartError, match=r"Ray needs a folder .* /tmp.* RAY_TMPDIR"):
        own_folder()


@pytest.mark.parametrize(
    ("cpus", "gpus", "option"),
    [
        (1.5, 0, "--cpus-per-trial 1.5"),
        (0.5, 0, "--cpus-per-trial 0.5"),
        (float("inf"), 0, "--cpus-per-trial inf"),
        (float("nan"), 0, "--cpus-per-trial nan"),
        (1, 1.5, "--gpus-per-trial 1.5"),
        (1, -1, "--gpus-per-trial -1"),
    ],
)
def test_amounts_that_ray_does_not_give_out_are_refused(
    cpus: float, gpus: float, option: str
) -> None:
    with pytest.raises(ValueError, match=f"{option}: Ray only supports"):
        RayTune(cpus, gpus)


def test_a_trial_fits_on_one_node() -> None:
    node = {"CPU": 8.0, "GPU": 2.0}
    assert RayTune(1).group.on_node(node) == 8
    assert RayTune(3).group.on_node(node) == 2
    assert RayTune(1, 0.5).group.on_node(node) == 4
    assert RayTune(1, 1).group.on_node({"CPU": 8.0}) == 0


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"address": "127.0.0.1:1"}, RayAddressError, "--address 127.0.0.1:1: no Ray"),
        ({"address": "head"}, RayAddressError, "--address head: not HOST:PORT"),
        ({"cpus_per_trial": 1.5}, ValueError, "--cpus-per-trial 1.5"),
        ({"device": "cuda:99"}, ValueError, "device cuda:99: Ray assigns"),
        ({"device": "cuda:99", "driver": "local"}, ValueError, "device cuda:99: .* give cpu"),
        ({"device": "quantum"}, ValueError, "device quantum: unknown"),
        ({"device": "meta", "driver": "local"}, ValueError, "device meta: unknown"),
        ({"device": ""}, ValueError, "device: it is empty"),
        ({"seed": 2**32, "driver": "local"}, ValueError, "seed"),
        ({"seed": -1, "driver": "local"}, ValueError, "seed"),
    ],
)
def test_a_search_that_cannot_start_leaves_nothing(
    space: Space,
    shapes_folder: Path,
    tmp_path: Path,
    wrong: dict[str, object],
    error: type[ValueError],
    words: str,
) -> None:
    out = tmp_path / "new" / "study"
    with pytest.raises(error, match=words):
        search(space, shapes_folder, out, trials=1, **wrong)
    assert not out.parent.exists()


def test_the_largest_seed_is_drawn_with(space: Space, tmp_path: Path) -> None:
    with open_study(tmp_path / "study", settings_for(space, trials=3, seed=2**32 - 1)) as study:
        assert [study.propose().number for _ in range(3)] == [0, 1, 2]


def test_a_resume_that_cannot_start_leaves_the_study_as_it_was(
    space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    search(space, shapes_folder, out, trials=1, driver="local", device="cpu")
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    with pytest.raises(RayAddressError, match=r"--address 127\.0\.0\.1:1: no Ray"):
        resume(out, trials=9, address="127.0.0.1:1")
    with pytest.raises(StudyError, match="holds a study"):
        search(space, shapes_folder, out, trials=1, address="127.0.0.1:1")
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before


def marked() -> list[psutil.Process]:
    """The processes of Rays that searches started for themselves."""
    found = []
    for process in psutil.process_iter():
        try:
            if MARK in process.environ():
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_our_own_ray_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    deep = tmp_path / ("slurm_jobdir_" * 7)
    deep.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TMPDIR", str(deep))
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with connected(None):
        (node,) = ray.nodes()
        assert ray.get(ray.remote(lambda: os.getpid()).remote()) in {p.pid for p in marked()}
        assert node["NodeManagerAddress"] == "127.0.0.1"
        assert Found.here().running == frozenset()
        listening = [
            connection.laddr.ip
            for process in [psutil.Process(), *marked()]
            for connection in process.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert listening
        assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}
        (folder,) = {process.environ()[MARK] for process in marked()}
        address = ray.get_runtime_context().gcs_address
        asked = f"import ray._raylet as r; r.GcsClient(address={address!r})"
        asked += ".internal_kv_keys(b'', None, timeout=30)"
        strangers = {n: v for n, v in os.environ.items() if not n.startswith("RAY_AUTH")}
        for environment, status in ((os.environ, 0), (strangers, 1)):
            command = [sys.executable, "-c", asked]
            answered = subprocess.run(command, env=environment, capture_output=True, text=True)
            assert answered.returncode == status, answered.stderr
        assert "InvalidAuthToken" in answered.stderr
    assert marked() == []
    assert not Path(folder).exists()
    assert list(home.iterdir()) == []
    assert not ray_start.ray.is_initialized()


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_what_the_ray_of_a_search_cannot_hold_leaves_nothing(
    space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    with pytest.raises(ValueError, match="a trial needs 999 CPUs, and no node"):
        search(space, shapes_folder, out, trials=1, cpus_per_trial=999, device="cpu")
    with pytest.raises(ValueError, match="no node has the resource 'jetson'"):
        search(space, shapes_folder, out, trials=1, measure_on="jetson", device="cpu")
    assert not out.exists()
    assert marked() == []


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
@pytest.mark.parametrize("auto", [True, False])
def test_a_running_cluster_is_joined_and_left_running(auto: bool) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        for _ in range(2):
            with connected("auto" if auto else cluster.address):
                assert ray.get_runtime_context().gcs_address == cluster.address
                assert RayTune(1).workers() == 1
                place = ray.get(ray.remote(lambda: __import__("launch").__file__).remote())
                assert "working_dir_files" in place  # the code travelled
            assert not ray.is_initialized()
    finally:
        cluster.shutdown()
