"""Jobs that fail in every way, for a generated project; each run leaves lines in `runs.txt`."""

import asyncio
import os
import signal
import time
from pathlib import Path

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded

from internal.celery_app import app
from internal.config import get_settings
from internal.job_task import RETRIES, JobTask, job_id, run
from internal.services.database import connect
from internal.services.errors import TemporaryError

if "SOFT_SHUTDOWN" in os.environ:
    app.conf.worker_soft_shutdown_timeout = float(os.environ["SOFT_SHUTDOWN"])


def note(event: str) -> None:
    """Write down that something happened to the current job, when, and in which process."""
    path = Path(get_settings().data_dir) / "runs.txt"
    line = f"{job_id()} {event} {time.time()} {os.getpid()}\n"
    with path.open("a") as file:
        file.write(line)


@shared_task(base=JobTask, kind="sleep", **RETRIES)
def sleep(seconds: float) -> str:
    """Take some time."""
    note("started")
    run(asyncio.sleep(seconds))
    note("ended")
    return "slept"


@shared_task(base=JobTask, kind="poison", **RETRIES)
def poison() -> None:
    """Kill the process that runs it."""
    note("started")
    os.kill(os.getpid(), signal.SIGKILL)


@shared_task(base=JobTask, kind="stubborn", soft_time_limit=1, time_limit=3, **RETRIES)
def stubborn(deaf: bool) -> None:
    """Run into the soft time limit, or into the hard one."""
    note("started")
    while deaf:
        try:
            time.sleep(10)
        except SoftTimeLimitExceeded:
            note("interrupted")
    run(asyncio.sleep(10))


@shared_task(base=JobTask, kind="effect", **RETRIES)
def effect() -> None:
    """Add a line to a ledger, together with the note that this was done."""
    note("started")
    run(_effect(job_id()))


async def _effect(key: str) -> None:
    async with connect(get_settings().data_dir) as database:
        await database.execute("CREATE TABLE IF NOT EXISTS ledger (key TEXT, at REAL)")
        await database.execute("BEGIN IMMEDIATE")
        query = "SELECT 1 FROM deliveries WHERE message_id = ?"
        async with database.execute(query, (key,)) as cursor:
            done = await cursor.fetchone()
        if not done:
            await database.execute("INSERT INTO ledger VALUES (?, ?)", (key, time.time()))
            await database.execute("INSERT INTO deliveries (message_id) VALUES (?)", (key,))
        await database.execute("COMMIT")


@shared_task(base=JobTask, kind="busy", **RETRIES)
def busy(times: int) -> int:
    """Fail with a transient error so many times."""
    note("started")
    runs = (Path(get_settings().data_dir) / "runs.txt").read_text().count(f"{job_id()} started")
    if runs <= times:
        raise TemporaryError("not yet")
    return runs
