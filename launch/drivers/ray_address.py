"""Which Ray cluster an address means, and whether one answers there.

Ray itself waits for minutes, silently, for a cluster that is gone. Here every address is tried for
seconds first, and what is wrong with it is said with the option or variable that it came from.
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

from searchspace.errors import InputError

PATIENCE = 8.0
"""Seconds that a cluster has to answer each question."""

OWN_RAY = "sparrow-ray"
"""What the folders of the Rays that searches start for themselves begin with."""

HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""The preface of HTTP/2, which Ray's servers speak, with empty settings."""

SETTINGS_FRAME = 4
"""The type of the frame that every server of HTTP/2 answers with, at the fourth byte."""

HELP = "check host and port, or leave --address out to start Ray on this machine"

T = TypeVar("T")


class RayAddressError(InputError):
    """No cluster can be joined; the message names the option or variable, and the fix."""


@dataclass(frozen=True)
class Address:
    """Where a cluster's head is to be found.

    Attributes:
        text: `HOST:PORT`.
        named: where that comes from, for messages.
        fix: what to do if it is wrong.
    """

    text: str
    named: str
    fix: str = HELP

    def error(self, problem: str) -> RayAddressError:
        return RayAddressError(f"{self.named}: {problem}: {self.fix}")


@dataclass(frozen=True)
class Found:
    """What this machine says of clusters that run on it.

    Attributes:
        variable: the value of RAY_ADDRESS.
        running: addresses of the heads of the nodes that run here, those of searches left out.
        noted: what `ray start` noted last, and in which file; None where there is no note.
    """

    variable: str | None
    running: frozenset[str]
    noted: tuple[str, Path] | None

    @classmethod
    def here(cls) -> Found:
        note, text = Path(get_ray_address_file(None)), ""
        with contextlib.suppress(OSError, UnicodeDecodeError):  # It may be another user's.
            text = note.read_text().strip()
        variable = os.environ.get("RAY_ADDRESS")
        return cls(variable, running_heads(_command_lines()), (text, note) if text else None)


def check_address(address: str | None) -> None:
    """Raise `RayAddressError` where no cluster answers at what `--address` says."""
    if not starts_here(address):
        check_answers(find(address))


def starts_here(address: str | None) -> bool:
    """Whether a search is to start Ray for itself."""
    return address in (None, "local")


def find(address: str, here: Callable[[], Found] = Found.here) -> Address:
    """The cluster that `--address` means.

    `auto` is what RAY_ADDRESS names, or else the cluster that a node of this machine belongs to. A
    Ray that another search has started for itself is none.

    Raises:
        RayAddressError: there is no such cluster, or more than one, or it is no address.
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
        f"--address auto: no node of a Ray cluster runs on this machine{stale}: begin one with "
        "ray start, or leave --address out to start Ray for this search alone"
    )


def any_node_here() -> bool:
    """Whether a node of a Ray runs on this machine; a program cannot join a cluster without one."""
    return any(_is_node(line) for line in _command_lines())


def running_heads(command_lines: list[list[str]]) -> frozenset[str]:
    """Addresses of the clusters whose nodes are among some processes, without Rays of searches."""
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
    """Raise `RayAddressError` where nothing that could be Ray answers at an address."""
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
    """What a question to a cluster's head gives; raises `RayAddressError` where it gives nothing.

    Args:
        ask: may block for long, and is left alone then.
    """
    try:
        return _in_time(ask)
    except Exception as error:
        what = "no answer" if isinstance(error, TimeoutError) else _first_line(error)
        raise address.error(f"something answers there, but not as a head of Ray ({what})") from None


def _is_node(command_line: list[str]) -> bool:
    return bool(command_line) and Path(command_line[0]).name == "raylet"


def _is_own(folder: str) -> bool:
    return Path(folder).name.startswith(OWN_RAY)


def _command_lines() -> list[list[str]]:
    """Of every process of this machine that we may see."""
    processes = psutil.process_iter(["cmdline"])
    return [process.info["cmdline"] or [] for process in processes]


def _checked(address: Address) -> Address:
    """The same, if it is a host and a port."""
    text = address.text
    if "://" in text:
        raise RayAddressError(
            f"{address.named}: a search does not go through Ray's client: run it on a node of the "
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
    """Something else listens."""


def _greet(host: str, port: int) -> None:
    """Raise where nothing answers, or something that does not speak HTTP/2."""
    with socket.create_connection((host, port), timeout=PATIENCE) as connection:
        if os.environ.get("RAY_USE_TLS", "0") not in ("0", ""):
            return  # The greeting would have to be encrypted.
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
    """What a call gives within `PATIENCE`; raises TimeoutError where it takes longer.

    Name servers and Ray's own calls know no limit that is short enough. The thread that waits for
    them ends with the process.
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


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
