"""What the tests need of the task runner: a Temporal server, and the worker."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dev.engine import command
from internal.config import get_settings
from tests.conftest import Mailbox, free_port


@pytest.fixture(scope="session")
def engine(environment: pytest.MonkeyPatch) -> Iterator[str]:
    """Run the development server in memory, and return its address."""
    for name in os.environ:
        if name.startswith("TEMPORAL_"):
            environment.delenv(name)
    port = free_port()
    environment.setenv("TEMPORAL_ADDRESS", f"127.0.0.1:{port}")
    get_settings.cache_clear()
    with process(command(port, "--headless", "--log-level", "error")):
        wait_for(port)
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="session")
def runner(engine: str, mailbox: Mailbox) -> Iterator[None]:
    """Run the worker, as it runs in production."""
    with process([sys.executable, "-m", "internal.workers.main"]):
        yield


def wait_for(port: int) -> None:
    """Wait until somebody listens on a port of this machine."""
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, f"nobody listens on port {port}"
            time.sleep(0.02)
        else:
            return


@contextmanager
def process(arguments: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process, and stop it at the end."""
    with subprocess.Popen(arguments) as running:
        try:
            yield running
        finally:
            running.send_signal(signal.SIGTERM)
            running.wait(30)
