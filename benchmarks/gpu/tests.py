"""The project's tests that need a GPU, with the seconds that each took."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from xml.etree import ElementTree

from benchmarks.gpu.setting import TABLE, Row, Setting

BRIEF = ("tests/detectors/test_devices.py",)
"""What the brief form collects."""


def tests(setting: Setting) -> Iterator[Row]:
    """A row for the run, then one for each test; those that the part's time was too short for are
    left out."""
    junit = setting.out / "tests.xml"
    command = [
        sys.executable, "-m", "pytest", "-m", "gpu", "-v", "-p", "no:cacheprovider",
        "--continue-on-collection-errors", "--junit-xml", str(junit),
        *(BRIEF if setting.brief else ()),
    ]  # fmt: skip
    process = subprocess.Popen(command)
    try:
        process.wait(max(setting.left, 1))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # pytest writes what it knows
        process.wait()
    cases = list(ElementTree.parse(junit).iter("testcase"))
    yield {
        TABLE: "pytest -m gpu",
        "exit status": process.returncode,
        "tests": len(cases),
        "failed": sum(_outcome(case) in ("failure", "error") for case in cases),
        "skipped": sum(_outcome(case) == "skipped" for case in cases),
    }
    for case in cases:
        yield {
            TABLE: "Tests on the GPU",
            "test": f"{case.get('classname')}::{case.get('name')}",
            "outcome": _outcome(case),
            "seconds": float(case.get("time", "0")),
        }


def _outcome(case: ElementTree.Element) -> str:
    """What became of a test."""
    found = (case.find(name) for name in ("failure", "error", "skipped"))
    return next((element.tag for element in found if element is not None), "passed")
