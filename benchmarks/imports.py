"""Rows a second, CPU and memory of an import of contacts, with each runner and database.

    python -m benchmarks.imports [--rows 20000] [--databases sqlite postgresql]
        [--runners temporal celery-redis celery-rabbitmq none]

The file is imported by the project's own job, enqueued over HTTP, while the API is asked for its
progress. Printed are the rows a second from the first row to the last, the longest time in which
the progress stood still, and the peak memory of the API and of the worker.
"""

import argparse
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.celery_throughput import cpu
from tests.kit.answers import EVERY_RUNNER, Answers
from tests.kit.engines import Running
from tests.kit.repository import DATABASES
from tests.kit.stack import running
from tests.kit.waiting import until
from tests.kit.web import request, status

RUNNERS = {"-".join(str(answer) for answer in each.values()): each for each in EVERY_RUNNER}

INTERVAL = 0.05
"""The seconds between two questions for the progress."""


@dataclass(frozen=True)
class Measured:
    """What one import showed; times are seconds."""

    seconds: float
    cpu: float
    """Of the process that imports."""
    standstill: float
    api_memory: float
    """Megabytes, as is `worker_memory`, which is 0 where there is no worker."""
    worker_memory: float


def main() -> None:
    """Measure what is asked for, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--databases", nargs="*", choices=DATABASES, default=DATABASES)
    parser.add_argument("--runners", nargs="*", choices=list(RUNNERS), default=list(RUNNERS))
    options = parser.parse_args()
    print(f"{options.rows} rows; load {os.getloadavg()[0]:.1f}\n")
    print(
        "| Runner | Database | Rows a second | CPU (s) | Longest standstill (s) | API (MB) | Worker (MB) |"
    )
    print("|---|---|---|---|---|---|---|")
    for database in options.databases:
        for name in options.runners:
            seen = measure({**RUNNERS[name], "database": database}, options.rows)
            print(
                f"| {name} | {database} | {options.rows / seen.seconds:,.0f} | {seen.cpu:.1f}"
                f" | {seen.standstill:.2f} | {seen.api_memory:.0f} | {seen.worker_memory:.0f} |",
                flush=True,
            )


def measure(answers: Answers, rows: int) -> Measured:
    """Import a file through one runner into one database."""

    def write(project: Path) -> None:
        folder = project / "data/imports"
        folder.mkdir(parents=True)
        with (folder / "rows.csv").open("w") as file:
            file.write("email,name\n")
            file.writelines(f"person.{n}@example.com,Person Number {n}\n" for n in range(rows))

    with tempfile.TemporaryDirectory() as folder, running(answers, Path(folder), write) as stack:
        api, url = stack.start_api()
        worker = None if answers["task_runner"] == "none" else stack.start_worker()
        until(lambda: status(f"{url}/readyz") == 200)
        importing = worker or api
        job = str(request(f"{url}/jobs/import", {"file": "rows.csv"})["id"])
        begun = seen = time.monotonic()
        done, standstill, cpu_before = 0, 0.0, 0.0
        while True:
            state = request(f"{url}/jobs/{job}")
            assert state["state"] in ("queued", "running", "succeeded"), state
            now_done = (state["progress"] or {"done": 0})["done"]
            now = time.monotonic()
            if state["state"] == "queued" or not state["progress"]:
                begun = seen = now
                cpu_before = cpu(importing.pid)
            if now_done != done:
                standstill, done, seen = max(standstill, now - seen), now_done, now
            if state["state"] == "succeeded":
                break
            time.sleep(INTERVAL)
        assert state["result"] == {"rows": rows}
        return Measured(
            time.monotonic() - begun,
            cpu(importing.pid) - cpu_before,
            standstill,
            peak_memory(api),
            peak_memory(worker) if worker else 0.0,
        )


def peak_memory(process: Running) -> float:
    """Return the most megabytes that a process has had in memory."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    [peak] = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(peak) / 1024


if __name__ == "__main__":
    main()
