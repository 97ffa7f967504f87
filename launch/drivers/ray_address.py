"""Finding the Ray cluster of an address, and checking that it answers.

Ray itself waits silently for minutes for a cluster that does not exist. Here every address is tried
for seconds first, and an error names the option or variable with the address.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ray._common.utils import get_ray_address_file
from ray._private.services import psutil

from launch.drivers.leftovers import OWN_RAY
from searchspace.errors import InputError, first_line

PATIENCE = 8.0
"""Seconds within which a cluster must answer each request."""

HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""The connection preface of HTTP/2, which Ray's servers use, with empty settings."""

SETTINGS_FRAME = 4
"""The type, at the fourth byte, of the frame with which every HTTP/2 server answers."""

HELP = "check host and port, or remove --address to start Ray on this machine"

T = TypeVar("T")


class RayAddressError(InputError):
    """A cluster cannot be joined; the message names the option or variable, and the fix."""


@dataclass(frozen=True)
class Address:
    """The address of a cluster's head.

    Attributes:
        text: `HOST:PORT`.
        named: its source, for messages.
        fix: how to correct it.
    """

    text: str
    named: str
    fix: str = HELP

    def error(self, problem: str) -> RayAddressError:
        return RayAddressError(f"{self.named}: {problem}: {self.fix}")


@dataclass(frozen=True)
class Found:
    """Clusters with a node on this machine.

    Attributes:
        variable: the value of RAY_ADDRESS.
        running: addresses of the heads of nodes that run here, without those of searches.
        noted: the address noted by the last `ray start`, and its file; None if there is none.
    """

    variable: str | None
    running: frozenset[str]
    noted: tuple[str, Path] | None

    @classmethod
    def here(cls) -> Found:
        note, text = Path(get_ray_address_file(None)), ""
        with contextlib.suppress(OSError, UnicodeDecodeError):  # the file may be another user's
            text = note.read_text().strip()
        variable = os.environ.get("RAY_ADDRESS")
        return cls(variable, running_heads(_command_lines()), (text, note) if text else None)


def check_address(address: str | None) -> None:
    """Raise `RayAddressError` if no cluster answers at `--address`."""
    if address is not None and not starts_here(address):
        check_answers(find(address))


def starts_here(address: str | None) -> bool:
    """Whether a search starts its own Ray."""
    return address in (None, "local")


def find(address: str, here: Callable[[], Found] = Found.here) -> Address:
    """The cluster that `--address` means.

    `auto` is the address in RAY_ADDRESS, or else the cluster of a node on this machine, except for
    a Ray started by another search.

    Raises:
        RayAddressError: there is no such cluster, or more than one, or the address is invalid.
    """
    if address != "auto":
        return _checked(Address(address, f"--address {address}"))
    found = here()
    if found.variable and found.variable not in ("auto", "local"):
        unset = "correct or unset the variable RAY_ADDRESS"
        return _checked(Address(found.variable, f"RAY_ADDRESS={found.variable}", unset))
    noted = found.noted[0] if found.noted else None
    if noted in found.running:
        return Address(noted, f"--address auto ({noted})")
    if len(found.running) == 1:
        (only,) = found.running
        return Address(only, f"--address auto ({only})")
    if found.running:
        raise RayAddressError(
            f"--address auto: several clusters run on this machine: choose one with --address "
            f"{' or '.join(sorted(found.running))}"
        )
    stale = f" ({found.noted[1]} names {noted}, which has ended)" if found.noted else ""
    raise RayAddressError(
        f"--address auto: no node of a Ray cluster runs on this machine{stale}: start one with "
        "ray start, or remove --address to start Ray for this search only"
    )


def any_node_here() -> bool:
    """Whether a Ray node runs on this machine, which is needed to join a cluster."""
    return any(_is_node(line) for line in _command_lines())


def running_heads(command_lines: list[list[str]]) -> frozenset[str]:
    """Addresses of clusters with nodes among some processes, without Rays of searches."""
    flags = [
        dict(part.split("=", 1) for part in line[1:] if part.startswith("--") and "=" in part)
        for line in command_lines
        if _is_node(line)
    ]
    return frozenset(
        flag["--gcs-address"]
        for flag in flags
        if "--gcs-address" in flag and not _is_own(flag.get("--temp_dir", ""))
    )


def check_answers(address: Address) -> None:
    """Raise `RayAddressError` if nothing that could be Ray answers at an address."""
    host, port = _host_and_port(address.text)
    try:
        _in_time(lambda: _greet(host, port))
    except TimeoutError:
        raise address.error(f"no Ray answers there within {PATIENCE:g} s") from None
    except socket.gaierror:
        raise address.error(f"no Ray answers there (the host {host!r} is not known)") from None
    except OSError as error:
        raise address.error(f"no Ray answers there ({error.strerror or error})") from None
    except _NotRay:
        raise address.error("something answers there, but it is not Ray") from None


def ask_head(address: Address, ask: Callable[[], T]) -> T:
    """The answer of a cluster's head to a request; raises `RayAddressError` if there is none.

    Args:
        ask: the request, which may block for long and is abandoned then.
    """
    try:
        return _in_time(ask)
    except Exception as error:
        what = "no answer" if isinstance(error, TimeoutError) else first_line(error)
        raise address.error(f"something answers there, but not as a head of Ray ({what})") from None


def _is_node(command_line: list[str]) -> bool:
    return bool(command_line) and Path(command_line[0]).name == "raylet"


def _is_own(folder: str) -> bool:
    return Path(folder).name.startswith(OWN_RAY)


def _command_lines() -> list[list[str]]:
    """Command lines of all visible processes on this machine."""
    processes = psutil.process_iter(["cmdline"])
    return [process.info["cmdline"] or [] for process in processes]


def _checked(address: Address) -> Address:
    """The address itself, if it is a host and a port; raises `RayAddressError` otherwise."""
    text = address.text
    if "://" in text:
        raise RayAddressError(
            f"{address.named}: Ray's client is not supported: run the search on a node of the "
            "cluster with --address auto"
        )
    try:
        _host_and_port(text)
    except ValueError:
        raise address.error(
            "not HOST:PORT, such as 10.0.0.1:6379 (ray start --head prints it)"
        ) from None
    return address


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or host != host.strip() or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(text)
    return host, int(port)


class _NotRay(Exception):
    """Another server listens there."""


def _greet(host: str, port: int) -> None:
    """Raise if nothing answers, or something other than HTTP/2."""
    with socket.create_connection((host, port), timeout=PATIENCE) as connection:
        if os.environ.get("RAY_USE_TLS", "0") not in ("0", ""):
            return  # the server expects an encrypted connection
        try:
            connection.sendall(HELLO)
            answer = b""
            while len(answer) < 4 and (part := connection.recv(64)):
                answer += part
        except OSError as error:
            raise _NotRay from error
    if len(answer) < 4 or answer[3] != SETTINGS_FRAME:
        raise _NotRay


def _in_time(ask: Callable[[], T]) -> T:
    """The result of a call within `PATIENCE`; raises TimeoutError if it takes longer.

    Name servers and Ray's calls have no sufficiently short timeout. The thread that waits for them
    ends with the process.
    """
    answers: list[T | BaseException] = []

    def run() -> None:
        try:
            answers.append(ask())
        except BaseException as error:
            answers.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(1.5 * PATIENCE)
    if not answers:
        raise TimeoutError
    (answer,) = answers
    if isinstance(answer, BaseException):
        raise answer
    return answer
