"""Plugins of commands and of searches: who loads them, and when."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from launch import load_front, search
from launch.files import SETTINGS
from launch.report import write_report
from launch.searches import report, resume
from launch.study.opening import read_records
from launch.study.settings import read_settings
from searchspace import PluginError, Space, plugins

Run = Callable[..., tuple[int, str]]

NOTING = """
import os
from pathlib import Path
Path(__file__).with_name(f"loaded-{os.getpid()}").touch()
"""


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(plugins, "_loaded", {})
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    sys.modules.pop("forms_noting", None)


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A plugin that leaves a file for each process that loads it."""
    file = tmp_path / "plugins" / "forms_noting.py"
    file.parent.mkdir()
    file.write_text(NOTING)
    return file


def loads(plugin: Path) -> int:
    """In how many processes it was loaded."""
    return len(list(plugin.parent.glob("loaded-*")))


def forget(plugin: Path) -> None:
    """Be another process."""
    plugins._loaded.clear()
    del sys.modules["forms_noting"]
    for file in plugin.parent.glob("loaded-*"):
        file.unlink()


@pytest.mark.parametrize("place", ["before", "after", "equals"])
def test_any_command_takes_a_plugin_before_or_after_its_name(
    place: str, plugin: Path, run: Run
) -> None:
    arguments = {
        "before": ("--plugin", plugin, "space", "quick"),
        "after": ("space", "--plugin", plugin, "quick"),
        "equals": ("space", "quick", f"--plugin={plugin}"),
    }[place]
    code, text = run(*arguments)
    assert code == 0, text
    assert "1,152 configurations" in text
    assert loads(plugin) == 1


def test_a_missing_plugin_is_a_usage_error(run: Run) -> None:
    code, text = run("space", "--plugin", "forms_nonesuch")
    assert code == 2
    assert "there is no module forms_nonesuch" in text
    assert run("space", "--plugin")[0] == 2


def test_a_study_stores_its_plugins_and_whatever_reads_it_loads_them(
    plugin: Path, space_file: Path, shapes_folder: Path, tmp_path: Path, run: Run
) -> None:
    out = tmp_path / "study"
    search(space_file, shapes_folder, out, trials=1, driver="local", plugins=[plugin])
    assert read_settings(out).plugins == (str(plugin),)
    for read in (report, load_front, lambda folder: resume(folder, driver="local")):
        forget(plugin)
        read(out)
        assert loads(plugin) == 1
    page = (out / "report.html").read_text()
    assert f'from searchspace import load_plugins\n\nload_plugins(["{plugin}"])\ndetector' in page
    assert f"<dt>Plugins</dt><dd>{plugin}</dd>" in page
    elsewhere = write_report(
        out, read_records(out), title="measured elsewhere", facts={}, out=tmp_path / "there" / "x"
    )
    forget(plugin)
    assert load_front(elsewhere.json.parent).members[0].is_there
    assert loads(plugin) == 1
    trial = load_front(out).members[0].folder
    for given in (trial / "dense", trial / "trial.json"):
        forget(plugin)
        code, text = run("describe", given)
        assert code == 0, text
        assert loads(plugin) == 1
    forget(plugin)
    plugin.unlink()
    with pytest.raises(
        PluginError, match=r"forms_noting\.py: no such file.*; the study .*study na"
    ):
        report(out)
    code, text = run("export", trial / "dense", "--to", "onnx")
    assert code == 1
    assert f"the study {out} names it: if it was moved, give its new path with --plugin" in text


def test_a_bad_plugin_is_refused_before_anything_is_written(
    space_file: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(PluginError, match="no module forms_nonesuch"):
        search(space_file, shapes_folder, tmp_path / "study", plugins=["forms_nonesuch"])
    assert not (tmp_path / "study").exists()


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_rays_processes_load_the_plugins_of_a_study(
    plugin: Path, space_file: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    front = search(space_file, shapes_folder, out, trials=1, plugins=[plugin])
    assert front.trials["finished"] == 1
    assert loads(plugin) == 2  # this process, and the one that ran the trial
    assert str(plugin) in (out / SETTINGS).read_text()


BROKEN = """
from searchspace import Space

def searched(self):
    raise KeyError("mine")

Space.searched = searched
"""


def test_an_error_in_a_plugins_code_is_not_called_a_bug_of_sparrow(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Space, "searched", Space.searched)  # the plugin replaces it
    file = tmp_path / "forms_broken.py"
    file.write_text(BROKEN)
    code, text = run("space", "quick", "--plugin", str(file))
    sys.modules.pop("forms_broken")
    assert code == 1
    line = 1 + BROKEN.splitlines().index('    raise KeyError("mine")')
    assert f"forms_broken.py failed: KeyError: 'mine' (forms_broken.py, line {line})" in text
    assert "The traceback is in" in text
    assert "bug in Sparrow" not in text
