"""How many jobs a second, at what cost: Celery with several settings, and ours.

    python -m benchmarks.celery_throughput [--broker redis|rabbitmq] [--jobs 4000] [--rounds 3]

Needs `redis-server`, or it and `rabbitmq-server`, on this machine. All run in turn, on the same
broker with its log on disk, in every round; the medians are printed. Workers are frozen while
the jobs are enqueued, so that only working is measured; of the jobs that wait there are half as
many. All have two processes. "Ours" are jobs of a generated project: recorded and leased, so that
they survive their worker. On a busy machine the CPU a job is the steadier figure.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.celery_runner.brokers import RabbitMQ, Redis, Server
from tests.celery_runner.project import BIN, generate, until

ROOT = Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")

DEFAULTS = """
import os, time
from celery import Celery

app = Celery("bench", broker=os.environ["CELERY_BROKER_URL"], backend=os.environ["CELERY_RESULT_BACKEND"])

@app.task
def nothing():
    pass

@app.task
def wait():
    time.sleep(0.01)
"""

COOKIECUTTER_DJANGO = """
app.conf.update(
    task_serializer="json", accept_content=["json"], result_serializer="json",
    result_extended=True, result_backend_always_retry=True, result_backend_max_retries=10,
    task_time_limit=300, task_soft_time_limit=60,
    worker_send_task_events=True, task_send_sent_event=True, worker_hijack_root_logger=False,
)
"""

OURS = """
import asyncio
from internal.runner import Job, JobContext

class Nothing(Job):
    kind = "nothing"

    async def run(self, ctx: JobContext) -> None:
        pass

class Wait(Job):
    kind = "wait"

    async def run(self, ctx: JobContext) -> None:
        await asyncio.sleep(0.01)
"""

LATE = """
app.conf.update(
    task_acks_late=True, task_reject_on_worker_lost=True, worker_prefetch_multiplier=1,
)
"""


@dataclass(frozen=True)
class Case:
    """One worker and the jobs it gets."""

    name: str
    module: str
    task: str
    options: tuple[str, ...] = ("-c", "2")
    workers: int = 1
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def send(self) -> str:
        """Return a program that enqueues as many jobs as its argument says."""
        if self.module == "internal.celery_app":
            return (
                "import asyncio, sys\n"
                "from internal.jobs.bench import Nothing, Wait\n"
                "from internal.runner import enqueue_many\n"
                f"jobs = [{self.task.capitalize()}() for _ in range(int(sys.argv[1]))]\n"
                "asyncio.run(enqueue_many(jobs))"
            )
        return (
            f"import sys, {self.module} as m\n"
            f"for _ in range(int(sys.argv[1])): m.{self.task}.delay()"
        )


OTHERS = [
    ("Celery's defaults", "defaults"),
    ("Celery, acknowledging late", "late"),
    ("cookiecutter-django's settings", "cookiecutter"),
]
SIDE_BY_SIDE = (("WORKER_CONCURRENCY", "50"),)
NOTHING = [
    *(Case(name, module, "nothing") for name, module in OTHERS),
    Case("ours, two workers", "internal.celery_app", "nothing", (), 2, SIDE_BY_SIDE),
]
WAITING = [
    *(Case(name, module, "wait") for name, module in OTHERS),
    Case("Celery's defaults, 50 threads", "defaults", "wait", ("-P", "threads", "-c", "50")),
    Case("ours, two workers", "internal.celery_app", "wait", (), 2, SIDE_BY_SIDE),
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
        project = generate(ROOT, folder / "sample", broker, redis)
        for name, text in {
            "defaults": DEFAULTS,
            "late": DEFAULTS + LATE,
            "cookiecutter": DEFAULTS + COOKIECUTTER_DJANGO,
            "internal/jobs/bench": OURS,
        }.items():
            (project.folder / f"{name}.py").write_text(text)
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
        self.environment = environment | {"PYTHONPATH": str(folder)}

    def run(self, case: Case, jobs: int) -> tuple[float, float]:
        """Return jobs a second, and milliseconds of CPU a job."""
        log = self.folder / "bench.log"
        command = [BIN / "celery", "-A", case.module, "worker", "-l", "INFO"]
        with log.open("wb") as output:
            workers = [
                subprocess.Popen(
                    [*command, "-n", f"{number}@%h", *case.options],
                    cwd=self.folder, env=self.environment | dict(case.environment),
                    stdout=output, stderr=output, start_new_session=True,
                )
                for number in range(case.workers)
            ]  # fmt: skip
        pids = [worker.pid for worker in workers]
        try:
            until(lambda: log.read_text().count(" ready.") == case.workers)
            time.sleep(1)
            for pid in pids:
                os.killpg(pid, signal.SIGSTOP)
            subprocess.run(
                [sys.executable, "-c", case.send, str(jobs)],
                cwd=self.folder, env=self.environment, check=True,
            )  # fmt: skip
            before, begun = sum(map(cpu, pids)), time.monotonic()
            for pid in pids:
                os.killpg(pid, signal.SIGCONT)
            until(lambda: log.read_bytes().count(b" succeeded in ") >= jobs, 300)
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
