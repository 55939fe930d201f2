"""The health files of the workers and of beat on this machine, which health checks read.

A process touches its `.alive` file as a heartbeat, so the file's age is the time since the last
one. A worker writes an `.away` file with the reason while its database does not answer: it is not
ready then, but a restart would not help.
"""

import asyncio
import logging
import tempfile
import time
from hashlib import sha256
from pathlib import Path

from internal import database
from internal.config import get_settings

INTERVAL = 5.0
"""The seconds between two questions to the database."""

_log = logging.getLogger(__name__)


def alive_file(role: str) -> Path:
    """Return the file that a worker, or beat, touches as long as it does its work.

    Workers of a machine share it if they take the same queues: `WORKER_QUEUES` says which are meant.
    """
    settings = get_settings()
    name = settings.celery_task_default_queue
    if role == "worker" and settings.worker_queues is not None:
        queues = ",".join(sorted(settings.worker_queues))
        # A name of all of them could be longer than that of a file may be.
        name += f"_{sha256(queues.encode()).hexdigest()[:8]}"
    return Path(tempfile.gettempdir()) / f"{name}-{role}.alive"


def away_file() -> Path:
    """Return the file that is there while a worker's database is away."""
    return alive_file("worker").with_suffix(".away")


async def watch_database() -> None:
    """Keep the file of the worker's database up to date, for as long as this is not cancelled."""
    while True:
        try:
            await database.check()
        except database.DatabaseUnavailable as error:
            _log.warning("%s", error)
            away_file().write_text(f"{error}\n")
        else:
            away_file().unlink(missing_ok=True)
        await asyncio.sleep(INTERVAL)


def age(role: str) -> float | None:
    """Return how many seconds ago a worker, or beat, on this machine was seen alive."""
    try:
        return time.time() - alive_file(role).stat().st_mtime
    except FileNotFoundError:
        return None
