"""Examples in the README run, and the files that it names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.readme import MARKED
from detectors.data.shapes import ShapesConfig, generate_shapes
from searchspace import load_space

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
TINY = """
[detector]
input_size = 64
num_classes = 4
width = 0.25
[train]
epochs = 1
batch_size = 8
[compress.pruning]
kind = "none"
[measure]
runs = 5
passes = 1
"""


def test_the_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [example] = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) <= 12
    monkeypatch.chdir(tmp_path)
    generate_shapes(Path("runs/shapes"), ShapesConfig(train_images=8, val_images=4, size=128))
    Path("tiny.toml").write_text(TINY)
    small = example.replace('"quick"', '"tiny.toml"')
    small = re.sub(r"trials=\d+", 'trials=2, driver="local"', small)
    assert small != example
    exec(compile(small, "README.md", "exec"), {"__name__": "__main__"})
    assert "runs/mine/trials" in capsys.readouterr().out


def test_every_file_that_is_linked_exists() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README.read_text())
    assert links
    missing = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert not missing


def test_the_page_on_searches_says_the_same_of_the_default() -> None:
    page = (ROOT / "docs" / "search.md").read_text()
    [paragraph] = re.findall(r"<!-- as in README.md -->\n(.*?)<!-- end -->", page, flags=re.DOTALL)
    assert paragraph in README.read_text()


def test_every_file_of_the_reading_order_exists() -> None:
    named = re.findall(r"`([a-z_]+/[a-z_/.]+\.(?:py|toml|json))`", README.read_text())
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", [README, ROOT / "docs" / "spaces.md"], ids=lambda page: page.stem)
def test_every_space_that_is_shown_loads(tmp_path: Path, page: Path) -> None:
    examples = re.findall(r"```toml\n(.*?)```", page.read_text(), flags=re.DOTALL)
    assert examples
    for example in examples:
        file = tmp_path / "shown.toml"
        file.write_text(example)
        space = load_space(file)
        assert space.holds(space.baseline())


def test_the_readme_stays_short_and_its_figures_can_be_written_again() -> None:
    assert len(README.read_text().splitlines()) < 150
    assert len(MARKED.findall(README.read_text())) == 1
