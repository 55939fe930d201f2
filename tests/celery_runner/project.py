"""A generated Celery project whose workers can be started, asked and killed."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import copier

from tests.celery_runner.brokers import Redis, Server

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
TIMEOUT = 60.0


class Refused(Exception):
    """What the project said instead of an answer."""


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
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                self.kill()
                raise


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
            "CELERY_BROKER_URL": f"{redis.url}/0" if broker is redis else str(broker.url),
            "CELERY_RESULT_BACKEND": f"{redis.url}/1",
            "CELERY_WORKER_WITHOUT_MINGLE": "1",
            "PYTHONPATH": str(folder),
            "TMPDIR": str(folder / "tmp"),
        }
        self._logs = 0

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
        """A process of the project that answers expressions with JSON, line by line."""
        return subprocess.Popen(
            [sys.executable, HERE / "console.py"], cwd=self.folder, env=self.environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def close_console(self) -> None:
        """Forget the process, and with it its connections."""
        if "console" in vars(self):
            self.console.kill()
            self.console.wait()
            del self.console

    def ask(self, expression: str) -> Any:
        """Evaluate an expression in the project, away from its workers."""
        assert self.console.stdin
        assert self.console.stdout
        self.console.stdin.write(expression + "\n")
        self.console.stdin.flush()
        answer = json.loads(self.console.stdout.readline())
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["value"]

    def enqueue(self, kind: str, **fields: object) -> str:
        """Enqueue a job of `faults`, and return its id."""
        job_id: str = self.ask(f"enqueue({kind!r}, **{fields!r})")
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        job: dict[str, Any] = self.ask(
            f"records.run(records.get({job_id!r})).model_dump(mode='json')"
        )
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

    def messages(self, queue: str) -> int:
        channel = "app.connection_for_read().channel()"
        count: int = self.ask(f"{channel}.queue_declare({queue!r}, passive=True).message_count")
        return count


def until(condition: Callable[[], object], timeout: float = TIMEOUT) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not true after {timeout} s"
        time.sleep(0.05)


def generate(template: Path, folder: Path, broker: Server, redis: Redis) -> Project:
    """Generate a project for a broker, with jobs that behave badly."""
    answer = "redis" if broker is redis else "rabbitmq"
    copier.run_copy(
        str(template), folder, defaults=True, quiet=True, vcs_ref="HEAD",
        data={"project_name": "Sample", "task_runner": "celery", "celery_broker": answer},
    )  # fmt: skip
    (folder / "data").mkdir()
    (folder / "tmp").mkdir()
    shutil.copy(HERE / "faults.py", folder / "internal/jobs")
    return Project(folder, broker, redis)
