"""What a generated project's jobs run on: an engine, which can be killed, and its workers."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.kit.answers import Answers
from tests.kit.brokers import BROKERS, Server, celery_settings, redis_and_broker
from tests.kit.ports import free_port, listens
from tests.kit.waiting import until

__all__ = ["Engine", "Running", "engine"]


class Running:
    """A process of the project that is started again after it was killed."""

    def __init__(self, name: str, command: list[str], project: Path, settings: dict[str, str]):
        self.name, self._command, self._project, self._settings = name, command, project, settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def log(self) -> Path:
        """What it has printed, all times that it was started."""
        return self._project / f"{self.name}.log"

    @property
    def ended(self) -> bool:
        """Whether it has ended, of itself or because it was killed."""
        return self._process is not None and self._process.poll() is not None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._project, env=self._settings,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def kill(self) -> None:
        """Kill it with all its processes, as the end of a machine would."""
        assert self._process
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@dataclass(frozen=True)
class Engine:
    """A broker, or Temporal's server, that a project uses."""

    broker: Running | Server
    settings: dict[str, str]
    """The environment of the project's processes."""
    worker: list[str]
    """The command of a worker."""


@contextmanager
def engine(
    answers: Answers, project: Path, folder: Path, settings: dict[str, str]
) -> Iterator[Engine]:
    """Run the engine of a project with these answers until the context ends."""
    if answers["task_runner"] == "celery":
        kind = BROKERS[str(answers["celery_broker"])]
        with redis_and_broker(kind, folder) as (redis, broker):
            worker = [sys.executable, "-m", "celery", "-A", "internal.celery_app", "worker"]
            yield Engine(broker, settings | celery_settings(redis, broker), worker)
    else:
        port = free_port(also=1000)
        settings = settings | {
            "TEMPORAL_ADDRESS": f"127.0.0.1:{port}", "TEMPORAL_CONFIG_FILE": os.devnull,
        }  # fmt: skip
        server = Running("engine", [sys.executable, "-m", "dev.engine"], project, settings)
        server.start()
        try:
            until(lambda: listens(port))
            yield Engine(server, settings, [sys.executable, "-m", "internal.workers.main"])
        finally:
            server.kill()
