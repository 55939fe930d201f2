"""Jobs that behave badly, put into a generated project; each run leaves lines in `runs.txt`."""

import asyncio
import os
import signal
import time
from datetime import timedelta
from pathlib import Path

from celery import current_task, shared_task

from internal.celery_app import app
from internal.config import get_settings
from internal.runner import Job, JobContext, Policy

app.conf.worker_soft_shutdown_timeout = float(os.environ.get("SOFT_SHUTDOWN", "20"))

QUICK = Policy(
    timeout=timedelta(minutes=2),
    first_backoff=timedelta(milliseconds=50),
    max_backoff=timedelta(milliseconds=200),
)


def note(key: str, event: str) -> None:
    """Write down that something happened to a job, when, and in which process."""
    path = Path(get_settings().data_dir) / "runs.txt"
    with path.open("a") as file:
        file.write(f"{key} {event} {time.time()} {os.getpid()}\n")


class Sleep(Job):
    """Take some time."""

    kind = "sleep"
    policy = QUICK
    seconds: float = 0.0

    async def run(self, ctx: JobContext) -> str:
        """Do what the class says."""
        note(ctx.key, "started")
        await asyncio.sleep(self.seconds)
        note(ctx.key, "ended")
        return "slept"


class Aside(Job):
    """Run in a queue of its own."""

    kind = "aside"
    policy = Policy(queue="slow")

    async def run(self, ctx: JobContext) -> None:
        """Do what the class says."""
        note(ctx.key, "started")


class Poison(Job):
    """Kill the process that runs it."""

    kind = "poison"
    policy = QUICK

    async def run(self, ctx: JobContext) -> None:
        """Do what the class says."""
        note(ctx.key, "started")
        os.kill(os.getpid(), signal.SIGKILL)


class Deaf(Job):
    """Block a thread for longer than allowed, and hear nothing."""

    kind = "deaf"
    policy = Policy(timeout=timedelta(seconds=1), attempts=1)

    def run(self, ctx: JobContext) -> None:
        """Do what the class says."""
        note(ctx.key, "started")
        time.sleep(10)


class Busy(Job):
    """Fail for a while."""

    kind = "busy"
    policy = QUICK
    failures: int = 0

    async def run(self, ctx: JobContext) -> int:
        """Do what the class says."""
        note(ctx.key, "started")
        if ctx.attempt <= self.failures:
            raise OSError("not yet")
        return ctx.attempt


@shared_task
def native(seconds: float) -> str:
    """Take some time."""
    note(str(current_task.request.id), "started")
    time.sleep(seconds)
    return "slept"
