"""A PostgreSQL server for tests: in a temporary folder, on loopback, as a user that is not root."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PASSWORD = "correct-horse"


@contextmanager
def server() -> Iterator[str]:
    """The address of the server's database, with a password; skips where there is none."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    initdb = binary("initdb")
    root = Path(tempfile.mkdtemp(prefix="sparrow-postgres-"))
    # The server refuses to run as root.
    who: dict[str, Any] = {}
    if os.getuid() == 0:
        who = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        shutil.chown(root, "nobody", "nogroup")
    secret = root / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    data, log = root / "data", root / "log"
    new = [initdb, "-D", data, "-U", "sparrow", "-A", "scram-sha-256", "--pwfile", secret, "-N"]
    subprocess.run(new, check=True, stdout=subprocess.DEVNULL, **who)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = ["-c", f"unix_socket_directories={root}", "-c", "fsync=off", "-p", str(port)]
    with log.open("w") as file:
        run = [initdb.with_name("postgres"), "-D", data, "-h", "127.0.0.1", *settings]
        process = subprocess.Popen(run, stdout=file, stderr=file, **who)
    try:
        wait_for(port, process, log)
        yield f"postgresql://sparrow:{PASSWORD}@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGINT)  # "fast": it waits for no client
        process.wait()
        shutil.rmtree(root)


def binary(name: str) -> Path:
    """A program of PostgreSQL, which Debian does not put on the path; skips without it."""
    found = shutil.which(name)
    places = [Path(found)] if found else sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if not places:
        pytest.skip("PostgreSQL is not installed: no initdb")
    return places[-1].resolve()


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server takes connections."""
    for _ in range(600):
        with socket.socket() as attempt:
            if "ready to accept connections" in log.read_text() and not attempt.connect_ex(
                ("127.0.0.1", port)
            ):
                return
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise TimeoutError(log.read_text())
