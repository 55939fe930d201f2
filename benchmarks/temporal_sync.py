"""What it costs that Temporal's server waits for the disk, as it does in compose.yaml.

The server of compose.yaml with `synchronous=full` and with `off`, by turns: otherwise the same
command, and the same worker. The jobs are those of `temporal_latency`. The files are in TMPDIR,
which must be on a disk; how long that takes to write is measured in between.

Usage: TMPDIR=/var/tmp python -m benchmarks.temporal_sync [ROUNDS]
"""

import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import yaml
from temporalio.service import GrpcCompression

from benchmarks.temporal_latency import IN_PROJECT, JOBS, Measured, Stack, measure, run
from tests.kit.ports import free_port
from tests.kit.projects import render
from tests.kit.repository import tool

ONE_BY_ONE = 30
"""How many jobs of each sort are done one by one in a round; three times as many together."""


def main() -> None:
    """Measure both by turns, and print a table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    measured: dict[str, Measured] = defaultdict(Measured)
    waits: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        project = render(Path(folder) / "project", {"task_runner": "temporal"})
        shutil.copy(IN_PROJECT / "temporal_nothing_job.py", project / "internal/jobs/nothing.py")
        for number in range(rounds):
            for mode in ("full", "off") if number % 2 else ("off", "full"):
                port = free_port(also=1000)
                stack = server(project, port, mode, Path(folder) / f"{number}-{mode}.db")
                with run(stack, project, port):
                    asyncio.run(measure(port, stack, 3 * ONE_BY_ONE, measured[mode]))
                waits += write_times(Path(folder))
    wait = 1000 * statistics.median(waits)
    print(f"{rounds} rounds; the disk takes {wait:.2f} ms; load {os.getloadavg()[0]:.1f}")
    full, off = (measured[mode].numbers() for mode in ("full", "off"))
    print(f"{'':<36}{'full':>12}{'off':>12}{'ratio':>8}")
    for figure, value in full.items():
        print(f"{figure:<36}{value:>12.1f}{off[figure]:>12.1f}{value / off[figure]:>8.2f}")


def server(project: Path, port: int, mode: str, file: Path) -> Stack:
    """Return the server of compose.yaml, on this machine's port and with another mode."""
    services = yaml.safe_load((project / "compose.yaml").read_text())["services"]
    command: list[str] = services["temporal"]["command"]
    [filename] = [option for option in command if option.startswith("--db-filename=")]
    changes = {
        "--ip=0.0.0.0": "--ip=127.0.0.1",
        filename: f"--db-filename={file}",
        "--sqlite-pragma=synchronous=full": f"--sqlite-pragma=synchronous={mode}",
    }
    options = [changes.pop(option, option) for option in command]
    assert not changes, changes
    worker = [sys.executable, "-m", "internal.workers.main"]
    started = [str(tool("temporal")), *options, "--port", str(port), "--log-level", "error"]
    return Stack(started, worker, JOBS, GrpcCompression.NONE)


def write_times(folder: Path, times: int = 50) -> list[float]:
    """Return the seconds that it takes to have four kilobytes on the disk."""
    seconds = []
    with (folder / "written").open("wb") as file:
        for _ in range(times):
            begin = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fdatasync(file.fileno())
            seconds.append(time.perf_counter() - begin)
    return seconds


if __name__ == "__main__":
    main()
