"""Commands of Sparrow as jobs on a Ray cluster, by its Jobs API."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.job_submission import JobSubmissionClient

from launch.drivers.ray_start import take_token
from launch.drivers.travel import packed
from searchspace.errors import InputError, first_line

SERVER = "http://127.0.0.1:8265"
"""Where a head on this machine answers."""

NEEDED = "the Jobs API needs more of Ray: pip install 'ray[default]'"


@dataclass(frozen=True)
class Job:
    """A job on a cluster.

    Attributes:
        client: Ray's, connected to the cluster.
        address: of its server.
        name: what Ray calls it.
    """

    client: Any
    address: str
    name: str

    def follow(self, say: Callable[[str], None]) -> str:
        """Pass on what it prints until it ends; returns how it ended, as Ray calls that.

        Raises:
            InputError: the connection is lost. The job goes on.
        """

        async def tail() -> None:
            async for text in self.client.tail_job_logs(self.name):
                for line in text.splitlines():
                    say(line)

        try:
            asyncio.run(tail())
            return str(self.client.get_job_status(self.name).value)
        except Exception as error:  # aiohttp's share no other base
            raise InputError(
                f"{self.address}: the connection is lost ({first_line(error)}); the job goes on: "
                f"{self.command('logs --follow')}"
            ) from None

    def why(self) -> str:
        """Why it ended, in Ray's words."""
        return str(self.client.get_job_info(self.name).message or "")

    def command(self, what: str) -> str:
        """The command of Ray that does something with it."""
        return f"ray job {what} --address {shlex.quote(self.address)} {self.name}"


def submit(
    arguments: Sequence[str],
    plugins: Sequence[str],
    files: Sequence[Path] = (),
    address: str | None = None,
) -> Job:
    """Run `sparrow ARGUMENTS` on the head of a cluster, with this code and these plugins.

    Args:
        plugins: see `launch.drivers.travel.packed`.
        files: taken along; the command runs in their folder.
        address: of the cluster's job server; by default that on this machine.

    Raises:
        InputError: no job server answers there, it refuses the job, Ray's package lacks it, or two
            files have one name.
    """
    take_token()
    if importlib.util.find_spec("aiohttp") is None:
        raise InputError(NEEDED)
    address = address or SERVER
    names = [Path(name).name if name.endswith(".py") else name for name in plugins]
    options = [part for name in names for part in ("--plugin", name)]
    command = shlex.join(["python", "-m", "launch.cli", *options, *arguments])
    for handler in logging.getLogger("ray").handlers:
        handler.setLevel(logging.WARNING)  # It says of each file that it is sent.
    # Packed first: what is wrong with the files has nothing to do with the address.
    with packed(plugins, files) as code:
        try:
            client = JobSubmissionClient(address)
            name = client.submit_job(entrypoint=command, runtime_env={"working_dir": str(code)})
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(
                f"--address {address}: {first_line(error)}; give the address of the cluster's job "
                "server, such as http://HEAD:8265, which ray start --head prints"
            ) from None
    return Job(client, address, name)
