"""The files for clusters, as far as they can be checked without one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.kuberay import autoscaling_config
from ray.autoscaler._private.util import prepare_config, validate_config

from launch.drivers.ray_tune import RayTune

ROOT = Path(__file__).parents[2]
FILES = ROOT / "launch/cluster"
SLURM = FILES / "slurm.sh"


def documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((FILES / name).read_text()))


def test_every_file_is_in_the_guide() -> None:
    guide = (ROOT / "docs/cluster.md").read_text()
    names = {file.name for file in FILES.iterdir()}
    assert names == {"Dockerfile", "aws.yaml", "gcp.yaml", "raycluster.yaml", "rayjob.yaml",
                     "slurm.sh"}  # fmt: skip
    assert {name for name in names if f"launch/cluster/{name}" not in guide} == set()


@pytest.mark.parametrize("cloud", ["aws", "gcp"])
def test_rays_launcher_takes_the_files_of_clouds(cloud: str) -> None:
    [config] = documents(f"{cloud}.yaml")
    config = prepare_config(config)
    validate_config(config)
    assert config["provider"]["type"] == cloud
    nodes = config["available_node_types"]
    assert nodes[config["head_node_type"]]["resources"] == {"CPU": 0}
    assert (nodes["gpu"]["min_workers"], nodes["gpu"]["max_workers"]) == (1, 8)
    assert config["max_workers"] == 8
    starts = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    for command in starts[1::2]:
        assert command.startswith("RAY_AUTH_MODE=token ray start --")
    assert "--dashboard-host=127.0.0.1" in starts[1]
    assert config["file_mounts"] == {"/home/ray/.ray/auth_token": "~/.ray/auth_token"}


def test_a_head_without_trials_leaves_them_to_workers() -> None:
    driver = RayTune(1, 1)
    assert [driver.group.on_node(have) for have in ({"CPU": 0}, {"CPU": 8, "GPU": 1})] == [0, 1]


def test_rays_autoscaler_takes_the_cluster_of_kubernetes() -> None:
    _, cluster = documents("raycluster.yaml")
    cluster["metadata"]["namespace"] = "default"
    found = autoscaling_config._derive_autoscaling_config_from_ray_cr(cluster)
    validate_config(found)
    gpu = found["available_node_types"]["gpu"]
    assert (gpu["min_workers"], gpu["max_workers"]) == (1, 8)
    assert {name: gpu["resources"][name] for name in ("CPU", "GPU")} == {"CPU": 6, "GPU": 1}
    assert found["available_node_types"]["headgroup"]["resources"]["CPU"] == 0
    assert found["idle_timeout_minutes"] == 10


def test_a_job_of_kubernetes_has_the_same_cluster_and_a_valid_command() -> None:
    claim, cluster = documents("raycluster.yaml")
    [job] = documents("rayjob.yaml")
    assert (cluster["kind"], job["kind"]) == ("RayCluster", "RayJob")
    assert {cluster["apiVersion"], job["apiVersion"]} == {"ray.io/v1"}
    spec = cluster["spec"]
    assert job["spec"]["rayClusterSpec"] == spec
    assert job["spec"]["entrypoint"].startswith("sparrow search --address auto --data /shared/")
    assert job["spec"]["shutdownAfterJobFinishes"] is True
    assert spec["authOptions"] == {"mode": "token"}
    for template in pods(spec):
        [container] = template["spec"]["containers"]
        assert container["resources"]["requests"] == container["resources"]["limits"]
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
        assert volumes["shared"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_the_version_of_ray_is_the_one_that_the_image_installs() -> None:
    _, cluster = documents("raycluster.yaml")
    pinned = re.search(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert cluster["spec"]["rayVersion"] == pinned[1]


def pods(spec: Any) -> list[Any]:
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    return [group["template"] for group in groups]


def test_pods_and_volume_are_as_kubernetes_defines_them() -> None:
    kubernetes = pytest.importorskip("kubernetes_validate")
    claim, cluster = documents("raycluster.yaml")
    whole = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}}
    for tree in (claim, *({**whole, "spec": pod["spec"]} for pod in pods(cluster["spec"]))):
        kubernetes.validate(tree, "1.33", strict=True)


def test_what_the_image_copies_is_there_and_its_extras_exist() -> None:
    lines = (FILES / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    steps = [line.split() for line in lines if line and not line.startswith("#")]
    assert {step[0] for step in steps} == {"FROM", "RUN", "WORKDIR", "COPY", "USER", "ENV", "CMD"}
    copied = [name for step in steps if step[0] == "COPY" for name in step[1:-1]]
    assert copied
    assert [name for name in copied if not (ROOT / name).exists()] == []
    [extras] = re.findall(r'"\.\[(.+)\]"', "\n".join(lines))
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras.split(",")) <= set(known)
    assert [step[1] for step in steps if step[0] == "USER"] == ["ray"]


def test_the_script_of_slurm_has_no_mistake_that_shellcheck_knows() -> None:
    command = shutil.which("shellcheck")
    if command is None:
        pytest.skip("shellcheck is not installed")
    checked = subprocess.run([command, SLURM], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


STUBS = {
    "scontrol": 'echo node1; echo node2; echo "scontrol $*" >> "$LOG"',
    "srun": """
while [[ "$1" == --* ]]; do [[ "$1" == --nodelist=* ]] && node=${1#*=}; shift; done
echo "$node: $*" >> "$LOG"
exec "$@"
""",
    "hostname": '[ -z "${LOST:-}" ] || exit 1; echo 10.0.0.1 192.168.0.1',
    "ray": """
echo "token $(stat -c %a "$RAY_AUTH_TOKEN_PATH") $(cat "$RAY_AUTH_TOKEN_PATH")" >> "$LOG"
[ "$1" = health-check ] && exit "${RAY_HEALTH:-0}"
exec sleep 60
""",
    # A search lasts at least until its workers have been started.
    "sparrow": """
for _ in {1..300}; do grep -q "^node2: ray start" "$LOG" && break; sleep 0.1; done
echo "mode $RAY_AUTH_MODE" >> "$LOG"
exit "${SPARROW_STATUS:-0}"
""",
}


@pytest.fixture
def stubs(tmp_path: Path) -> dict[str, str]:
    """The environment of a job of Slurm, whose commands are stubs that log how they are called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, body in STUBS.items():
        (folder / name).write_text(f"#!/bin/bash\n{body}\n")
        (folder / name).chmod(0o755)
    return {
        "PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(tmp_path), "LOG": f"{tmp_path}/log",
        "SLURM_JOB_ID": "41234", "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_CPUS_PER_TASK": "3",
        "SPARROW_PAUSE": "0",
    }  # fmt: skip


def slurm(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", SLURM, *arguments], env=environment, capture_output=True, text=True, timeout=60
    )


def test_slurm_starts_a_head_and_workers_and_ends_them(
    stubs: dict[str, str], tmp_path: Path
) -> None:
    ended = slurm(stubs, "--data", "/shared/my data", "--out", "/shared/out")
    assert ended.returncode == 0, ended.stderr
    start, address = "--num-cpus=3 --temp-dir=/tmp/ray-41234 --block", "10.0.0.1:21234"
    lines = (tmp_path / "log").read_text().splitlines()
    assert (
        f"node1: ray start --head --node-ip-address=10.0.0.1 --port=21234 "
        f"--include-dashboard=false {start}"
    ) in lines
    assert f"node2: ray start --address={address} {start}" in lines
    search = f"node1: sparrow search --address {address} --data /shared/my data --out /shared/out"
    assert search in lines
    assert "mode token" in lines
    tokens = {line for line in lines if line.startswith("token")}
    assert len(tokens) == 1
    assert re.fullmatch("token 600 [0-9a-f]{64}", tokens.pop())
    assert list(tmp_path.glob(".sparrow-slurm-*")) == []


@pytest.mark.parametrize(
    ("change", "arguments", "status", "words"),
    [
        ({"SPARROW_STATUS": "1"}, ("--out", "x"), 1, ""),
        ({}, (), 2, "usage: sbatch"),
        ({"LOST": "1"}, ("--out", "x"), 1, ""),
        ({"RAY_HEALTH": "1"}, ("--out", "x"), 1, "Ray's head did not start on node1"),
    ],
)
def test_slurm_ends_as_the_search_does(
    stubs: dict[str, str], tmp_path: Path, change: dict[str, str], arguments: tuple[str, ...],
    status: int, words: str,
) -> None:  # fmt: skip
    ended = slurm(stubs | change, *arguments)
    assert (ended.returncode, words in ended.stderr) == (status, True), ended.stderr
    assert list(tmp_path.glob(".sparrow-slurm-*")) == []
