"""The content of an installed package besides its modules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_packages_ship_their_data_and_say_that_they_are_typed(tmp_path: Path) -> None:
    subprocess.run(
        [
            sys.executable, "-c", "from setuptools import setup; setup()",
            "egg_info", "--egg-base", tmp_path, "build_py", "--build-lib", tmp_path / "lib",
        ],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    lib = tmp_path / "lib"
    files = {str(file.relative_to(lib)) for file in lib.rglob("*") if file.suffix != ".py"}
    packages = ("searchspace", "detectors", "compress", "launch")
    assert files >= {f"{package}/py.typed" for package in packages}
    data = {f for p in packages for f in map(str, Path(ROOT, p).rglob("*"))}
    wanted = {
        str(Path(file).relative_to(ROOT))
        for file in data
        if Path(file).suffix in (".toml", ".safetensors", ".html", ".css", ".jinja")
    }
    assert len(wanted) > 5
    assert files >= wanted
