"""Who reaches what: connections from another machine, and from a network of containers.

As a program it prints, as JSON, to which of the addresses in its argument it could connect.
"""

import json
import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "Address",
    "Run",
    "another_machine",
    "another_machine_can_be_had",
    "connected",
    "reached",
]

Address = tuple[str, int]

Run = Callable[..., str]
"""Runs a program somewhere, and returns what it prints."""

SECONDS = 1.0
"""After so long without an answer, an address counts as closed."""


def connected(addresses: list[Address]) -> list[Address]:
    """Return those addresses that accept a connection from here."""

    def connects(address: Address) -> bool:
        try:
            socket.create_connection(address, timeout=SECONDS).close()
        except OSError:
            return False
        return True

    with ThreadPoolExecutor(len(addresses)) as threads:
        return [
            address
            for address, open_ in zip(addresses, threads.map(connects, addresses), strict=True)
            if open_
        ]


def reached(run: Run, targets: Mapping[str, Address]) -> set[str]:
    """Return the names of those targets that are reached from where `run` runs a program."""
    code = Path(__file__).read_text()
    # The engine may have printed a warning before it.
    answer = run("python3", "-c", code, json.dumps(list(targets.values())))
    found = [tuple(address) for address in json.loads(answer.splitlines()[-1])]
    return {name for name, address in targets.items() if address in found}


def another_machine_can_be_had() -> bool:
    """Tell whether a network namespace can stand for another machine here."""
    tools = all(map(shutil.which, ("unshare", "nsenter", "ip")))
    command = ["unshare", "--net", "ip", "link", "add", "one", "type", "veth", "peer", "two"]
    return tools and not subprocess.run(command, capture_output=True, check=False).returncode


@contextmanager
def another_machine() -> Iterator[tuple[str, Run]]:
    """Make a network namespace that is joined to this one by a veth pair, as by a cable.

    Yields this machine's address on that link, and what runs a program in the namespace.
    """
    # Of the range for tests of network devices (RFC 2544), so that no other network is meant.
    block = f"198.18.{random.randrange(256)}"
    cable = f"lich{os.getpid()}"
    holder = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo; exec sleep infinity"], stdout=subprocess.PIPE
    )

    def there(*command: str) -> str:
        return _call("nsenter", f"--net=/proc/{holder.pid}/ns/net", *command)

    try:
        assert holder.stdout
        holder.stdout.readline()
        peer = ["peer", "name", "cable", "netns", str(holder.pid)]
        _call("ip", "link", "add", cable, "type", "veth", *peer)
        _call("ip", "address", "add", f"{block}.1/30", "dev", cable)
        _call("ip", "link", "set", cable, "up")
        there("ip", "address", "add", f"{block}.2/30", "dev", "cable")
        there("ip", "link", "set", "cable", "up")
        yield f"{block}.1", there
    finally:
        # With the namespace, both ends of the pair are removed.
        holder.kill()
        holder.wait()


def _call(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command[:6])}\n{done.stderr}"
    return done.stdout


if __name__ == "__main__":
    wanted = [(host, port) for host, port in json.loads(sys.argv[1])]
    print(json.dumps(connected(wanted)))
