"""The same two tasks as jobs of a generated project."""

import asyncio

from internal.runner import Job, JobContext


class Nothing(Job):
    """Do nothing."""

    kind = "nothing"

    async def run(self, ctx: JobContext) -> None:
        """Return at once."""


class Wait(Job):
    """Wait 10 ms."""

    kind = "wait"

    async def run(self, ctx: JobContext) -> None:
        """Wait without blocking."""
        await asyncio.sleep(0.01)
