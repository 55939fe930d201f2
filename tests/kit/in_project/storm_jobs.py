"""Jobs whose effects can be counted, for `internal/jobs` of a project with any task runner."""

import asyncio
import os
import time
from datetime import timedelta
from pathlib import Path

from sqlalchemy import text

from internal.config import get_settings
from internal.database import transaction
from internal.models.deliveries import Delivery
from internal.runner import Job, JobContext, Policy, Workflow, WorkflowContext

QUICK = Policy(
    timeout=timedelta(minutes=2),
    first_backoff=timedelta(milliseconds=50),
    max_backoff=timedelta(milliseconds=200),
)


class Effect(Job):
    """Add a line to a ledger, together with the note that this was done."""

    kind = "effect"
    policy = QUICK

    async def run(self, ctx: JobContext) -> None:
        """Do what the class says."""
        note(ctx.key)
        await add_to_ledger(ctx.key)


class Resize(Job):
    """Do a picture line by line, in code that blocks, and add a line to the ledger."""

    kind = "resize"
    policy = QUICK

    def run(self, ctx: JobContext) -> int:
        """Do what the class says."""
        note(ctx.key)
        for line in range(10):
            time.sleep(0.03)
            ctx.report(line + 1, 10)
        asyncio.run(add_to_ledger(ctx.key))
        return 10


class Onboard(Workflow):
    """Add three lines to the ledger, with a pause between them."""

    kind = "onboard"
    policy = QUICK
    pause: float = 2.5

    async def run(self, ctx: WorkflowContext) -> list[str]:
        """Do what the class says."""
        keys = [await ctx.step(self.add)]
        await ctx.sleep(timedelta(seconds=self.pause))
        keys += await asyncio.gather(ctx.step(self.add), ctx.step(self.add))
        return keys

    async def add(self, ctx: JobContext) -> str:
        """Do what the class says."""
        note(ctx.key)
        await asyncio.sleep(0.2)
        await add_to_ledger(ctx.key)
        return ctx.key


def note(key: str) -> None:
    """Write down that something was started."""
    with (Path(get_settings().data_dir) / "runs.txt").open("a") as file:
        file.write(f"{key} started {time.time()} {os.getpid()}\n")


async def add_to_ledger(key: str) -> None:
    """Add a line, unless there is one under this key."""
    async with transaction() as session:
        if await session.get(Delivery, key) is None:
            line = {"key": key, "at": time.time()}
            await session.execute(text("INSERT INTO ledger VALUES (:key, :at)"), line)
            session.add(Delivery(message_id=key))
