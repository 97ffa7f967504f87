"""`sparrow dashboard`: a study in Optuna's dashboard, which follows it while the search runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Annotated, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import typer

from launch.cli.options import StudyFolder
from launch.cli.terminal import console
from launch.report.dashboard import READ_ONLY, Mirror
from searchspace.errors import InputError
from searchspace.words import install

HOST = "127.0.0.1"
LOOPBACK = (HOST, "localhost")
PORT = 8080
MISSING = f"optuna-dashboard is not installed: {install('dashboard')}"

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
"""A WSGI application."""


def dashboard_command(
    folder: StudyFolder,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on this machine; 0 for any free one.")
    ] = PORT,
) -> None:
    """It is served to this machine alone and changes nothing: notes and ratings are refused."""
    with serving(folder, port) as server:
        console.say(f"http://{HOST}:{server.server_port}/dashboard/studies/0")
        console.say("Ctrl-C ends it; a search that runs goes on")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            console.say("Ended")


def serving(folder: Path, port: int) -> WSGIServer:
    """A server of the dashboard of a study, on the loopback interface.

    Raises:
        InputError: the dashboard is not installed, or the port is taken.
        StudyError: there is no study in the folder.
    """
    if find_spec("optuna_dashboard") is None:
        raise InputError(MISSING)
    app = dashboard(Mirror(folder))
    try:
        return make_server(HOST, port, app, server_class=_Server, handler_class=_Quiet)
    except OSError as error:
        raise InputError(
            f"port {port}: {error.strerror or error}; give another one with --port, or 0 for any"
        ) from None


def dashboard(mirror: Mirror) -> App:
    """Optuna's dashboard on a study as it is at each request, for reading alone.

    Requests that name another host are refused: a page elsewhere could otherwise read the study
    through a name of its own for this machine.
    """
    from optuna_dashboard import wsgi

    lock, made = threading.Lock(), {}

    def now() -> App:
        with lock:
            storage = mirror.storage()
            if made.get("of") is not storage:
                made.update(of=storage, app=wsgi(storage, mirror.pictures))
            return made["app"]

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        host = environ.get("HTTP_HOST", "").rsplit(":", 1)[0]
        if host not in LOOPBACK:
            return _refused(start, "403 Forbidden", "served to this machine alone")
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _refused(start, "405 Method Not Allowed", READ_ONLY)
        return now()(environ, start)

    return answer


def _refused(start: Callable[..., Any], status: str, reason: str) -> list[bytes]:
    start(status, [("Content-Type", "text/plain")])
    return [reason.encode()]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    """Does not log requests."""

    def log_message(self, format: str, *args: Any) -> None:
        pass
