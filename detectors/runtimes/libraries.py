"""Optional libraries, imported without their telemetry."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType

from detectors.runtimes.deployed import RuntimeUnavailable
from searchspace.words import install

FROM_EXTRA = frozenset({"nncf", "onnx", "onnxruntime", "openvino"})


def missing(*names: str) -> str | None:
    """The libraries that are not installed, and how to install them; None if all are."""
    absent = [name for name in names if importlib.util.find_spec(name) is None]
    if not absent:
        return None
    remedy = f": {install('deploy')}" if FROM_EXTRA.issuperset(absent) else ""
    return f"{' and '.join(absent)} not installed{remedy}"


def library(name: str) -> ModuleType:
    """Import a library that may be missing.

    OpenVINO and NNCF report their use over the network when imported. We block the telemetry
    package from importing.

    Raises:
        RuntimeUnavailable: it is not installed.
    """
    if reason := missing(name):
        raise RuntimeUnavailable(reason)
    # pyrefly: ignore[no-matching-overload] (None is how Python is told that it cannot be)
    sys.modules.setdefault("openvino_telemetry", None)
    return importlib.import_module(name)
