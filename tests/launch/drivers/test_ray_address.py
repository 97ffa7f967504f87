"""Addresses of clusters: what they mean, and what is said where no Ray answers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from launch.drivers import ray_address
from launch.drivers.ray_address import (
    Address,
    Found,
    RayAddressError,
    check_answers,
    find,
    running_heads,
)

NOTE = Path("/tmp/ray/ray_current_cluster")


def here(
    variable: str | None = None, running: tuple[str, ...] = (), noted: str | None = None
) -> Callable[[], Found]:
    found = Found(variable, frozenset(running), (noted, NOTE) if noted else None)
    return lambda: found


@pytest.fixture
def server() -> Iterator[Callable[[bytes | None], Address]]:
    """Servers on ports of their own that answer each connection with some bytes, or with none."""
    listening = []

    def serve(answer: bytes | None) -> Address:
        listener = socket.create_server(("127.0.0.1", 0))
        listening.append(listener)

        def run() -> None:
            open_ones = []
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                open_ones.append(connection)
                if answer is not None:
                    connection.sendall(answer)
                    connection.close()

        threading.Thread(target=run, daemon=True).start()
        text = f"127.0.0.1:{listener.getsockname()[1]}"
        return Address(text, f"--address {text}")

    yield serve
    for listener in listening:
        listener.close()


@pytest.mark.parametrize(
    "text",
    ["", "head", "head:", ":6379", "head:port", "head:0", "head:70000", " head:6379", "a b:"],
)
def test_what_is_not_host_and_port_is_refused(text: str) -> None:
    with pytest.raises(RayAddressError, match="not HOST:PORT"):
        find(text)


@pytest.mark.parametrize("text", ["head:6379", "10.0.0.1:6379", "[::1]:6379"])
def test_host_and_port_are_taken_as_they_are(text: str) -> None:
    assert find(text).text == text
    assert find(text).named == f"--address {text}"


@pytest.mark.parametrize("text", ["ray://head:10001", "http://head:8265"])
def test_rays_client_is_refused_with_what_to_do(text: str) -> None:
    with pytest.raises(RayAddressError, match=f"--address {text}: .*on a node of the cluster"):
        find(text)


def test_auto_is_the_variable_and_errors_name_it() -> None:
    found = find("auto", here(variable="10.0.0.1:6379", running=("10.0.0.2:6379",)))
    assert (found.text, found.named) == ("10.0.0.1:6379", "RAY_ADDRESS=10.0.0.1:6379")
    assert "unset the variable" in found.fix
    with pytest.raises(RayAddressError, match=r"RAY_ADDRESS=head: not HOST:PORT.*unset"):
        find("auto", here(variable="head"))


def test_auto_is_the_cluster_of_this_machine() -> None:
    assert find("auto", here(running=("10.0.0.2:6379",))).text == "10.0.0.2:6379"
    both = ("10.0.0.1:6379", "10.0.0.2:6379")
    assert find("auto", here(running=both, noted="10.0.0.2:6379")).text == "10.0.0.2:6379"
    # A note of a cluster that has ended does not count.
    assert find("auto", here(running=("a:1",), noted="b:1")).text == "a:1"
    with pytest.raises(RayAddressError, match="choose one with --address a:1 or b:1"):
        find("auto", here(running=("b:1", "a:1")))


def test_auto_without_a_cluster_says_so() -> None:
    with pytest.raises(RayAddressError, match=r"--address auto: no node .* ray start"):
        find("auto", here())
    with pytest.raises(RayAddressError, match=rf"{NOTE} names b:1, which has ended"):
        find("auto", here(noted="b:1"))


def test_rays_of_searches_are_not_found() -> None:
    raylet = "/somewhere/ray/core/src/ray/raylet/raylet"
    lines = [
        [raylet, "--gcs-address=10.0.0.1:6379", "--temp_dir=/tmp/ray"],
        [raylet, "--gcs-address=127.0.0.1:40000", "--temp_dir=/tmp/sparrow-ray0a1b2c3d"],
        ["python", "--gcs-address=10.0.0.3:6379"],
        [],
    ]
    assert running_heads(lines) == {"10.0.0.1:6379"}


def test_nothing_that_listens_is_said_at_once() -> None:
    start = time.monotonic()
    with pytest.raises(RayAddressError, match=r"--address here: no Ray .*refused.*: check host"):
        check_answers(Address("127.0.0.1:1", "--address here"))
    assert time.monotonic() - start < 5


def test_an_unknown_host_is_named() -> None:
    with pytest.raises(RayAddressError, match=r"the host 'no-such-host\.invalid' is not known"):
        check_answers(Address("no-such-host.invalid:6379", "--address x"))


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0-server\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"]
)
def test_what_is_not_ray_is_told_apart(
    server: Callable[[bytes | None], Address], answer: bytes
) -> None:
    with pytest.raises(RayAddressError, match="something answers there, but it is not Ray"):
        check_answers(server(answer))


def test_what_answers_as_rays_servers_do_passes(
    server: Callable[[bytes | None], Address],
) -> None:
    check_answers(server(bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))))


def test_who_never_answers_is_not_waited_for(
    server: Callable[[bytes | None], Address], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_address, "PATIENCE", 0.3)
    start = time.monotonic()
    with pytest.raises(RayAddressError, match="it is not Ray"):
        check_answers(server(None))
    with pytest.raises(RayAddressError, match=r"not as a head of Ray \(no answer\)"):
        ray_address.ask_head(Address("a:1", "--address a:1"), lambda: time.sleep(3))
    assert time.monotonic() - start < 2


def test_a_name_server_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_address, "PATIENCE", 0.1)
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: time.sleep(3))
    with pytest.raises(RayAddressError, match=r"within 0\.1 s"):
        check_answers(Address("head:6379", "--address head:6379"))
