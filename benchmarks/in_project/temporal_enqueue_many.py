"""Enqueues jobs by `enqueue_many` and by a bare client, by turns; run in a generated project.

Usage: python temporal_enqueue_many.py JOBS ROUNDS; prints a JSON list of [SIDE, SECONDS, CPU SECONDS].
"""

import asyncio
import json
import os
import sys
import time
from uuid import uuid4

from internal.config import get_settings
from internal.jobs.send_email import SendEmail
from internal.runner import enqueue_many, lifespan
from internal.runner.client import IN_FLIGHT
from internal.runner.connection import connect

FIELDS = {"to": "ada@example.com", "subject": "Hello"}


async def bare(jobs: int) -> None:
    """Start so many workflows as the SDK does it, as many at a time as `enqueue_many` does."""
    settings = get_settings()
    client = await connect(settings)
    waiting = iter(range(jobs))

    async def lane() -> None:
        for _ in waiting:
            await client.start_workflow(
                "email", FIELDS, id=uuid4().hex, task_queue=settings.temporal_task_queue
            )

    await asyncio.gather(*(lane() for _ in range(IN_FLIGHT)))


async def ours(jobs: int) -> None:
    """Enqueue so many jobs."""
    await enqueue_many([SendEmail(**FIELDS) for _ in range(jobs)])


async def main(jobs: int, rounds: int) -> None:
    """Measure `enqueue_many` and a bare client alternately, after one warm-up round."""
    seen = []
    async with lifespan():
        for number in range(rounds + 1):
            for side in (ours, bare):
                start, cpu = time.perf_counter(), time.process_time()
                await side(jobs)
                took = [time.perf_counter() - start, time.process_time() - cpu]
                if number:
                    seen.append([side.__name__, *took])
    print(json.dumps(seen))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
    sys.stdout.flush()
    # Threads of the SDK can crash an interpreter that ends in order.
    os._exit(0)
