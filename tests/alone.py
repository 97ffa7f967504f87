"""Scripts of ours, run where Sparrow cannot be imported."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

OURS = ("launch", "detectors", "searchspace", "compress")
TORCH = ("torch", "torchvision")

FORBIDDING = """
import runpy, sys

class Forbidding:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names}:
            raise ImportError(name + " must not be needed")

sys.meta_path.insert(0, Forbidding())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_alone(
    script: Path, *arguments: object, forbidden: Sequence[str] = (*OURS, *TORCH), cwd: Path
) -> subprocess.CompletedProcess[str]:
    """Run a script in a Python that can import nothing of ours, nor PyTorch."""
    code = FORBIDDING.format(names=set(forbidden))
    return subprocess.run(
        [sys.executable, "-I", "-c", code, script, *map(str, arguments)],
        cwd=cwd, capture_output=True, text=True, check=False,
    )  # fmt: skip
