"""Processes in a network of their own, in which nothing is there but some ports of this machine.

As a program it is one of the two ends: `apart.py out FOLDER PORT...` lets connections out of a
folder's sockets to those ports; `apart.py in FOLDER PORT... -- COMMAND` runs a command, in a network
in which those ports lead to the sockets.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["apart", "doors", "networks_can_be_had"]

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]

UNSHARE = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--net"]
LOOPBACK = ["ip", "link", "set", "lo", "up"]


def networks_can_be_had() -> bool:
    """Tell whether processes can have a network of their own here."""
    tools = all(map(shutil.which, ("unshare", "ip")))
    return (
        tools
        and not subprocess.run([*UNSHARE, *LOOPBACK], capture_output=True, check=False).returncode
    )


@contextmanager
def doors(folder: Path, ports: Sequence[int]) -> Iterator[None]:
    """Let processes that are `apart` reach these ports."""
    command = [sys.executable, __file__, "out", str(folder), *map(str, ports)]
    process = subprocess.Popen(command)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def apart(folder: Path, ports: Sequence[int], command: Sequence[str]) -> list[str]:
    """Return a command that runs another one in a network of its own, with these ports."""
    return [
        *(*UNSHARE, sys.executable, __file__),
        *("in", str(folder), *map(str, ports), "--", *command),
    ]


async def _let_out(folder: Path, ports: Sequence[int]) -> None:
    for port in ports:

        def connect(
            port: int = port,
        ) -> Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
            return asyncio.open_connection("127.0.0.1", port)

        await asyncio.start_unix_server(_passing_on(connect), folder / str(port))
    await asyncio.Event().wait()


async def _run_inside(folder: Path, ports: Sequence[int], command: Sequence[str]) -> int:
    for port in ports:

        def connect(
            port: int = port,
        ) -> Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
            return asyncio.open_unix_connection(folder / str(port))

        await asyncio.start_server(_passing_on(connect), "127.0.0.1", port)
    process = await asyncio.create_subprocess_exec(*command)
    return await process.wait()


def _passing_on(
    connect: Connect,
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            far_reader, far_writer = await connect()
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        writer.close()

    return pass_on


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while content := await source.read(65_536):
            sink.write(content)
            await sink.drain()
    sink.close()


def main() -> None:
    """Be one of the two ends."""
    end, folder, *rest = sys.argv[1:]
    ports = rest[: rest.index("--")] if end == "in" else rest
    numbers = list(map(int, ports))
    if end == "out":
        asyncio.run(_let_out(Path(folder), numbers))
    else:
        subprocess.run(LOOPBACK, check=True)
        sys.exit(asyncio.run(_run_inside(Path(folder), numbers, rest[len(ports) + 1 :])))


if __name__ == "__main__":
    main()
