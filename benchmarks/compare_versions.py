"""What an e-mail job costs in projects of two versions of the template, in the same run.

    python -m benchmarks.compare_versions OLD NEW [--runner temporal|celery|none]
        [--broker redis|rabbitmq] [--jobs 100] [--rounds 5]

A version is a commit or tag of this repository; `HEAD` includes what is not committed yet. Both
projects run at the same time, with an engine of their own or, with Celery, queues of their own on
the same servers (`redis-server`, `rabbitmq-server`). Jobs are enqueued over HTTP, by turns in every
round: one after the other, which gives the time until the e-mail is in the outbox, and then all at
once, which gives the CPU a job of the API's and the worker's processes. Printed are the medians of
the rounds, and of the rounds' ratios.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import copier

from benchmarks.api_enqueue import uvicorn
from benchmarks.celery_throughput import cpu
from tests.kit.answers import Answers
from tests.kit.brokers import BROKERS, Redis, Server, celery_settings, redis_and_broker
from tests.kit.ports import free_port
from tests.kit.projects import migrate
from tests.kit.repository import BIN, ROOT
from tests.kit.waiting import until
from tests.kit.web import status

AT_ONCE = 20
"""How many clients enqueue the jobs that are done together."""

WARM_UP = 20
"""How many jobs are done before any is counted."""

MODULES = {
    "temporal": (["-m", "internal.workers.main"], ["-m", "dev.engine"]),
    "celery": (["-m", "celery", "-A", "internal.celery_app", "worker", "-l", "INFO"],),
    "none": (),
}
"""What Python runs beside the API; the worker, if there is one, comes first."""


@dataclass(frozen=True)
class Measured:
    """What one round of one project showed, all in milliseconds."""

    p50: float
    p95: float
    cpu_of_api: float
    cpu_of_worker: float


class Side:
    """A running project."""

    def __init__(self, folder: Path, port: int, processes: list[subprocess.Popen[bytes]]) -> None:
        self.outbox = folder / "data/outbox"
        self.url = f"http://127.0.0.1:{port}"
        self.api, *self.others = (process.pid for process in processes)

    def enqueue(self) -> None:
        """Enqueue one e-mail."""
        body = json.dumps({"to": "ada@example.com", "subject": "Hello"}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/jobs/email", body, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 202

    def wait(self, jobs: int = 1) -> None:
        """Wait until so many e-mails are in the outbox, and remove them."""
        until(lambda: len(list(self.outbox.glob("*.eml"))) >= jobs, interval=0.001)
        for path in self.outbox.glob("*.eml"):
            path.unlink()

    def measure(self, jobs: int) -> Measured:
        """Do `jobs` jobs one after the other, then as many at the same time, and measure both."""
        times = []
        for _ in range(jobs):
            start = time.perf_counter()
            self.enqueue()
            self.wait()
            times.append(1000 * (time.perf_counter() - start))
        before = self._cpu()
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(lambda _: self.enqueue(), range(jobs)))
        self.wait(jobs)
        api, worker = (
            1000 * (now - then) / jobs for now, then in zip(self._cpu(), before, strict=True)
        )
        return Measured(
            statistics.median(times), statistics.quantiles(times, n=20)[18], api, worker
        )

    def _cpu(self) -> tuple[float, float]:
        return cpu(self.api), cpu(self.others[0]) if self.others else 0.0


def main() -> None:
    """Measure both versions by turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("old")
    parser.add_argument("new", nargs="?", default="HEAD")
    parser.add_argument("--runner", choices=list(MODULES), default="temporal")
    parser.add_argument("--broker", choices=list(BROKERS), default="redis")
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rounds: list[tuple[Measured, Measured]] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        answers: Answers = {"task_runner": options.runner}
        servers: tuple[Redis, Server] | None = None
        if options.runner == "celery":
            answers["celery_broker"] = options.broker
            servers = stack.enter_context(redis_and_broker(BROKERS[options.broker], folder))
        sides = [
            stack.enter_context(
                running(folder / name, version, answers | {"project_name": name}, servers)
            )
            for name, version in (("old", options.old), ("new", options.new))
        ]
        for number in range(options.rounds):
            # Who is first changes: what one leaves to do is not always the other's.
            order = sides if number % 2 else sides[::-1]
            measured = {side: side.measure(options.jobs) for side in order}
            rounds.append((measured[sides[0]], measured[sides[1]]))
    print(f"{options.rounds} rounds of {options.jobs} jobs; load {os.getloadavg()[0]:.1f}\n")
    print(f"| {options.runner} | {options.old} | {options.new} | Ratio |\n|---|---|---|---|")
    for number, field in enumerate(fields(Measured)):
        pairs = [(astuple(old)[number], astuple(new)[number]) for old, new in rounds]
        old, new = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(after / before for before, after in pairs) if old else 1
        print(f"| {field.name.replace('_', ' ')} (ms) | {old:.2f} | {new:.2f} | {ratio:.2f} |")


@contextmanager
def running(
    folder: Path, version: str, answers: Answers, servers: tuple[Redis, Server] | None
) -> Iterator[Side]:
    """Make a project of a version of the template, and run it."""
    copier.run_copy(str(ROOT), folder, answers, vcs_ref=version, defaults=True, quiet=True)
    port = free_port()
    environment = {
        name: value
        for name, value in os.environ.items()
        # As everywhere but in a few test environments, Python keeps what it compiled.
        if not name.startswith(("CELERY_", "TEMPORAL_")) and name != "PYTHONDONTWRITEBYTECODE"
    } | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder),
        "SMTP_URL": "",
    }
    if servers:
        environment |= celery_settings(*servers) | {"TMPDIR": str(folder)}
    environment["TEMPORAL_ADDRESS"] = f"127.0.0.1:{free_port(also=1000)}"
    if (folder / "alembic.ini").exists():
        migrate(folder, **environment)
    commands = [
        [*uvicorn(folder), "--port", str(port), "--no-access-log"],
        *MODULES[str(answers["task_runner"])],
    ]
    with ExitStack() as stack:
        processes = []
        for number, command in enumerate(commands):
            with (folder / f"{number}.log").open("wb") as log:
                process = subprocess.Popen(
                    [sys.executable, *command], cwd=folder, env=environment,
                    stdout=log, stderr=log, start_new_session=True,
                )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(os.killpg, process.pid, 9)
            processes.append(process)
        side = Side(folder, port, processes)
        until(lambda: status(f"{side.url}/readyz") == 200)
        for _ in range(WARM_UP):
            side.enqueue()
        side.wait(WARM_UP)
        yield side


if __name__ == "__main__":
    main()
