"""What the tests need of the task runner: a broker and a worker, both real."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis, RedisError

from dev.engine import command
from internal.config import get_settings
from internal.runner import Workflow, records
from internal.runner.registry import registry
from tests.api import TIMEOUT, until
from tests.conftest import Mailbox, free_port
from tests.replay import replay_steps


def start(
    arguments: list[str], log: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process with a group of its own, and with its output in a file."""
    with log.open("ab") as output:
        return subprocess.Popen(
            arguments,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=os.environ | (environment or {}),
        )


@contextmanager
def running(arguments: list[str], log: Path) -> Iterator[None]:
    """Run a process until the block ends."""
    process = start(arguments, log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(TIMEOUT)


class Worker:
    """A worker, which knows the tests' own jobs as well."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> None:
        """Start it; what it is asked for waits until it listens."""
        self.process = start([sys.executable, "-m", "tests.worker"], self.log, environment)

    def kill(self) -> None:
        """End all its processes at once, as a power failure does."""
        assert self.process
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="session")
def engine(
    environment: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Run a Redis of the tests' own, and return its address."""
    folder = tmp_path_factory.mktemp("redis")
    url = f"redis://127.0.0.1:{free_port()}"
    environment.setenv("CELERY_BROKER_URL", f"{url}/0")
    environment.setenv("CELERY_RESULT_BACKEND", f"{url}/1")
    get_settings.cache_clear()
    with running(command(url, folder), folder / "log"):
        until(lambda: _answers(url))
        yield url


@pytest.fixture(scope="session")
def runner(
    engine: str, mailbox: Mailbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    """Run a worker."""
    worker = Worker(tmp_path_factory.mktemp("worker") / "log")
    worker.start()
    yield worker
    worker.kill()


def replay(job_id: str) -> str | None:
    """Run a workflow that has succeeded again, and return what goes wrong."""
    job = records.run(records.get(job_id))
    text, steps = records.run(records.get_steps(job_id))
    workflow = registry().kinds[job.kind].model_validate_json(text)
    assert isinstance(workflow, Workflow)
    return replay_steps(workflow, job_id, steps, job.result)


def _answers(url: str) -> bool:
    try:
        with Redis.from_url(url) as redis:
            return bool(redis.ping())
    except RedisError:
        return False
