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

from internal.database import transaction
from internal.jobs.confirm import Confirm
from internal.models.contacts import Contact
from internal.runner import client, outbox
from internal.runner.definitions import Definition
from internal.runner.states import JobInfo

POINTS = ("before the commit", "after the commit", "after the handing over", "any time", "never")
TIMEOUT = 10.0


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
        dice = random.Random(number)
        point = POINTS[number % len(POINTS)]
        child = os.fork()
        if not child:
            try:
                asyncio.run(send(f"order-{number}", point))
            finally:
                os._exit(0)
        deadline = time.monotonic() + (dice.uniform(0, 0.5) if point == "any time" else TIMEOUT)
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                break
            time.sleep(0.005)
        print(point, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
