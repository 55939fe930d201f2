"""Jobs a second and CPU a job: Celery with several settings, and a generated project.

    python -m benchmarks.celery_throughput [--broker redis|rabbitmq] [--jobs 4000] [--rounds 3]

Needs `redis-server`, or it and `rabbitmq-server`, on this machine. All run in turn, on the same
broker with its log on disk, in every round; the medians are printed. Workers are frozen while
the jobs are enqueued, so that only working is measured; of the jobs that wait there are half as
many. All have two processes, which run two jobs at a time, or as many side by side as the name
says: 50 in each worker of the generated project. Its jobs are recorded and leased, so that they
survive their worker. On a busy machine the CPU a job is the steadier figure.
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

from tests.kit.brokers import RabbitMQ, Redis, Server
from tests.kit.celery_project import generate
from tests.kit.processes import run
from tests.kit.repository import BIN
from tests.kit.waiting import until

TICKS = os.sysconf("SC_CLK_TCK")

IN_PROJECT = Path(__file__).with_name("in_project")


@dataclass(frozen=True)
class Case:
    """The workers of one side, with two processes in all, and the jobs they get."""

    name: str
    module: str
    task: str
    options: tuple[str, ...] = ("-c", "2")
    workers: int = 1

    def enqueue(self, jobs: int) -> tuple[str | Path, ...]:
        """Return the program that enqueues so many jobs."""
        if self.module == GENERATED:
            return (IN_PROJECT / "celery_enqueue_jobs.py", self.task, str(jobs))
        return (IN_PROJECT / "celery_enqueue.py", self.module, self.task, str(jobs))


GENERATED = "internal.celery_app"
PEERS = {
    "Celery's defaults": "celery_defaults",
    "Celery, acknowledging late": "celery_acks_late",
    "cookiecutter-django's settings": "celery_cookiecutter_django",
}
SIDE_BY_SIDE = ("-c", "50")
NOTHING = [
    *(Case(name, module, "nothing") for name, module in PEERS.items()),
    Case("generated project, two workers", GENERATED, "nothing", SIDE_BY_SIDE, workers=2),
]
WAITING = [
    *(Case(name, module, "wait") for name, module in PEERS.items()),
    Case("Celery's defaults, 50 threads", "celery_defaults", "wait", ("-P", "threads", "-c", "50")),
    Case("generated project, two workers", GENERATED, "wait", SIDE_BY_SIDE, workers=2),
]


def main() -> None:
    """Measure every case, round by round, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--broker", choices=["redis", "rabbitmq"], default="redis")
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
        redis = Redis(folder / "redis")
        stack.callback(redis.close)
        redis.start()
        broker: Server = redis
        if options.broker == "rabbitmq":
            broker = RabbitMQ(folder / "rabbitmq")
            stack.callback(broker.close)
            broker.start()
        project = generate(folder / "sample", broker, redis)
        shutil.copy(IN_PROJECT / "celery_jobs.py", project.folder / "internal/jobs")
        bench = Bench(project.folder, project.environment)
        for title, cases, jobs in tables:
            rounds = [[bench.run(case, jobs) for case in cases] for _ in range(options.rounds)]
            print(f"\n| {title} | Jobs a second | CPU a job (ms) |\n|---|---|---|")
            for number, case in enumerate(cases):
                rate = statistics.median(results[number][0] for results in rounds)
                cost = statistics.median(results[number][1] for results in rounds)
                print(f"| {case.name} | {rate:.0f} | {cost:.2f} |", flush=True)


class Bench:
    """Runs workers of a project, and measures them."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment | {"PYTHONPATH": f"{folder}:{IN_PROJECT}"}

    def run(self, case: Case, jobs: int) -> tuple[float, float]:
        """Return jobs a second, and milliseconds of CPU a job."""
        log = self.folder / "bench.log"
        command = [str(BIN / "celery"), "-A", case.module, "worker", "-l", "INFO"]
        with log.open("wb") as output:
            workers = [
                subprocess.Popen(
                    [*command, "-n", f"{number}@%h", *case.options],
                    cwd=self.folder, env=self.environment,
                    stdout=output, stderr=output, start_new_session=True,
                )
                for number in range(case.workers)
            ]  # fmt: skip
        pids = [worker.pid for worker in workers]
        try:
            until(
                lambda: log.read_text().count(" ready.") == case.workers,
                describe=lambda: log.read_text()[-3000:],
            )
            time.sleep(1)
            for pid in pids:
                os.killpg(pid, signal.SIGSTOP)
            program = (sys.executable, *case.enqueue(jobs))
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


def cpu(pid: int) -> float:
    """Return the seconds of CPU that a process and its children have used."""
    pids = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    total = 0
    for each in pids:
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


if __name__ == "__main__":
    main()
