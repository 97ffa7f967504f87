"""Plugins: found, loaded once, named for other processes; what is wrong with one in a sentence."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from searchspace import DetectorConfig, PluginError, load_plugins
from searchspace import plugins as module
from searchspace.config import own_code

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A process that has loaded none, works in an empty folder, and forgets what it loads."""
    monkeypatch.setattr(module, "_loaded", {})
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("forms_"):
            del sys.modules[name]


def plugin(file: Path, text: str = "LOADS = []\nLOADS.append(1)\n") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_a_file_is_loaded_once_and_named_by_its_absolute_path(tmp_path: Path) -> None:
    file = plugin(tmp_path / "sub" / "forms_file.py")
    assert load_plugins(["sub/forms_file.py"]) == (str(file),)
    assert load_plugins([file, "sub/../sub/forms_file.py"]) == (str(file),)
    assert sys.modules["forms_file"].LOADS == [1]


def test_a_module_in_the_working_folder_is_named_by_its_file(tmp_path: Path) -> None:
    file = plugin(tmp_path / "forms_here.py")
    assert load_plugins(["forms_here"]) == (str(file),)


def test_a_module_of_a_package_is_named_as_python_names_it(tmp_path: Path) -> None:
    plugin(tmp_path / "forms_package" / "__init__.py", "")
    plugin(tmp_path / "forms_package" / "extra.py")
    assert load_plugins(["forms_package.extra"]) == ("forms_package.extra",)


def test_a_plugin_may_import_what_lies_beside_it(tmp_path: Path) -> None:
    plugin(tmp_path / "sub" / "forms_helper.py", "VALUE = 3\n")
    load_plugins([plugin(tmp_path / "sub" / "forms_main.py", "from forms_helper import VALUE\n")])
    assert sys.modules["forms_main"].VALUE == 3


def test_a_file_that_was_moved_is_taken_from_where_it_was_loaded(tmp_path: Path) -> None:
    file = plugin(tmp_path / "new" / "forms_moved.py")
    load_plugins([file])
    assert load_plugins([tmp_path / "old" / "forms_moved.py"], moved=True) == (str(file),)
    with pytest.raises(PluginError, match="no such file"):
        load_plugins([tmp_path / "old" / "forms_moved.py"])


def test_a_copy_of_a_file_that_was_loaded_is_not_another_plugin(tmp_path: Path) -> None:
    file, copy = (plugin(tmp_path / place / "forms_copied.py") for place in ("own", "travelled"))
    load_plugins([file])
    assert load_plugins([copy], moved=True) == (str(file),)
    copy.write_text("OTHER = True\n")
    with pytest.raises(PluginError, match="another module is called forms_copied"):
        load_plugins([copy], moved=True)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("forms_gone.py", None, "forms_gone.py: no such file"),
        ("forms_gone", None, "plugin forms_gone: there is no module forms_gone"),
        ("forms_needs.py", "import forms_nonesuch", "it needs the module forms_nonesuch"),
        ("forms_bug.py", "x = 1\nx.y\n", r"has no attribute 'y' \(forms_bug.py, line 2\); correct"),
        ("forms_syntax.py", "def", r"SyntaxError: invalid syntax \(forms_syntax.py, line 1\); cor"),
        ("forms_ends.py", "raise SystemExit(3)", r"SystemExit: 3 \(forms_ends.py, line 1\)"),
        ("forms-dash.py", "", "'forms-dash' is not a module name; rename"),
        ("json.py", "", "another module is called json"),
    ],
)
def test_what_is_wrong_with_a_plugin_is_one_sentence(
    name: str, text: str | None, words: str, tmp_path: Path
) -> None:
    if text is not None:
        plugin(tmp_path / name, text)
    with pytest.raises(PluginError, match=words) as error:
        load_plugins([str(tmp_path / name) if name.endswith(".py") else name])
    assert "\n" not in str(error.value)
    assert load_plugins() == ()


def test_a_repaired_plugin_can_be_loaded(tmp_path: Path) -> None:
    file = plugin(tmp_path / "forms_repaired.py", "nonsense")
    with pytest.raises(PluginError, match="NameError"):
        load_plugins([file])
    assert load_plugins([plugin(file)]) == (str(file),)


def installed(folder: Path, module: str, text: str) -> list[str]:
    """The output of a fresh process, in which a package with an entry point is installed."""
    plugin(folder / f"{module}.py", text)
    facts = folder / f"{module}-1.dist-info"
    plugin(facts / "METADATA", f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
    plugin(facts / "entry_points.txt", f"[sparrow.plugins]\nmine = {module}\n")
    code = (
        f"import sys; sys.path[:0] = [{str(folder)!r}, {str(ROOT)!r}]\n"
        "from searchspace import load_plugins, load_space\n"
        "load_space('quick'); load_space('quick'); print(*load_plugins())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return (done.stdout + done.stderr).splitlines()


def test_installed_plugins_are_loaded_once_and_named(tmp_path: Path) -> None:
    assert installed(tmp_path, "forms_entry", "print('loaded')") == ["loaded", "forms_entry"]


def test_a_broken_installed_plugin_names_its_package(tmp_path: Path) -> None:
    *_, last = installed(tmp_path, "forms_entry", "1 / 0")
    assert "plugin forms_entry of forms_entry: its import failed: ZeroDivisionError" in last
    assert "repair or uninstall forms_entry" in last


def test_the_code_of_a_users_class_belongs_to_what_is_made_of_it(tmp_path: Path) -> None:
    text = "from searchspace.config import Config\nclass Own(Config):\n    x: int = 1\n"
    file = plugin(tmp_path / "forms_step.py", text)
    load_plugins([file])
    assert own_code(DetectorConfig()) == {}
    [(name, before)] = own_code(sys.modules["forms_step"].Own()).items()
    assert name == "forms_step"
    file.write_text(f"{text}    y: int = 2\n")
    assert own_code(sys.modules["forms_step"].Own())[name] != before
