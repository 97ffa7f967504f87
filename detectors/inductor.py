"""PyTorch's compiler, Inductor: what it needs, and where it keeps what it compiles."""

from __future__ import annotations

import os
import shutil

import torch

from detectors.own_folder import cache_folder


def missing(device: torch.device) -> str | None:
    """What it lacks to compile for a device, in words; None if nothing."""
    compiler = os.environ.get("CXX", "g++")
    if device.type == "cpu" and shutil.which(compiler) is None:
        return f"torch.compile needs a C++ compiler, and {compiler} is not installed"
    return None


def keep_in_own_folder() -> None:
    """Keep compiled code, for all processes of this user on the node, where nobody else can write.

    Code is loaded from that folder; the default is a predictable name in the temporary folder.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "inductor"))
