"""A real S3 server on the loopback interface, with one bucket, behind a door that can be closed."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from pyarrow.fs import FileSystem

from detectors import remote
from detectors.patience import patiently

PATIENCE = 60
"""Seconds for the server to start, on a machine that computes other things."""


class Door:
    """Passes connections to a port on to another one, unless it is closed."""

    def __init__(self, to: int) -> None:
        self._to, self._open = to, list[socket.socket]()
        self.port = 0
        self.open()

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        """Refuse connections, and cut those that there are."""
        for connection in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._open.clear()

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        self.close()
        try:
            yield
        finally:
            self.open()

    def _serve(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                self._open += [caller, server]
                for ends in ((caller, server), (server, caller)):
                    threading.Thread(target=_pass_on, args=ends, daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(1 << 16):
            target.sendall(part)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """The server that this process and all that it starts use for `s3://bucket`."""
    for module in ("moto", "flask", "flask_cors"):
        pytest.importorskip(module, reason="moto's S3 server is not installed (extra test)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    door = Door(port)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{door.port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "sparrow-test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sparrow-test-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    remote.opened.cache_clear()  # which may know the server of another test
    try:
        end = time.monotonic() + PATIENCE
        while not _answers(port):
            assert server.poll() is None, "the server has ended"
            assert time.monotonic() < end, "the server does not start"
            time.sleep(0.05)
        files, _ = FileSystem.from_uri("s3://bucket?allow_bucket_creation=true")
        patiently(lambda: files.create_dir("bucket"), str, "the server")
        yield door
    finally:
        door.close()
        server.kill()
        server.wait()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
