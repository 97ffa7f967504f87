"""A connection to Ray for one search: a cluster that is joined, or a Ray of the search's own.

A Ray of its own listens on this machine's loopback interface alone, asks for a token that lies in a
folder which only this user can read, and is gone with all its processes when the search has ended.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import ray
from ray._private import ray_constants, services, worker
from ray._private.services import psutil

from launch.drivers.interrupts import handlers_kept
from launch.drivers.ray_address import (
    OWN_RAY,
    Address,
    any_node_here,
    ask_head,
    check_answers,
    find,
    starts_here,
)
from searchspace.errors import InputError

SOCKET_LENGTH = 107
"""Bytes of the path of a Unix socket."""

BELOW = len("/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.1")
"""Bytes that Ray adds to its folder's path for a socket."""

MARK = "SPARROW_RAY"
"""The variable by which all processes of a Ray of our own are known; its value is Ray's folder."""

GRACE = 3.0
"""Seconds that Ray's processes have to end by themselves."""


class RayStartError(InputError):
    """Ray cannot be had; the message says why, and what to do."""


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[None]:
    """A connection to Ray, ended at the end; one that this process has already is used and kept.

    Args:
        address: `HOST:PORT` or `auto` joins a running cluster; None or `local` starts Ray here.

    Raises:
        RayAddressError: no cluster answers at the address.
        RayStartError: Ray does not start, or does not let us join.
    """
    if ray.is_initialized():
        yield
        return
    level = logging.getLogger("ray").level
    try:
        with _own_ray() if starts_here(address) else _joined(find(address)):
            yield
    finally:
        logging.getLogger("ray").setLevel(level)


@contextlib.contextmanager
def _joined(address: Address) -> Iterator[None]:
    check_answers(address)
    if not any_node_here():
        raise address.error(
            "a search can only be run on a machine that is a node of the cluster, and no node runs "
            "on this one (ray start --address=... makes it one)"
        )
    _take_token()
    head = services.canonicalize_bootstrap_address(address.text)
    ask_head(address, lambda: ray._raylet.GcsClient(address=head))
    try:
        _init(head)
    except Exception as error:
        raise RayStartError(f"{address.named}: cannot join the cluster: {_words(error)}") from error
    try:
        yield
    finally:
        _shut_down()


@contextlib.contextmanager
def _own_ray() -> Iterator[None]:
    folder = own_folder()
    try:
        with _environment(folder):
            try:
                _init("local", include_dashboard=False, _temp_dir=str(folder))
            except Exception as error:
                raise RayStartError(
                    f"Ray does not start on this machine: {_words(error)}; its logs are in "
                    f"{_kept_logs(folder)}; --driver local searches without Ray"
                ) from error
            yield
    finally:
        try:
            _shut_down()
        finally:
            _end_processes(folder)
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def logged_to(file: Path) -> Iterator[None]:
    """What Ray's libraries log and print in this process goes to a file, not to the terminal."""
    logger = logging.getLogger("ray")
    handlers, level = logger.handlers, logger.level
    handler = logging.FileHandler(file, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    # Ray's nodes send errors, such as that of a lost process, to be printed in another thread.
    printing = worker.print_to_stdstream
    worker.print_to_stdstream = lambda data, **_: logger.warning("\n".join(data["lines"]))
    try:
        yield
    finally:
        worker.print_to_stdstream = printing
        logger.handlers = handlers
        logger.setLevel(level)
        handler.close()


def own_folder() -> Path:
    """A new folder for Ray, whose path leaves room for the names of Ray's sockets.

    Raises:
        RayStartError: no folder of temporary files is short enough and can be written.
    """
    room = SOCKET_LENGTH - BELOW - len(f"/{OWN_RAY}12345678")
    given = [os.environ.get("RAY_TMPDIR"), tempfile.gettempdir(), "/tmp", "/var/tmp"]
    for parent in filter(None, given):
        if len(os.fsencode(os.path.abspath(parent))) <= room:
            with contextlib.suppress(OSError):
                return Path(tempfile.mkdtemp(prefix=OWN_RAY, dir=os.path.abspath(parent)))
    raise RayStartError(
        f"Ray needs a folder for its sockets with a path of at most {room} bytes, and cannot write "
        f"to any of {', '.join(dict.fromkeys(filter(None, given)))}: name one by the variable "
        "RAY_TMPDIR"
    )


def _init(address: str, **more: object) -> None:
    """`ray.init` without its words, and without its signal handler."""
    with handlers_kept():
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, **more)
        except SystemExit:
            # Ray's own answer to SIGTERM, which it sets while it starts.
            raise KeyboardInterrupt from None


def _shut_down() -> None:
    """`ray.shutdown`, in which signals go on to do what they did.

    Ray's core gives signals their default actions as it ends, unknown to Python, and then Ray takes
    seconds to end its processes: a further signal would leave these behind.
    """
    node = worker._global_node
    if node is not None:
        end_processes = node.kill_all_processes

        def with_our_handlers(*args: object, **options: object) -> None:
            with handlers_kept():
                pass  # It installs them anew.
            end_processes(*args, **options)

        node.kill_all_processes = with_our_handlers
    with handlers_kept():
        ray.shutdown()


@contextlib.contextmanager
def _environment(folder: Path) -> Iterator[None]:
    """What a Ray of our own and its processes find in their environment."""
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    ours = {
        MARK: str(folder),
        # Without clusters, Ray binds its ports to the loopback interface.
        ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0",
    }
    ours["RAY_AUTH_MODE"] = os.environ.get("RAY_AUTH_MODE", "token")
    if not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        ours["RAY_AUTH_TOKEN_PATH"] = str(token)
    before = {name: os.environ.get(name) for name in ours}
    clusters = ray_constants.ENABLE_RAY_CLUSTER
    os.environ.update(ours)
    ray_constants.ENABLE_RAY_CLUSTER = False
    _read_token_anew()
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = clusters
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        _read_token_anew()


def _take_token() -> None:
    """Let Ray show the user's token to a cluster, where there is one and nothing else is said."""
    with contextlib.suppress(ImportError):  # Older versions of Ray know none.
        from ray._private.authentication.authentication_token_setup import (
            maybe_enable_token_auth_if_token_available as take,
        )

        take(warn_if_disabled=False)


def _read_token_anew() -> None:
    """Make Ray look at the variables on tokens again, which it does once in a process."""
    with contextlib.suppress(ImportError):  # Older versions of Ray know none.
        from ray._raylet import AuthenticationTokenLoader, Config

        Config.initialize("")
        AuthenticationTokenLoader.instance().reset_cache()


def _end_processes(folder: Path) -> None:
    """End what is left of the processes of a Ray of our own, stopped ones included."""
    left = [process for process in psutil.process_iter() if _is_marked(process, folder)]
    _, left = psutil.wait_procs(left, GRACE)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, GRACE)


def _is_marked(process: psutil.Process, folder: Path) -> bool:
    try:
        marked = process.environ().get(MARK) == str(folder)
    except psutil.Error:
        return False
    return marked and process.pid != os.getpid()


def _kept_logs(folder: Path) -> Path:
    """A copy of the logs of a Ray of our own that outlives it."""
    kept = Path(tempfile.mkdtemp(prefix="sparrow-ray-logs-"))
    for logs in folder.glob("session_2*/logs"):
        shutil.copytree(logs, kept, dirs_exist_ok=True)
    return kept


def _words(error: BaseException) -> str:
    """The first line of an error that says something, and of what caused it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    words = lines[0] if lines else type(error).__name__
    return f"{words} ({_words(error.__cause__)})" if error.__cause__ else words
