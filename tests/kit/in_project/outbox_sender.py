"""Enqueues jobs in transactions, each in a process that is killed at some moment.

Run in a project with `outbox_jobs.py` among its jobs, with the numbers of the first order and of the
one after the last. For each order it prints where its process was to be killed.
"""

import asyncio
import os
import random
import signal
import sys
import time

from internal.database import DatabaseUnavailable, transaction
from internal.jobs.confirm import Confirm
from internal.models.contacts import Contact
from internal.runner import client, outbox
from internal.runner.definitions import Definition
from internal.runner.errors import EngineUnavailable
from internal.runner.states import JobInfo

POINTS = ("before the commit", "after the commit", "after the handing over", "any time", "never")
TIMEOUT = 10.0
"""How long, in seconds, a process may take."""

PATIENCE = 60.0
"""How long, in seconds, an order is retried while the database or the engine is unavailable."""


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def send(order: str, point: str) -> None:
    async def enqueue(job: Definition, /, **options: object) -> JobInfo:
        info = await client.enqueue(job, **options)  # type: ignore[arg-type]
        if point == "after the handing over":
            die()
        return info

    if point == "after the commit":
        outbox._after_commit = die
    async with client.lifespan(), outbox.relay(enqueue), transaction() as session:
        session.add(Contact(email=order, name="order"))
        [_] = await outbox.add(session, [(None, Confirm(order=order))])
        if point == "before the commit":
            await session.flush()
            die()


def main(first: int, last: int) -> None:
    for number in range(first, last):
        point = POINTS[number % len(POINTS)]
        dice = random.Random(number)
        give_up = time.monotonic() + PATIENCE
        attempt = 0
        while time.monotonic() < give_up:
            attempt += 1
            lasts = dice.uniform(0, 0.5) if point == "any time" else TIMEOUT
            # One whose transaction may have committed, or not, is another order.
            if sent(f"order-{number}-{attempt}", point, lasts):
                break
            time.sleep(0.2)
        print(point, flush=True)


def sent(order: str, point: str, lasts: float) -> bool:
    """Send an order in a child process.

    Return False if it failed because the database or the engine was unavailable, True if it ended
    or was killed.
    """
    child = os.fork()
    if not child:
        try:
            asyncio.run(send(order, point))
        except (DatabaseUnavailable, EngineUnavailable):
            os._exit(os.EX_TEMPFAIL)
        os._exit(0)
    deadline = time.monotonic() + lasts
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            assert code in (os.EX_OK, os.EX_TEMPFAIL, -signal.SIGKILL)
            return code != os.EX_TEMPFAIL
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
