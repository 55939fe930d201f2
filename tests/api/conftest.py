"""The API of generated projects as in production, with its real engine and no worker."""

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kit import processes
from tests.kit.answers import Answers
from tests.kit.brokers import BROKERS, Redis, celery_settings, redis_and_broker
from tests.kit.ports import free_port, listens
from tests.kit.projects import Render, migrate
from tests.kit.waiting import until
from tests.kit.web import status

TOKEN = "the-token-of-the-tests"


@dataclass(frozen=True)
class Api:
    """An API that runs."""

    project: Path
    port: int
    process: subprocess.Popen[bytes]
    environment: dict[str, str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def peak(self) -> int:
        """The most memory that its process ever had, in bytes."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        [peak] = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
        return int(peak) * 1024


Serve = Callable[..., AbstractContextManager[Api]]
"""Serves the API of a project with some answers; keywords are settings."""


@pytest.fixture
def serve(render: Render, tmp_path: Path) -> Serve:
    @contextmanager
    def serve(answers: Answers, **settings: str) -> Iterator[Api]:
        project = render({**answers, "docs_language": "en", "python_version": "3.11"})
        port = free_port()
        with ExitStack() as stack:
            digest = hashlib.sha256(TOKEN.encode()).hexdigest()
            environment = os.environ | {
                "ENVIRONMENT": "production",
                "API_KEYS": f"tests:enqueue,read,operate:{digest}",
                "SMTP_URL": "outbox:",
                "RATE_LIMIT": "none",
                "DATA_DIR": str(tmp_path / "data"),
                "LOG_LEVEL": "WARNING",
                **stack.enter_context(engine(answers, project, tmp_path)),
                **settings,
            }
            migrate(project, **environment)
            process = stack.enter_context(
                running(
                    project, environment, tmp_path / "api.log", "uvicorn", "api.main:app",
                    "--http", "api.protocol:Protocol", "--port", str(port),
                )
            )  # fmt: skip
            api = Api(project, port, process, environment)
            until(lambda: process.poll() is not None or status(f"{api.url}/livez") == 200)
            assert process.poll() is None, (tmp_path / "api.log").read_text()
            yield api

    return serve


@contextmanager
def running(
    folder: Path, environment: dict[str, str], log: Path, *module: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python module in a folder, and stop it in the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *module],
            cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        # It may still have jobs to write down that nobody waits for.
        processes.stop(process, signal.SIGKILL, group=True)


@contextmanager
def engine(answers: Answers, project: Path, folder: Path) -> Iterator[dict[str, str]]:
    """Run what a project's jobs wait in, and yield the settings that name it."""
    match answers:
        case {"task_runner": "temporal"}:
            port = free_port(also=1000)
            settings = {
                "TEMPORAL_ADDRESS": f"127.0.0.1:{port}",
                "TEMPORAL_CONFIG_FILE": os.devnull,
                "DATA_DIR": str(folder / "data"),
            }
            log = folder / "engine.log"
            with running(project, os.environ | settings, log, "dev.engine"):
                until(lambda: listens(port), describe=log.read_text)
                yield settings
        case {"task_runner": "celery", "celery_broker": broker}:
            kind = BROKERS[str(broker)]
            if missing := Redis.missing() or kind.missing():
                pytest.skip(missing)
            with redis_and_broker(kind, folder) as servers:
                yield celery_settings(*servers)
        case _:
            yield {}
