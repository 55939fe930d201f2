"""Jobs a second and CPU a job: Celery with several settings, its peers, and a generated project.

    python -m benchmarks.celery_throughput [--broker redis|rabbitmq] [--jobs 4000] [--rounds 3]

Needs `redis-server`, or it and `rabbitmq-server`, on this machine. All run in turn, on the same
broker with its log on disk, in every round; the medians are printed. Workers are frozen while
the jobs are enqueued, so that only working is measured; of the jobs that wait there are half as
many. All have two processes, which run two jobs at a time, or as many side by side as the name
says: 50 in each worker of the generated project. Its jobs are recorded and leased, so that they
survive their worker. Dramatiq and Taskiq are installed, in the versions below, into an environment
of their own (by uv, with a package index); both acknowledge late and keep no results. Each side logs
a line for each job. On a busy machine the CPU a job is the steadier figure.
"""

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.kit.brokers import BROKERS, redis_and_broker
from tests.kit.celery_project import generate
from tests.kit.processes import run
from tests.kit.repository import BIN, tool
from tests.kit.waiting import until

TICKS = os.sysconf("SC_CLK_TCK")

IN_PROJECT = Path(__file__).with_name("in_project")


OTHERS = (
    "dramatiq[rabbitmq,redis]==2.2.1",
    "taskiq==0.13.0",
    "taskiq-aio-pika==0.6.1",
    "taskiq-redis==1.2.4",
)
"""What is measured beside Celery."""


@dataclass(frozen=True)
class Case:
    """The workers of one side, with two processes in all, and the jobs they get."""

    name: str
    module: str
    task: str
    options: tuple[str, ...] = ("-c", "2")
    workers: int = 1

    def is_ready(self, log: str) -> bool:
        """Tell from the log whether all processes work."""
        return log.count(" ready.") == self.workers

    def worker(self, number: int, programs: Path) -> list[str]:
        """Return the command that starts one of the workers; `number` is part of its name."""
        command = [str(BIN / "celery"), "-A", self.module, "worker", "-l", "INFO"]
        return [*command, "-n", f"{number}@%h", *self.options]

    def enqueue(self, jobs: int, programs: Path) -> list[str | Path]:
        """Return the command that enqueues this number of jobs."""
        if self.module == GENERATED:
            return [sys.executable, IN_PROJECT / "celery_enqueue_jobs.py", self.task, str(jobs)]
        program = IN_PROJECT / "celery_enqueue.py"
        return [sys.executable, program, self.module, self.task, str(jobs)]


@dataclass(frozen=True)
class DramatiqCase(Case):
    """The same for Dramatiq."""

    said = "Worker process is ready for action."
    """What a process logs when it works."""

    def is_ready(self, log: str) -> bool:
        """Tell from the log whether both processes work."""
        return log.count(self.said) == 2

    def worker(self, number: int, programs: Path) -> list[str]:
        """Return the command that starts the worker."""
        return [str(programs / "dramatiq"), self.module, *self.options]

    def enqueue(self, jobs: int, programs: Path) -> list[str | Path]:
        """Return the command that enqueues this number of jobs."""
        return [programs / "python", IN_PROJECT / f"{self.module}.py", self.task, str(jobs)]


@dataclass(frozen=True)
class TaskiqCase(DramatiqCase):
    """The same for Taskiq."""

    said = "Listening started."

    def worker(self, number: int, programs: Path) -> list[str]:
        """Return the command that starts the worker."""
        return [str(programs / "taskiq"), "worker", f"{self.module}:broker", *self.options]


GENERATED = "internal.celery_app"
CELERY = {
    "Celery's defaults": "celery_defaults",
    "Celery, acknowledging late": "celery_acks_late",
    "cookiecutter-django's settings": "celery_cookiecutter_django",
}
SIDE_BY_SIDE = ("-c", "50")
NOTHING = [
    *(Case(name, module, "nothing") for name, module in CELERY.items()),
    DramatiqCase("Dramatiq, 8 threads", "dramatiq_tasks", "nothing", ("-p", "2")),
    TaskiqCase("Taskiq, 100 side by side", "taskiq_tasks", "nothing", ("-w", "2")),
    Case("generated project, two workers", GENERATED, "nothing", SIDE_BY_SIDE, workers=2),
]
WAITING = [
    *(Case(name, module, "wait") for name, module in CELERY.items()),
    Case("Celery's defaults, 50 threads", "celery_defaults", "wait", ("-P", "threads", "-c", "50")),
    DramatiqCase("Dramatiq, 8 threads", "dramatiq_tasks", "wait", ("-p", "2")),
    DramatiqCase("Dramatiq, 50 threads", "dramatiq_tasks", "wait", ("-p", "2", "-t", "50")),
    TaskiqCase("Taskiq, 100 side by side", "taskiq_tasks", "wait", ("-w", "2")),
    Case("generated project, two workers", GENERATED, "wait", SIDE_BY_SIDE, workers=2),
]


def main() -> None:
    """Measure every case, round by round, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--broker", choices=list(BROKERS), default="redis")
    parser.add_argument("--jobs", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["nothing", "waiting"])
    options = parser.parse_args()
    tables = [
        ("Nothing to do", NOTHING, options.jobs),
        ("10 ms of waiting", WAITING, options.jobs // 2),
    ]
    if options.only:
        tables = [table for table in tables if options.only in table[0].lower()]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis, broker = stack.enter_context(redis_and_broker(BROKERS[options.broker], folder))
        project = generate(folder / "sample", broker, redis)
        shutil.copy(IN_PROJECT / "celery_jobs.py", project.folder / "internal/jobs")
        bench = Bench(project.folder, project.environment, install(folder / "others"))
        for title, cases, jobs in tables:
            rounds = [[bench.run(case, jobs) for case in cases] for _ in range(options.rounds)]
            print(f"\n| {title} | Jobs a second | CPU a job (ms) |\n|---|---|---|")
            for number, case in enumerate(cases):
                rate = statistics.median(results[number][0] for results in rounds)
                cost = statistics.median(results[number][1] for results in rounds)
                print(f"| {case.name} | {rate:.0f} | {cost:.2f} |", flush=True)


class Bench:
    """Runs workers of a project, and measures them."""

    def __init__(self, folder: Path, environment: dict[str, str], programs: Path) -> None:
        self.folder, self.programs = folder, programs
        self.environment = environment | {"PYTHONPATH": f"{folder}:{IN_PROJECT}"}

    def run(self, case: Case, jobs: int) -> tuple[float, float]:
        """Return jobs a second, and milliseconds of CPU a job."""
        log = self.folder / "bench.log"
        with log.open("wb") as output:
            workers = [
                subprocess.Popen(
                    case.worker(number, self.programs),
                    cwd=self.folder, env=self.environment,
                    stdout=output, stderr=output, start_new_session=True,
                )
                for number in range(case.workers)
            ]  # fmt: skip
        pids = [worker.pid for worker in workers]
        try:
            until(
                lambda: case.is_ready(log.read_text()),
                describe=lambda: log.read_text()[-3000:],
            )
            time.sleep(1)
            for pid in pids:
                os.killpg(pid, signal.SIGSTOP)
            program = case.enqueue(jobs, self.programs)
            run(*program, cwd=self.folder, environment=self.environment)
            before, begun = sum(map(cpu, pids)), time.monotonic()
            for pid in pids:
                os.killpg(pid, signal.SIGCONT)
            until(
                lambda: log.read_bytes().count(b" succeeded in ") >= jobs,
                300,
                describe=lambda: log.read_text()[-3000:],
            )
            seconds = time.monotonic() - begun
            return jobs / seconds, (sum(map(cpu, pids)) - before) * 1000 / jobs
        finally:
            for worker in workers:
                os.killpg(worker.pid, signal.SIGKILL)
                worker.wait()


def install(folder: Path) -> Path:
    """Make an environment with the others, and return the folder of its programs."""
    uv = tool("uv")
    run(uv, "venv", "--quiet", "--python", sys.executable, folder)
    run(uv, "pip", "install", "--quiet", "--python", folder, *OTHERS)
    return folder / "bin"


def cpu(pid: int) -> float:
    """Return the seconds of CPU that a process and those that it started have used."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS + sum(map(cpu, map(int, children)))


if __name__ == "__main__":
    main()
