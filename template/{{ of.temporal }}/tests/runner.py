"""What the tests need of the task runner: a Temporal server, and the worker."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest
from temporalio.client import Client, WorkflowHistory

from dev.engine import command
from internal.config import Settings, get_settings
from internal.runner.connection import connect
from internal.runner.worker import build_replayer
from tests.conftest import Mailbox, free_port


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(30):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.02)


@pytest.fixture(scope="session")
def address(environment: pytest.MonkeyPatch) -> Iterator[str]:
    """Start the development server, in memory, and return its address."""
    for name in [name for name in os.environ if name.startswith("TEMPORAL_")]:
        environment.delenv(name)
    # The connections that somebody has for the `temporal` command are not for tests.
    environment.setenv("TEMPORAL_CONFIG_FILE", os.devnull)
    with server() as address:
        environment.setenv("TEMPORAL_ADDRESS", address)
        get_settings.cache_clear()
        yield address


@pytest.fixture(scope="session")
def engine(address: str) -> None:
    """Wait until the server answers."""
    wait_for_server(address)


@pytest.fixture(scope="session")
def runner(address: str, mailbox: Mailbox) -> Iterator[None]:
    """Run the worker, as it runs in production."""
    with process([sys.executable, "-m", "tests.worker"]):
        # Afterwards: the worker waits for its server as well.
        wait_for_server(address)
        yield


@pytest.fixture
async def temporal(engine: None) -> Client:
    """Connect to the server."""
    return await connect(get_settings())


@pytest.fixture
def own_queue(engine: None) -> Settings:
    """Return settings with a task queue that only the test's own workers know."""
    return get_settings().model_copy(update={"temporal_task_queue": uuid4().hex})


ADVICE = """
A job that runs while this code is deployed would stop here: a workflow must take the same steps
when it is run again. What depends on a clock, on randomness or on input belongs into a step, or
comes from ctx; and steps of a workflow that has begun must stay, in the same order."""


def replay(job_id: str) -> str | None:
    """Run a workflow again from its history, and return what goes wrong."""

    async def run_again() -> str | None:
        client = await connect(get_settings())
        return await replay_history(await client.get_workflow_handle(job_id).fetch_history())

    return asyncio.run(run_again())


async def replay_history(history: WorkflowHistory) -> str | None:
    """Run a workflow again from a history, and return what goes wrong."""
    result = await build_replayer().replay_workflow(history, raise_on_replay_failure=False)
    if result.replay_failure is None:
        return None
    return f"{history.workflow_id}: {result.replay_failure}\n{ADVICE}"


@contextmanager
def server() -> Iterator[str]:
    """Start a development server that keeps nothing, and return its address."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    # For the tests of what a workflow does when its history is long: it is told early, and
    # goes on in a new run without a pause.
    long_histories = (
        *("--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=40"),
        *("--dynamic-config-value", 'history.workflowIdReuseMinimalInterval="0s"'),
    )
    # Otherwise, the shortest pause is a second, and the server looks only 20 times a second for
    # pauses that are over.
    short_pauses = (
        *("--dynamic-config-value", 'history.timerProcessorMaxTimeShift="1ms"'),
        *("--dynamic-config-value", "history.timerProcessorMaxPollRPS=1000"),
    )
    options = (*long_histories, *short_pauses)
    with process(command(port, "--headless", "--log-level", "error", *options)):
        yield address


def wait_for_server(address: str) -> None:
    """Wait until a server answers, which comes a moment after it listens."""
    asyncio.run(until(lambda: _answers(address)))


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
