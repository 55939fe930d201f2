"""Enqueues jobs of `storm_jobs.py`, and counts them; run in a project.

One command a line comes in as JSON: `["enqueue", FIRST, NUMBER, KINDS]`, `["retry"]` or
`["states"]`. Its answer goes out as a line: `{"value": ...}`, or `{"error": ...}` with what was raised.
"""

import asyncio
import json
import sys
from collections import Counter
from contextlib import suppress
from typing import Any

from internal import runner
from internal.runner.registry import registry
from internal.runner.states import JobState

PAGE = 500

FIELDS: dict[str, dict[str, str]] = {
    "email": {"to": "ada@example.com", "subject": "Hi"},
    "import": {"file": "rows.csv"},
}
"""The input of the kinds that need any."""


async def enqueue(first: int, number: int, kinds: list[str]) -> None:
    """Enqueue so many jobs of these kinds in turn, with keys that are numbered."""
    jobs = {
        str(index): registry().kinds[kind](**FIELDS.get(kind, {}))
        for index in range(first, first + number)
        for kind in [kinds[index % len(kinds)]]
    }
    await runner.enqueue_many(jobs)


async def states() -> dict[str, int]:
    """Return how many jobs there are in each state."""
    found: Counter[str] = Counter()
    cursor = None
    while True:
        page = await runner.list_jobs(limit=PAGE, cursor=cursor)
        found.update(job.state for job in page.jobs)
        cursor = page.cursor
        if cursor is None:
            return found


async def retry() -> list[str]:
    """Retry the jobs that have failed, and return their errors."""
    errors = []
    for job in (await runner.list_jobs(state=JobState.FAILED, limit=PAGE)).jobs:
        with suppress(runner.JobConflict):  # The list may be a moment old.
            await runner.retry(job.id)
            errors.append(job.error or "")
    return errors


async def main() -> None:
    """Obey, until there are no more commands."""
    commands = {"enqueue": enqueue, "retry": retry, "states": states}
    async with runner.lifespan():
        while line := await asyncio.to_thread(sys.stdin.readline):
            name, *arguments = json.loads(line)
            answer: dict[str, Any]
            try:
                answer = {"value": await commands[name](*arguments)}
            except Exception as error:  # noqa: BLE001 - whatever it is, the test sees it
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
