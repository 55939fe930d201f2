"""Many jobs on Temporal: how fast they are enqueued together, and how long a page of a list takes.

    python -m benchmarks.temporal_many [--jobs 500] [--rounds 5] [--listed 10000]

`enqueue_many` of a generated project and a bare client that starts workflows, as many at a time,
take turns on the project's development server, without a worker. Then the server is stopped, a
row of its list is copied as often as `--listed` says (one job in 100 has failed, one in 10 runs, the
others have succeeded), and pages of 50 jobs are timed.
"""

import argparse
import json
import os
import sqlite3
import statistics
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.kit.engines import engine
from tests.kit.processes import run, user_environment
from tests.kit.projects import render
from tests.kit.repository import BIN

RUNNING, COMPLETED, FAILED = 1, 2, 3
"""How the server's database calls these states."""

IN_PROJECT = Path(__file__).with_name("in_project")


def main() -> None:
    """Measure both, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--listed", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project = render(folder / "project", {"task_runner": "temporal"})
        settings = user_environment() | {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(project),
        }  # fmt: skip
        with engine({"task_runner": "temporal"}, project, folder, settings) as running:
            done = in_project(
                project, running.settings, "temporal_enqueue_many.py", options.jobs, options.rounds
            )
            print_enqueued(done, options.jobs)
            running.broker.kill()
            fill(project / "data/temporal.db", options.listed)
            running.broker.start()
            pages = in_project(project, running.settings, "temporal_list_jobs.py", 20)
    print(f"\npages of 50 of {options.listed} jobs, milliseconds: median and longest of 20")
    for name, seconds in pages.items():
        print(f"{name:<20}{1000 * statistics.median(seconds):>8.1f}{1000 * max(seconds):>8.1f}")


def in_project(project: Path, settings: dict[str, str], program: str, *words: int) -> Any:
    """Run a program in the project, and return what it prints."""
    numbers = [str(word) for word in words]
    found = run(sys.executable, IN_PROJECT / program, *numbers, cwd=project, environment=settings)
    return json.loads(found)


def print_enqueued(done: list[list[Any]], jobs: int) -> None:
    """Print a table, with the medians of the rounds' ratios."""
    sides = {side: [took[1:] for took in done if took[0] == side] for side in ("ours", "bare")}
    print(
        f"{jobs} jobs at a time, medians of {len(sides['ours'])} rounds; load {os.getloadavg()[0]:.1f}"
    )
    print(f"{'':<20}{'jobs a second':>16}{'client CPU a job (ms)':>24}")
    for side, rounds in sides.items():
        wall, cpu = (statistics.median(each) for each in zip(*rounds, strict=True))
        print(f"{side:<20}{jobs / wall:>16.0f}{1000 * cpu / jobs:>24.2f}")
    wall, cpu = (
        statistics.median(a / b for a, b in zip(ours, bare, strict=True))
        for ours, bare in zip(
            zip(*sides["ours"], strict=True), zip(*sides["bare"], strict=True), strict=True
        )
    )
    print(f"{'time, ours to bare':<20}{wall:>16.2f}{cpu:>24.2f}")


def fill(path: Path, number: int) -> None:
    """Copy a row of the server's list until there are so many: of jobs in all states, as they came."""
    with closing(sqlite3.connect(path, timeout=30)) as database, database:
        database.execute(
            f"""
            WITH RECURSIVE copies (number, status) AS (
                SELECT 1, 1
                UNION ALL
                SELECT number + 1, CASE WHEN number % 100 = 0 THEN {FAILED}
                    WHEN number % 10 = 0 THEN {RUNNING} ELSE {COMPLETED} END
                FROM copies WHERE number < ?
            )
            INSERT INTO executions_visibility (
                namespace_id, run_id, workflow_id, root_workflow_id, root_run_id, status,
                start_time, execution_time, close_time,
                workflow_type_name, memo, encoding, task_queue, search_attributes
            )
            SELECT namespace_id, 'run-' || number, 'email-' || number, 'email-' || number,
                'run-' || number, copies.status, moment, moment,
                CASE WHEN copies.status = {RUNNING} THEN NULL ELSE moment END,
                workflow_type_name, memo, encoding, task_queue, search_attributes
            FROM (SELECT * FROM executions_visibility WHERE workflow_type_name = 'email' LIMIT 1),
                (SELECT *, strftime('%Y-%m-%d %H:%M:%f+00:00', 'now', -number || ' seconds')
                    AS moment FROM copies) AS copies
            """,
            [number],
        )


if __name__ == "__main__":
    main()
