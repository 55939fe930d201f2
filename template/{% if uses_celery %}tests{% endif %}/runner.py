"""What the tests need of the task runner: a broker and a worker, both real."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis, RedisError

from dev.engine import command
from internal.config import get_settings
from tests.conftest import Mailbox, free_port

TIMEOUT = 30.0


@contextmanager
def running(arguments: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process, with its output in a file."""
    with log.open("ab") as output:
        process = subprocess.Popen(arguments, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(TIMEOUT)


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
        _wait_for(url)
        yield url


@pytest.fixture(scope="session")
def runner(
    engine: str, mailbox: Mailbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Run a worker."""
    log = tmp_path_factory.mktemp("worker") / "log"
    worker = [sys.executable, "-m", "celery", "-A", "internal.celery_app", "worker"]
    with running([*worker, "-l", "INFO", "-c", "2"], log):
        deadline = time.monotonic() + TIMEOUT
        while " ready." not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            with Redis.from_url(url) as redis:
                redis.ping()
            return
        except RedisError:
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.05)
