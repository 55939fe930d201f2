"""A generated Celery project whose workers can be started, asked and killed."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.kit import processes
from tests.kit.answers import Answers
from tests.kit.brokers import Redis, Server, celery_settings
from tests.kit.projects import migrate, render
from tests.kit.repository import BIN, IN_PROJECT, ROOT
from tests.kit.waiting import TIMEOUT, until


class Refused(Exception):
    """The error that a command of the console ended with."""


class Worker:
    """A worker with all its processes."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    def kill(self) -> None:
        """Kill all processes of the worker, as the end of a machine would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Tell the worker to end, and wait for it."""
        processes.stop(self.process)


class Project:
    """A generated project with its brokers."""

    def __init__(self, folder: Path, broker: Server, redis: Redis) -> None:
        self.folder = folder
        self.broker = broker
        self.redis = redis
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("CELERY_")
        }
        self.environment |= {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            **celery_settings(redis, broker),
            "PYTHONPATH": str(folder),
            "TMPDIR": str(folder / "tmp"),
        }
        self._logs = 0

    @contextmanager
    def running(self, command: str, **environment: str) -> Iterator[Path]:
        """Run a command until the context ends, and yield the path of its log."""
        process, log = self.popen(command, **environment)
        try:
            yield log
        except BaseException:
            print(log.read_text()[-8000:])
            raise
        finally:
            processes.stop(process)

    def popen(self, command: str, **environment: str) -> tuple[subprocess.Popen[bytes], Path]:
        self._logs += 1
        path = self.folder / f"process-{self._logs}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                shlex.split(command), cwd=self.folder, env=self.environment | environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        return process, path

    def start_worker(self, *options: str, wait: bool = True, **environment: str) -> Worker:
        command = "celery -A internal.celery_app worker -l INFO"
        worker = Worker(*self.popen(shlex.join([*shlex.split(command), *options]), **environment))
        if wait:
            until(lambda: " ready." in worker.log.read_text())
        return worker

    @contextmanager
    def worker(self, *options: str, wait: bool = True, **environment: str) -> Iterator[Worker]:
        worker = self.start_worker(*options, wait=wait, **environment)
        try:
            yield worker
        except BaseException:
            print(worker.log.read_text()[-8000:])
            raise
        finally:
            worker.stop()

    @cached_property
    def console(self) -> subprocess.Popen[str]:
        """A process of the project that obeys commands (`in_project/celery_console.py`)."""
        return subprocess.Popen(
            [sys.executable, IN_PROJECT / "celery_console.py"], cwd=self.folder,
            env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def close_console(self) -> None:
        """Forget the process, and with it its connections."""
        if "console" in vars(self):
            self.console.kill()
            self.console.wait()
            del self.console

    def ask(self, command: str, *arguments: object, **options: object) -> Any:
        """Give the console a command and return its value; raises `Refused` with an error."""
        assert self.console.stdin
        assert self.console.stdout
        self.console.stdin.write(json.dumps([command, arguments, options]) + "\n")
        self.console.stdin.flush()
        answer = json.loads(self.console.stdout.readline())
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["value"]

    def enqueue(self, kind: str, **fields: object) -> str:
        """Enqueue a job of `faults`, and return its id."""
        job_id: str = self.ask("enqueue", kind, **fields)
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        """Return a job's record."""
        job: dict[str, Any] = self.ask("job", job_id)
        return job

    def ended(self, job_id: str, timeout: float = TIMEOUT) -> dict[str, Any]:
        """Wait until a job has ended, and return it."""
        until(lambda: self.job(job_id)["state"] not in ("queued", "running"), timeout)
        return self.job(job_id)

    def runs(self, job_id: str, event: str = "started") -> list[float]:
        """Return the times at which something happened to a job."""
        path = self.folder / "data/runs.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        return [float(line.split()[2]) for line in lines if line.startswith(f"{job_id} {event} ")]

    def started(self, job_id: str, times: int = 1) -> None:
        """Wait until a job was started so often."""
        until(lambda: len(self.runs(job_id)) >= times)


def generate(
    folder: Path, broker: Server, redis: Redis, template: Path = ROOT, name: str = "Sample"
) -> Project:
    """Generate a project for a broker, with the jobs of `in_project/celery_faults.py`."""
    answer = "redis" if broker is redis else "rabbitmq"
    answers: Answers = {"project_name": name, "task_runner": "celery", "celery_broker": answer}
    render(folder, answers, template)
    migrate(folder)
    (folder / "tmp").mkdir()
    shutil.copy(IN_PROJECT / "celery_faults.py", folder / "internal/jobs/faults.py")
    return Project(folder, broker, redis)
