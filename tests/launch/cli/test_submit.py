"""Searches as jobs on a Ray cluster."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from launch.cli.submit import _for_cluster
from launch.drivers.jobs import Job, submit
from launch.drivers.ray_start import take_token
from launch.drivers.travel import arrived, packed
from launch.study.opening import read_records
from searchspace.errors import InputError
from tests.launch.conftest import Run

PLUGIN = """
from pathlib import Path
import searchspace
with open({log!r}, "a") as log:
    print(searchspace.__file__, file=log)
"""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("trial", "mfssd"), "trial: only search and reproduce run as jobs"),
        (("search", "--data", "/data"), "--out: give an absolute path"),
        (("search", "--data", "/data", "--out", "runs/x"), "--out: give an absolute path"),
        (("search", "--data", "data", "--out", "/runs/x"), "--data: give an absolute path"),
        (("search", "--out", "/runs/x", "--trails", "3"), "No such option: --trails"),
        (("search", "--out", "/runs/x", "--trials", "no"), "--trials"),
        (("--address", "127.0.0.1:1", "search", "--out", "/runs/x"), "ray[default]"),
        (("--address", "127.0.0.1:1", "search", "--out", "s3://bucket/x"), "ray[default]"),
        (
            ("search", "--out", "s3://KEY:secret@bucket/x"),
            "s3://***@bucket/x: what is in an address",
        ),
    ],
)
def test_what_cannot_run_as_a_job_is_refused_before_it_is_submitted(
    run: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    code, text = run("submit", *arguments)
    assert code in (1, 2)
    assert words in text.replace("'", "")


def test_paths_of_a_job_are_those_of_the_cluster(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a folder over there")
    out = "/proc/runs"  # not to be written here
    images = ("--train-images", str(tmp_path / "data"))
    given = ["search", *images, "--out", out]
    assert _for_cluster(given) == ([*given, "--address", "auto"], [])


def test_code_and_plugins_travel_in_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, plugin = tmp_path / "log.txt", tmp_path / "own_plugin.py"
    plugin.write_text(PLUGIN.format(log=str(log)))
    with packed([str(plugin), "rich"]) as folder:
        names = {path.name for path in folder.iterdir()}
        assert names >= {"searchspace", "detectors", "compress", "launch", "own_plugin.py"}
        assert "rich" not in names  # it is installed
        assert not list(folder.rglob("__pycache__"))
        code = "import own_plugin; from importlib.metadata import version, files\n"
        code += "print(version('sparrow-search'))"
        bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        subprocess.run([sys.executable, "-c", code], cwd=folder, env=bare, check=True)
        assert log.read_text().strip() == str(folder / "searchspace/__init__.py")
    assert not folder.exists()
    monkeypatch.chdir(tmp_path)
    gone = "/elsewhere/own_plugin.py"
    found = arrived([str(plugin), gone, "/elsewhere/x.py", "some.module"])
    assert found == (str(plugin), "own_plugin.py", "/elsewhere/x.py", "some.module")
    other = tmp_path / "launch"
    other.mkdir()
    with pytest.raises(InputError, match="launch: another file that goes"), packed([], [other]):
        pass


def test_files_of_one_name_are_not_the_fault_of_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: object())
    (tmp_path / "launch").mkdir()
    with pytest.raises(InputError, match=rf"^{re.escape(str(tmp_path))}/launch: another"):
        submit([], [], [tmp_path / "launch"])


def test_a_lost_connection_is_said_whatever_its_library_calls_it() -> None:
    class Disconnected(Exception):
        """As those of aiohttp."""

    class Client:
        async def tail_job_logs(self, name: str) -> AsyncIterator[str]:
            yield "trial 0\ntrial 1\n"
            raise Disconnected("server disconnected")

    said: list[str] = []
    with pytest.raises(InputError, match=r"is lost \(.*disconnected\); the job goes on: ray"):
        Job(Client(), "http://head:8265", "job_1").follow(said.append)
    assert said == ["trial 0", "trial 1"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the job server of a head on this machine."""
    for module in ("aiohttp", "aiohttp_cors", "opencensus", "smart_open", "virtualenv"):
        pytest.importorskip(module, reason="ray[default] is not installed")
    bin_folder = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", os.pathsep.join([bin_folder, os.environ["PATH"]]))
    take_token()  # As `ray start` does: head and job must agree on whether there is a token.
    head = {"num_cpus": 2, "include_dashboard": True, "dashboard_port": 0}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    yield f"http://{cluster.webui_url}"
    cluster.shutdown()


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_a_search_runs_as_a_job_with_its_plugin(
    run: Run, server: str, shapes_folder: Path, space_file: Path, tmp_path: Path
) -> None:
    log, plugin = tmp_path / "log.txt", tmp_path / "own_plugin.py"
    plugin.write_text(PLUGIN.format(log=str(log)))
    out = tmp_path / "study"
    code, text = run(
        "--plugin", plugin, "submit", "--address", server, "search", "--data", shapes_folder,
        "--space", space_file, "--trials", 1, "--device", "cpu", "--out", out,
    )  # fmt: skip
    assert code == 0, text
    assert f"Report: {out / 'report.html'}" in text
    assert [record.state for record in read_records(out)] == ["finished"]
    places = set(log.read_text().split())
    assert any("working_dir_files" in place for place in places), places  # the code travelled
    code, text = run("submit", "--address", server, "search", "--resume", out, "--seed", 3)
    assert code == 1  # as the job says itself
    assert "--seed was set when the study began" in text
