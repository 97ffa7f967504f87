"""Places on the disk for what is written."""

from __future__ import annotations

import tempfile
from pathlib import Path

from searchspace.errors import InputError


def check_place(path: Path) -> None:
    """Make sure that a file or folder can be written at a path, which need not exist.

    Raises:
        InputError: a file is in the way, or the folder that would hold it takes no new file.
    """
    for there in (path, *path.parents):
        try:
            if there.is_dir():
                with tempfile.TemporaryFile(dir=there):
                    return
            in_the_way = there != path and there.exists()
        except OSError as error:
            raise InputError(
                f"{path}: nothing can be written in {there} ({error.strerror}); choose another path"
            ) from None
        if in_the_way:
            raise InputError(f"{path} is below {there}, which is a file; choose another path")
