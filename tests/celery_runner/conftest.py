"""A generated Celery project on each broker, with workers that can be killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import copier
import pytest

from tests.celery_runner.brokers import RabbitMQ, Redis, Server

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
TIMEOUT = 60.0


class Worker:
    """A worker with all its processes."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    def children(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

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
            "TMPDIR": str(folder / "tmp"),
        }
        self._logs = 0

    def popen(self, *command: str, **environment: str) -> tuple[subprocess.Popen[bytes], Path]:
        self._logs += 1
        path = self.folder / f"process-{self._logs}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment | environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        return process, path

    @contextmanager
    def worker(self, *options: str, wait: bool = True, **environment: str) -> Iterator[Worker]:
        command = [
            "celery",
            "-A",
            "internal.celery_app",
            "worker",
            "-l",
            "INFO",
            "-I",
            "faults",
            "-c",
            "2",
        ]
        worker = Worker(*self.popen(*command, *options, **environment))
        try:
            if wait:
                until(lambda: " ready." in worker.log.read_text())
            yield worker
        except BaseException:
            print(worker.log.read_text()[-8000:])
            raise
        finally:
            worker.stop()

    def python(self, code: str, timeout: float = TIMEOUT) -> Any:
        """Run code in another process of the project, and return what it prints as JSON."""
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=self.folder, env=self.environment, text=True,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout else None

    def enqueue(self, task: str, *args: object) -> str:
        """Enqueue a job of `faults`, and return its id."""
        code = f"import faults, json; print(json.dumps(faults.{task}.delay(*{args!r}).id))"
        job_id: str = self.python(code)
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        code = f"from internal import job_records; print(job_records.get({job_id!r}).model_dump_json())"
        job: dict[str, Any] = self.python(code)
        return job

    def ended(self, job_id: str, timeout: float = TIMEOUT) -> dict[str, Any]:
        """Wait until a job has ended, and return it."""
        code = f"""
import time
from internal import job_records
until = time.monotonic() + {timeout}
while (job := job_records.get({job_id!r})).state in ("queued", "running"):
    assert time.monotonic() < until, job
    time.sleep(0.05)
print(job.model_dump_json())
"""
        job: dict[str, Any] = self.python(code, timeout=timeout + 10)
        return job

    def runs(self, job_id: str, event: str = "started") -> list[float]:
        """Return the times at which something happened to a job."""
        path = self.folder / "data/runs.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        return [float(line.split()[2]) for line in lines if line.startswith(f"{job_id} {event} ")]


def until(condition: Callable[[], object], timeout: float = TIMEOUT) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not true after {timeout} s"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    yield from _running(Redis, tmp_path_factory)


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    yield from _running(RabbitMQ, tmp_path_factory)


def _running[S: Server](kind: type[S], tmp_path_factory: pytest.TempPathFactory) -> Iterator[S]:
    if kind.missing():
        pytest.skip(str(kind.missing()))
    server = kind(tmp_path_factory.mktemp("server") / "data")
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def project(
    request: pytest.FixtureRequest,
    template: Path,
    redis: Redis,
    tmp_path_factory: pytest.TempPathFactory,
) -> Project:
    broker: Server = redis if request.param == "redis" else request.getfixturevalue("rabbitmq")
    folder = tmp_path_factory.mktemp(request.param) / "sample"
    copier.run_copy(
        str(template), folder, defaults=True, quiet=True,
        data={"project_name": "Sample", "task_runner": "celery", "celery_broker": request.param},
    )  # fmt: skip
    (folder / "data").mkdir()
    (folder / "tmp").mkdir()
    shutil.copy(HERE / "faults.py", folder)
    return Project(folder, broker, redis)
