"""What the tests need of the task runner: a Temporal server, and the worker."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest
from temporalio.client import Client

from dev.engine import command
from internal.config import Settings, get_settings
from internal.workers.connection import connect
from tests.conftest import Mailbox, free_port


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(30):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.02)


@pytest.fixture(scope="session")
def engine(environment: pytest.MonkeyPatch) -> Iterator[None]:
    """Run the development server, in memory."""
    for name in [name for name in os.environ if name.startswith("TEMPORAL_")]:
        environment.delenv(name)
    # The connections that somebody has for the `temporal` command are not for tests.
    environment.setenv("TEMPORAL_CONFIG_FILE", os.devnull)
    with server() as address:
        environment.setenv("TEMPORAL_ADDRESS", address)
        get_settings.cache_clear()
        yield


@pytest.fixture(scope="session")
def runner(engine: None, mailbox: Mailbox) -> Iterator[None]:
    """Run the worker, as it runs in production."""
    with process([sys.executable, "-m", "internal.workers.main"]):
        yield


@pytest.fixture
async def temporal(engine: None) -> Client:
    """Connect to the server."""
    return await connect(get_settings())


@pytest.fixture
def own_queue(engine: None) -> Settings:
    """Return settings with a task queue that only the test's own workers know."""
    return get_settings().model_copy(update={"temporal_task_queue": uuid4().hex})


@contextmanager
def server() -> Iterator[str]:
    """Run a development server that keeps nothing, and return its address."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    # For the tests of what a workflow does when its history is long: it is told early, and
    # goes on in a new run without a pause.
    long_histories = (
        *("--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=20"),
        *("--dynamic-config-value", 'history.workflowIdReuseMinimalInterval="0s"'),
    )
    with process(command(port, "--headless", "--log-level", "error", *long_histories)):
        # For a moment, it listens before it answers.
        asyncio.run(until(lambda: _answers(address)))
        yield address


@contextmanager
def process(arguments: list[str]) -> Iterator[None]:
    """Run a process, and end it when it is not needed any more."""
    with subprocess.Popen(arguments) as running:
        try:
            yield
        finally:
            running.kill()


async def _answers(address: str) -> bool:
    try:
        await Client.connect(address)
    except RuntimeError:
        return False
    return True
