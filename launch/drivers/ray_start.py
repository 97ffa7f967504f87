"""A connection to Ray for one search: joining a cluster, or starting its own Ray.

Its own Ray listens on the loopback interface only, requires a token from a folder that only this
user can read, and ends with all its processes when the search ends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants, services, worker
from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR

from detectors.activity import active
from launch.drivers.interrupts import handlers_kept
from launch.drivers.leftovers import (
    MARK,
    OWN_LOGS,
    OWN_RAY,
    claimed,
    end_processes,
    killed_rays,
    temporary_folders,
)
from launch.drivers.ray_address import (
    Address,
    any_node_here,
    ask_head,
    check_answers,
    find,
    starts_here,
)
from launch.drivers.travel import packed
from launch.trial.log import Masking
from searchspace.errors import InputError, first_line
from searchspace.plugins import load_plugins

SOCKET_LENGTH = 107
"""The most bytes of a Unix socket's path."""

BELOW = len("/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.1")
"""Bytes that Ray appends to its folder's path for a socket."""


class RayStartError(InputError):
    """Ray is not available; the message says why, and what to do."""


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[None]:
    """A connection to Ray, closed at the end; an existing one of this process is used and kept.

    Args:
        address: `HOST:PORT` or `auto` joins a running cluster; None or `local` starts Ray here.

    Raises:
        RayAddressError: no cluster answers at the address.
        RayStartError: Ray does not start, or the cluster cannot be joined.
    """
    if ray.is_initialized():
        yield
        return
    level = logging.getLogger("ray").level
    try:
        with _own_ray() if address is None or starts_here(address) else _joined(find(address)):
            yield
    finally:
        logging.getLogger("ray").setLevel(level)


@contextlib.contextmanager
def _joined(address: Address) -> Iterator[None]:
    check_answers(address)
    if not any_node_here():
        raise address.error(
            "a search must run on a node of the cluster, and this machine is not one (ray start "
            "--address=... makes it one)"
        )
    take_token()
    head = services.canonicalize_bootstrap_address(address.text)
    # pyrefly: ignore[missing-attribute] (a compiled module, of which Ray lists some names only)
    ask_head(address, lambda: ray._raylet.GcsClient(address=head))
    try:
        with _code() as code:
            _init(head or address.text, runtime_env=code)
    except InputError:
        raise
    except Exception as error:
        raise RayStartError(f"{address.named}: cannot join the cluster: {_words(error)}") from error
    try:
        yield
    finally:
        _shut_down()


@contextlib.contextmanager
def _code() -> Iterator[dict[str, Any] | None]:
    """What takes the code and the plugins to all nodes; None in a job, which has them already."""
    if RAY_JOB_CONFIG_JSON_ENV_VAR in os.environ:
        yield None
        return
    with packed(load_plugins()) as folder:
        yield {"working_dir": str(folder)}


@contextlib.contextmanager
def _own_ray() -> Iterator[None]:
    # Not the logs of a Ray that did not start: a message has just named them.
    for left in killed_rays():
        with contextlib.suppress(OSError):
            left.remove()
    folder = own_folder()
    # To the end: while Ray shuts down, another search must not take it for that of a killed one.
    with claimed(folder):
        try:
            with _environment(folder):
                try:
                    with active("Starting Ray"):
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
                end_processes(folder)
                shutil.rmtree(folder, ignore_errors=True)


def nodes_of_cluster() -> list[Mapping[str, float]]:
    """The resources of each node of the connected cluster."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


@contextlib.contextmanager
def logged_to(file: Path) -> Iterator[None]:
    """Redirect the log and output of Ray's libraries in this process to a file."""
    logger = logging.getLogger("ray")
    handlers, level = logger.handlers, logger.level
    handler = logging.FileHandler(file, delay=True)
    handler.setFormatter(Masking("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    # Ray's nodes send errors, e.g. of a lost process, which another thread prints.
    printing = worker.print_to_stdstream

    def log(data: dict[str, Any], ignore_prefix: bool = False) -> None:
        logger.warning("\n".join(data["lines"]))

    worker.print_to_stdstream = log
    try:
        yield
    finally:
        worker.print_to_stdstream = printing
        logger.handlers = handlers
        logger.setLevel(level)
        handler.close()


def own_folder() -> Path:
    """A new folder for Ray, with a path short enough for the names of Ray's sockets.

    Raises:
        RayStartError: no temporary folder has a short enough path and is writable.
    """
    room = SOCKET_LENGTH - BELOW - len(f"/{OWN_RAY}12345678")
    parents = temporary_folders()
    for parent in parents:
        if len(os.fsencode(parent)) <= room:
            with contextlib.suppress(OSError):
                return Path(tempfile.mkdtemp(prefix=OWN_RAY, dir=parent))
    raise RayStartError(
        f"Ray needs a folder for its sockets with a path of at most {room} bytes, and cannot write "
        f"to any of {', '.join(parents)}: set the variable RAY_TMPDIR "
        "to one"
    )


def _init(address: str, **more: Any) -> None:
    """`ray.init` without its output, and without its signal handler."""
    with handlers_kept():
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, **more)
        except SystemExit:
            # From Ray's own handler of SIGTERM, which is active while it starts.
            raise KeyboardInterrupt from None


def _shut_down() -> None:
    """`ray.shutdown` that keeps our signal handlers.

    Ray's core resets signals to their default actions when it ends, without Python's knowledge, and
    then takes seconds to end its processes: a further signal would leave these behind.
    """
    node: Any = worker._global_node
    if node is not None:
        end_processes = node.kill_all_processes

        def with_our_handlers(*args: object, **options: object) -> None:
            with handlers_kept():
                pass  # reinstalls them
            end_processes(*args, **options)

        node.kill_all_processes = with_our_handlers
    with handlers_kept():
        ray.shutdown()


@contextlib.contextmanager
def _environment(folder: Path) -> Iterator[None]:
    """The environment variables of our own Ray and its processes."""
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    ours = {
        MARK: str(folder),
        # With clusters disabled, Ray binds its ports to the loopback interface.
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


def take_token() -> None:
    """Let Ray use the user's token for a cluster, if there is one and nothing else is
    configured."""
    with contextlib.suppress(ImportError):  # Older versions of Ray know none.
        from ray._private.authentication.authentication_token_setup import (
            maybe_enable_token_auth_if_token_available as take,
        )

        take(warn_if_disabled=False)


def _read_token_anew() -> None:
    """Make Ray read the token variables again, which it does only once per process."""
    with contextlib.suppress(ImportError):  # Older versions of Ray know none.
        # pyrefly: ignore[missing-module-attribute] (a compiled module, as above)
        from ray._raylet import AuthenticationTokenLoader, Config

        Config.initialize("")
        AuthenticationTokenLoader.instance().reset_cache()


def _kept_logs(folder: Path) -> Path:
    """A copy of the logs of our own Ray, which stays until `sparrow clean` removes it."""
    kept = Path(tempfile.mkdtemp(prefix=OWN_LOGS))
    for logs in folder.glob("session_2*/logs"):
        shutil.copytree(logs, kept, dirs_exist_ok=True)
    return kept


def _words(error: BaseException) -> str:
    """The first meaningful line of an error, and of its cause."""
    words = first_line(error)
    return f"{words} ({_words(error.__cause__)})" if error.__cause__ else words
