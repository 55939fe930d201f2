"""How long a job of one activity takes on Temporal, and how many are done in a second.

Measures a generated project (its development server, its worker) and, in the same run on the
same machine, the peer: Temporal's development server and a worker, both with default settings; and what
it costs to keep the jobs: the project with a server that has them in memory only. Two jobs, files
of the project's internal/jobs and workflows of one activity of the peer: one that does nothing, and
an e-mail, into the outbox.

Usage: python -m benchmarks.temporal_latency [JOBS]
"""

import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import GrpcCompression

from tests.kit.ports import free_port
from tests.kit.projects import migrate, render
from tests.kit.repository import tool
from tests.kit.waiting import until_async

IN_FLIGHT = 50
ROUNDS = 3

IN_PROJECT = Path(__file__).with_name("in_project")

JOBS: dict[str, tuple[str, list[Any]]] = {
    "nothing": ("nothing", [{}]),
    "e-mail": ("email", [{"to": "ada@example.com", "subject": "Hello"}]),
}

PEERS: dict[str, tuple[str, list[Any]]] = {
    "nothing": ("Nothing", []),
    "e-mail": ("EmailNotificationWorkflow", ["ada@example.com", "Hello"]),
}


@dataclass(frozen=True)
class Stack:
    """The commands of a server and a worker, what it does, and how the client compresses."""

    server: list[str]
    worker: list[str]
    jobs: dict[str, tuple[str, list[Any]]]
    compression: GrpcCompression


@dataclass
class Measured:
    """What was seen of one stack."""

    one_by_one: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    together: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def numbers(self) -> dict[str, float]:
        """Return the figures of the table: milliseconds, and jobs a second."""
        numbers: dict[str, float] = {}
        for job in JOBS:
            one_by_one, together = self.one_by_one[job], self.together[job]
            numbers |= {
                f"{job}, one by one, median (ms)": 1000 * statistics.median(one_by_one),
                f"{job}, one by one, p95 (ms)": 1000 * p95(one_by_one),
                f"{job}, {IN_FLIGHT} at a time, a second": len(together) / self.seconds[job],
                f"{job}, {IN_FLIGHT} at a time, p95 (ms)": 1000 * p95(together),
            }
        return numbers


def main() -> None:
    """Measure all by turns, so that what else this machine does is fair, and print a table."""
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    measured: dict[str, Measured] = defaultdict(Measured)
    with tempfile.TemporaryDirectory() as folder:
        project = render(Path(folder) / "project", {"task_runner": "temporal"})
        shutil.copy(
            IN_PROJECT / "temporal_nothing_job.py", project / "internal" / "jobs" / "nothing.py"
        )
        for _ in range(ROUNDS):
            port = free_port(also=1000)
            for name, stack in stacks(port).items():
                with run(stack, project, port):
                    asyncio.run(measure(port, stack, jobs // ROUNDS, measured[name]))
    print(f"{jobs} jobs of one activity; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'':<36}" + "".join(f"{name:>12}" for name in measured) + f"{'ratio':>8}")
    numbers = [each.numbers() for each in measured.values()]
    for figure in numbers[0]:
        ours, *others = (each[figure] for each in numbers)
        columns = "".join(f"{number:>12.1f}" for number in (ours, *others))
        print(f"{figure:<36}{columns}{ours / others[-1]:>8.2f}")


def stacks(port: int) -> dict[str, Stack]:
    """Return what is measured, by name; the first is the project, the last is the peer."""
    generated = [sys.executable, "-m", "dev.engine"]
    in_memory = [sys.executable, str(IN_PROJECT / "temporal_server_in_memory.py"), str(port)]
    default = [str(tool("temporal")), "server", "start-dev", "--headless", "--port", str(port)]
    worker = [sys.executable, "-m", "internal.workers.main"]
    default_worker = [sys.executable, str(IN_PROJECT / "temporal_default_worker.py")]
    return {
        "generated": Stack(generated, worker, JOBS, GrpcCompression.NONE),
        "in memory": Stack(in_memory, worker, JOBS, GrpcCompression.NONE),
        "defaults": Stack(
            [*default, "--log-level", "error"], default_worker, PEERS, GrpcCompression.GZIP
        ),
    }


async def measure(port: int, stack: Stack, jobs: int, measured: Measured) -> None:
    """Do so many of each job together, and a third as many one by one."""
    client = await connect(port, stack)
    for name, job in stack.jobs.items():
        await do_together(client, job, 50)
        measured.one_by_one[name] += [await do(client, job) for _ in range(jobs // 3)]
        start = time.perf_counter()
        measured.together[name] += await do_together(client, job, jobs)
        measured.seconds[name] += time.perf_counter() - start


def p95(times: list[float]) -> float:
    """Return the 95th percentile."""
    return statistics.quantiles(times, n=20)[18]


async def do_together(client: Client, job: tuple[str, list[Any]], jobs: int) -> list[float]:
    """Do many jobs at a time, and return the seconds that each took."""
    waiting = iter(range(jobs))
    times: list[float] = []

    async def lane() -> None:
        for _ in waiting:
            times.append(await do(client, job))

    await asyncio.gather(*(lane() for _ in range(IN_FLIGHT)))
    return times


async def do(client: Client, job: tuple[str, list[Any]]) -> float:
    """Do one job, and return the seconds it took."""
    workflow, arguments = job
    start = time.perf_counter()
    await client.execute_workflow(
        workflow, args=arguments, id=uuid4().hex, task_queue="sample-project"
    )
    return time.perf_counter() - start


async def connect(port: int, stack: Stack) -> Client:
    """Wait for a server."""
    clients: list[Client] = []

    async def answers() -> bool:
        try:
            client = await Client.connect(
                f"127.0.0.1:{port}",
                data_converter=pydantic_data_converter,
                grpc_compression=stack.compression,
            )
        except RuntimeError:
            return False
        clients.append(client)
        return True

    await until_async(answers, 30)
    return clients[0]


@contextmanager
def run(stack: Stack, project: Path, port: int) -> Iterator[None]:
    """Run a server and a worker, with a data folder of their own."""
    with tempfile.TemporaryDirectory() as data:
        environment = os.environ | {
            "DATA_DIR": data,
            "PYTHONPATH": str(project),
            "TEMPORAL_ADDRESS": f"127.0.0.1:{port}",
            "LOG_LEVEL": "WARNING",
            "SMTP_URL": "",
        }
        migrate(project, DATA_DIR=data)
        # As everywhere but in a few test environments, Python keeps what it compiled.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        with ExitStack() as running:
            for command in (stack.server, stack.worker):
                process = subprocess.Popen(
                    command, cwd=project, env=environment,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )  # fmt: skip
                running.callback(process.wait)
                running.callback(process.kill)
                # A worker with default settings does not wait for its server.
                asyncio.run(connect(port, stack))
            yield


if __name__ == "__main__":
    main()
