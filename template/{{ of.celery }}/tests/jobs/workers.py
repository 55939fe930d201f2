"""Jobs that show what happens to workers, and native tasks."""

import asyncio
from datetime import timedelta

from celery import Task, shared_task

from internal.runner import JobContext, Workflow, WorkflowContext
from tests.jobs.promises import QUICK, note


class Interrupted(Workflow):
    """Be interrupted in a step and in a pause."""

    kind = "test-interrupted"
    policy = QUICK

    async def run(self, ctx: WorkflowContext) -> list[str]:
        """Run three steps with a pause of an hour (`MAX_SLEEP` shortens it)."""
        first = await ctx.step(self.write, "first")
        second = await ctx.step(self.write, "second", wait=3.0)
        await ctx.sleep(timedelta(hours=1))
        third = await ctx.step(self.write, "third")
        return [first, second, third]

    async def write(self, ctx: JobContext, name: str, wait: float = 0.0) -> str:
        """Note the step; the first time, wait before its end."""
        times = note(ctx.key.rpartition(".")[0], name).count(name)
        if times == 1:
            await asyncio.sleep(wait)
        return ctx.key


@shared_task(bind=True)
def native(self: Task[..., int], failures: int) -> int:
    """Ask for another attempt some times."""
    if self.request.retries < failures:
        raise self.retry(countdown=0.05, exc=OSError("not yet"))
    return int(self.request.retries)
